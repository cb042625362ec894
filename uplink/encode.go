package uplink

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strconv"

	"tidegate/uplink/spool"
)

// IDProperty is the key of the user property that carries a message's id. Its
// value is "<gateway>/<epoch>/<sequence>", in decimal.
const IDProperty = "tidegate-id"

const (
	propFormat       = 0x01 // MQTT 5, table 2-4
	propExpiry       = 0x02
	propContentType  = 0x03
	propResponse     = 0x08
	propCorrelation  = 0x09
	propSubscription = 0x0B
	propAlias        = 0x23
	propUser         = 0x26
)

// form is what a link needs to know to encode an entry.
type form struct {
	gateway string // "": send no id
	qos     byte   // the cloud's Maximum QoS
	retain  bool   // the cloud's Retain Available
}

// sizes are the lengths of a PUBLISH, in bytes.
type sizes struct {
	value      int // of the id
	properties int
	remaining  int
	total      int
}

// size returns the lengths of e as a PUBLISH [MQTT 5, 3.3].
func (f form) size(e *spool.Entry, expires bool) (s sizes) {
	m := e.Msg
	s.properties = len(m.Properties)
	if expires {
		s.properties += 5
	}
	if f.gateway != "" {
		s.value = len(f.gateway) + 2 + digits(e.Epoch) + digits(e.Seq)
		s.properties += 1 + 2 + len(IDProperty) + 2 + s.value
	}
	s.remaining = 2 + len(m.Topic) + varintLen(s.properties) + s.properties + len(m.Payload)
	if min(m.QoS, f.qos) > 0 {
		s.remaining += 2
	}
	s.total = 1 + varintLen(s.remaining) + s.remaining
	return s
}

// appendPublish appends e as a PUBLISH with the packet id, DUP 0: on a clean
// start a session has nothing to duplicate. The id is not used for QoS 0.
func (f form) appendPublish(b []byte, e *spool.Entry, id uint16) []byte {
	m := e.Msg
	left, expires := e.ExpiryLeft()
	s := f.size(e, expires)
	qos := min(m.QoS, f.qos, 1)
	first := byte(0x30) | qos<<1
	if m.Retain && f.retain {
		first |= 1
	}
	b = append(b, first)
	b = appendVarint(b, s.remaining)
	b = binary.BigEndian.AppendUint16(b, uint16(len(m.Topic)))
	b = append(b, m.Topic...)
	if qos > 0 {
		b = binary.BigEndian.AppendUint16(b, id)
	}
	b = appendVarint(b, s.properties)
	if expires {
		b = append(b, propExpiry)
		b = binary.BigEndian.AppendUint32(b, max(left, 1))
	}
	b = append(b, m.Properties...)
	if f.gateway != "" {
		b = append(b, propUser, 0, byte(len(IDProperty)))
		b = append(b, IDProperty...)
		b = binary.BigEndian.AppendUint16(b, uint16(s.value))
		b = append(b, f.gateway...)
		b = append(b, '/')
		b = strconv.AppendUint(b, e.Epoch, 10)
		b = append(b, '/')
		b = strconv.AppendUint(b, e.Seq, 10)
	}
	return append(b, m.Payload...)
}

func digits(n uint64) int {
	d := 1
	for ; n >= 10; n /= 10 {
		d++
	}
	return d
}

func varintLen(n int) int {
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

func appendVarint(b []byte, n int) []byte {
	for n >= 0x80 {
		b = append(b, byte(n)|0x80)
		n >>= 7
	}
	return append(b, byte(n))
}

var (
	errShort     = errors.New("a packet ends too early")
	errVarint    = errors.New("a length of more than four bytes")
	errMalformed = errors.New("malformed PUBLISH")
)

// varint reads a Variable Byte Integer [MQTT 5, 1.5.5]: errShort when b ends
// before it does.
func varint(b []byte) (n, length int, err error) {
	for i, c := range b[:min(len(b), 4)] {
		n |= int(c&0x7f) << (7 * i)
		if c < 0x80 {
			return n, i + 1, nil
		}
	}
	if len(b) >= 4 {
		return 0, 0, errVarint
	}
	return 0, 0, errShort
}

// inbound is a PUBLISH from the cloud. It points into the packet.
type inbound struct {
	topic, properties, payload []byte // properties without their length
	id                         uint16
	qos                        byte
	dup, retain                bool
}

// parsePublish takes apart a PUBLISH: its first byte and what follows the
// fixed header.
func parsePublish(first byte, b []byte) (p inbound, err error) {
	p.qos, p.retain, p.dup = first>>1&3, first&1 != 0, first&8 != 0
	if p.topic, b, err = cutString(b); err != nil || p.qos == 3 {
		return p, errMalformed
	}
	if p.qos > 0 {
		if len(b) < 2 {
			return p, errMalformed
		}
		p.id, b = binary.BigEndian.Uint16(b), b[2:]
		if p.id == 0 {
			return p, errMalformed
		}
	}
	n, l, err := varint(b)
	if err != nil || l+n > len(b) {
		return p, errMalformed
	}
	p.properties, p.payload = b[l:l+n], b[l+n:]
	return p, nil
}

// cutString takes a string or binary field [MQTT 5, 1.5.4] off b.
func cutString(b []byte) (s, rest []byte, err error) {
	if len(b) < 2 || len(b) < 2+int(binary.BigEndian.Uint16(b)) {
		return nil, nil, errShort
	}
	n := 2 + int(binary.BigEndian.Uint16(b))
	return b[2:n], b[n:], nil
}

// property takes the first property of a PUBLISH off b: its identifier, its
// whole form, and for a user property key and value.
func property(b []byte) (id byte, whole, key, value, rest []byte, err error) {
	id, rest = b[0], b[1:]
	switch id {
	case propFormat:
		rest, err = cutBytes(rest, 1)
	case propExpiry:
		rest, err = cutBytes(rest, 4)
	case propAlias:
		rest, err = cutBytes(rest, 2)
	case propSubscription:
		var l int
		if _, l, err = varint(rest); err == nil {
			rest = rest[l:]
		}
	case propContentType, propResponse, propCorrelation:
		value, rest, err = cutString(rest)
	case propUser:
		if key, rest, err = cutString(rest); err == nil {
			value, rest, err = cutString(rest)
		}
	default:
		err = errMalformed
	}
	if err != nil {
		return 0, nil, nil, nil, nil, errMalformed
	}
	return id, b[:len(b)-len(rest)], key, value, rest, nil
}

func cutBytes(b []byte, n int) ([]byte, error) {
	if len(b) < n {
		return nil, errShort
	}
	return b[n:], nil
}

// passOn appends to dst those properties of a PUBLISH that travel with the
// message, and returns its expiry in seconds, 0 for none. A topic alias is an
// error: the gateway announces a Topic Alias Maximum of 0.
func passOn(dst, properties []byte) (kept []byte, expiry uint32, err error) {
	for len(properties) > 0 {
		id, whole, _, _, rest, err := property(properties)
		if err != nil || id == propAlias {
			return nil, 0, errMalformed
		}
		switch id {
		case propExpiry:
			expiry = max(binary.BigEndian.Uint32(whole[1:]), 1)
		case propSubscription:
		default:
			dst = append(dst, whole...)
		}
		properties = rest
	}
	return dst, expiry, nil
}

// own says whether the properties carry an id that this gateway gave.
func own(properties []byte, gateway string) bool {
	if !bytes.Contains(properties, []byte(IDProperty)) {
		return false
	}
	for len(properties) > 0 {
		id, _, key, value, rest, err := property(properties)
		if err != nil {
			return false
		}
		if id == propUser && string(key) == IDProperty && len(value) > len(gateway) &&
			string(value[:len(gateway)]) == gateway && value[len(gateway)] == '/' {
			return true
		}
		properties = rest
	}
	return false
}
