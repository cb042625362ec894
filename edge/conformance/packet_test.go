package conformance

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// The packet types [MQTT 5, 2.1.2].
const (
	connect = iota + 1
	connack
	publish
	puback
	pubrec
	pubrel
	pubcomp
	subscribe
	suback
	unsubscribe
	unsuback
	pingreq
	pingresp
	disconnect
	auth
)

var names = []string{"", "CONNECT", "CONNACK", "PUBLISH", "PUBACK", "PUBREC", "PUBREL", "PUBCOMP", "SUBSCRIBE", "SUBACK",
	"UNSUBSCRIBE", "UNSUBACK", "PINGREQ", "PINGRESP", "DISCONNECT", "AUTH"}

// The properties [MQTT 5, 2.2.2.2].
const (
	payloadFormat     = 0x01
	messageExpiry     = 0x02
	contentType       = 0x03
	responseTopic     = 0x08
	correlationData   = 0x09
	subscriptionID    = 0x0b
	sessionExpiry     = 0x11
	assignedID        = 0x12
	serverKeepAlive   = 0x13
	authMethod        = 0x15
	authData          = 0x16
	requestProblem    = 0x17
	willDelay         = 0x18
	requestResponse   = 0x19
	responseInfo      = 0x1a
	serverReference   = 0x1c
	reasonString      = 0x1f
	receiveMaximum    = 0x21
	aliasMaximum      = 0x22
	topicAlias        = 0x23
	maximumQoS        = 0x24
	retainAvailable   = 0x25
	userProperty      = 0x26
	maximumPacketSize = 0x27
	wildcardAvailable = 0x28
	idsAvailable      = 0x29
	sharedAvailable   = 0x2a
)

// forms says how a property's value is written: 1, 2, 4 bytes, (v)arint,
// (s)tring, (b)inary, (p)air.
var forms = map[byte]byte{
	payloadFormat: '1', messageExpiry: '4', contentType: 's', responseTopic: 's', correlationData: 'b', subscriptionID: 'v',
	sessionExpiry: '4', assignedID: 's', serverKeepAlive: '2', authMethod: 's', authData: 'b', requestProblem: '1', willDelay: '4',
	requestResponse: '1', responseInfo: 's', serverReference: 's', reasonString: 's', receiveMaximum: '2', aliasMaximum: '2',
	topicAlias: '2', maximumQoS: '1', retainAvailable: '1', userProperty: 'p', maximumPacketSize: '4', wildcardAvailable: '1',
	idsAvailable: '1', sharedAvailable: '1',
}

// allowed has the properties and reasons that a server may send in each packet.
var allowed = map[byte]struct{ props, reasons []byte }{
	connack: {[]byte{sessionExpiry, receiveMaximum, maximumQoS, retainAvailable, maximumPacketSize, assignedID, aliasMaximum, reasonString,
		userProperty, wildcardAvailable, idsAvailable, sharedAvailable, serverKeepAlive, responseInfo, serverReference, authMethod, authData},
		[]byte{0, 0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x8c, 0x90, 0x95, 0x97, 0x99, 0x9a, 0x9b, 0x9c, 0x9d, 0x9f}},
	publish:  {[]byte{payloadFormat, messageExpiry, contentType, responseTopic, correlationData, subscriptionID, topicAlias, userProperty}, nil},
	puback:   {[]byte{reasonString, userProperty}, []byte{0, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99}},
	pubrec:   {[]byte{reasonString, userProperty}, []byte{0, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99}},
	pubrel:   {[]byte{reasonString, userProperty}, []byte{0, 0x92}},
	pubcomp:  {[]byte{reasonString, userProperty}, []byte{0, 0x92}},
	suback:   {[]byte{reasonString, userProperty}, []byte{0, 1, 2, 0x80, 0x83, 0x87, 0x8f, 0x91, 0x97, 0x9e, 0xa1, 0xa2}},
	unsuback: {[]byte{reasonString, userProperty}, []byte{0, 0x11, 0x80, 0x83, 0x87, 0x8f, 0x91}},
	disconnect: {[]byte{reasonString, userProperty, serverReference}, []byte{0, 0x80, 0x81, 0x82, 0x83, 0x87, 0x89, 0x8b, 0x8d, 0x8e, 0x8f,
		0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99, 0x9a, 0x9b, 0x9c, 0x9d, 0x9e, 0x9f, 0xa0, 0xa1, 0xa2}},
	auth: {[]byte{authMethod, authData, reasonString, userProperty}, []byte{0, 0x18}},
}

// prop is a property; its value is a number, a string, or both strings of a
// pair with "=" between.
type prop struct {
	id   byte
	num  uint32
	text string
}

// packet is what a broker sent.
type packet struct {
	kind, qos     byte
	dup, retain   bool
	present       bool // CONNACK: Session Present
	size          int  // in all, in bytes
	id            int  // packet id; 0: none
	topic         string
	payload       []byte
	reason        byte
	reasons       []byte // SUBACK, UNSUBACK
	props         []prop
	subscriptions []uint32
}

func (p *packet) String() string {
	return fmt.Sprintf("%s (id %d, QoS %d, topic %q, reason %#x %x, %d bytes of payload)", names[p.kind], p.id, p.qos, p.topic, p.reason, p.reasons, len(p.payload))
}

// has returns the number or text of a property.
func (p *packet) has(id byte) (prop, bool) {
	for _, one := range p.props {
		if one.id == id {
			return one, true
		}
	}
	return prop{}, false
}

// num returns the number of a property, 0 when it is not there.
func (p *packet) num(id byte) int {
	one, _ := p.has(id)
	return int(one.num)
}

// reader takes a packet apart; the first error stays.
type reader struct {
	b   []byte
	err error
}

func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf(format, args...)
	}
}

func (r *reader) take(n int) []byte {
	if r.err != nil || n > len(r.b) {
		r.fail("packet cut off")
		return make([]byte, n)
	}
	out := r.b[:n]
	r.b = r.b[n:]
	return out
}

func (r *reader) one() byte { return r.take(1)[0] }
func (r *reader) two() int  { return int(binary.BigEndian.Uint16(r.take(2))) }

func (r *reader) text() string {
	s := string(r.take(r.two()))
	if !utf8.ValidString(s) || strings.Contains(s, "\x00") {
		r.fail("not a string: %q [MQTT-1.5.4-1]", s)
	}
	return s
}

func (r *reader) varint() int {
	n := 0
	for i := range 4 {
		b := r.one()
		n |= int(b&127) << (7 * i)
		if b < 128 {
			if b == 0 && i > 0 {
				r.fail("varint longer than need be [MQTT-1.5.5-1]")
			}
			return n
		}
	}
	r.fail("varint of more than 4 bytes")
	return 0
}

// properties reads a property list that the kind of packet may have.
func (r *reader) properties(p *packet) {
	list := reader{b: r.take(r.varint())}
	for len(list.b) > 0 && list.err == nil {
		one := prop{id: list.one()}
		if !slices.Contains(allowed[p.kind].props, one.id) {
			list.fail("property %#x in %s", one.id, names[p.kind])
		}
		if _, twice := p.has(one.id); twice && one.id != userProperty && one.id != subscriptionID {
			list.fail("property %#x twice", one.id)
		}
		switch forms[one.id] {
		case '1':
			one.num = uint32(list.one())
		case '2':
			one.num = uint32(list.two())
		case '4':
			one.num = binary.BigEndian.Uint32(list.take(4))
		case 'v':
			one.num = uint32(list.varint())
		case 's':
			one.text = list.text()
		case 'b':
			one.text = string(list.take(list.two()))
		case 'p':
			one.text = list.text() + "=" + list.text()
		}
		if one.id == subscriptionID {
			p.subscriptions = append(p.subscriptions, one.num)
		}
		p.props = append(p.props, one)
	}
	if r.err == nil {
		r.err = list.err
	}
	slices.Sort(p.subscriptions)
}

// parse reads a packet of a server and finds whatever is wrong with it.
func parse(first byte, body []byte, v5 bool) (*packet, error) {
	p, r := &packet{kind: first >> 4}, &reader{b: body}
	if p.kind == publish {
		p.dup, p.qos, p.retain = first&8 != 0, first>>1&3, first&1 != 0
		if p.qos == 3 || p.qos == 0 && p.dup {
			r.fail("flags of PUBLISH %#x [MQTT-3.3.1-2, 3.3.1-4]", first)
		}
	} else if want := byte(0); p.kind == pubrel && first&15 != 2 || p.kind != pubrel && first&15 != want {
		r.fail("first byte %#x [MQTT-2.1.3-1]", first)
	}
	switch p.kind {
	case connack:
		flags := r.one()
		p.present, p.reason = flags&1 != 0, r.one()
		if flags > 1 {
			r.fail("CONNACK flags %#x [MQTT-3.2.2-1]", flags)
		}
		if v5 {
			r.properties(p)
		}
	case publish:
		p.topic = r.text()
		if strings.ContainsAny(p.topic, "+#") {
			r.fail("wildcard in %q [MQTT-3.3.2-2]", p.topic)
		}
		if p.qos > 0 {
			p.packetID(r)
		}
		if v5 {
			r.properties(p)
		}
		p.payload, r.b = r.b, nil
	case puback, pubrec, pubrel, pubcomp:
		p.packetID(r)
		if v5 && len(r.b) > 0 {
			p.reason = r.one()
		}
		if v5 && len(r.b) > 0 {
			r.properties(p)
		}
	case suback, unsuback:
		p.packetID(r)
		if v5 {
			r.properties(p)
		}
		if v5 || p.kind == suback {
			p.reasons, r.b = r.b, nil
		}
	case pingresp:
	case disconnect, auth:
		if !v5 {
			r.fail("%s before MQTT 5", names[p.kind])
		}
		if len(r.b) > 0 {
			p.reason = r.one()
		}
		if len(r.b) > 0 {
			r.properties(p)
		}
	default:
		r.fail("a server does not send packet type %d", p.kind)
	}
	if len(r.b) > 0 && r.err == nil {
		r.fail("%d bytes left in %s", len(r.b), names[p.kind])
	}
	p.checkReasons(r, v5)
	return p, r.err
}

func (p *packet) packetID(r *reader) {
	if p.id = r.two(); p.id == 0 {
		r.fail("packet id 0 in %s [MQTT-2.2.1-4]", names[p.kind])
	}
}

func (p *packet) checkReasons(r *reader, v5 bool) {
	if p.kind == publish || p.kind == pingresp {
		return
	}
	table := allowed[p.kind].reasons
	switch {
	case !v5 && p.kind == connack:
		table = []byte{0, 1, 2, 3, 4, 5}
	case !v5:
		table = []byte{0, 1, 2, 0x80}
	}
	for _, reason := range append([]byte{p.reason}, p.reasons...) {
		if !slices.Contains(table, reason) {
			r.fail("reason %#x in %s", reason, names[p.kind])
		}
	}
}

// Parts of packets.

func u16(n int) []byte { return []byte{byte(n >> 8), byte(n)} }
func u32(n int) []byte { return binary.BigEndian.AppendUint32(nil, uint32(n)) }

func str[T string | []byte](s T) []byte { return append(u16(len(s)), s...) }

func cat(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

func varint(n int) (b []byte) {
	for ; n >= 128; n >>= 7 {
		b = append(b, byte(n)|128)
	}
	return append(b, byte(n))
}

// frame puts a fixed header before a body.
func frame(first byte, parts ...[]byte) []byte {
	body := cat(parts...)
	return cat([]byte{first}, varint(len(body)), body)
}

// num and text are properties.
func num(id byte, n int) []byte {
	switch forms[id] {
	case '1':
		return []byte{id, byte(n)}
	case '2':
		return cat([]byte{id}, u16(n))
	case '4':
		return cat([]byte{id}, u32(n))
	}
	return cat([]byte{id}, varint(n))
}

func text(id byte, s ...string) []byte {
	out := []byte{id}
	for _, one := range s {
		out = append(out, str(one)...)
	}
	return out
}
