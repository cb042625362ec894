package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"reflect"
	"slices"
	"sync"
	"time"

	"tidegate/cmd/tidegate/internal/card"
	"tidegate/cmd/tidegate/internal/control"
	"tidegate/cmd/tidegate/internal/update"
	"tidegate/edge"
	"tidegate/hw"
	"tidegate/internal/wear"
	"tidegate/uplink"
)

// gateway is everything that runs.
//
//	devices <-> edge --forward--> uplink <-> cloud      start: edge, uplinks, sensors
//	sensors --submit-^  ^--deliver--+                   stop:  sensors, edge, uplinks
type gateway struct {
	glue
	file    string // of the configuration
	log     *slog.Logger
	level   *slog.LevelVar
	dir     *dataDir
	budget  *wear.Budget
	card    *card.Account
	started time.Time

	uplinks []*uplink.Uplink
	api     *control.API
	lines   *control.Log // the last of the log

	edge     *part
	account  *part // of the card
	up       []*part
	status   *part // nil without a status socket
	console  *part // nil without a console
	control  *part // what the API samples
	socket   *part // of the API; nil when it cannot be had
	watchdog *part
	ended    chan *part // a part that ended by itself

	mu      sync.Mutex // guards what a reload changes
	cfg     Config
	text    string // of the file that cfg is from
	sensors *hw.Hardware
	hw      *part
	remote  *part // updates that are ordered from outside
}

// newGateway takes the data directory and builds the parts. What several parts
// find wrong with files that the configuration names comes as one error.
func newGateway(cfg Config, file string, log *slog.Logger, level *slog.LevelVar) (*gateway, error) {
	dir, err := openDataDir(cfg.Gateway.DataDir)
	if err != nil {
		return nil, err
	}
	if err := enterFormats(dir.Path, update.OnImage(version), log); err != nil {
		return nil, errors.Join(err, dir.Close())
	}
	lines := control.NewLog()
	log = slog.New(lines.Tee(log.Handler()))
	g := &gateway{
		lines: lines, text: textOf(file),
		file: file, cfg: cfg, log: log, level: level, dir: dir, started: time.Now(),
		budget: wear.NewBudget(int64(cfg.Gateway.WearPerDay), int64(cfg.Gateway.WearBurst)),
	}
	if err := g.build(); err != nil {
		return nil, errors.Join(err, dir.Close())
	}
	g.card = card.New(cfg.Card, card.Options{
		Root: "/", Dir: dir.Path, Ours: g.written, Publish: g.publishRetained, Log: log.With("component", "card"),
	})
	g.api = g.newControl()
	g.ended = make(chan *part, len(g.uplinks)+9)
	return g, nil
}

func (g *gateway) build() error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find the program itself, which checks damaged files: %w", err)
	}
	errs := make([]error, 2, 2+len(g.cfg.Uplink))
	g.broker, errs[0] = edge.New(g.cfg.Edge, edge.Options{
		Dir: g.dir.Path, Log: g.log, Budget: g.budget, Forward: g.forward, Version: version, Gateway: g.cfg.Gateway.id(),
		Checker: []string{self, "edge", "check"},
	})
	g.sensors, errs[1] = g.newSensors(g.cfg.HW)
	for _, c := range g.cfg.Uplink {
		u, err := uplink.New(c, uplink.Options{
			Gateway: g.cfg.Gateway.id(), Epoch: g.dir.Epoch, Dir: g.dir.Path, Log: g.log, Budget: g.budget,
			Deliver: g.deliver, Wanted: func(topic string) bool { return g.broker.Wanted(topic) }, Settled: func() { g.broker.Flush() },
			Version: version, Checker: []string{self, "spool", "check"},
		})
		if err != nil {
			errs = append(errs, fmt.Errorf("uplink %s: %w", c.Name, err))
			continue
		}
		g.uplinks, g.sends = append(g.uplinks, u), append(g.sends, u.Send)
	}
	return errors.Join(errs...)
}

func (g *gateway) newSensors(c hw.Config) (*hw.Hardware, error) {
	return hw.New(c, hw.Options{
		Gateway: g.cfg.Gateway.id(), Version: version, Log: g.log.With("component", "hw"), Dir: g.dir.Path,
		Submit: g.submit, Watch: g.watch, MayPublish: g.mayPublish, Spend: g.budget.Spend,
	})
}

// start lets devices in first; the spools load meanwhile.
func (g *gateway) start() error {
	if err := g.broker.Listen(); err != nil {
		return errors.Join(err, g.dir.Close())
	}
	g.edge = start("edge", g.broker.Run, g.ended)
	for i, u := range g.uplinks {
		g.up = append(g.up, start("uplink "+g.cfg.Uplink[i].Name, u.Run, g.ended))
	}
	g.hw = start("sensors", g.sensors.Run, g.ended)
	g.remote = start("update", g.newRemote().Run, g.ended)
	g.account = start("card", g.card.Run, g.ended)
	g.startStatus()
	g.startControl()
	g.startConsole(g.cfg.Console)
	g.watchdog = start("watchdog", func(ctx context.Context) error {
		watchdog(ctx, g.log, g.alive)
		return nil
	}, g.ended)
	return nil
}

// startStatus serves the status socket. The gateway does without it when it
// cannot be had.
func (g *gateway) startStatus() {
	l, err := listenStatus(statusPath(g.dir.Path))
	if err != nil {
		g.log.Warn("no status socket", "err", err)
		return
	}
	g.status = start("status", func(ctx context.Context) error {
		serveStatus(ctx, l, g.stats)
		return nil
	}, g.ended)
}

// stopTime bounds a stop, on top of the time the uplinks may take to hear what
// the cloud says to what is in flight.
const stopTime = 10 * time.Second

// stop ends the parts in the order of the messages: what a sensor read last and
// a device sent last still goes up or to disk.
func (g *gateway) stop() error {
	limit := stopTime
	for _, c := range g.cfg.Uplink {
		limit = max(limit, stopTime+c.DrainTimeout.Std())
	}
	deadline := time.Now().Add(limit)
	g.holdCommands()
	g.closing.Store(true)
	errs := append(g.stopControl(deadline), g.watchdog.stop(deadline), g.stopConsole(deadline), g.remote.stop(deadline), g.hw.stop(deadline), g.edge.stop(deadline))
	for _, p := range g.up {
		p.cancel()
	}
	for _, p := range g.up {
		errs = append(errs, p.stop(deadline))
	}
	errs = append(errs, g.account.stop(deadline)) // after the last write
	if g.status != nil {
		errs = append(errs, g.status.stop(deadline))
	}
	return errors.Join(append(errs, g.dir.Close())...)
}

// commandTime is how long a stop waits for devices to acknowledge commands.
const commandTime = 2 * time.Second

// holdCommands lets no more commands in and waits for those that devices have.
func (g *gateway) holdCommands() {
	ctx, cancel := context.WithTimeout(context.Background(), commandTime)
	defer cancel()
	var all sync.WaitGroup
	for _, u := range g.uplinks {
		all.Go(func() { u.HoldCommands(ctx) })
	}
	all.Wait()
}

// alive sends a message to itself, through the trie, the way of a command from
// the cloud, and takes the broker's locks. A committer that hangs in a slow
// disk is no reason to restart: the home works without it.
func (g *gateway) alive(ctx context.Context) bool {
	_ = g.broker.Stats()
	back := make(signal1, 1)
	g.broker.Publish(&edge.Message{Topic: "$SYS/tidegate/alive", Accepted: time.Now()}, edge.Ticket{Owner: back})
	g.broker.Flush()
	select {
	case <-back:
		return true
	case <-ctx.Done():
		return false
	}
}

// signal1 is the owner of one ticket.
type signal1 chan struct{}

func (s signal1) Settle(uint64, byte) { s <- struct{}{} }

// reload applies what changed in the configuration file. A file with problems
// changes nothing.
func (g *gateway) reload() {
	cfg, problems, err := load(g.file, Config.Check)
	if err != nil {
		g.log.Error("reload: nothing changed, because the configuration cannot be read", "err", err)
		return
	}
	if len(problems) > 0 {
		for _, p := range problems {
			g.log.Error("configuration", "file", g.file, "line", p.line, "problem", p.String())
		}
		g.log.Error("reload: nothing changed, because the configuration has errors", "errors", len(problems))
		return
	}
	setLevel(g.level, cfg.Gateway.LogLevel)
	g.needsRestart(cfg)
	errs := append(g.apply(cfg), g.replaceConsole(cfg.Console))
	if err := errors.Join(errs...); err != nil {
		g.log.Error("reload: not all could be applied", "err", err)
		return
	}
	g.log.Info("reloaded", "file", g.file)
}

func (g *gateway) apply(cfg Config) []error {
	g.mu.Lock()
	defer g.mu.Unlock()
	errs := []error{g.broker.Reload(cfg.Edge)}
	if g.sameUplinks(cfg) {
		for i, u := range g.uplinks {
			errs = append(errs, u.Reload(cfg.Uplink[i]))
		}
		g.cfg.Uplink = cfg.Uplink
	}
	if !reflect.DeepEqual(cfg.HW, g.cfg.HW) {
		errs = append(errs, g.replaceSensors(cfg.HW))
	}
	if cfg.Update != g.cfg.Update {
		errs = append(errs, g.remote.stop(time.Now().Add(stopTime)))
		g.cfg.Update = cfg.Update
		g.remote = start("update", g.newRemote().Run, g.ended)
	}
	g.cfg.Edge, g.text = cfg.Edge, textOf(g.file)
	return errs
}

// needsRestart names what changed and cannot change while running.
func (g *gateway) needsRestart(cfg Config) {
	now, then := cfg.Gateway, g.cfg.Gateway
	now.LogLevel = then.LogLevel
	if now != then {
		g.log.Warn("reload: id, data-dir, log-format and the wear budget take effect at the next start")
	}
	if cfg.Card != g.cfg.Card {
		g.log.Warn("reload: the section card takes effect at the next start")
	}
	if !g.sameUplinks(cfg) {
		g.log.Warn("reload: uplinks were added, removed or renamed; they take effect at the next start")
	}
}

func (g *gateway) sameUplinks(cfg Config) bool {
	return slices.EqualFunc(cfg.Uplink, g.cfg.Uplink, func(a, b uplink.Config) bool { return a.Name == b.Name })
}

func (g *gateway) replaceSensors(c hw.Config) error {
	next, err := g.newSensors(c)
	if err != nil {
		return err
	}
	next.Follow(g.sensors) // what is switched on stays on
	err = g.hw.stop(time.Now().Add(stopTime))
	g.cfg.HW, g.sensors, g.hw = c, next, start("sensors", next.Run, g.ended)
	return err
}
