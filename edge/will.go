package edge

import (
	"time"

	"github.com/mochi-mqtt/server/v2/packets"
)

// will is the message that a client leaves in case it goes without a
// DISCONNECT [MQTT 5, 3.1.2.5].
type will struct {
	msg   Message // Accepted is set when it is published
	delay time.Duration
	due   time.Time // when it is published unless the client comes back
	grant *grant
}

// newWill takes the will out of a CONNECT, nil when there is none. The payload
// may be empty, whatever mochi says.
func newWill(pk *packets.Packet, grant *grant) *will {
	p := &pk.Connect
	if !p.WillFlag {
		return nil
	}
	w := &will{grant: grant, delay: time.Duration(p.WillProperties.WillDelayInterval) * time.Second}
	w.msg = Message{
		Topic:      p.WillTopic,
		Payload:    p.WillPayload,
		Properties: willProperties(&p.WillProperties),
		From:       pk.Connect.ClientIdentifier,
		Expiry:     p.WillProperties.MessageExpiryInterval,
		QoS:        p.WillQos,
		Retain:     p.WillRetain,
	}
	return w
}

// willProperties encodes those that the receivers get.
func willProperties(p *packets.Properties) []byte {
	var b []byte
	if p.PayloadFormatFlag {
		b = append(b, packets.PropPayloadFormat, p.PayloadFormat)
	}
	b = appendText(b, packets.PropContentType, p.ContentType)
	b = appendText(b, packets.PropResponseTopic, p.ResponseTopic)
	b = appendText(b, packets.PropCorrelationData, string(p.CorrelationData))
	for _, u := range p.User {
		b = append(b, packets.PropUser, byte(len(u.Key)>>8), byte(len(u.Key)))
		b = append(b, u.Key...)
		b = append(b, byte(len(u.Val)>>8), byte(len(u.Val)))
		b = append(b, u.Val...)
	}
	return b
}

func appendText(b []byte, id byte, text string) []byte {
	if text == "" {
		return b
	}
	b = append(b, id, byte(len(text)>>8), byte(len(text)))
	return append(b, text...)
}

// publishWill publishes w through the same path as any message, if its client
// may publish there. Nobody waits for its acknowledgement.
func (b *Broker) publishWill(bt *batch, w *will, from *session) {
	m := w.msg
	m.Accepted = time.Now()
	if !publishable(m.Topic) || !w.grant.mayPublish(m.Topic) {
		b.stats.denied.Add(1)
		return
	}
	b.stats.wills.Add(1)
	b.accepted(bt, &m, []byte(m.Topic), nil, from, Ticket{})
}
