package edge

import (
	"bytes"
	"encoding/binary"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"
)

// will is the message that a client leaves in case it goes without a
// DISCONNECT [MQTT 5, 3.1.2.5].
type will struct {
	msg   Message // Accepted is set when it is published
	delay time.Duration
	due   time.Time // when it is published unless the client comes back
	shut  bool      // it was the gateway that went: the client that comes back takes it back
	grant *grant
}

// newWill takes the will out of a CONNECT, nil when there is none. The payload
// may be empty, whatever mochi says. rest is the packet from the client id on.
func newWill(pk *packets.Packet, rest []byte) (*will, error) {
	p := &pk.Connect
	if !p.WillFlag {
		return nil, nil
	}
	w := &will{msg: Message{Topic: p.WillTopic, Payload: p.WillPayload, QoS: p.WillQos, Retain: p.WillRetain}}
	if pk.ProtocolVersion == 5 {
		if err := w.takeProperties(rest); err != nil {
			return nil, err
		}
	}
	return w, nil
}

// takeProperties checks the properties of the will and keeps those that the
// receivers get, as they are.
func (w *will) takeProperties(rest []byte) error {
	id := 2 + int(binary.BigEndian.Uint16(rest)) // mochi has read it
	list, _, err := cutProperties(rest[id:], 0)
	for err == nil {
		p, ok, wrong := list.next()
		switch {
		case wrong != nil:
			return wrong
		case !ok:
			return nil
		}
		switch p.id {
		case packets.PropWillDelayInterval:
			w.delay = time.Duration(p.num) * time.Second
			continue
		case packets.PropMessageExpiryInterval:
			w.msg.Expiry = max(p.num, 1)
			continue
		case packets.PropResponseTopic:
			if bytes.ContainsAny(p.data, "+#") {
				return packets.ErrProtocolViolationSurplusWildcard
			}
		}
		w.msg.Properties = append(w.msg.Properties, p.raw...)
	}
	return err
}

// allowed says whether w may be published by a client with the grant g.
func (w *will) allowed(g *grant) bool { return publishable(w.msg.Topic) && g.mayPublish(w.msg.Topic) }

// publishWill publishes w through the same path as any message, if its client
// may publish there. Nobody waits for its acknowledgement.
func (b *Broker) publishWill(bt *batch, w *will, from *session) {
	m := w.msg
	m.Accepted = time.Now()
	if !w.allowed(w.grant) {
		b.stats.denied.Add(1)
		b.notice("will denied by the permissions", m.From, "topic", m.Topic)
		return
	}
	b.stats.wills.Add(1)
	b.accepted(bt, &m, []byte(m.Topic), nil, from, nil, new(Ticket))
}
