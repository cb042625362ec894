package scenario

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"tidegate/build/bench/load"
	"tidegate/build/lab/front"
	"tidegate/build/lab/gateway"
	"tidegate/build/lab/presence"
)

// The traffic of every scenario.
const (
	devices = 10  // each with a topic of its own
	size    = 200 // bytes of payload
	window  = 20  // unacknowledged messages of a device
	links   = 2   // up, the gateway's default
	flight  = 256 // in flight on each, the gateway's default
)

// rate is in messages a second of all devices together. RabbitMQ takes not
// much more than a thousand on a small machine, and must be able to catch up.
func (t *take) rate() int {
	if t.Cloud == "rabbitmq" {
		return 200
	}
	return 400
}

const (
	settled  = time.Minute            // for what is no part of the measurement
	lead     = time.Second            // of quiet traffic before the break
	killedAt = 700 * time.Millisecond // after the break, or in the middle of a whole outage
	glance   = 10 * time.Millisecond
)

// take is one run of a scenario: a gateway of its own with devices, and the
// account of what they send.
type take struct {
	*Stage
	scenario Scenario
	kill     bool // in the middle
	kills    int  // so far
	name     string
	data     string
	gateway  *gateway.Gateway
	account  *account
	ear      *presence.Ear
	asked    int       // who came late to read what is retained
	began    time.Time // the break
	told     time.Time // from when on the gateway's words are judged: the break, or the heal of an outage
	signs    *signs
	meter    *meter
	fleet    *load.Fleet
	done     chan error // of the fleet
	victim   int        // the node that is broken
	row      Row
	addrs    []string // of the gateway's endpoints, by node
	fronts   []*front.Front
	closers  []func() error
}

// Play runs a scenario, with the gateway killed in the middle of it or not.
func (s *Stage) Play(ctx context.Context, sc Scenario, kill bool) Row {
	s.takes++
	t := &take{
		Stage: s, scenario: sc, kill: kill, name: fmt.Sprintf("take%d", s.takes),
		meter: &meter{}, done: make(chan error, 1),
		row: Row{Scenario: sc.Name, Cloud: s.Cloud, Detect: -1, Recover: -1, Drained: -1, Told: -1},
	}
	t.addrs, t.victim = s.cloud.Addrs(), -1
	if kill {
		t.row.Scenario += "+kill"
	}
	if sc.NotFor != nil {
		if t.row.NotApplicable = sc.NotFor(t); t.row.NotApplicable != "" {
			return t.row
		}
	}
	ctx, cancel := context.WithTimeout(ctx, 25*time.Minute)
	defer cancel()
	if err := t.play(ctx); err != nil {
		t.broken("%v", err)
	}
	if err := t.clear(); err != nil {
		t.broken("%v", err)
	}
	return t.row
}

func (t *take) broken(format string, args ...any) {
	t.row.Broken = append(t.row.Broken, fmt.Sprintf(format, args...))
	if t.gateway != nil && t.row.Tail == "" {
		t.row.Tail = t.gateway.Process().Output()
	}
}

// note adds to what the row says.
func (t *take) note(format string, args ...any) {
	t.row.Notes = append(t.row.Notes, fmt.Sprintf(format, args...))
}

func (t *take) play(ctx context.Context) error {
	if err := t.open(ctx); err != nil {
		return err
	}
	watch, stop := context.WithCancel(ctx)
	var watching sync.WaitGroup
	watching.Go(func() { t.watch(watch) })
	defer watching.Wait()
	defer stop()
	go func() { t.done <- t.fleet.Run(ctx) }()

	t.account.begin()
	if _, err := t.flow(ctx, settled); err != nil {
		return fmt.Errorf("before the break: %w", err)
	}
	if err := t.pickVictim(ctx); err != nil {
		return err
	}
	pause(ctx, lead)
	if err := t.story(ctx); err != nil {
		return err
	}
	return t.settle(ctx)
}

// open starts the account, the gateway and, not yet publishing, the devices.
func (t *take) open(ctx context.Context) (err error) {
	// A cluster that was torn apart takes a while until it makes queues again.
	begin, cancel := context.WithTimeout(ctx, 3*settled)
	defer cancel()
	if err := t.mend(begin); err != nil {
		return err
	}
	if t.account, err = openAccount(begin, t.cloud, t.name, t.name+"/"); err != nil {
		return err
	}
	if err := t.listen(begin); err != nil {
		return err
	}
	dir := filepath.Join(t.Dir, t.name)
	t.data = filepath.Join(dir, "data")
	if err := os.MkdirAll(t.data, 0o700); err != nil {
		return err
	}
	t.signs = &signs{also: t.Output}
	cfg := gateway.Config{
		Program: t.Program, Dir: dir, DataDir: t.data, ID: "lab", Endpoints: t.cloud.Addrs(),
		Cluster: t.cloud.Cluster, Output: t.signs, Bind: t.home.At(mqttPort), Network: t.home.Namespace(),
		Uplink: fmt.Sprintf("prefix = %q\n", "tidegate/"+t.name),
	}
	if t.scenario.Prepare != nil {
		if err := t.scenario.Prepare(ctx, t, &cfg); err != nil {
			return fmt.Errorf("prepare: %w", err)
		}
	}
	if t.gateway, err = gateway.New(cfg); err != nil {
		return err
	}
	t.fleet = load.NewFleet(load.FleetConfig{
		Client:  load.Client{Addrs: []string{t.gateway.Addr}, ID: "device-", KeepAlive: 10 * time.Second},
		Clients: devices, QoS: 1, Window: window, Rate: float64(t.rate()), Size: size,
		Topic: func(p, _ int) string { return fmt.Sprintf("%s%s/%d", gateway.Up, t.name, p) },
	}, t.account.ledger)
	return t.gateway.Start(begin)
}

// clear ends what open started, and mends the stage.
func (t *take) clear() error {
	var errs []error
	if t.gateway != nil {
		t.gateway.Kill()
	}
	for _, c := range slices.Backward(t.closers) {
		errs = append(errs, c())
	}
	if t.account != nil {
		t.account.close()
		errs = append(errs, t.account.failure())
	}
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	return errors.Join(append(errs, t.mend(ctx))...)
}

// watch samples until ctx ends.
func (t *take) watch(ctx context.Context) {
	for i := 0; ctx.Err() == nil; i++ {
		t.meter.sample(t.gateway)
		if i%5 == 0 { // the gateway has few places for readers
			if st, err := gateway.ReadStatus(t.data); err == nil {
				t.signs.see(st.Cloud().Links)
			}
		}
		pause(ctx, 50*time.Millisecond)
	}
}

// flow waits until every topic carries what was published after the account's
// mark, and returns how long after the mark that was.
func (t *take) flow(ctx context.Context, within time.Duration) (time.Duration, error) {
	var after time.Duration
	err := t.until(ctx, within, "every topic flows", func() (ok bool) {
		after, ok = t.account.flows(devices)
		return ok
	})
	return after, err
}

func (t *take) until(ctx context.Context, within time.Duration, what string, cond func() bool) error {
	for deadline := time.Now().Add(within); !cond(); pause(ctx, glance) {
		if ctx.Err() != nil {
			return fmt.Errorf("%s: %w", what, ctx.Err())
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("not within %v: %s", within, what)
		}
	}
	return nil
}

// pickVictim chooses a node under an up link; in a cluster not the first,
// where the account listens.
func (t *take) pickVictim(ctx context.Context) error {
	named := t.victim >= 0
	return t.until(ctx, settled, "both up links are up, one of them on a node that may be broken", func() bool {
		st, err := gateway.ReadStatus(t.data)
		if err != nil {
			return false
		}
		up := 0
		for _, l := range st.Cloud().Links {
			if l.Down || l.State != "up" {
				continue
			}
			up++
			for i, addr := range t.addrs {
				if strings.HasSuffix(l.Endpoint, "//"+addr) && !(t.cloud.Cluster && i == 0) && !named {
					t.victim = i
				}
			}
		}
		pause(ctx, 100*time.Millisecond)
		return up == links && (t.victim >= 0 || t.scenario.Whole)
	})
}

// story is the break, the kill, the recovery and the heal.
func (t *take) story(ctx context.Context) error {
	within := t.scenario.Within
	if within == 0 {
		within = settled
	}
	t.account.begin()
	t.signs.begin()
	t.began = time.Now()
	t.told = t.began
	if err := t.scenario.Break(ctx, t); err != nil {
		return fmt.Errorf("break: %w", err)
	}
	if t.kill {
		at := killedAt
		if t.scenario.Whole {
			at = t.scenario.Hold / 2
		}
		pause(ctx, at)
		if err := t.killGateway(ctx); err != nil {
			return err
		}
	}
	if !t.scenario.Whole {
		t.recovers(ctx, within)
	}
	pause(ctx, t.scenario.Hold-time.Since(t.began))
	t.noteDetection()
	if !t.scenario.Whole {
		t.drains(ctx)
		t.noteRecovery()
	} else {
		t.account.begin()
	}
	heal := time.Now()
	if t.scenario.Whole {
		t.told = heal
	}
	if err := t.scenario.Heal(ctx, t); err != nil {
		return fmt.Errorf("heal: %w", err)
	}
	if t.scenario.Whole {
		healed := time.Now()
		t.recovers(ctx, within)
		t.drains(ctx)
		t.row.Drained = time.Since(healed)
		t.noteRecovery()
		t.row.Recover = max(t.row.Recover-healed.Sub(heal), min(t.row.Recover, 0))
	}
	pause(ctx, lead)
	return nil
}

// drains waits until nothing of the backlog is left.
func (t *take) drains(ctx context.Context) {
	err := t.until(ctx, 3*settled, "the backlog is gone", func() bool {
		return t.account.consumer.Received()+uint64(t.rate())/4 >= t.account.ledger.Published()
	})
	if err != nil {
		t.broken("%v", err)
	}
}

// recovers waits until every topic flows.
func (t *take) recovers(ctx context.Context, within time.Duration) {
	after, err := t.flow(ctx, within)
	if err != nil {
		t.broken("not recovered: %v", err)
		return
	}
	t.row.Recover = after
}

// noteRecovery looks once more: a node that answers nothing is fed for a while
// before its link falls silent.
func (t *take) noteRecovery() {
	if t.row.Recover >= 0 {
		t.row.Recover = max(t.row.Recover, t.account.resumption())
	}
	t.row.Silence = t.account.quiet()
}

func (t *take) noteDetection() {
	if after, what, ok := t.signs.detected(); ok {
		t.row.Detect, t.row.Sign = after, what
	}
}

func (t *take) killGateway(ctx context.Context) error {
	t.noteDetection()
	t.meter.sample(t.gateway)
	t.gateway.Kill()
	t.kills++
	ctx, cancel := context.WithTimeout(ctx, settled)
	defer cancel()
	if err := t.gateway.Start(ctx); err != nil {
		return fmt.Errorf("start the gateway after a kill: %w", err)
	}
	return nil
}

// settle stops the devices, waits for what is under way, and holds the gateway
// to its promises.
func (t *take) settle(ctx context.Context) error {
	t.tellsTruth(ctx)
	t.fleet.Stop()
	select {
	case err := <-t.done:
		if err != nil {
			return err
		}
	case <-time.After(2 * settled):
		t.broken("%d messages are not acknowledged to devices", t.fleet.InFlight())
	}
	t.arrive(ctx)
	r := t.account.consumer.Report()
	t.row.Published, t.row.Lost, t.row.Duplicates, t.row.Disorder = r.Published, r.Lost, r.Duplicates, r.Disorder
	_, t.row.Losses = t.signs.losses()
	t.row.Memory, t.row.Written = t.meter.totals()
	if r.Acked == 0 {
		t.broken("nothing was acknowledged")
	}
	if r.Lost > 0 {
		t.broken("lost %d, the first %v", r.Lost, r.Examples[0])
	}
	if r.Disorder > 0 {
		t.broken("%d out of order", r.Disorder)
	}
	if r.Foreign > 0 {
		t.broken("%d damaged", r.Foreign)
	}
	if most := t.mostDuplicates(); r.Duplicates > most {
		t.broken("%d duplicates, at most %d promised", r.Duplicates, most)
	}
	return nil
}

// arrive waits until everything acknowledged has arrived, or nothing more
// comes.
func (t *take) arrive(ctx context.Context) {
	received := t.account.consumer.Received()
	for quiet := 0; quiet < 15 && ctx.Err() == nil; quiet++ {
		wait, cancel := context.WithTimeout(ctx, 2*time.Second)
		err := t.account.consumer.Wait(wait, time.Second)
		cancel()
		if err == nil {
			return
		}
		if n := t.account.consumer.Received(); n != received {
			received, quiet = n, 0
		}
	}
}

// mostDuplicates is the fourth promise in numbers: for every connection lost
// its window in flight; for a kill of the gateway those of all links and, where
// it may fall into a drain, the rows that drained since the cursor was last
// persisted; and what devices sent again. What the account's own broker sends
// again when the account's connection is lost comes on top.
func (t *take) mostDuplicates() uint64 {
	const cursorBytes, prefetch = 2 << 20, 20
	lost, _ := t.signs.losses()
	most := lost*flight + int(t.fleet.Stats().Resent) + int(t.account.returns())*prefetch
	most += t.kills * links * flight
	if t.scenario.Draining {
		most += t.kills * cursorBytes / size
	}
	return uint64(most)
}

func pause(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
