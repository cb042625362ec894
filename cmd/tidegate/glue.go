package main

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"tidegate/edge"
	"tidegate/hw"
	"tidegate/uplink"
)

// The three packages know nothing of each other: each has its own Message, and
// here one becomes the other. A field that only one of them has stops the
// build here.

// glue carries messages between the parts. What it points to is set before
// anything runs.
type glue struct {
	broker  *edge.Broker
	sends   []func(*uplink.Message, uplink.Ticket) bool // Send of every uplink
	closing atomic.Bool                                 // the broker is going: commands stay with the cloud
}

// forward takes what a device published up. With one uplink, the usual case, it
// costs nothing.
func (g *glue) forward(m *edge.Message, t edge.Ticket) bool {
	switch len(g.sends) {
	case 0:
		return false
	case 1:
		return g.sends[0]((*uplink.Message)(m), uplink.Ticket(t))
	}
	return g.forwardAll(m, t)
}

// forwardAll sends to several clouds; the ticket is settled when all that took
// the message have settled.
func (g *glue) forwardAll(m *edge.Message, t edge.Ticket) bool {
	s := sharedTickets.Get().(*sharedTicket)
	s.ticket = t
	s.reason.Store(0)
	s.left.Store(1) // until all have been asked
	taken := false
	for _, send := range g.sends {
		s.left.Add(1)
		if send((*uplink.Message)(m), uplink.Ticket{Owner: s}) {
			taken = true
		} else {
			s.left.Add(-1)
		}
	}
	if !taken {
		sharedTickets.Put(s)
		return false
	}
	s.Settle(0, 0)
	return true
}

// deliver takes a command from the cloud down.
func (g *glue) deliver(m *uplink.Message, t uplink.Ticket) {
	if g.closing.Load() {
		return // not settled, so the cloud sends it again
	}
	g.broker.Publish((*edge.Message)(m), edge.Ticket(t))
}

// submit publishes a reading.
func (g *glue) submit(m *hw.Message) {
	g.broker.Submit((*edge.Message)(m), edge.Ticket{})
	g.broker.Flush()
}

// publishRetained publishes what the gateway says of itself.
func (g *glue) publishRetained(topic string, payload []byte) {
	g.broker.Submit(&edge.Message{Topic: topic, Payload: payload, QoS: 1, Retain: true, Accepted: time.Now()}, edge.Ticket{})
	g.broker.Flush()
}

// mayPublish asks the broker's permissions.
func (g *glue) mayPublish(client, topic string) bool { return g.broker.MayPublish(client, topic) }

// watch shows messages to the hardware until ctx ends.
func (g *glue) watch(ctx context.Context, filters []string, f func(*hw.Message)) {
	g.broker.Watch(ctx, filters, func(m *edge.Message) { f((*hw.Message)(m)) })
}

// sharedTicket waits for several uplinks. It tells the owner the worst reason.
type sharedTicket struct {
	ticket edge.Ticket
	left   atomic.Int32
	reason atomic.Uint32
}

var sharedTickets = sync.Pool{New: func() any { return new(sharedTicket) }}

// Settle implements the owner of an uplink's ticket.
func (s *sharedTicket) Settle(_ uint64, reason byte) {
	for r := uint32(reason); ; { // MQTT 5 reason codes are the worse the greater
		if was := s.reason.Load(); was >= r || s.reason.CompareAndSwap(was, r) {
			break
		}
	}
	if s.left.Add(-1) > 0 {
		return
	}
	t, worst := s.ticket, byte(s.reason.Load())
	s.ticket = edge.Ticket{}
	sharedTickets.Put(s)
	if t.Owner != nil {
		t.Owner.Settle(t.ID, worst)
	}
}
