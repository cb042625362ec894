package uplink

import (
	"sync"
	"sync/atomic"
	"time"
)

// early keeps commands that nobody at home has subscribed to, for a while after
// the gateway's start: whoever was connected before is on its way back, and the
// cloud sends at once what it kept meanwhile. They are not acknowledged.
type early struct {
	wanted func(topic string) bool // whether somebody has subscribed; nil: always
	over   atomic.Bool

	mu    sync.Mutex // guards what follows
	until time.Time  // zero before the first connection
	list  []command  // in order of arrival
	most  int        // messages in it; what is too much is not waited for
}

type command struct {
	m *Message
	t Ticket
}

const earlyTick = 20 * time.Millisecond // between two looks for subscribers

// begin starts a connection: what waited for an earlier one comes again.
func (e *early) begin(lasts time.Duration, most int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.until.IsZero() {
		e.until = time.Now().Add(lasts)
	}
	e.list, e.most = nil, most
	if e.wanted == nil || lasts == 0 {
		e.over.Store(true)
	}
}

// keep takes a message that must wait, and rings b. A later one of the same
// topic waits behind it.
func (e *early) keep(m *Message, t Ticket, b *bell) bool {
	if e.over.Load() {
		return false
	}
	wanted := m.Retain || e.wanted(m.Topic)
	e.mu.Lock()
	defer e.mu.Unlock()
	late := !time.Now().Before(e.until)
	if late && len(e.list) == 0 {
		e.over.Store(true)
		return false
	}
	if len(e.list) >= e.most || (late || wanted) && !e.behind(m.Topic) {
		return false
	}
	e.list = append(e.list, command{m, t})
	b.notify()
	return true
}

// behind says whether a message of the topic waits. mu is held.
func (e *early) behind(topic string) bool {
	for i := range e.list {
		if e.list[i].m.Topic == topic {
			return true
		}
	}
	return false
}

// waiting returns what waits, and whether its time is over.
func (e *early) waiting() (list []command, late bool) {
	if e.over.Load() {
		return nil, false
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.list[:len(e.list):len(e.list)], !time.Now().Before(e.until)
}

// handEarly hands over what somebody wants by now, or nobody will. What is
// handed leaves the list only afterwards, so that nothing of its topic that
// comes meanwhile can overtake it. It returns when to look again, 0 for never.
func (d *downward) handEarly(box *inbox) time.Duration {
	list, late := d.early.waiting()
	if len(list) == 0 {
		return 0
	}
	blocked, handed := map[string]bool{}, map[*Message]bool{}
	for _, c := range list {
		if blocked[c.m.Topic] || !late && !d.early.wanted(c.m.Topic) {
			blocked[c.m.Topic] = true
			continue
		}
		if box.hand(c.t.ID) {
			d.link.up.opt.Deliver(c.m, c.t)
		}
		handed[c.m] = true
	}
	if len(handed) == 0 {
		return earlyTick
	}
	d.link.up.settledNow()
	return d.early.drop(handed)
}

// drop takes messages off the list.
func (e *early) drop(handed map[*Message]bool) time.Duration {
	e.mu.Lock()
	defer e.mu.Unlock()
	var left []command
	for _, c := range e.list {
		if !handed[c.m] {
			left = append(left, c)
		}
	}
	if e.list = left; len(left) == 0 {
		return 0
	}
	return earlyTick
}
