package edge

import (
	"encoding/binary"
	"strings"

	"github.com/mochi-mqtt/server/v2/packets"
)

// inbound is a PUBLISH as a client sent it; its slices point into the packet.
type inbound struct {
	topic      []byte // empty: the alias stands for it
	payload    []byte
	properties []byte // those to pass on
	id         uint16 // packet id; 0 at QoS 0
	alias      uint16 // 0: none
	expiry     uint32 // seconds; 0: none
	qos        byte
	dup        bool
	retain     bool
}

// parsePublish reads a PUBLISH whose first byte is first. body is the rest of
// the packet and must be the caller's own: it is shuffled when some of the
// properties are not passed on. The topic is not checked.
func parsePublish(first byte, body []byte, v5 bool) (in inbound, err error) {
	in.qos, in.dup, in.retain = first>>1&3, first&8 != 0, first&1 != 0
	if in.qos == 3 {
		return in, packets.ErrMalformedQos
	}
	if in.qos == 0 && in.dup {
		return in, packets.ErrProtocolViolationDupNoQos
	}
	if len(body) < 2 {
		return in, packets.ErrMalformedTopic
	}
	n := int(binary.BigEndian.Uint16(body))
	if len(body) < 2+n {
		return in, packets.ErrMalformedTopic
	}
	in.topic, body = body[2:2+n], body[2+n:]
	if in.qos > 0 {
		if len(body) < 2 {
			return in, packets.ErrMalformedPacketID
		}
		in.id, body = binary.BigEndian.Uint16(body), body[2:]
		if in.id == 0 {
			return in, packets.ErrProtocolViolationNoPacketID
		}
	}
	if v5 {
		if body, err = in.parseProperties(body); err != nil {
			return in, err
		}
	}
	in.payload = body
	return in, nil
}

// parseProperties takes out what concerns only this hop and keeps the rest in
// order and as it is [MQTT-3.3.2-4, MQTT-3.3.2-15 to 18, MQTT-3.3.2-20].
func (in *inbound) parseProperties(b []byte) (rest []byte, err error) {
	list, rest, err := cutProperties(b, packets.Publish)
	if err != nil {
		return nil, err
	}
	kept := list.rest[:0]
	for {
		p, ok, err := list.next()
		if err != nil {
			return nil, err
		}
		if !ok {
			in.properties = kept
			return rest, nil
		}
		switch p.id {
		case packets.PropMessageExpiryInterval:
			in.expiry = max(p.num, 1)
			continue
		case packets.PropTopicAlias:
			if p.num == 0 {
				return nil, packets.ErrTopicAliasInvalid
			}
			in.alias = uint16(p.num)
			continue
		case packets.PropResponseTopic:
			if strings.ContainsAny(string(p.data), "+#") {
				return nil, packets.ErrProtocolViolationSurplusWildcard
			}
		}
		kept = append(kept, p.raw...)
	}
}

// parseAck reads a PUBACK, PUBREC, PUBREL or PUBCOMP.
func parseAck(kind byte, body []byte, v5 bool) (id uint16, reason byte, err error) {
	if len(body) < 2 || len(body) > 2 && !v5 {
		return 0, 0, packets.ErrMalformedPacketID
	}
	id = binary.BigEndian.Uint16(body)
	if id == 0 {
		return 0, 0, packets.ErrProtocolViolationNoPacketID
	}
	if len(body) > 2 {
		reason = body[2]
	}
	if len(body) > 3 {
		if rest, err := checkProperties(body[3:], kind); err != nil || len(rest) > 0 {
			return 0, 0, packets.ErrMalformedProperties
		}
	}
	return id, reason, nil
}
