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

	mu     sync.Mutex     // guards what follows
	until  time.Time      // zero before the first connection
	list   []command      // in order of arrival
	topics map[string]int // how many of each
	bytes  int            // of all
}

type command struct {
	m *Message
	t Ticket
}

const (
	earlyTick  = 20 * time.Millisecond // between two looks for subscribers
	earlyBytes = 4 << 20               // when there are more, nobody is waited for any longer
)

// size is what c takes in memory, about.
func (c *command) size() int {
	return len(c.m.Topic) + len(c.m.Payload) + len(c.m.Properties) + 200
}

// begin starts a connection: what waited for an earlier one comes again.
func (e *early) begin(lasts time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.until.IsZero() {
		e.until = time.Now().Add(lasts)
	}
	e.list, e.topics, e.bytes = nil, map[string]int{}, 0
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
	if (late || wanted) && e.topics[m.Topic] == 0 {
		return false
	}
	c := command{m, t}
	e.list = append(e.list, c)
	e.topics[m.Topic]++
	if e.bytes += c.size(); e.bytes > earlyBytes && !late {
		e.until = time.Now()
	}
	b.notify()
	return true
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
			continue
		}
		e.bytes -= c.size()
		if e.topics[c.m.Topic]--; e.topics[c.m.Topic] == 0 {
			delete(e.topics, c.m.Topic)
		}
	}
	if e.list = left; len(left) == 0 {
		return 0
	}
	return earlyTick
}
