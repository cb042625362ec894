package edge

import (
	"encoding/binary"
	"strings"
	"sync/atomic"

	"github.com/mochi-mqtt/server/v2/packets"

	"tidegate/internal/topic"
)

// subscribe takes a SUBSCRIBE [MQTT 5, 3.8].
func (c *conn) subscribe(body []byte) error {
	pk, err := c.decodeFilters(packets.Subscribe, body)
	if err != nil {
		return err
	}
	reasons := make([]byte, 0, len(pk.Filters))
	var retained []*subscription
	for i := range pk.Filters {
		sub, reason, err := c.newSubscription(&pk.Filters[i])
		if err != nil {
			return err
		}
		if sub == nil {
			reasons = append(reasons, c.failure(reason))
			continue
		}
		cost := pathCost(sub.filter) + subscriptionCost
		if !c.b.take(cost) {
			reasons = append(reasons, c.failure(packets.ErrQuotaExceeded.Code))
			continue
		}
		isNew, reason := c.sess.keep(sub, &c.grant, c.b.config().Session.Subscriptions)
		if reason == packets.ErrNotAuthorized.Code {
			c.b.notice("subscription denied by the permissions", c.sess.id, "user", c.grant.Load().user, "topic", sub.filter)
		}
		if reason == 0 {
			c.b.trie.subscribe(sub)
		}
		c.b.memory.charge(-cost) // the trie charges for what is new
		if reason != 0 {
			reasons = append(reasons, c.failure(reason))
			continue
		}
		reasons = append(reasons, sub.qos)
		if share, _, _ := cutShare(sub.filter); share == "" && (sub.handle == 0 || sub.handle == 1 && isNew) {
			retained = append(retained, sub)
		}
	}
	bt := c.batch()
	bt.mark(c, c.send(suback(packets.Suback, c.v5, pk.PacketID, reasons)))
	for _, sub := range retained {
		c.b.sendRetained(bt, c, sub)
	}
	return nil
}

// failure is a SUBACK's reason as the client's protocol has it.
func (c *conn) failure(reason byte) byte {
	if c.v5 {
		return reason
	}
	return 0x80
}

// newSubscription checks one filter; nil with a reason when it is refused.
func (c *conn) newSubscription(f *packets.Subscription) (*subscription, byte, error) {
	share, filter, ok := cutShare(f.Filter)
	switch {
	case share != "" && f.NoLocal:
		return nil, 0, packets.ErrProtocolViolationInvalidSharedNoLocal // [MQTT-3.8.3-4]
	case !ok, !topic.ValidFilter(filter):
		return nil, packets.ErrTopicFilterInvalid.Code, nil
	}
	sub := &subscription{s: c.sess, filter: strings.Clone(f.Filter), noLocal: f.NoLocal, handle: f.RetainHandling}
	sub.qos, sub.asSent = f.Qos, f.RetainAsPublished
	if f.Identifier > 0 {
		sub.ids = []uint32{uint32(f.Identifier)}
	}
	return sub, 0, nil
}

// filterShare is how long the filters of a session may be, in bytes for each
// subscription it may have; 64 KiB, the longest one, always may.
const filterShare = 1 << 10

// keep enters sub into the session, unless it may not have it or has too many;
// may is read under the lock, so that a reload which takes it back finds sub
// here or is found by it.
func (s *session) keep(sub *subscription, may *atomic.Pointer[grant], most int) (isNew bool, reason byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, had := s.subs[sub.filter]
	switch {
	case !may.Load().maySubscribe(sub.filter):
		s.b.stats.denied.Add(1)
		return false, packets.ErrNotAuthorized.Code
	case s.dead || !had && (len(s.subs) >= most || s.texts+len(sub.filter) > max(most*filterShare, 1<<16)):
		return false, packets.ErrQuotaExceeded.Code
	}
	if s.subs == nil {
		s.subs = map[string]*subscription{}
	}
	if !had {
		s.texts += len(sub.filter)
	}
	s.subs[sub.filter] = sub
	return !had, 0
}

// unsubscribe takes an UNSUBSCRIBE [MQTT 5, 3.10].
func (c *conn) unsubscribe(body []byte) error {
	pk, err := c.decodeFilters(packets.Unsubscribe, body)
	if err != nil {
		return err
	}
	reasons := make([]byte, 0, len(pk.Filters))
	for _, f := range pk.Filters {
		c.sess.mu.Lock()
		_, had := c.sess.subs[f.Filter]
		if had {
			c.sess.texts -= len(f.Filter)
			delete(c.sess.subs, f.Filter)
		}
		c.sess.mu.Unlock()
		if !had {
			reasons = append(reasons, packets.CodeNoSubscriptionExisted.Code)
			continue
		}
		c.b.trie.unsubscribe(c.sess, f.Filter)
		reasons = append(reasons, 0)
	}
	c.batch().mark(c, c.send(suback(packets.Unsuback, c.v5, pk.PacketID, reasons)))
	return nil
}

// decodeFilters reads a SUBSCRIBE or UNSUBSCRIBE and checks what mochi's
// decoders let through.
func (c *conn) decodeFilters(kind byte, body []byte) (*packets.Packet, error) {
	pk := &packets.Packet{ProtocolVersion: 4, FixedHeader: packets.FixedHeader{Type: kind, Qos: 1, Remaining: len(body)}}
	if len(body) < 2 {
		return nil, packets.ErrMalformedPacket
	}
	list := body[2:]
	if c.v5 {
		var err error
		pk.ProtocolVersion = 5
		if list, err = checkProperties(list, kind); err != nil {
			return nil, err
		}
	}
	if tooMany(list, kind, max(mostFilters, c.b.config().Session.Subscriptions)) {
		return nil, packets.ErrQuotaExceeded
	}
	if kind == packets.Subscribe {
		if err := checkOptions(list, c.v5); err != nil {
			return nil, err
		}
	}
	err := decode(func() error {
		if kind == packets.Subscribe {
			return pk.SubscribeDecode(body)
		}
		return pk.UnsubscribeDecode(body)
	})
	switch {
	case err != nil:
		return nil, err
	case pk.PacketID == 0:
		return nil, packets.ErrProtocolViolationNoPacketID
	case len(pk.Filters) == 0:
		return nil, packets.ErrProtocolViolationNoFilters
	case c.maxOut > 0 && len(suback(packets.Suback, true, 1, make([]byte, len(pk.Filters)))) > c.maxOut:
		return nil, packets.ErrPacketTooLarge // the answer would be [MQTT-3.1.2-24]
	}
	return pk, nil
}

// mostFilters is how many filters may be in one packet, if a session may not
// have more: decoded, each takes thirty times what a short one is long.
const mostFilters = 4096

// tooMany says whether a list has more than most filters.
func tooMany(list []byte, kind byte, most int) bool {
	options := 0
	if kind == packets.Subscribe {
		options = 1
	}
	for n := 0; len(list) >= 2; n++ {
		if n == most {
			return true
		}
		list = list[min(len(list), 2+int(binary.BigEndian.Uint16(list))+options):]
	}
	return false
}

// checkOptions looks at the options of every filter of a SUBSCRIBE: mochi's
// decoder passes over their reserved bits [MQTT-3.8.3-5]. What is cut off is
// left to it.
func checkOptions(list []byte, v5 bool) error {
	reserved := byte(0xfc)
	if v5 {
		reserved = 0xc0
	}
	for len(list) > 2 {
		n := 2 + int(binary.BigEndian.Uint16(list))
		if n >= len(list) {
			return nil
		}
		switch opts := list[n]; {
		case opts&reserved != 0:
			return packets.ErrMalformedPacket
		case opts&3 == 3, opts&0x30 == 0x30: // QoS, Retain Handling
			return packets.ErrProtocolViolation
		}
		list = list[n+1:]
	}
	return nil
}
