package conformance

import (
	"fmt"
	"time"
)

// pass lets the time pass that is measured in whole seconds on the wire.
func (x *exam) pass(milliseconds int) { time.Sleep(time.Duration(milliseconds) * time.Millisecond) }

var sessionChecks = []check{
	{"3.1.2-23 4.1.0-1", "45", "kept", func(x *exam) {
		c, _ := x.session("c")
		c.subscribe(filter{x.topic("t"), 1})
		c.cut()
		c, ack := x.session("c")
		want(x, "Session Present", ack.present, true)
		x.client("p").publish(pub{topic: x.topic("t"), payload: "x", qos: 1})
		c.message(x.topic("t"), "x")
	}},
	{"4.1.0-2 3.1.2-23", "5", "expired", func(x *exam) {
		c, _ := x.connect(hello{id: x.id("c"), keep: true, props: num(sessionExpiry, 1)})
		c.subscribe(filter{x.topic("t"), 1})
		c.bye()
		none, _ := x.connect(hello{id: x.id("none"), keep: true}) // no expiry: ends at once
		none.bye()
		_, ack := x.connect(hello{id: x.id("none"), keep: true})
		want(x, "Session Present without an expiry", ack.present, false)
		deadline := time.Now().Add(patience)
		for x.pass(2000); ; x.pass(500) {
			c, ack = x.connect(hello{id: x.id("c"), keep: true, props: num(sessionExpiry, 1)})
			if !ack.present {
				break
			}
			if time.Now().After(deadline) {
				x.Fatal("the session does not end")
			}
			c.bye()
			x.pass(1000)
		}
		x.client("p").publish(pub{topic: x.topic("t"), qos: 1})
		c.nothing()
	}},
	{"4.1.0-2 3.1.2-23", "5", "expiry changed by DISCONNECT", func(x *exam) {
		c, _ := x.session("c")
		c.send(frame(disconnect<<4, []byte{0}, varint(5), num(sessionExpiry, 0)))
		c.closed()
		_, ack := x.session("c")
		want(x, "Session Present", ack.present, false)
		c, _ = x.connect(hello{id: x.id("d"), keep: true, props: num(sessionExpiry, 1)})
		c.send(frame(disconnect<<4, []byte{0}, varint(5), num(sessionExpiry, 300)))
		c.closed()
		x.pass(2500)
		_, ack = x.session("d")
		want(x, "Session Present", ack.present, true)
	}},
	{"4.1.0-1 3.1.4-3", "45", "takeover keeps the session", func(x *exam) {
		old, _ := x.session("c")
		old.subscribe(filter{x.topic("t"), 2})
		p := x.client("p")
		p.publish(pub{topic: x.topic("t"), payload: "x", qos: 2})
		first := old.begun(x.topic("t"), "x")
		c, ack := x.session("c")
		want(x, "Session Present", ack.present, true)
		again := c.begun(x.topic("t"), "x")
		want(x, "packet id", again.id, first.id)
		want(x, "DUP", again.dup, true)
		old.closed(0x8e)
		c.ack(pubrec, again.id)
		c.wantID(pubrel, again.id)
		c.ack(pubcomp, again.id)
		c.nothing()
	}},
}

var limitChecks = []check{
	{"3.3.4-9 3.3.4-10 4.9.0-1 4.9.0-2 4.9.0-3", "5", "the client's Receive Maximum", func(x *exam) {
		s, _ := x.session("s", num(receiveMaximum, 2))
		s.subscribe(filter{x.topic("t"), 2})
		p := x.client("p")
		for _, payload := range []string{"0", "1", "2", "3", "4"} {
			p.publish(pub{topic: x.topic("t"), payload: payload, qos: 2})
		}
		one, two := s.begun(x.topic("t"), "0"), s.begun(x.topic("t"), "1")
		s.nothing() // a ping is answered all the same
		s.subscribe(filter{x.topic("other"), 2})
		p.publish(pub{topic: x.topic("other"), payload: "q0"})
		s.message(x.topic("other"), "q0") // QoS 0 does not count
		s.ack(pubrec, one.id)
		s.wantID(pubrel, one.id)
		s.nothing() // it counts until PUBCOMP
		s.ack(pubcomp, one.id)
		three := s.begun(x.topic("t"), "2")
		s.ack(pubrec, two.id, 0x80) // a refusal makes room
		four := s.begun(x.topic("t"), "3")
		s.nothing()
		for _, open := range []*packet{three, four} {
			s.ack(pubrec, open.id)
			s.wantID(pubrel, open.id)
		}
		s.ack(pubcomp, three.id)
		s.message(x.topic("t"), "4")
	}},
	{"3.3.4-7 4.13.1-1", "5", "the server's Receive Maximum", func(x *exam) {
		p, ack := x.connect(hello{id: x.id("p")})
		most := ack.num(receiveMaximum)
		if most == 0 {
			return // 65,535: all packet ids
		}
		for i := range most + 1 {
			p.start(pub{topic: x.topic("t"), qos: 2, id: 1 + i})
		}
		for range most {
			if got, err := p.read(); err != nil || got.kind != pubrec {
				x.Fatalf("got %v, %v, want PUBREC", got, err)
			}
		}
		p.closed(0x93)
	}},
	{"3.1.2-24 3.1.2-25", "5", "the client's Maximum Packet Size", func(x *exam) {
		s, _ := x.session("s", num(maximumPacketSize, 100))
		s.most = 100
		p := x.client("p")
		s.subscribe(filter{x.topic("t"), 2})
		for qos := range byte(3) {
			p.publish(pub{topic: x.topic("t"), payload: longText(100), qos: qos})
			p.publish(pub{topic: x.topic("t"), payload: "small", qos: qos})
			s.message(x.topic("t"), "small")
		}
		p.publish(pub{topic: x.topic("t"), payload: "x", qos: 1, props: text(userProperty, "k", longText(100))})
		fits := 100 - 2 - 2 - len(x.topic("t")) - 2 - 1
		p.publish(pub{topic: x.topic("t"), payload: longText(fits), qos: 1})
		s.message(x.topic("t"), longText(fits))
		p.publish(pub{topic: x.topic("t"), payload: longText(fits + 1), qos: 1})
		s.nothing()
	}},
	{"3.1.2-24", "5", "answers within the Maximum Packet Size", func(x *exam) {
		c := x.dial()
		c.most = 30
		c.send(hello{props: num(maximumPacketSize, 30)}.bytes(x)) // the assigned id makes the CONNACK long
		c.read()
		var many []filter
		for i := range 60 {
			many = append(many, filter{x.topic(string(rune('A' + i))), 0})
		}
		c, _ = x.connect(hello{id: x.id("c"), props: num(maximumPacketSize, 60)})
		c.most = 60
		c.send(subscribePacket(true, 3, nil, many...))
		c.read()
	}},
	{"3.1.2-24 3.1.2-26", "5", "aliases within the Maximum Packet Size", func(x *exam) {
		s, _ := x.connect(hello{id: x.id("s"), props: cat(num(maximumPacketSize, 100), num(aliasMaximum, 10))})
		s.most = 100
		s.subscribe(filter{x.topic("#"), 0})
		p := x.client("p")
		for i := range 10 { // without an alias the longest has 100 bytes, which would be too many with one
			topic := x.topic(fmt.Sprint("t", i))
			n := 100 - 2 - 2 - len(topic) - 1 - i
			p.publish(pub{topic: topic, payload: longText(n)})
			s.message(topic, longText(n))
		}
	}},
	{"3.2.2-15 4.13.1-1", "5", "the server's Maximum Packet Size", func(x *exam) {
		c, ack := x.connect(hello{id: x.id("c")})
		most := ack.num(maximumPacketSize)
		if most == 0 {
			return // any
		}
		c.send(cat([]byte{publish << 4}, varint(most), make([]byte, 1000)))
		c.closed(0x95)
	}},
	{"3.3.4-1", "45", "a large message", func(x *exam) {
		s, p := x.client("s"), x.client("p")
		s.subscribe(filter{x.topic("t"), 2})
		for qos := range byte(3) {
			for _, n := range []int{0, 100, 127, 128, 16383 - 30, 16384, 70_000, 900_000} {
				p.publish(pub{topic: x.topic("t"), payload: longText(n), qos: qos})
				s.message(x.topic("t"), longText(n))
			}
		}
	}},
}
