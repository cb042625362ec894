package main

import (
	"sync"
	"sync/atomic"
	"testing"

	"tidegate/edge"
	"tidegate/uplink"
)

// owner counts what it is told.
type owner struct {
	settled atomic.Int64
	reason  atomic.Int64
}

func (o *owner) Settle(_ uint64, reason byte) {
	o.settled.Add(1)
	o.reason.Store(int64(reason))
}

// fakeUplink takes messages or not, and settles at once or later.
type fakeUplink struct {
	takes, now bool
	reason     byte

	mu   sync.Mutex
	held []uplink.Ticket
}

func (f *fakeUplink) send(_ *uplink.Message, t uplink.Ticket) bool {
	switch {
	case !f.takes:
		return false
	case f.now:
		t.Owner.Settle(t.ID, f.reason)
	default:
		f.mu.Lock()
		f.held = append(f.held, t)
		f.mu.Unlock()
	}
	return true
}

func (f *fakeUplink) release() {
	for _, t := range f.held {
		t.Owner.Settle(t.ID, f.reason)
	}
	f.held = nil
}

func TestForwardToSeveralClouds(t *testing.T) {
	for _, c := range []struct {
		name   string
		ups    []*fakeUplink
		takes  bool
		before int64 // settled before the held tickets are released
		after  int64
		reason int64
	}{
		{"no uplink", nil, false, 0, 0, 0},
		{"one, no route", []*fakeUplink{{}}, false, 0, 0, 0},
		{"one, later", []*fakeUplink{{takes: true}}, true, 0, 1, 0},
		{"none has a route", []*fakeUplink{{}, {}}, false, 0, 0, 0},
		{"both at once", []*fakeUplink{{takes: true, now: true}, {takes: true, now: true}}, true, 1, 1, 0},
		{"one at once, one later", []*fakeUplink{{takes: true, now: true}, {takes: true}}, true, 0, 1, 0},
		{"one later, one without route", []*fakeUplink{{takes: true}, {}}, true, 0, 1, 0},
		{"one refuses", []*fakeUplink{{takes: true, now: true, reason: 0x97}, {takes: true}}, true, 0, 1, 0x97},
		{"both refuse, the first worse", []*fakeUplink{{takes: true, now: true, reason: 0x97}, {takes: true, reason: 0x80}}, true, 0, 1, 0x97},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := &glue{}
			for _, u := range c.ups {
				g.sends = append(g.sends, u.send)
			}
			var o owner
			if got := g.forward(&edge.Message{Topic: "a"}, edge.Ticket{Owner: &o, ID: 7}); got != c.takes {
				t.Errorf("taken: got %v, want %v", got, c.takes)
			}
			if got := o.settled.Load(); got != c.before {
				t.Errorf("settled at first: got %d, want %d", got, c.before)
			}
			for _, u := range c.ups {
				u.release()
			}
			if got := o.settled.Load(); got != c.after || o.reason.Load() != c.reason {
				t.Errorf("settled: got %d with %#x, want %d with %#x", got, o.reason.Load(), c.after, c.reason)
			}
		})
	}
}

// Every ticket is settled once, whatever the uplinks' goroutines do.
func TestForwardFromManyGoroutines(t *testing.T) {
	a, b := &fakeUplink{takes: true}, &fakeUplink{takes: true, now: true}
	g := &glue{sends: []func(*uplink.Message, uplink.Ticket) bool{a.send, b.send}}
	const senders, each = 4, 2000
	var o owner
	var wg sync.WaitGroup
	for range senders {
		wg.Go(func() {
			for range each {
				g.forward(&edge.Message{Topic: "a"}, edge.Ticket{Owner: &o})
			}
		})
	}
	wg.Wait()
	a.release()
	if got := o.settled.Load(); got != senders*each {
		t.Errorf("got %d settled, want %d", got, senders*each)
	}
}

func TestForwardToOneCloudCostsNothing(t *testing.T) {
	u := &fakeUplink{takes: true, now: true}
	g := &glue{sends: []func(*uplink.Message, uplink.Ticket) bool{u.send}}
	m, o := &edge.Message{Topic: "a"}, &owner{}
	if got := testing.AllocsPerRun(1000, func() { g.forward(m, edge.Ticket{Owner: o, ID: 1}) }); got != 0 {
		t.Errorf("got %v allocations, want 0", got)
	}
}
