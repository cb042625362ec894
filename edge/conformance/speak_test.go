package conformance

import "fmt"

// pub is a PUBLISH.
type pub struct {
	topic, payload string
	qos            byte
	id             int // 0: the next one
	dup, retain    bool
	props          []byte // MQTT 5 only
}

// start sends a PUBLISH and returns its packet id.
func (c *client) start(p pub) int {
	c.x.Helper()
	if p.qos > 0 && p.id == 0 {
		c.lastID++
		p.id = c.lastID
	}
	c.send(publishPacket(c.v5, p))
	return p.id
}

func publishPacket(v5 bool, p pub) []byte {
	first := byte(publish<<4) | p.qos<<1
	if p.dup {
		first |= 8
	}
	if p.retain {
		first |= 1
	}
	head := str(p.topic)
	if p.qos > 0 {
		head = cat(head, u16(p.id))
	}
	if v5 {
		head = cat(head, varint(len(p.props)), p.props)
	}
	return frame(first, head, []byte(p.payload))
}

// publish sends a PUBLISH and takes all of its acknowledgement. At QoS 0 a ping
// shows that it was taken.
func (c *client) publish(p pub) (reason byte) {
	c.x.Helper()
	id := c.start(p)
	switch p.qos {
	case 0:
		c.nothing()
	case 1:
		ack := c.wantID(puback, id)
		return ack.reason
	case 2:
		if rec := c.wantID(pubrec, id); rec.reason >= 0x80 {
			return rec.reason
		}
		c.ack(pubrel, id)
		c.wantID(pubcomp, id)
	}
	return 0
}

func (c *client) wantID(kind byte, id int) *packet {
	c.x.Helper()
	p := c.want(kind)
	if p.id != id {
		c.x.Fatalf("got %v, want packet id %d", p, id)
	}
	return p
}

// ack sends a PUBACK, PUBREC, PUBREL or PUBCOMP, with a reason perhaps.
func (c *client) ack(kind byte, id int, reason ...byte) {
	c.x.Helper()
	first := kind << 4
	if kind == pubrel {
		first |= 2
	}
	c.send(frame(first, u16(id), reason))
}

// message expects a PUBLISH and acknowledges it.
func (c *client) message(topic, payload string) *packet {
	c.x.Helper()
	p := c.begun(topic, payload)
	switch p.qos {
	case 1:
		c.ack(puback, p.id)
	case 2:
		c.ack(pubrec, p.id)
		c.wantID(pubrel, p.id)
		c.ack(pubcomp, p.id)
	}
	return p
}

// begun expects a PUBLISH and does not acknowledge it.
func (c *client) begun(topic, payload string) *packet {
	c.x.Helper()
	p := c.want(publish)
	if p.topic != topic || string(p.payload) != payload {
		c.x.Fatalf("got %.40q on %q, want %.40q on %q", p.payload, p.topic, payload, topic)
	}
	return p
}

// The subscription options [MQTT 5, 3.8.3.1], besides the QoS.
const (
	noLocal     = 4
	asPublished = 8
	newOnly     = 16 // Retain Handling 1
	noRetained  = 32 // Retain Handling 2
)

type filter struct {
	text string
	opts byte
}

// subscribe subscribes and returns the reasons.
func (c *client) subscribe(list ...filter) []byte {
	c.x.Helper()
	return c.subscribeWith(nil, list...)
}

func (c *client) subscribeWith(props []byte, list ...filter) []byte {
	c.x.Helper()
	c.send(subscribePacket(c.v5, 0x0203, props, list...))
	return c.wantID(suback, 0x0203).reasons
}

func subscribePacket(v5 bool, id int, props []byte, list ...filter) []byte {
	body := u16(id)
	if v5 {
		body = cat(body, varint(len(props)), props)
	}
	for _, f := range list {
		body = cat(body, str(f.text), []byte{f.opts})
	}
	return frame(subscribe<<4|2, body)
}

// unsubscribe unsubscribes and returns the reasons, if there are any.
func (c *client) unsubscribe(list ...string) []byte {
	c.x.Helper()
	c.send(unsubscribePacket(c.v5, 0x0405, list...))
	return c.wantID(unsuback, 0x0405).reasons
}

func unsubscribePacket(v5 bool, id int, list ...string) []byte {
	body := u16(id)
	if v5 {
		body = append(body, 0)
	}
	for _, f := range list {
		body = cat(body, str(f))
	}
	return frame(unsubscribe<<4|2, body)
}

// bye disconnects in good order and waits for the end.
func (c *client) bye() {
	c.x.Helper()
	c.send([]byte{disconnect << 4, 0})
	c.closed()
}

// cut ends the connection without a DISCONNECT.
func (c *client) cut() { c.nc.Close() }

// want fails the test when two values differ.
func want[T comparable](x *exam, what string, got, want T) {
	x.Helper()
	if got != want {
		x.Fatalf("%s: got %v, want %v", what, got, want)
	}
}

func hex(b []byte) string { return fmt.Sprintf("% x", b) }
