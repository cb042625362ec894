package conformance

import "fmt"

var qosChecks = []check{
	{"4.3.2-5", "45", "QoS 1: the packet id is free after PUBACK", func(x *exam) {
		s, p := x.client("s"), x.client("p")
		s.subscribe(filter{x.topic("t"), 0})
		for _, dup := range []bool{false, true, true} {
			p.publish(pub{topic: x.topic("t"), payload: "x", qos: 1, id: 7, dup: dup})
			s.message(x.topic("t"), "x")
		}
	}},
	{"4.3.3-10 4.3.3-12 3.6.2-1 3.7.2-1", "45", "QoS 2: not twice before PUBREL", func(x *exam) {
		s, p := x.client("s"), x.client("p")
		s.subscribe(filter{x.topic("t"), 0})
		for range 2 {
			for i := range 3 {
				p.start(pub{topic: x.topic("t"), payload: "x", qos: 2, id: 7, dup: i > 0})
				p.wantID(pubrec, 7)
			}
			p.ack(pubrel, 7)
			p.wantID(pubcomp, 7)
			s.message(x.topic("t"), "x")
			s.nothing()
		}
	}},
	{"4.3.3-10 4.4.0-1", "45", "QoS 2: not twice over connections", func(x *exam) {
		s := x.client("s")
		s.subscribe(filter{x.topic("t"), 0})
		p, _ := x.session("p")
		p.start(pub{topic: x.topic("t"), payload: "x", qos: 2, id: 7})
		p.wantID(pubrec, 7)
		for _, end := range []func(){p.cut, func() {}, func() { p.bye() }} {
			end()
			var ack *packet
			p, ack = x.session("p")
			want(x, "Session Present", ack.present, true)
			p.start(pub{topic: x.topic("t"), payload: "x", qos: 2, id: 7, dup: true})
			p.wantID(pubrec, 7)
		}
		p.ack(pubrel, 7)
		p.wantID(pubcomp, 7)
		s.message(x.topic("t"), "x")
		s.nothing()
	}},
	{"4.3.3-11 3.7.2-1", "45", "PUBREL of an unknown packet id", func(x *exam) {
		p := x.client("p")
		p.ack(pubrel, 99)
		got := p.wantID(pubcomp, 99)
		if x.v5 && *broker == "" { // others may say 0x00
			want(x, "reason", got.reason, 0x92)
		}
	}},
	{"4.3.3-4 4.3.3-5 3.6.2-1", "45", "QoS 2: PUBREL after PUBREC", func(x *exam) {
		s, p := x.client("s"), x.client("p")
		s.subscribe(filter{x.topic("t"), 2})
		p.publish(pub{topic: x.topic("t"), payload: "x", qos: 2})
		got := s.begun(x.topic("t"), "x")
		s.ack(pubrec, got.id)
		want(x, "reason", s.wantID(pubrel, got.id).reason, 0)
		s.ack(pubcomp, got.id)
		s.nothing()
		if x.v5 && *broker == "" { // others may say 0x00
			s.ack(pubrec, 999)
			want(x, "reason", s.wantID(pubrel, 999).reason, 0x92)
		}
	}},
	{"4.3.2-3 4.3.3-3 4.3.3-5 4.3.3-6 4.4.0-1 3.3.1-1 2.2.1-4", "45", "sent again", func(x *exam) {
		s, _ := x.session("s")
		s.subscribe(filter{x.topic("t"), 2})
		p := x.client("p")
		for i := range 4 {
			p.publish(pub{topic: x.topic("t"), payload: fmt.Sprint(i), qos: 1 + byte(i%2)})
		}
		var first []*packet
		ids := map[int]bool{}
		for i := range 4 {
			got := s.begun(x.topic("t"), fmt.Sprint(i))
			first, ids[got.id] = append(first, got), true
		}
		want(x, "different packet ids", len(ids), 4)
		s.ack(pubrec, first[3].id)
		s.wantID(pubrel, first[3].id)
		s.ack(puback, first[0].id)
		s.nothing() // nothing is sent again on the same connection
		for range 2 {
			s.cut()
			s, _ = x.session("s")
			for i, old := range first[1:] {
				if i == 2 {
					s.wantID(pubrel, old.id)
					continue
				}
				again := s.begun(x.topic("t"), string(old.payload))
				want(x, "packet id", again.id, old.id)
				want(x, "DUP", again.dup, true)
				want(x, "QoS", again.qos, old.qos)
			}
			s.nothing()
		}
		s.ack(pubcomp, first[3].id)
		s.ack(pubrec, first[1].id)
		s.wantID(pubrel, first[1].id)
		s.ack(puback, first[2].id)
		s.ack(pubcomp, first[1].id)
		s.nothing()
		s.cut()
		s, _ = x.session("s")
		s.nothing()
	}},
	{"4.4.0-2 4.3.3-9", "5", "refused by the receiver", func(x *exam) {
		s, _ := x.session("s")
		s.subscribe(filter{x.topic("t"), 2})
		p := x.client("p")
		for qos := byte(1); qos < 3; qos++ {
			p.publish(pub{topic: x.topic("t"), payload: "x", qos: qos})
			got := s.begun(x.topic("t"), "x")
			s.ack(map[byte]byte{1: puback, 2: pubrec}[qos], got.id, 0x80)
			s.nothing()
		}
		s.cut()
		s, _ = x.session("s")
		s.nothing()
	}},
	{"2.2.1-5 2.2.1-4", "45", "packet ids of the two directions", func(x *exam) {
		c, p := x.client("c"), x.client("p")
		c.subscribe(filter{x.topic("t"), 2})
		p.publish(pub{topic: x.topic("t"), payload: "x", qos: 2})
		got := c.begun(x.topic("t"), "x")
		for qos := byte(1); qos < 3; qos++ {
			c.publish(pub{topic: x.topic("other"), qos: qos, id: got.id}) // the same id the other way
		}
		c.start(pub{topic: x.topic("other"), qos: 2, id: got.id}) // and two exchanges, step by step
		c.wantID(pubrec, got.id)
		c.ack(pubrec, got.id)
		want(x, "PUBREL's reason", c.wantID(pubrel, got.id).reason, 0)
		c.ack(pubrel, got.id)
		want(x, "PUBCOMP's reason", c.wantID(pubcomp, got.id).reason, 0)
		c.ack(pubcomp, got.id)
		c.nothing()
	}},
	{"4.3.3-7 4.3.3-13", "5", "expired after it was sent", func(x *exam) {
		s, _ := x.session("s")
		s.subscribe(filter{x.topic("t"), 2})
		p := x.client("p")
		p.publish(pub{topic: x.topic("t"), payload: "x", qos: 2, props: num(messageExpiry, 1)})
		got := s.begun(x.topic("t"), "x")
		p.start(pub{topic: x.topic("other"), payload: "x", qos: 2, id: 7, props: num(messageExpiry, 1)})
		p.wantID(pubrec, 7)
		x.pass(2100)
		p.ack(pubrel, 7)
		p.wantID(pubcomp, 7)
		s.ack(pubrec, got.id)
		s.wantID(pubrel, got.id)
		s.ack(pubcomp, got.id)
		s.nothing()
	}},
	{"4.3.3-7 4.4.0-1", "5", "expired while its client was away, after it was sent", func(x *exam) {
		s, _ := x.session("s")
		s.subscribe(filter{x.topic("t"), 2})
		p := x.client("p")
		p.publish(pub{topic: x.topic("t"), payload: "x", qos: 2, props: num(messageExpiry, 1)})
		got := s.begun(x.topic("t"), "x")
		s.cut()
		x.pass(2100)
		s, _ = x.session("s")
		again := s.begun(x.topic("t"), "x")
		want(x, "packet id", again.id, got.id)
		want(x, "DUP", again.dup, true)
		s.ack(pubrec, got.id)
		s.wantID(pubrel, got.id)
		s.ack(pubcomp, got.id)
		s.nothing()
	}},
}
