package edge

import (
	"hash/maphash"
	"sync"
)

// deliver sends m to everyone who subscribed to it. from is the publisher's
// session, nil for the gateway itself. w counts the deliveries that a ticket
// waits for; it may be nil. It returns how many sessions and watchers m was for.
func (b *Broker) deliver(bt *batch, m *Message, rt *route, from *session, w *waiter) int {
	bt.calls++
	bt.share = len(rt.targets) > 1
	for i := range rt.targets {
		t := &rt.targets[i]
		f := &t.form
		if t.noLocal && t.s == from {
			if f = t.own; f == nil {
				continue
			}
		}
		b.deliverTo(bt, t.s, m, f, w)
		if bt.bytesOut-bt.flushed > heavy {
			bt.flush()
		}
	}
	bt.share = false
	for i := range rt.shared {
		for range rt.shared[i].members {
			sub := rt.shared[i].pick(m.QoS)
			if sub == nil || b.deliverTo(bt, sub.s, m, &sub.form, w) {
				break
			}
		}
	}
	for _, w := range rt.watched {
		w.offer(m)
	}
	for _, w := range rt.heard {
		w.offer(m)
	}
	return len(rt.targets) + len(rt.shared) + len(rt.watched)
}

// deliverTo returns false when the session has ended.
func (b *Broker) deliverTo(bt *batch, s *session, m *Message, f *form, w *waiter) bool {
	qos, retain := min(f.qos, m.QoS), m.Retain && f.asSent
	if qos > 0 {
		return s.enqueue(bt, delivery{m: m, f: f, w: w, qos: qos, retain: retain}, 0)
	}
	if c := s.conn.Load(); c != nil {
		form := publishForm{v5: c.v5, retain: retain, ids: f.ids}
		bt.transmit(c, m, &form, 0, false)
	}
	return true
}

// retention returns the lock under which a topic's retained message is replaced,
// delivered and handed to the uplink, so that all have the same one last.
func (b *Broker) retention(topic string) *sync.Mutex {
	return &b.retaining[maphash.String(b.seed, topic)%uint64(len(b.retaining))]
}

// retain keeps m for later subscribers, in memory and on disk; what is the
// broker's own in memory only. The topic's retention is held.
func (b *Broker) retain(m *Message) {
	if !publishable(m.Topic) {
		b.trie.retainOwn(m)
		return
	}
	limits := &b.config().Limits
	most, nodes := limits.Retained, int64(0)
	if len(m.Payload) > 0 {
		if nodes = pathCost(m.Topic); !b.take(nodes) {
			most, nodes = 0, 0
		}
	}
	if !b.trie.retain(m, most, int64(limits.RetainedBytes)) {
		b.stats.droppedRetained.Add(1)
		gone := *m
		gone.Payload = nil
		m = &gone
	}
	b.memory.charge(-nodes) // the trie charges for those that are new
	if b.store != nil {
		b.store.retain(m)
	}
}

// retainedPart is after how many bytes of retained messages they are written
// out: the buffer they are in is of use again then.
const retainedPart = maxKeptBuffer / 2

// sendRetained sends the retained messages of a new subscription, and pauses
// the client's own reader when they are too many for its buffer.
func (b *Broker) sendRetained(bt *batch, c *conn, sub *subscription) {
	nodes := b.trie.retainedFor(sub.filter)
	for _, n := range nodes {
		for b.sendOneRetained(bt, c, sub, n, len(nodes)) == outdated {
		}
		if bt.bytesOut-bt.flushed > retainedPart {
			bt.flush()
		}
		if len(bt.full) > 0 {
			bt.flush()
			c.wait(c.gone)
			bt.full = bt.full[:0]
		}
	}
}

// sendOneRetained reads and sends under one lock, the session's or the
// connection's, as the QoS has it: a newer message is retained before it is
// delivered, so an older one cannot come after it.
func (b *Broker) sendOneRetained(bt *batch, c *conn, sub *subscription, n *node, most int) int {
	s := c.sess
	s.mu.Lock()
	defer s.mu.Unlock()
	m := n.retained.Load()
	if m == nil || sub.noLocal && m.From == s.id { // [MQTT-3.8.3-3] knows no exception for what is retained
		return transmitted
	}
	if qos := min(sub.qos, m.QoS); qos > 0 {
		s.enqueueLocked(bt, delivery{m: m, f: &sub.form, qos: qos, retain: true}, most)
		return transmitted
	}
	f := publishForm{v5: c.v5, retain: true, ids: sub.ids}
	bt.fresh = n
	defer func() { bt.fresh = nil }()
	return bt.transmit(c, m, &f, 0, false)
}
