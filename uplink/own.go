package uplink

import (
	"context"
	"encoding/binary"
	"fmt"

	"github.com/eclipse/paho.golang/paho"

	"tidegate/internal/topic"
)

// subscribeOwn makes the session hear the uplink's own topics, unless a route's
// subscription covers it: two that overlap would bring devices everything twice.
// At QoS 1: for QoS 0 RabbitMQ gives a session a second queue, which lives on
// one node only, and after that node's death no other one takes the session's
// CONNECT until the node is back (4.0.5, with durable_queue_type = quorum).
func (u *Uplink) subscribeOwn(ctx context.Context, c *client, r *routes) error {
	t := u.settings.Load().own
	var sub paho.Subscribe
	var not []string
	for _, own := range []struct{ filter, example string }{{t.status, t.status}, {t.canary + "+", t.canary + "x"}} {
		switch {
		case own.example == "" || own.example == "x":
		case r.covers(own.example):
			not = append(not, own.filter)
		default:
			sub.Subscriptions = append(sub.Subscriptions, paho.SubscribeOptions{Topic: own.filter, QoS: 1, RetainHandling: 2, RetainAsPublished: true})
		}
	}
	if r.covers(t.canary + "x") {
		u.canary.hearing(true)
	}
	if len(not) > 0 {
		if _, err := c.Unsubscribe(ctx, &paho.Unsubscribe{Topics: not}); err != nil {
			return fmt.Errorf("unsubscribe: %w", err)
		}
	}
	if len(sub.Subscriptions) == 0 {
		return nil
	}
	ack, err := c.Subscribe(ctx, &sub)
	if ack == nil {
		return fmt.Errorf("subscribe: %w", err)
	}
	u.canary.hearing(true)
	for i, reason := range ack.Reasons {
		if reason >= 0x80 && i < len(sub.Subscriptions) {
			if sub.Subscriptions[i].Topic != t.status {
				u.canary.hearing(false)
			}
			u.log.Info("the cloud does not let the gateway hear its own topic: what others write there is not set right, and no canary flies", "topic", sub.Subscriptions[i].Topic, "reason", fmt.Sprintf("0x%02X", reason))
		}
	}
	return nil
}

// covers says whether a down route brings the topic.
func (r *routes) covers(name string) bool {
	for _, d := range r.down {
		if topic.Match(d.filter, name) {
			return true
		}
	}
	return false
}

// hear takes what is for the uplink itself: true when nobody else is to get it.
// A route that matches the status topic brings it to the edge too; canaries go
// no further.
func (u *Uplink) hear(p inbound) bool {
	own := u.settings.Load().own
	switch {
	case own.status != "" && string(p.topic) == own.status:
		u.presence.saw(p.payload)
		return !u.routes.Load().covers(own.status)
	case own.canary != "" && len(p.topic) > len(own.canary) && string(p.topic[:len(own.canary)]) == own.canary:
		u.canary.came(string(p.topic[len(own.canary):]), p.payload)
		return true
	}
	return false
}

// statementProperties say that the payload is UTF-8, and JSON.
var statementProperties = []byte("\x01\x01\x03\x00\x10application/json")

// appendOwn appends a PUBLISH of the uplink's own.
func appendOwn(b []byte, first byte, name string, id uint16, properties, payload []byte) []byte {
	n := 2 + len(name) + varintLen(len(properties)) + len(properties) + len(payload)
	qos := first >> 1 & 3
	if qos > 0 {
		n += 2
	}
	b = appendVarint(append(b, first), n)
	b = binary.BigEndian.AppendUint16(b, uint16(len(name)))
	b = append(b, name...)
	if qos > 0 {
		b = binary.BigEndian.AppendUint16(b, id)
	}
	b = appendVarint(b, len(properties))
	b = append(b, properties...)
	return append(b, payload...)
}
