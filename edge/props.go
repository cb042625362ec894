package edge

import (
	"encoding/binary"
	"unicode/utf8"

	"github.com/mochi-mqtt/server/v2/packets"
)

// The forms of property values [MQTT 5, 2.2.2.2].
const (
	propByte = iota + 1
	propTwo
	propFour
	propVarint
	propText
	propBinary
	propPair
)

// propRule says what one property looks like and which packets may carry it.
type propRule struct {
	form    byte
	packets uint32 // bit per packet type; bit 0 stands for the will
	nonZero bool   // the value 0 is a protocol error
	boolean bool   // only 0 and 1 are allowed
	many    bool   // may come more than once
}

const willBit = 1

func bits(kinds ...byte) (set uint32) {
	for _, k := range kinds {
		set |= 1 << k
	}
	return set
}

// propRules has the properties that a client may send. mochi's decoder, which
// reads them after us, neither sees one given twice nor a forbidden value, and
// reads on beyond their end.
var propRules = [packets.PropSharedSubAvailable + 1]propRule{
	packets.PropPayloadFormat:          {form: propByte, packets: bits(packets.Publish) | willBit, boolean: true},
	packets.PropMessageExpiryInterval:  {form: propFour, packets: bits(packets.Publish) | willBit},
	packets.PropContentType:            {form: propText, packets: bits(packets.Publish) | willBit},
	packets.PropResponseTopic:          {form: propText, packets: bits(packets.Publish) | willBit},
	packets.PropCorrelationData:        {form: propBinary, packets: bits(packets.Publish) | willBit},
	packets.PropSubscriptionIdentifier: {form: propVarint, packets: bits(packets.Subscribe), nonZero: true},
	packets.PropSessionExpiryInterval:  {form: propFour, packets: bits(packets.Connect, packets.Disconnect)},
	packets.PropAuthenticationMethod:   {form: propText, packets: bits(packets.Connect, packets.Auth)},
	packets.PropAuthenticationData:     {form: propBinary, packets: bits(packets.Connect, packets.Auth)},
	packets.PropRequestProblemInfo:     {form: propByte, packets: bits(packets.Connect), boolean: true},
	packets.PropWillDelayInterval:      {form: propFour, packets: willBit},
	packets.PropRequestResponseInfo:    {form: propByte, packets: bits(packets.Connect), boolean: true},
	packets.PropReasonString:           {form: propText, packets: bits(packets.Puback, packets.Pubrec, packets.Pubrel, packets.Pubcomp, packets.Disconnect, packets.Auth)},
	packets.PropReceiveMaximum:         {form: propTwo, packets: bits(packets.Connect), nonZero: true},
	packets.PropTopicAliasMaximum:      {form: propTwo, packets: bits(packets.Connect)},
	packets.PropTopicAlias:             {form: propTwo, packets: bits(packets.Publish)},
	packets.PropUser:                   {form: propPair, packets: ^uint32(0), many: true},
	packets.PropMaximumPacketSize:      {form: propFour, packets: bits(packets.Connect), nonZero: true},
}

// property is one property as on the wire.
type property struct {
	id   byte
	num  uint32 // value of the forms byte, two, four and varint
	data []byte // value of the other forms
	raw  []byte // the whole property
}

// properties walks a list of properties.
type properties struct {
	rest []byte
	kind uint32 // bit of the packet type
	seen uint64 // bit per property
}

// cutProperties takes the property length and the properties off the front of
// b. kind is a packet type, 0 for the will.
func cutProperties(b []byte, kind byte) (list properties, rest []byte, err error) {
	n, used := varint(b)
	if used == 0 || n > len(b)-used {
		return list, nil, packets.ErrMalformedProperties
	}
	return properties{rest: b[used : used+n], kind: 1 << kind}, b[used+n:], nil
}

// varint reads a Variable Byte Integer [MQTT 5, 1.5.5]; used is 0 when b does
// not begin with one.
func varint(b []byte) (n, used int) {
	for used < min(len(b), 4) {
		n |= int(b[used]&127) << (7 * used)
		used++
		if b[used-1] < 128 {
			return n, used
		}
	}
	return 0, 0
}

// next returns the next property, checked against its rule; ok is false at the
// end.
func (l *properties) next() (p property, ok bool, err error) {
	if len(l.rest) == 0 {
		return p, false, nil
	}
	p.id = l.rest[0]
	if int(p.id) >= len(propRules) || propRules[p.id].packets&l.kind == 0 {
		return p, false, packets.ErrProtocolViolationUnsupportedProperty
	}
	rule := &propRules[p.id]
	if l.seen&(1<<p.id) != 0 && !rule.many {
		return p, false, packets.ErrProtocolViolation
	}
	l.seen |= 1 << p.id
	used, err := p.decode(rule.form, l.rest[1:])
	if err != nil {
		return p, false, err
	}
	if rule.nonZero && p.num == 0 || rule.boolean && p.num > 1 {
		return p, false, packets.ErrProtocolViolation
	}
	p.raw, l.rest = l.rest[:1+used], l.rest[1+used:]
	return p, true, nil
}

func (p *property) decode(form byte, b []byte) (used int, err error) {
	switch form {
	case propByte:
		used = 1
		if len(b) >= used {
			p.num = uint32(b[0])
		}
	case propTwo:
		used = 2
		if len(b) >= used {
			p.num = uint32(binary.BigEndian.Uint16(b))
		}
	case propFour:
		used = 4
		if len(b) >= used {
			p.num = binary.BigEndian.Uint32(b)
		}
	case propVarint:
		var n int
		if n, used = varint(b); used == 0 {
			return 0, packets.ErrMalformedProperties
		}
		p.num = uint32(n)
	default:
		return p.decodeData(form, b)
	}
	if used > len(b) {
		return 0, packets.ErrMalformedProperties
	}
	return used, nil
}

func (p *property) decodeData(form byte, b []byte) (used int, err error) {
	parts := 1
	if form == propPair {
		parts = 2
	}
	for range parts {
		if len(b) < used+2 {
			return 0, packets.ErrMalformedProperties
		}
		n := int(binary.BigEndian.Uint16(b[used:]))
		if len(b) < used+2+n {
			return 0, packets.ErrMalformedProperties
		}
		p.data = b[used+2 : used+2+n]
		if form != propBinary && !validText(p.data) {
			return 0, packets.ErrMalformedInvalidUTF8
		}
		used += 2 + n
	}
	return used, nil
}

// validText says whether b is an MQTT string [MQTT 5, 1.5.4].
func validText(b []byte) bool {
	if !utf8.Valid(b) {
		return false
	}
	for _, c := range b {
		if c == 0 {
			return false
		}
	}
	return true
}

// checkProperties walks to the end of the properties at the front of b.
func checkProperties(b []byte, kind byte) (rest []byte, err error) {
	list, rest, err := cutProperties(b, kind)
	for ok := err == nil; ok; {
		_, ok, err = list.next()
	}
	return rest, err
}
