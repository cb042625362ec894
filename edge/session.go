package edge

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"
)

// session is what the broker remembers of a client id [MQTT 5, 4.1]. It is the
// owner of the tickets of what its client publishes.
type session struct {
	b      *Broker
	id     string
	user   string               // who began it, and alone may come back to it; "" for an anonymous client
	conn   atomic.Pointer[conn] // nil while the client is away; stored under mu
	queued atomic.Int32         // deliveries that wait, for those without mu
	stuck  atomic.Bool          // a publisher waited in vain for queued to go down
	served atomic.Uint32        // counts acknowledgements of deliveries
	leftAt atomic.Int64         // counts departures: which session has been alone for longest

	mu     sync.Mutex // guards what follows; taken before a connection's mu
	dead   bool       // the session has ended
	gen    uint32     // of the last connection
	subs   map[string]*subscription
	texts  int // bytes of their filters
	out    outbox
	moved  bool  // deliveries left the middle of out: their positions are not those on disk
	window int   // deliveries in flight allowed at a time
	lost   int64 // deliveries that a full queue dropped
	held   bool  // is among those that releaseOverdue looks at
	late   bool  // has left a command unacknowledged for too long: tickets do not wait for it
	in2    map[uint16]*exchange
	serial uint32 // of the last exchange
	lent   int64  // bytes charged for what is in flight
	owed   int64  // bytes charged for the rest
	paid   int    // of in2: how many are charged for

	expiry time.Duration // how long it is kept without a client; 0: it ends with the connection
	until  time.Time     // when it ends; zero while connected
	will   *will         // waits for its delay; nil: none
}

// waiter holds a ticket until the last of several deliveries is done.
type waiter struct {
	n      atomic.Int32
	reason atomic.Uint32 // other than 0 when a session could not take the message
	since  time.Time
	t      Ticket
}

func (w *waiter) done() {
	if w != nil && w.n.Add(-1) == 0 {
		w.t.Owner.Settle(w.t.ID, byte(w.reason.Load()))
	}
}

// refuse makes the ticket tell that a session had no room.
func (w *waiter) refuse() {
	if w != nil {
		w.reason.Store(uint32(packets.ErrQuotaExceeded.Code))
	}
}

// crowded says whether publishers had better wait before sending more.
func (s *session) crowded() bool { return int(s.queued.Load()) > s.b.config().Session.Queue/2 }

// enqueue sends a QoS 1 or 2 message, or lets it wait. more is how many
// messages above the limit of the queue are allowed. It returns false when the
// session has ended.
func (s *session) enqueue(bt *batch, d delivery, more int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.enqueueLocked(bt, d, more)
	return !s.dead
}

func (s *session) enqueueLocked(bt *batch, d delivery, more int) {
	if s.dead {
		return
	}
	c := s.conn.Load()
	if c != nil && s.out.again == s.out.n && s.mayFly(d.m) {
		s.out.add(d)
		if s.launch(bt, c) {
			return
		}
	} else if !s.queueable(d.m, more) {
		d.w.refuse()
		return
	} else {
		s.out.add(d)
	}
	// It waits in the session: that is all a ticket waits for.
	last := s.out.at(s.out.n - 1)
	last.w = nil
	s.grown(last.m, 1)
	if c != nil && s.crowded() && !s.stuck.Load() {
		bt.slow(c)
	}
}

// mayFly says whether m too may be in flight: within the window, the bytes and
// the span of packet ids.
func (s *session) mayFly(m *Message) bool {
	return s.out.flying < s.window && s.out.again < maxSpan && s.out.held < int64(s.b.config().Session.QueueBytes) && s.borrow(queuedSize(m))
}

// grown keeps count of what waits.
func (s *session) grown(m *Message, n int32) {
	size := int64(n) * queuedSize(m)
	s.out.queued += size
	s.queued.Add(n)
	s.b.queuedBytes.Add(size)
}

func queuedSize(m *Message) int64 {
	return int64(len(m.Topic) + len(m.Payload) + len(m.Properties) + 64)
}

// queueable checks the limits and counts what they turn away. Before that what
// waited for longer than it may makes room [MQTT-3.3.2-5].
func (s *session) queueable(m *Message, more int) bool {
	limits, dropped := &s.b.config().Session, &s.b.stats
	size := queuedSize(m)
	for more == 0 && s.out.waiting() > 0 && s.out.gone < maxSpan && s.full(size) {
		if first := s.out.at(s.out.gone).m; first.Expiry > 0 && left(first) == 0 {
			s.shed()
			dropped.droppedExpired.Add(1)
			continue
		}
		if limits.QueuePolicy != dropOldest {
			break
		}
		s.shed()
		dropped.droppedQueue.Add(1)
		s.b.flooded.Store(s)
	}
	if s.out.waiting() < limits.Queue+more && (more > 0 ||
		s.out.queued+size <= int64(limits.QueueBytes) && s.b.queuedBytes.Load()+size <= int64(limits.AllQueueBytes)) {
		return true
	}
	s.lost++
	dropped.droppedQueue.Add(1)
	s.b.flooded.Store(s)
	return false
}

// full says whether size more bytes are too many.
func (s *session) full(size int64) bool {
	limits := &s.b.config().Session
	return s.out.waiting() >= limits.Queue || s.out.queued+size > int64(limits.QueueBytes) || s.b.queuedBytes.Load()+size > int64(limits.AllQueueBytes)
}

// shed drops the delivery that has waited for longest. Its place among those in
// flight goes with it.
func (s *session) shed() {
	o := &s.out
	d := o.at(o.gone)
	s.grown(d.m, -1)
	*d = delivery{state: isOver}
	if o.again == o.gone {
		o.again++
	}
	o.gone++
	o.trim()
	s.lost++
}

// launch sends the first delivery that waits, which grown does not count yet or
// no more. It returns false when there is no room in the connection.
func (s *session) launch(bt *batch, c *conn) bool {
	d := s.out.at(s.out.gone)
	f := publishForm{v5: c.v5, qos: d.qos, retain: d.retain, ids: d.f.ids}
	result := bt.transmit(c, d.m, &f, s.out.id(s.out.gone), false)
	if result == noRoom {
		return false
	}
	s.out.gone++
	s.out.again++
	s.out.held += queuedSize(d.m)
	if result == notSent {
		s.out.finish(d)
		return true
	}
	s.hold(d)
	d.state = isSent
	s.out.flying++
	return true
}

// relaunch sends again what an earlier connection left in flight; it returns
// false when there is no room in the connection [MQTT-4.4.0-1].
func (s *session) relaunch(bt *batch, c *conn) bool {
	d := s.out.at(s.out.again)
	id := s.out.id(s.out.again)
	switch d.state {
	case isSent:
		f := publishForm{v5: c.v5, qos: d.qos, retain: d.retain, ids: d.f.ids}
		switch bt.transmit(c, d.m, &f, id, true) {
		case noRoom:
			return false
		case notSent:
			s.out.again++
			s.out.finish(d)
			return true
		}
		s.out.flying++
	case isReleased:
		bt.mark(c, c.ack(packets.Pubrel, id, 0))
		s.out.flying++
	}
	s.out.again++
	return true
}

// pump sends what waits as far as there is room. mu is held.
func (s *session) pump(bt *batch, c *conn) {
	for s.out.again < s.out.gone && s.out.flying < s.window {
		if !s.relaunch(bt, c) {
			return
		}
	}
	for s.out.again < s.out.n && s.out.again == s.out.gone {
		m := s.out.at(s.out.gone).m
		if !s.mayFly(m) || !s.launch(bt, c) {
			return
		}
		s.grown(m, -1)
	}
}

// refill sends more to c, whose writer has room again and writes it.
func (s *session) refill(c *conn) {
	var bt batch
	bt.b = s.b
	s.mu.Lock()
	if s.conn.Load() == c {
		s.pump(&bt, c)
	}
	s.mu.Unlock()
	s.b.stats.add(&bt)
}

// acked takes a PUBACK, PUBREC or PUBCOMP from the client.
func (s *session) acked(bt *batch, c *conn, kind byte, id uint16, reason byte) {
	var w *waiter
	served := true
	s.mu.Lock()
	d := s.out.find(id)
	switch {
	case d == nil || d.state == isOver:
		served = false
		if kind == packets.Pubrec {
			bt.mark(c, c.ack(packets.Pubrel, id, packets.ErrPacketIdentifierNotFound.Code))
		}
	case kind == packets.Pubrec && d.qos == 2 && reason < 0x80:
		d.state = isReleased
		s.out.drop(d)
		bt.mark(c, c.ack(packets.Pubrel, id, 0))
	case kind == packets.Puback && d.qos == 1, kind == packets.Pubrec && d.qos == 2, kind == packets.Pubcomp && d.state == isReleased:
		w = d.w
		s.inTime(d)
		s.out.flying--
		s.out.finish(d)
		s.repay()
		s.pump(bt, c)
	default:
		served = false
	}
	s.mu.Unlock()
	if served {
		s.served.Add(1)
		if s.stuck.Load() {
			s.stuck.Store(false)
		}
	}
	w.done()
}

// resume makes c the connection of the session; what an earlier one left in
// flight is sent again, in order, then what waits [MQTT-4.6.0-1]. mu is held.
func (s *session) resume(bt *batch, c *conn) {
	s.out.again, s.out.flying = 0, 0
	s.conn.Store(c)
	s.pump(bt, c)
}

// abandon takes the tickets off what is in flight: the session keeps it. mu is
// held.
func (s *session) abandon() (waiters []*waiter) {
	for i := range s.out.gone {
		if d := s.out.at(i); d.w != nil {
			waiters = append(waiters, d.w)
			d.w = nil
		}
	}
	return waiters
}

// end forgets everything; the session object is not used again. It returns the
// will that had waited, if any, and what other members of shared subscriptions get.
func (s *session) end() (*will, []delivery) {
	s.mu.Lock()
	s.dead = true
	subs, queued, waiting, w := s.subs, s.out.queued, s.out.waiting(), s.will
	waiters, left := s.abandon(), s.out.orphans()
	s.subs, s.out, s.in2, s.will = nil, outbox{}, nil, nil
	s.b.memory.charge(-s.owed - s.lent)
	s.owed, s.lent, s.paid = 0, 0, 0
	s.mu.Unlock()
	s.queued.Add(-int32(waiting))
	s.b.queuedBytes.Add(-queued)
	for filter := range subs {
		s.b.trie.unsubscribe(s, filter)
	}
	for _, wait := range waiters {
		wait.done()
	}
	return w, left
}
