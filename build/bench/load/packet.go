package load

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Packet types, as in the upper half of the first byte [MQTT 5, 2.1.2].
const (
	connect     = 1
	connack     = 2
	publish     = 3
	puback      = 4
	pubrec      = 5
	pubrel      = 6
	pubcomp     = 7
	subscribe   = 8
	suback      = 9
	unsubscribe = 10
	unsuback    = 11
	pingreq     = 12
	pingresp    = 13
	disconnect  = 14
	auth        = 15
)

// Versions of the protocol, as in CONNECT's Protocol Version.
const (
	MQTT311 = 4
	MQTT5   = 5
)

var (
	errIncomplete = errors.New("incomplete packet")
	errMalformed  = errors.New("malformed packet")
)

// packet is one parsed packet. Its slices point into the read buffer.
type packet struct {
	kind    byte
	flags   byte   // lower half of the first byte; of PUBLISH: DUP, QoS, RETAIN
	id      uint16 // packet identifier, 0 when the kind has none
	reason  byte   // return or reason code; of SUBACK the worst
	present bool   // Session Present of CONNACK
	topic   []byte
	props   []byte // properties without their length; nil for 3.1.1
	payload []byte // of CONNECT, SUBSCRIBE and other kinds not taken apart: what follows the properties
}

func (p *packet) qos() byte { return p.flags >> 1 & 3 }
func (p *packet) dup() bool { return p.flags&8 != 0 }

// frame finds the first packet in b: the length of its fixed header and of all
// of it. errIncomplete when b ends before it.
func frame(b []byte) (header, total int, err error) {
	length := 0
	for i := 1; i <= 4; i++ {
		if i >= len(b) {
			return 0, 0, errIncomplete
		}
		length |= int(b[i]&0x7f) << (7 * (i - 1))
		if b[i]&0x80 == 0 {
			header, total = i+1, i+1+length
			if total > len(b) {
				return header, total, errIncomplete
			}
			return header, total, nil
		}
	}
	return 0, 0, errMalformed
}

// parse takes the first packet of b apart for the given protocol version and
// returns its size in bytes.
func parse(b []byte, version byte, p *packet) (size int, err error) {
	header, total, err := frame(b)
	if err != nil {
		return total, err
	}
	*p = packet{kind: b[0] >> 4, flags: b[0] & 15}
	d := decoder{b: b[header:total], ok: true}
	switch p.kind {
	case publish:
		if p.qos() == 3 {
			d.ok = false
		}
		p.topic = d.str()
		if p.qos() > 0 {
			p.id = d.nonZero()
		}
		if version == MQTT5 {
			p.props = d.properties()
		}
		p.payload = d.b
	case connack:
		p.present = d.byte()&1 != 0
		p.reason = d.byte()
		if version == MQTT5 && len(d.b) > 0 {
			p.props = d.properties()
		}
	case puback, pubrec, pubrel, pubcomp:
		p.id = d.nonZero()
		if version == MQTT5 && len(d.b) > 0 {
			p.reason = d.byte()
		}
	case suback, unsuback:
		p.id = d.nonZero()
		if version == MQTT5 {
			p.props = d.properties()
		}
		p.payload = d.b
		for _, code := range d.b {
			p.reason = max(p.reason, code)
		}
	case subscribe, unsubscribe:
		p.id = d.nonZero()
		if version == MQTT5 {
			p.props = d.properties()
		}
		p.payload = d.b
	case disconnect, auth:
		if version == MQTT5 && len(d.b) > 0 {
			p.reason = d.byte()
		}
	case pingreq, pingresp:
	case connect:
		p.payload = d.b
	default:
		d.ok = false
	}
	if !d.ok {
		return total, fmt.Errorf("%w of type %d", errMalformed, p.kind)
	}
	return total, nil
}

// decoder reads fields off the front of b; ok turns false at the first that
// does not fit, and what follows is zero.
type decoder struct {
	b  []byte
	ok bool
}

func (d *decoder) take(n int) []byte {
	if n > len(d.b) {
		d.b, d.ok = nil, false
		return nil
	}
	field := d.b[:n:n]
	d.b = d.b[n:]
	return field
}

func (d *decoder) byte() byte {
	if f := d.take(1); f != nil {
		return f[0]
	}
	return 0
}

func (d *decoder) uint16() uint16 {
	if f := d.take(2); f != nil {
		return binary.BigEndian.Uint16(f)
	}
	return 0
}

func (d *decoder) nonZero() uint16 {
	n := d.uint16()
	d.ok = d.ok && n != 0
	return n
}

func (d *decoder) str() []byte { return d.take(int(d.uint16())) }

func (d *decoder) varint() int {
	n := 0
	for i := range 4 {
		c := d.byte()
		n |= int(c&0x7f) << (7 * i)
		if c&0x80 == 0 {
			return n
		}
	}
	d.ok = false
	return 0
}

func (d *decoder) properties() []byte { return d.take(d.varint()) }

// Property identifiers used here [MQTT 5, 2.2.2.2].
const (
	propSessionExpiry = 0x11
	propReceiveMax    = 0x21
	propUser          = 0x26
)

// propertyForm says how a property's value is laid out: its size in bytes, 0
// for a string or binary data, -1 for a variable byte integer, -2 for a pair of
// strings. Identifiers not in the table are malformed.
var propertyForm = map[byte]int{
	0x01: 1, 0x02: 4, 0x03: 0, 0x08: 0, 0x09: 0, 0x0b: -1, 0x11: 4, 0x12: 0, 0x13: 2, 0x15: 0, 0x16: 0, 0x17: 1,
	0x18: 4, 0x19: 1, 0x1a: 0, 0x1c: 0, 0x1f: 0, 0x21: 2, 0x22: 2, 0x23: 2, 0x24: 1, 0x25: 1, 0x26: -2, 0x27: 4,
	0x28: 1, 0x29: 1, 0x2a: 1,
}

// property reads one property. value is the number of a numeric one; data the
// string, the binary data or the key of a pair, and second the pair's value.
func (d *decoder) property() (id byte, value uint32, data, second []byte) {
	id = d.byte()
	form, known := propertyForm[id]
	switch {
	case !known:
		d.b, d.ok = nil, false
	case form > 0:
		for _, c := range d.take(form) {
			value = value<<8 | uint32(c)
		}
	case form == 0:
		data = d.str()
	case form == -1:
		value = uint32(d.varint())
	default:
		data, second = d.str(), d.str()
	}
	return id, value, data, second
}
