package edge

import (
	"maps"
	"slices"
	"sync"
	"time"
)

// A command's ticket waits for the client's acknowledgement. The cloud gets the
// acknowledgements of all commands in one order, so one client that does not
// answer would hold up everybody's: after the stall time its tickets count as
// waiting in its session, as if it were away, and so do later ones until it
// acknowledges in time again.

// holders are the sessions whose deliveries have tickets.
type holders struct {
	mu  sync.Mutex // guards set; taken after a session's mu
	set map[*session]struct{}
}

// Wanted says whether somebody has subscribed to a topic, connected or not, or
// watches it.
func (b *Broker) Wanted(topic string) bool {
	rt := b.routes.lookup([]byte(topic), nil)
	return rt != nil && len(rt.targets)+len(rt.shared)+len(rt.watched) > 0
}

// hold makes the ticket of a delivery that has just been sent wait for it. mu
// is held.
func (s *session) hold(d *delivery) {
	switch {
	case d.w == nil:
		return
	case s.late:
		d.w = nil
		return
	}
	d.w.n.Add(1)
	if s.held {
		return
	}
	s.held = true
	h := &s.b.holders
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.set == nil {
		h.set = map[*session]struct{}{}
	}
	h.set[s] = struct{}{}
}

// inTime takes notice of an acknowledgement. mu is held.
func (s *session) inTime(d *delivery) {
	if s.late && d.m != nil && time.Since(d.m.Accepted) < s.b.config().Limits.StallAfter.Std() {
		s.late = false
	}
}

// releaseOverdue settles the tickets that have waited for a client too long.
func (b *Broker) releaseOverdue(now time.Time) {
	h := &b.holders
	h.mu.Lock()
	list := slices.Collect(maps.Keys(h.set))
	h.mu.Unlock()
	then := now.Add(-b.config().Limits.StallAfter.Std())
	for _, s := range list {
		waiters, left := s.overdue(then)
		if n := len(waiters); n > 0 {
			b.stats.overdue.Add(int64(n))
			b.notice("commands are not acknowledged in time; they wait in the session", s.id)
		}
		for _, w := range waiters {
			w.done()
		}
		if !left {
			s.letGo()
		}
	}
}

// overdue takes the tickets off deliveries that they wait for since before then;
// left says whether there are younger ones. A message may be older: commands
// wait for devices that are not back yet.
func (s *session) overdue(then time.Time) (waiters []*waiter, left bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.out.gone {
		d := s.out.at(i)
		if d.w == nil {
			continue
		}
		if d.w.since.After(then) {
			return waiters, true
		}
		waiters = append(waiters, d.w)
		d.w, s.late = nil, true
	}
	return waiters, false
}

// letGo takes s off the holders, unless it has got a ticket meanwhile.
func (s *session) letGo() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.out.gone {
		if s.out.at(i).w != nil {
			return
		}
	}
	s.held = false
	h := &s.b.holders
	h.mu.Lock()
	delete(h.set, s)
	h.mu.Unlock()
}
