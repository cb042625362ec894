package load

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// Resend says what a publisher does after a reconnect with what it sent and got
// no acknowledgement for.
type Resend byte

// The ways to send again.
const (
	ResendAuto  Resend = iota // with DUP when the broker had the session, as a new publish otherwise
	ResendDup                 // with DUP always
	ResendNew                 // as a new publish always
	ResendNever               // not at all: the ledger shows it as not acknowledged
)

// FleetConfig describes a Fleet.
type FleetConfig struct {
	Client
	Clients int           // publishers, each with a connection of its own; 1 by default
	Topics  int           // topics of each publisher, in turn; 1 by default
	QoS     byte          // 0, 1 or 2
	Retain  bool          // set RETAIN
	Window  int           // unacknowledged messages of each publisher; 20 by default; a lower Receive Maximum counts. QoS 0 has none
	Rate    float64       // messages a second of all publishers together; 0 for flat out
	Count   int           // messages in all, spread evenly; 0 for as many as come until Stop
	Size    int           // payload in bytes; StampSize at least
	CatchUp time.Duration // how far a publisher that was held up may lag behind its rate before messages are left out; one second by default, negative for no limit
	Resend  Resend

	// Topic names topic of publisher; "bench/<publisher>/<topic>" by default.
	Topic func(publisher, topic int) string
	// Properties are MQTT 5 user properties, key and value in turn, on every
	// message.
	Properties []string
}

// FleetStats is what a Fleet has done so far.
type FleetStats struct {
	Connects int64         // accepted connections, the first of each publisher included
	Refused  int64         // acknowledgements with a reason of 0x80 or above
	Resent   int64         // messages sent again
	Skipped  int64         // messages left out because a publisher lagged by more than CatchUp
	Behind   time.Duration // the longest lag behind the rate, when something was sent
}

// counters are the FleetStats that its publishers share.
type counters struct {
	connects, refused, resent, skipped, behind atomic.Int64
}

// Fleet is a set of publishers alike.
type Fleet struct {
	cfg        FleetConfig
	publishers []*publisher
	stop       chan struct{}
	once       sync.Once
	counters   counters
}

// NewFleet returns a fleet that enters what it does in the ledger. It does
// nothing until Run. Publisher and topic numbers go on from those of fleets
// made before with the same ledger only in the ledger, not in the topics'
// names: give each fleet its own Topic function and ID.
func NewFleet(cfg FleetConfig, ledger *Ledger) *Fleet {
	cfg.Clients, cfg.Topics = max(cfg.Clients, 1), max(cfg.Topics, 1)
	cfg.Size = max(cfg.Size, StampSize)
	if cfg.Window <= 0 {
		cfg.Window = 20
	}
	cfg.Window = min(cfg.Window, 65535)
	if cfg.CatchUp == 0 {
		cfg.CatchUp = time.Second
	}
	if cfg.ID == "" {
		cfg.ID = "bench-"
	}
	if cfg.Topic == nil {
		cfg.Topic = func(publisher, topic int) string { return fmt.Sprintf("bench/%d/%d", publisher, topic) }
	}
	f := &Fleet{cfg: cfg, stop: make(chan struct{})}
	for i := range cfg.Clients {
		f.publishers = append(f.publishers, newPublisher(f, i, ledger))
	}
	return f
}

// Run connects all publishers, then publishes until Count is reached or Stop
// was called and everything is acknowledged, or until ctx ends, which is an
// error that says how much was left.
func (f *Fleet) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var connected, done sync.WaitGroup
	errs := make([]error, len(f.publishers))
	connected.Add(len(f.publishers))
	start := make(chan struct{})
	for i, p := range f.publishers {
		done.Go(func() { errs[i] = p.run(ctx, connected.Done, start) })
	}
	go func() {
		connected.Wait()
		close(start)
	}()
	done.Wait()
	return errors.Join(errs...)
}

// Stop ends publishing. Run returns when what is under way is acknowledged.
func (f *Fleet) Stop() { f.once.Do(func() { close(f.stop) }) }

// Stats returns what the fleet has done so far.
func (f *Fleet) Stats() FleetStats {
	return FleetStats{
		Connects: f.counters.connects.Load(),
		Refused:  f.counters.refused.Load(),
		Resent:   f.counters.resent.Load(),
		Skipped:  f.counters.skipped.Load(),
		Behind:   time.Duration(f.counters.behind.Load()),
	}
}

// InFlight returns how many messages wait for their acknowledgement.
func (f *Fleet) InFlight() (n int) {
	for _, p := range f.publishers {
		p.mu.Lock()
		n += p.used
		p.mu.Unlock()
	}
	return n
}

// schedule says when which message of one publisher is due.
type schedule struct {
	period time.Duration // between two messages; 0 for flat out
	phase  time.Duration // of the first one after the start
	count  int           // messages in all; negative for no end
}

// of returns the schedule of publisher i: the rate is divided evenly and the
// publishers take turns.
func (c *FleetConfig) schedule(i int) schedule {
	s := schedule{count: -1}
	if c.Count > 0 {
		s.count = c.Count / c.Clients
		if i < c.Count%c.Clients {
			s.count++
		}
	}
	if c.Rate > 0 {
		s.period = time.Duration(float64(c.Clients) / c.Rate * float64(time.Second))
		s.phase = s.period * time.Duration(i) / time.Duration(c.Clients)
	}
	return s
}

// at returns when message n is due after the start.
func (s schedule) at(n int) time.Duration { return s.phase + time.Duration(n)*s.period }

// due returns how many messages are due at that time after the start.
func (s schedule) due(after time.Duration) int {
	if after < s.phase {
		return 0
	}
	return int((after-s.phase)/s.period) + 1
}
