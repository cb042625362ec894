package edge

import (
	"strings"
	"sync"
	"sync/atomic"
)

// What clients make the broker hold is counted in estimated bytes and bounded
// by limits.memory: what is in flight to them, what they do not read, packets
// that are not all there yet, subscriptions and the nodes of the trie, ids of
// sessions, wills, topic aliases, exchanges at QoS 2. Retained messages and
// queues have limits of their own. What exceeds the limit is answered with
// Quota exceeded [MQTT 5, 2.4], and who sends too much to others waits for
// them, or loses it at QoS 0, as if their buffers were full.
//
// So little that everybody has it is not counted: lightBuffer a connection
// each way, lightFlight a session.
type memory struct{ used atomic.Int64 }

// What is free of charge, in bytes.
const (
	lightBuffer = 4 << 10
	lightFlight = 4 << 10
)

// Estimates in bytes, of what they are made of and the maps that lead there.
const (
	nodeCost         = 330
	subscriptionCost = 400
	sessionCost      = 1 << 10
	exchangeCost     = 128
)

// exchangePart is how many exchanges at QoS 2 are charged for at once.
const exchangePart = 64

// take charges n bytes, if there is room for them.
func (b *Broker) take(n int64) bool {
	if b.memory.used.Add(n) <= int64(b.config().Limits.Memory) {
		return true
	}
	b.memory.used.Add(-n)
	b.stats.overloads.Add(1)
	return false
}

// charge charges n bytes that are there already; with a negative number they
// are given back.
func (m *memory) charge(n int64) {
	if n != 0 {
		m.used.Add(n)
	}
}

// crammed says that there is no room.
func (b *Broker) crammed() bool {
	return b.memory.used.Load() >= int64(b.config().Limits.Memory)
}

// weigh charges for the buffer that was appended to, once it is heavy. mu is
// held.
func (c *conn) weigh() {
	if n := cap(c.buf.b); n > lightBuffer && n > c.bufHeld {
		c.b.memory.charge(int64(n - c.bufHeld))
		c.bufHeld = n
	}
}

// lighten gives back what the connection's buffers were charged for: what a
// writer has written, or all. mu is held.
func (c *conn) lighten(held *int) {
	c.b.memory.charge(-int64(*held))
	*held = 0
}

// owe charges the connection for size more bytes that it keeps until its end.
func (c *conn) owe(size int64) bool {
	if !c.b.take(size) {
		return false
	}
	c.owed += size
	return true
}

// owe charges the session for size more bytes. mu is held, or nobody else knows
// the session.
func (s *session) owe(size int64) {
	s.b.memory.charge(size)
	s.owed += size
}

// leaveWill replaces the will that waits for its delay. mu is held.
func (s *session) leaveWill(w *will) {
	s.owe(w.size() - s.will.size())
	s.will = w
}

// size is what a will takes, in bytes; nil takes none.
func (w *will) size() int64 {
	if w == nil {
		return 0
	}
	return queuedSize(&w.msg)
}

// pathCost is what a topic or filter takes whose levels are all new.
func pathCost(path string) int64 {
	return int64(strings.Count(path, "/")+1)*nodeCost + 3*int64(len(path))
}

// borrow makes room for size more bytes in flight, if there is any. mu is held.
func (s *session) borrow(size int64) bool {
	need := s.out.held + size - lightFlight - s.lent
	if need <= 0 {
		return true
	}
	more := max(need, s.lent/2, lightFlight)
	if !s.b.take(more) {
		s.b.hungry.add(s)
		return false
	}
	s.lent += more
	return true
}

// repay gives back what much less in flight does not need. mu is held.
func (s *session) repay() {
	if s.lent > 0 && s.out.held < s.lent/4 {
		s.b.memory.charge(s.out.held - s.lent)
		s.lent = s.out.held
	}
}

// mayExchange says whether there is room for one more exchange. mu is held.
func (s *session) mayExchange() bool {
	if len(s.in2) < s.paid {
		return true
	}
	if !s.b.take(exchangePart * exchangeCost) {
		return false
	}
	s.paid += exchangePart
	s.owed += exchangePart * exchangeCost
	return true
}

// dropExchange ends an exchange. mu is held.
func (s *session) dropExchange(id uint16) {
	delete(s.in2, id)
	if len(s.in2) > 0 || s.paid == 0 {
		return
	}
	if s.paid > exchangePart {
		s.in2 = nil // a map keeps the room that it once had
	}
	s.owe(-int64(s.paid) * exchangeCost)
	s.paid = 0
}

// hungry are sessions with something to send for which there was no room.
type hungry struct {
	mu   sync.Mutex // guards list; taken after a session's
	list map[*session]struct{}
}

func (h *hungry) add(s *session) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.list == nil {
		h.list = map[*session]struct{}{}
	}
	h.list[s] = struct{}{}
}

func (h *hungry) take() map[*session]struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	list := h.list
	h.list = nil
	return list
}

// feed sends what had no room, as far as there is some now.
func (b *Broker) feed() {
	for s := range b.hungry.take() {
		bt := newBatch(b)
		s.mu.Lock()
		if c := s.conn.Load(); c != nil {
			s.pump(bt, c)
		}
		s.mu.Unlock()
		bt.full = bt.full[:0] // nobody waits for them
		bt.settle(nil)
	}
}
