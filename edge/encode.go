package edge

import (
	"bytes"
	"encoding/binary"

	"github.com/mochi-mqtt/server/v2/packets"
)

// publishForm is what makes two encodings of one message differ.
type publishForm struct {
	v5     bool
	qos    byte
	retain bool
	ids    []uint32 // subscription identifiers; MQTT 5 only
	expiry uint32   // what remains of the Message Expiry Interval in seconds; 0 for none
	alias  uint16   // topic alias; 0 for none
	bare   bool     // the alias stands for the topic
}

// publishSize returns the Remaining Length of m in this form and, of it, the
// length of the properties.
func publishSize(m *Message, f *publishForm) (remaining, properties int) {
	remaining = 2 + len(m.Payload)
	if !f.bare {
		remaining += len(m.Topic)
	}
	if f.qos > 0 {
		remaining += 2
	}
	if !f.v5 {
		return remaining, 0
	}
	properties = len(m.Properties)
	if f.expiry > 0 {
		properties += 5
	}
	if f.alias > 0 {
		properties += 3
	}
	for _, id := range f.ids {
		properties += 1 + varintSize(int(id))
	}
	return remaining + varintSize(properties) + properties, properties
}

// appendPublish appends m as a PUBLISH with packet id 0 and no DUP [MQTT 5,
// 3.3], and returns the place of the packet id, counted from the packet's
// first byte.
func appendPublish(dst []byte, m *Message, f *publishForm) (packet []byte, idAt int) {
	start := len(dst)
	remaining, properties := publishSize(m, f)
	first := packets.Publish<<4 | f.qos<<1
	if f.retain {
		first |= 1
	}
	dst = append(dst, first)
	dst = appendVarint(dst, remaining)
	name := m.Topic
	if f.bare {
		name = ""
	}
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(name)))
	dst = append(dst, name...)
	if f.qos > 0 {
		idAt = len(dst) - start
		dst = append(dst, 0, 0)
	}
	if f.v5 {
		dst = appendVarint(dst, properties)
		if f.expiry > 0 {
			dst = append(dst, packets.PropMessageExpiryInterval)
			dst = binary.BigEndian.AppendUint32(dst, f.expiry)
		}
		if f.alias > 0 {
			dst = append(dst, packets.PropTopicAlias, byte(f.alias>>8), byte(f.alias))
		}
		for _, id := range f.ids {
			dst = append(dst, packets.PropSubscriptionIdentifier)
			dst = appendVarint(dst, int(id))
		}
		dst = append(dst, m.Properties...)
	}
	return append(dst, m.Payload...), idAt
}

func appendVarint(dst []byte, n int) []byte {
	for n >= 128 {
		dst = append(dst, byte(n)|128)
		n >>= 7
	}
	return append(dst, byte(n))
}

func varintSize(n int) int {
	switch {
	case n < 1<<7:
		return 1
	case n < 1<<14:
		return 2
	case n < 1<<21:
		return 3
	}
	return 4
}

// appendAck appends a PUBACK, PUBREC, PUBREL or PUBCOMP; the reason goes only
// to MQTT 5 clients, and only when it is not success.
func appendAck(dst []byte, kind byte, id uint16, reason byte, v5 bool) []byte {
	first := kind << 4
	if kind == packets.Pubrel {
		first |= 2
	}
	if v5 && reason != 0 {
		return append(dst, first, 3, byte(id>>8), byte(id), reason)
	}
	return append(dst, first, 2, byte(id>>8), byte(id))
}

// connack encodes a CONNACK. Before MQTT 5 there are no properties, and other
// return codes [MQTT 3.1.1, 3.2.2.3].
func connack(v5, present bool, reason byte, p packets.Properties) []byte {
	pk := packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Connack}, SessionPresent: present, ReasonCode: reason, Properties: p}
	if v5 {
		pk.ProtocolVersion = 5
	} else {
		pk.ReasonCode = returnCode(reason)
	}
	var out bytes.Buffer
	_ = pk.ConnackEncode(&out) // writes to memory only
	return out.Bytes()
}

// returnCode gives the 3.1.1 return code that says most of what an MQTT 5
// reason says.
func returnCode(reason byte) byte {
	switch reason {
	case 0x00:
		return 0
	case packets.ErrUnsupportedProtocolVersion.Code:
		return 1
	case packets.ErrClientIdentifierNotValid.Code:
		return 2
	case packets.ErrBadUsernameOrPassword.Code:
		return 4
	case packets.ErrNotAuthorized.Code, packets.ErrBanned.Code:
		return 5
	}
	return 3
}

// suback encodes a SUBACK or UNSUBACK, without properties. mochi would take more
// time for it than all else takes that a SUBSCRIBE brings about.
func suback(kind byte, v5 bool, id uint16, reasons []byte) []byte {
	if kind == packets.Unsuback && !v5 {
		reasons = nil // [MQTT 3.1.1, 3.11]
	}
	n := 2 + len(reasons)
	if v5 {
		n++
	}
	dst := appendVarint(append(make([]byte, 0, 5+n), kind<<4), n)
	dst = binary.BigEndian.AppendUint16(dst, id)
	if v5 {
		dst = append(dst, 0)
	}
	return append(dst, reasons...)
}
