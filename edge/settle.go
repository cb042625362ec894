package edge

import (
	"github.com/mochi-mqtt/server/v2/packets"
)

// The id of a ticket: packet id in the low 16 bits, then one bit for QoS 2,
// then a number that tells a late settlement from one that is still awaited: of
// the connection at QoS 1, since its client sends an unacknowledged message
// again on the next one, and of the exchange at QoS 2, which outlives
// connections.
const (
	ticketQoS2  = 1 << 16
	ticketShift = 17
)

// exchange is an inbound QoS 2 message between PUBLISH and PUBREL.
type exchange struct {
	serial  uint32
	gen     uint32 // the connection that sent the PUBLISH last
	settled bool   // PUBREC may be sent
}

// maxExchanges bounds the QoS 2 messages of one client that wait for PUBREL, in
// multiples of those that may be unacknowledged.
const maxExchanges = 4

// accept takes the responsibility for a message that may be published, and
// returns the ticket that its acknowledgement waits for. known says that the
// message was taken before: it is not published again [MQTT-4.3.3-10].
func (c *conn) accept(bt *batch, in *inbound) (t Ticket, known bool, err error) {
	limit := c.most
	switch in.qos {
	case 0:
		return t, false, nil
	case 1:
		if c.unacked.Add(1) > limit && c.v5 {
			return t, false, packets.ErrReceiveMaximum
		}
		return Ticket{Owner: c.sess, ID: uint64(in.id) | uint64(c.gen)<<ticketShift}, false, nil
	}
	s := c.sess
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.in2[in.id]
	if e == nil || e.gen != c.gen {
		if (e == nil || c.v5 || !e.settled) && c.unacked.Add(1) > limit && c.v5 {
			return t, false, packets.ErrReceiveMaximum
		}
	}
	if e != nil {
		e.gen = c.gen
		if e.settled {
			bt.mark(c, c.ack(packets.Pubrec, in.id, 0))
		}
		return t, true, nil
	}
	if len(s.in2) >= maxExchanges*int(limit) {
		return t, false, packets.ErrReceiveMaximum // it never sends PUBREL
	}
	if !s.mayExchange() {
		return t, false, packets.ErrQuotaExceeded
	}
	s.serial++
	e = &exchange{serial: s.serial, gen: c.gen}
	if s.in2 == nil {
		s.in2 = map[uint16]*exchange{}
	}
	s.in2[in.id] = e
	return Ticket{Owner: s, ID: uint64(in.id) | ticketQoS2 | uint64(e.serial)<<ticketShift}, false, nil
}

// refuse answers a PUBLISH that is not allowed. A client before MQTT 5 cannot
// be told and gets an ordinary acknowledgement [MQTT 3.1.1, 3.3.5].
func (c *conn) refuse(bt *batch, in *inbound) {
	switch in.qos {
	case 1:
		bt.mark(c, c.ack(packets.Puback, in.id, packets.ErrNotAuthorized.Code))
	case 2:
		if c.v5 {
			c.sess.forget(c, in.id)
		}
		bt.mark(c, c.ack(packets.Pubrec, in.id, packets.ErrNotAuthorized.Code))
	}
}

// forget ends an exchange that was begun when it was allowed: its client takes
// the packet id for free now.
func (s *session) forget(c *conn, id uint16) {
	s.mu.Lock()
	e := s.in2[id]
	s.dropExchange(id)
	s.mu.Unlock()
	if e != nil && e.gen == c.gen {
		c.freed()
	}
}

// Settle sends the acknowledgement that a ticket stands for. The client of an
// older protocol that is refused is disconnected: it has no other way to learn
// of it. It may be called from any goroutine; Broker.Flush ends a batch.
func (s *session) Settle(id uint64, reason byte) {
	var c *conn
	var first bool
	if id&ticketQoS2 == 0 {
		c, first = s.settle1(id, reason)
	} else {
		c, first = s.settle2(id, reason)
	}
	if first {
		s.b.list(c)
	}
}

// settled is Settle for c's own reader.
func (c *conn) settled(bt *batch, id uint64, reason byte) {
	var first bool
	if id&ticketQoS2 == 0 {
		_, first = c.sess.settle1(id, reason)
	} else {
		_, first = c.sess.settle2(id, reason)
	}
	bt.mark(c, first)
}

func (s *session) settle1(id uint64, reason byte) (c *conn, first bool) {
	c = s.conn.Load()
	if c == nil || c.gen != uint32(id>>ticketShift) {
		return nil, false // the client will send it again
	}
	c.freed()
	if reason >= 0x80 && !c.v5 {
		s.b.stats.refused.Add(1)
		c.close()
		return c, false
	}
	return c, c.ack(packets.Puback, uint16(id), reason)
}

func (s *session) settle2(id uint64, reason byte) (c *conn, first bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.in2[uint16(id)]
	if e == nil || e.serial != uint32(id>>ticketShift) || e.settled {
		return nil, false
	}
	c = s.conn.Load()
	if c != nil && e.gen != c.gen {
		c = nil // the client has not asked again yet
	}
	if reason >= 0x80 {
		s.dropExchange(uint16(id))
		s.b.stats.refused.Add(1)
	} else {
		e.settled = true
	}
	if c == nil {
		return nil, false
	}
	if reason >= 0x80 && !c.v5 {
		c.close()
		return c, false
	}
	if reason >= 0x80 || !c.v5 {
		c.freed() // from MQTT 5 on it counts until PUBCOMP [MQTT 5, 4.9]
	}
	return c, c.ack(packets.Pubrec, uint16(id), reason)
}

// release takes a PUBREL: the packet id is free again.
func (s *session) release(bt *batch, c *conn, id uint16) {
	s.mu.Lock()
	e := s.in2[id]
	s.dropExchange(id)
	s.mu.Unlock()
	reason := packets.ErrPacketIdentifierNotFound.Code
	if e != nil {
		reason = 0
		if e.gen == c.gen && (c.v5 || !e.settled) {
			c.freed()
		}
	}
	bt.mark(c, c.ack(packets.Pubcomp, id, reason))
}

// freed makes room for one more unacknowledged message.
func (c *conn) freed() {
	c.unacked.Add(-1)
	select {
	case c.room <- struct{}{}:
	default:
	}
}

// breathe keeps a client that has no Receive Maximum from having too many
// messages unacknowledged: it is not read from. It returns when there is room
// or the connection is closed. At a stop nobody is read from.
func (c *conn) breathe() {
	for c.b.isStopping() || !c.v5 && c.unacked.Load() >= c.most {
		c.settleBatch()
		select {
		case <-c.room:
		case <-c.gone:
			return
		}
	}
}
