package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"tidegate/cmd/tidegate/internal/control"
	"tidegate/edge"
	"tidegate/edge/console"
	"tidegate/hw"
	"tidegate/internal/wall"
	"tidegate/uplink"
)

// newControl builds the API for the command line and the page.
func (g *gateway) newControl() *control.API {
	spools := map[string]string{}
	for _, c := range g.cfg.Uplink {
		spools[c.Name] = filepath.Join(g.dir.Path, uplinkFolder+c.Name)
	}
	return control.New(control.Options{
		Gateway: g.cfg.Gateway.id(), Version: version, Log: g.lines, Errors: g.log.With("component", "control"),
		Read: g.readings, Raw: g.stats,
		Overhear: g.broker.Overhear, Retained: g.broker.Retained, Publish: g.publishForPeople,
		Clients: g.broker.Clients, Client: g.broker.Client, Disconnect: g.broker.Disconnect, Users: g.broker,
		Events: g.events, Places: g.places, Probe: g.probe,
		Spools: spools, Config: g.configText, Check: checkText,
	})
}

// events are those of an uplink; none of one that there is not.
func (g *gateway) events(name string) []uplink.Event {
	for _, u := range g.uplinks {
		if u.Name() == name {
			return u.Events()
		}
	}
	return nil
}

// probe walks to the endpoints of an uplink as tidegate uplink test does beside a
// gateway that runs.
func (g *gateway) probe(ctx context.Context, name string, report func(uplink.ProbeStep)) (well bool, err error) {
	g.mu.Lock()
	all := g.cfg.Uplink
	g.mu.Unlock()
	i := slices.IndexFunc(all, func(c uplink.Config) bool { return c.Name == name })
	if i < 0 {
		return false, fmt.Errorf("there is no uplink %q", name)
	}
	return uplink.Probe(ctx, all[i], uplink.ProbeOptions{Gateway: g.cfg.Gateway.id()}, report)
}

// places are where the hardware is heard.
func (g *gateway) places() []hw.Place {
	g.mu.Lock()
	sensors := g.sensors
	g.mu.Unlock()
	return sensors.Places()
}

// publishForPeople takes a message like that of a device.
func (g *gateway) publishForPeople(m *edge.Message) {
	g.broker.Submit(m, edge.Ticket{})
	g.broker.Flush()
}

// configText is the file that is in force.
func (g *gateway) configText() (file, text string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.file, g.text
}

// textOf reads a file that was just read; "" when it has gone meanwhile.
func textOf(file string) string {
	text, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	return string(text)
}

// checkText finds what is wrong with a configuration that somebody pasted.
func checkText(text []byte) []control.Problem {
	_, problems := parse(text, Config.checkAll)
	out := []control.Problem{}
	for _, p := range problems {
		out = append(out, control.Problem{Line: p.line, Key: p.Key, Value: p.Value, Rule: p.Rule, Hint: p.Hint, Words: p.String()})
	}
	return out
}

// startControl serves the API on its socket. The gateway does without it when it
// cannot be had.
func (g *gateway) startControl() {
	g.control = start("control", g.api.Run, g.ended)
	l, err := control.ListenSocket(controlPath(g.dir.Path))
	if err != nil {
		g.log.Warn("no control socket", "err", err)
		return
	}
	g.socket = start("control socket", func(ctx context.Context) error { return g.api.Serve(ctx, l) }, g.ended)
}

func (g *gateway) stopControl(deadline time.Time) []error {
	errs := []error{g.control.stop(deadline)}
	if g.socket != nil {
		errs = append(errs, g.socket.stop(deadline))
	}
	return errs
}

// controlPath is beside the status socket.
func controlPath(dataDir string) string {
	return filepath.Join(filepath.Dir(statusPath(dataDir)), control.SocketName)
}

// api is the API for who has logged in to the console.
func (g *gateway) behindLogin() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		role := control.Role(console.RoleOf(r.Context()))
		g.api.ServeHTTP(w, r.WithContext(control.WithRole(r.Context(), role)))
	})
}

// readings are the numbers of this moment, as the API wants them.
func (g *gateway) readings() control.Readings {
	n := g.numbers()
	now, set := wall.Now()
	r := control.Readings{
		At: now, Uptime: n.Uptime, ClockSet: set, RSS: residentBytes(), Goroutines: runtime.NumGoroutine(),
		Listeners: g.listeners(), Edge: n.Edge, UsersFault: g.broker.UsersFault(), NobodyIn: g.broker.LetsNobodyIn(), HW: n.HW, Card: n.Card, WearLeft: n.Wear.Left,
	}
	for _, u := range n.Uplinks {
		r.Uplinks = append(r.Uplinks, control.UplinkReadings{Stats: u.Stats, MaxDisk: u.MaxDisk})
	}
	var fs unix.Statfs_t
	if unix.Statfs(g.dir.Path, &fs) == nil {
		r.DiskFree, r.DiskSize = int64(fs.Bavail)*int64(fs.Bsize), int64(fs.Blocks)*int64(fs.Bsize)
	}
	return r
}

// listeners are where devices connect, with what is spoken there.
func (g *gateway) listeners() []control.Listener {
	g.mu.Lock()
	cfg := g.cfg.Edge.Listeners
	g.mu.Unlock()
	out := []control.Listener{}
	for i, a := range g.broker.Addrs() {
		l := control.Listener{Address: a.String(), Protocol: a.Network()}
		if i < len(cfg) {
			l.Protocol = protocolOf(cfg[i], a.Network())
		}
		out = append(out, l)
	}
	return out
}

func protocolOf(c edge.ListenerConfig, network string) string {
	switch {
	case c.Protocol == "websocket" && c.Cert != "":
		return "websocket over tls"
	case c.Protocol == "websocket":
		return "websocket"
	case c.Cert != "":
		return "tls"
	}
	return network
}
