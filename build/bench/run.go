package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"tidegate/build/bench/load"
)

// run is one measurement of one broker: its ledger, its clients, what was read
// from the clock and from /proc.
type run struct {
	dir    string
	time   time.Duration // how long to measure
	short  bool
	away   time.Duration // how long the cloud is away in an outage
	broker *process
	ledger *load.Ledger
	subs   []*load.Subscriber
	clouds []*cloud
	share  float64 // of the machine's CPU time that the generator used while measured
	others float64 // and all but the generator, the broker and its clouds

	group  sync.WaitGroup
	cancel context.CancelFunc
	ctx    context.Context // of the clients
	mu     sync.Mutex      // guards errs
	errs   []error
}

// newRun returns a run whose clients work until close.
func newRun(ctx context.Context, dir string, broker *process, o options) *run {
	r := &run{dir: dir, time: o.time, short: o.short, away: o.away, broker: broker, ledger: load.NewLedger()}
	r.ctx, r.cancel = context.WithCancel(ctx)
	return r
}

// close ends the clients and returns what went wrong in them.
func (r *run) close() error {
	r.cancel()
	r.group.Wait()
	return errors.Join(r.errs...)
}

func (r *run) goes(f func(ctx context.Context) error) {
	r.group.Go(func() {
		if err := f(r.ctx); err != nil && r.ctx.Err() == nil {
			r.mu.Lock()
			r.errs = append(r.errs, err)
			r.mu.Unlock()
		}
	})
}

// subscribe adds n subscribers at addr, ready when it returns. Each has a
// consumer of its own when one is nil.
func (r *run) subscribe(addr string, n int, qos byte, one *load.Consumer) error {
	return r.subscribeTo("bench/#", addr, n, qos, one)
}

func (r *run) subscribeTo(filter, addr string, n int, qos byte, one *load.Consumer) error {
	var fresh []*load.Subscriber
	for i := range n {
		consumer := one
		if consumer == nil {
			consumer = r.ledger.Consumer()
		}
		sub := load.NewSubscriber(load.SubscriberConfig{
			Client:   load.Client{Addrs: []string{addr}, ID: fmt.Sprintf("bench-sub-%d", i)},
			Filters:  []load.Filter{{Topic: filter, QoS: qos}},
			Consumer: consumer,
		})
		r.goes(sub.Run)
		fresh = append(fresh, sub)
	}
	r.subs = append(r.subs, fresh...)
	return r.ready(fresh)
}

// idle adds n clients, numbered from first, that only connect.
func (r *run) idle(addr string, first, n int) error {
	var fresh []*load.Subscriber
	for i := range n {
		sub := load.NewSubscriber(load.SubscriberConfig{Client: load.Client{Addrs: []string{addr}, ID: fmt.Sprintf("bench-idle-%d", first+i)}})
		r.goes(sub.Run)
		fresh = append(fresh, sub)
	}
	return r.ready(fresh)
}

func (r *run) ready(subs []*load.Subscriber) error {
	limit := time.After(30 * time.Second)
	for _, sub := range subs {
		select {
		case <-sub.Ready():
		case <-limit:
			return errors.New("a subscriber is not ready after 30 s")
		case <-r.ctx.Done():
			return r.ctx.Err()
		}
	}
	return nil
}

// received returns the messages that came to all subscribers.
func (r *run) received() (n int64) {
	for _, sub := range r.subs {
		n += sub.Received()
	}
	return n
}

// reading is one look at the clocks.
type reading struct {
	at       time.Time
	received int64
	cpu, own time.Duration
	clouds   time.Duration
	machine  time.Duration
}

func (r *run) read() (now reading, err error) {
	now.at, now.received, now.own = time.Now(), r.received(), own()
	if now.cpu, err = cpu(r.broker.cmd.Process.Pid); err != nil {
		return now, err
	}
	for _, c := range r.clouds {
		used, err := cpu(c.process.cmd.Process.Pid)
		if err != nil {
			return now, err
		}
		now.clouds += used
	}
	now.machine, err = machine()
	return now, err
}

// measured is what happened between two readings.
type measured struct {
	perSecond float64 // messages received
	cpu       float64 // seconds of the broker per 100,000 messages received
	clouds    float64 // the same of its clouds
	own       float64 // and of the generator, which is publishers and subscribers
}

func (r *run) between(a, b reading) (measured, error) {
	return r.per(float64(b.received-a.received), a, b)
}

// per is between for n messages, whether or not a consumer saw them all.
func (r *run) per(n float64, a, b reading) (measured, error) {
	wall := b.at.Sub(a.at).Seconds()
	if n == 0 {
		return measured{}, errors.New("no message was received while it was measured")
	}
	all := b.at.Sub(a.at).Seconds() * cores
	r.share = (b.own - a.own).Seconds() / all
	r.others = max(0, (b.machine-a.machine-(b.own-a.own)-(b.cpu-a.cpu)-(b.clouds-a.clouds)).Seconds()/all)
	each := func(used time.Duration) float64 { return used.Seconds() / n * 1e5 }
	return measured{n / wall, each(b.cpu - a.cpu), each(b.clouds - a.clouds), each(b.own - a.own)}, nil
}

// steady runs a fleet, measures in the middle of it, stops it, and waits until
// nothing more arrives.
func (r *run) steady(cfg load.FleetConfig) (measured, load.Report, error) {
	cfg.Addrs = []string{r.broker.addr}
	fleet := load.NewFleet(cfg, r.ledger)
	done := make(chan error, 1)
	go func() { done <- fleet.Run(r.ctx) }()
	fail := func(err error) (measured, load.Report, error) {
		r.cancel()
		return measured{}, load.Report{}, errors.Join(err, <-done)
	}
	if err := r.sleep(r.time / 4); err != nil {
		return fail(err)
	}
	a, err := r.read()
	if err != nil {
		return fail(err)
	}
	if err := r.sleep(r.time); err != nil {
		return fail(err)
	}
	b, err := r.read()
	if err != nil {
		return fail(err)
	}
	fleet.Stop()
	if err := <-done; err != nil {
		return measured{}, load.Report{}, err
	}
	m, err := r.between(a, b)
	r.quiet(20 * time.Second)
	return m, r.ledger.Report(), err
}

// all runs a fleet that sends a number of messages, and measures from the first
// PUBLISH to the last arrival: it does not matter what a broker takes in before
// it passes it on.
func (r *run) all(cfg load.FleetConfig) (measured, load.Report, error) {
	cfg.Addrs = []string{r.broker.addr}
	begin, err := r.read()
	if err != nil {
		return measured{}, load.Report{}, err
	}
	if err := load.NewFleet(cfg, r.ledger).Run(r.ctx); err != nil {
		return measured{}, load.Report{}, err
	}
	if err := r.drained(60 * time.Second); err != nil {
		return measured{}, load.Report{}, err
	}
	end, err := r.read()
	if err != nil {
		return measured{}, load.Report{}, err
	}
	report := r.ledger.Report()
	n := float64(cfg.Count)
	if report.Published >= uint64(cfg.Count) { // the consumer expects every message
		n = float64(end.received - begin.received)
	}
	m, err := r.per(n, begin, end)
	waited := r.ledger.Now() - report.Last // after the last arrival, until drained saw it
	m.perSecond *= 1 + waited.Seconds()/(time.Since(begin.at)-waited).Seconds()
	return m, report, err
}

// scaled is a number of messages for a measurement of one second, scaled to the
// length wanted.
func (r *run) scaled(n int) int { return int(float64(n) * max(r.time.Seconds(), 0.1)) }

// drained waits until all that was published has arrived, or nothing has for
// three seconds, ten while something acknowledged is away: the rest is lost.
func (r *run) drained(limit time.Duration) error {
	end := time.Now().Add(limit)
	last, since := r.received(), time.Now()
	for time.Now().Before(end) {
		report := r.ledger.Report()
		quiet := time.Since(since)
		if report.Lost == 0 && (report.Missing == 0 || quiet > 3*time.Second) || quiet > 10*time.Second {
			return nil
		}
		if err := r.sleep(20 * time.Millisecond); err != nil {
			return err
		}
		if now := r.received(); now != last {
			last, since = now, time.Now()
		}
	}
	return nil
}

func (r *run) sleep(d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-r.ctx.Done():
		return r.ctx.Err()
	}
}

// quiet waits until nothing has arrived for half a second, at most so long.
func (r *run) quiet(limit time.Duration) {
	end := time.Now().Add(limit)
	last, since := r.received(), time.Now()
	for time.Now().Before(end) && time.Since(since) < 500*time.Millisecond && r.sleep(20*time.Millisecond) == nil {
		if now := r.received(); now != last {
			last, since = now, time.Now()
		}
	}
}
