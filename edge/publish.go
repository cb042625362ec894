package edge

import (
	"strings"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"
)

// Publish delivers a message of the gateway itself, or a command that came
// down, to local subscribers, and retains it when it says so; it does not go to
// the uplink, not even to another than it came from. t is settled when every
// session it was for has it: acknowledged by the client, or waiting in the
// session, where it counts as waiting too once its client has left it
// unacknowledged for the stall time; never, when a stop comes first. The reason
// is 0x97 when a session's queue was full. Publish waits for nobody: what is
// too much for one client is dropped there, at QoS 0, or queued. Flush ends a
// batch of calls.
func (b *Broker) Publish(m *Message, t Ticket) {
	var w *waiter
	if t.Owner != nil && m.QoS > 0 {
		w = &waiter{t: t, since: time.Now()}
		w.n.Store(1)
	}
	b.inside(m, w, nil)
	if w != nil {
		w.done()
	} else if t.Owner != nil {
		t.Owner.Settle(t.ID, 0)
	}
}

// Submit accepts a message like a device's PUBLISH: it is delivered locally and
// handed to the uplink, which settles t. Unlike a device it waits for nobody,
// as Publish does: who drives a boiler must not be held up by one who listens.
// Flush ends a batch of calls.
func (b *Broker) Submit(m *Message, t Ticket) {
	if !b.inside(m, nil, &t) && t.Owner != nil {
		t.Owner.Settle(t.ID, 0)
	}
}

// inside delivers a message that no connection brought, and hands it to the
// uplink with the ticket up, unless that is nil. It returns whether the uplink
// took the ticket.
func (b *Broker) inside(m *Message, w *waiter, up *Ticket) (forwarded bool) {
	rt := b.routes.lookup([]byte(m.Topic), nil)
	if rt == nil {
		b.stats.droppedInvalid.Add(1)
		return false
	}
	bt := newBatch(b)
	if publishable(m.Topic) {
		bt.received++
		b.stats.inside.Add(1)
	}
	_, forwarded = b.accepted(bt, m, []byte(m.Topic), rt, nil, w, up)
	if len(bt.full) == 0 {
		b.collect(bt)
	} else {
		b.Flush()
	}
	bt.full = bt.full[:0] // nobody waits for them
	bt.settle(nil)
	return forwarded
}

func (b *Broker) forward(m *Message, t Ticket) bool {
	return b.opt.Forward != nil && b.opt.Forward(m, t)
}

// collect moves what a batch made ready to the list that Flush writes out.
func (b *Broker) collect(bt *batch) {
	for _, c := range bt.dirty {
		b.list(c)
	}
	clear(bt.dirty)
	bt.dirty = bt.dirty[:0]
}

// list puts c on the list that Flush writes out.
func (b *Broker) list(c *conn) {
	if c.listed.Swap(true) {
		return
	}
	b.dirtyMu.Lock()
	b.dirty = append(b.dirty, c)
	b.dirtyMu.Unlock()
}

// Flush writes out what Publish, Submit and the settling of tickets have made
// ready since the last call. Any goroutine may call it; it does not block.
func (b *Broker) Flush() {
	b.dirtyMu.Lock()
	list := b.dirty
	b.dirty = b.spare
	b.spare = nil
	b.dirtyMu.Unlock()
	for i, c := range list {
		c.listed.Store(false)
		c.flush()
		list[i] = nil
	}
	b.dirtyMu.Lock()
	if cap(list) > cap(b.spare) {
		b.spare = list[:0]
	}
	b.dirtyMu.Unlock()
}

// publish takes a PUBLISH from c's client, and makes it m, which is empty. body is
// nobody else's.
func (c *conn) publish(first byte, body []byte, m *Message) error {
	in, err := parsePublish(first, body, c.v5)
	if err != nil {
		return err
	}
	rt, err := c.resolve(&in)
	if err != nil {
		return err
	}
	bt := c.batch()
	bt.received++
	bt.payloadIn += int64(len(in.payload))
	if !c.mayPublish(rt) {
		c.b.stats.denied.Add(1)
		c.b.notice("publish denied by the permissions", c.sess.id, "user", c.grant.Load().user, "topic", rt.topic)
		c.refuse(bt, &in)
		return nil
	}
	ticket, known, err := c.accept(bt, &in)
	if err != nil || known {
		return err
	}
	*m = Message{Topic: rt.topic, Payload: in.payload, Properties: in.properties, From: c.sess.id,
		Accepted: time.Now(), Expiry: in.expiry, QoS: in.qos, Retain: in.retain}
	if len(m.Properties) == 0 {
		m.Properties = nil
	}
	if n, forwarded := c.b.accepted(bt, m, in.topic, rt, c.sess, nil, &ticket); !forwarded && in.qos > 0 {
		reason := byte(0)
		if n == 0 && in.qos == 1 {
			reason = packets.CodeNoMatchingSubscribers.Code
		}
		c.settled(bt, ticket.ID, reason)
	}
	return nil
}

// accepted is the one path of every message: retained, delivered locally,
// handed to the uplink with up, unless that is nil. from is the publisher's
// session, nil for the gateway itself; w counts deliveries, or is nil. It
// returns for how many sessions m was, and whether the uplink took the ticket.
// m's topic is valid.
func (b *Broker) accepted(bt *batch, m *Message, name []byte, memo *route, from *session, w *waiter, up *Ticket) (n int, forwarded bool) {
	if m.Retain {
		one := b.retention(m.Topic)
		one.Lock()
		defer one.Unlock()
		b.retain(m)
	}
	// The route is looked up only now: who subscribed since must not miss
	// what is retained.
	rt := b.routes.lookup(name, memo)
	n = b.deliver(bt, m, rt, from, w)
	return n, up != nil && b.forward(m, *up)
}

// resolve finds the route of the topic, which an alias may stand for
// [MQTT 5, 3.3.2.3.4].
func (c *conn) resolve(in *inbound) (*route, error) {
	name := in.topic
	if in.alias == 0 && len(name) == 0 && c.v5 {
		return nil, packets.ErrProtocolViolationNoTopic
	}
	if in.alias > 0 {
		if in.alias > topicAliases || !c.v5 {
			return nil, packets.ErrTopicAliasInvalid
		}
		if len(name) == 0 {
			if int(in.alias) > len(c.aliases) || c.aliases[in.alias-1] == "" {
				return nil, packets.ErrProtocolViolationNoTopic
			}
			name = []byte(c.aliases[in.alias-1])
		}
	}
	rt := c.b.routes.lookup(name, c.last)
	if rt == nil && !validText(name) {
		return nil, packets.ErrMalformedInvalidUTF8
	}
	if rt == nil {
		return nil, packets.ErrTopicNameInvalid
	}
	if in.alias > 0 && len(in.topic) > 0 {
		if c.aliases == nil {
			c.aliases = make([]string, topicAliases)
		}
		if !c.owe(int64(len(rt.topic) - len(c.aliases[in.alias-1]))) {
			return nil, packets.ErrQuotaExceeded
		}
		c.aliases[in.alias-1] = rt.topic
	}
	in.topic = name
	return rt, nil
}

// mayPublish asks the permissions once per topic in a row.
func (c *conn) mayPublish(rt *route) bool {
	if g := c.grant.Load(); g != c.judge || c.last == nil || c.last.topic != rt.topic {
		c.allowed, c.judge = publishable(rt.topic) && g.mayPublish(rt.topic), g
	}
	c.last = rt
	return c.allowed
}

// publishable says no to the topics that are the broker's own.
func publishable(topic string) bool { return topic != "$SYS" && !strings.HasPrefix(topic, "$SYS/") }
