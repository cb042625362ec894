package conformance

import (
	"fmt"
	"slices"
)

var subscribeChecks = []check{
	{"3.8.4-1 3.8.4-2 3.8.4-6 3.8.4-7 3.9.3-1 3.9.3-2 2.2.1-6 3.8.4-5", "45", "SUBACK", func(x *exam) {
		c := x.client("c")
		for _, id := range []int{1, 256, 65535} {
			c.send(subscribePacket(x.v5, id, nil, filter{x.topic("a"), 2}, filter{x.topic("b"), 0}, filter{x.topic("c/#"), 1}))
			if got := hex(c.wantID(suback, id).reasons); got != "02 00 01" {
				x.Fatalf("reasons %s", got)
			}
		}
	}},
	{"3.8.4-3 3.8.4-4", "45", "subscribed again", func(x *exam) {
		p, s := x.client("p"), x.client("s")
		p.publish(pub{topic: x.topic("t"), payload: "kept", qos: 1, retain: true})
		s.subscribe(filter{x.topic("t"), 2})
		s.message(x.topic("t"), "kept")
		s.subscribe(filter{x.topic("t"), 0})
		want(x, "QoS", s.message(x.topic("t"), "kept").qos, 0)
		p.publish(pub{topic: x.topic("t"), payload: "x", qos: 2})
		want(x, "QoS", s.message(x.topic("t"), "x").qos, 0)
		s.nothing() // one subscription
	}},
	{"3.8.4-4", "45", "nothing lost while subscribing again", func(x *exam) {
		p, s := x.client("p"), x.client("s")
		s.subscribe(filter{x.topic("t"), 1})
		for i := range 50 {
			p.start(pub{topic: x.topic("t"), payload: fmt.Sprint(i), qos: 1})
			s.send(subscribePacket(x.v5, 5, nil, filter{x.topic("t"), 1}))
		}
		acks := 0
		for i := 0; i < 50 || acks < 50; {
			switch got, err := s.read(); {
			case err != nil:
				x.Fatal(err)
			case got.kind == suback:
				acks++
			default:
				want(x, "payload", string(got.payload), fmt.Sprint(i))
				s.ack(puback, got.id)
				i++
			}
		}
	}},
	{"3.10.4-1 3.10.4-2 3.10.4-4 3.10.4-5 3.10.4-6 3.11.3-1 3.11.3-2 2.2.1-6", "45", "UNSUBACK", func(x *exam) {
		p, c := x.client("p"), x.client("c")
		c.subscribe(filter{x.topic("a"), 1}, filter{x.topic("a/+"), 1}, filter{x.topic("A"), 1})
		reasons := c.unsubscribe(x.topic("a/b"), x.topic("a/+"), x.topic("a/#"), x.topic("A"))
		if x.v5 && hex(reasons) != "11 00 11 00" {
			x.Fatalf("reasons % x", reasons)
		}
		for _, topic := range []string{"a/b", "A", "a"} {
			p.publish(pub{topic: x.topic(topic), payload: topic, qos: 1})
		}
		c.message(x.topic("a"), "a")
		c.unsubscribe(x.topic("a"))
		p.publish(pub{topic: x.topic("a"), payload: "x", qos: 1})
		c.nothing()
		c.send(unsubscribePacket(x.v5, 65535, x.topic("never")))
		c.wantID(unsuback, 65535)
	}},
	{"3.10.4-3", "45", "begun before UNSUBSCRIBE", func(x *exam) {
		p, c := x.client("p"), x.client("c")
		c.subscribe(filter{x.topic("t"), 2})
		p.publish(pub{topic: x.topic("t"), payload: "x", qos: 2})
		got := c.begun(x.topic("t"), "x")
		c.unsubscribe(x.topic("t"))
		c.ack(pubrec, got.id)
		c.wantID(pubrel, got.id)
		c.ack(pubcomp, got.id)
		c.nothing()
	}},
	{"4.8.2-3", "5", "shared: fair, by the granted QoS", func(x *exam) {
		var members []*client
		for i := range 3 {
			s := x.client(fmt.Sprint("s", i))
			s.subscribe(filter{"$share/g/" + x.topic("t"), byte(i)})
			members = append(members, s)
		}
		all := x.client("all")
		all.subscribe(filter{x.topic("t"), 0})
		p := x.client("p")
		for i := range 30 {
			p.publish(pub{topic: x.topic("t"), payload: fmt.Sprint(i), qos: 2})
			all.message(x.topic("t"), fmt.Sprint(i))
		}
		total := 0
		for i, s := range members {
			got := s.rest()
			for _, m := range got {
				want(x, "QoS", m.qos, byte(i))
			}
			if n := len(got); n < 5 || n > 15 {
				x.Fatalf("member %d has %d of 30", i, n)
			}
			if !slices.IsSortedFunc(got, func(a, b *packet) int { return len(a.payload) - len(b.payload) }) {
				x.Fatal("out of order")
			}
			total += len(got)
		}
		want(x, "messages", total, 30)
	}},
	{"4.8.2-4 4.8.2-5", "5", "shared: what was begun stays", func(x *exam) {
		s, _ := x.session("s")
		s.subscribe(filter{"$share/g/" + x.topic("t"), 2})
		p := x.client("p")
		p.publish(pub{topic: x.topic("t"), payload: "x", qos: 2})
		begun := s.begun(x.topic("t"), "x")
		other := x.client("other")
		other.subscribe(filter{"$share/g/" + x.topic("t"), 2})
		s.cut()
		s, _ = x.session("s")
		again := s.begun(x.topic("t"), "x")
		want(x, "packet id", again.id, begun.id)
		want(x, "DUP", again.dup, true)
		s.bye()
		x.connect(hello{id: x.id("s")}) // ends the session
		other.nothing()
	}},
	{"4.8.2-6 4.4.0-2", "5", "shared: refused by a member", func(x *exam) {
		s, _ := x.session("s", num(receiveMaximum, 1))
		other := x.client("other")
		s.subscribe(filter{"$share/g/" + x.topic("t"), 2})
		p := x.client("p")
		for qos := byte(1); qos < 3; qos++ {
			p.publish(pub{topic: x.topic("t"), payload: "x", qos: qos})
			got := s.begun(x.topic("t"), "x")
			if qos == 1 {
				other.subscribe(filter{"$share/g/" + x.topic("t"), 2})
				s.ack(puback, got.id, 0x87)
				other.unsubscribe("$share/g/" + x.topic("t"))
			} else {
				other.subscribe(filter{"$share/g/" + x.topic("t"), 2})
				s.ack(pubrec, got.id, 0x87)
			}
			s.nothing()
			other.nothing()
		}
		s.bye()
		s, _ = x.session("s")
		s.nothing()
	}},
	{"4.8.2-3", "5", "shared: members come and go", func(x *exam) {
		p := x.client("p")
		one, two := x.client("one"), x.client("two")
		for _, s := range []*client{one, two} {
			s.subscribe(filter{"$share/g/" + x.topic("#"), 1})
		}
		one.bye()
		for i := range 5 {
			p.publish(pub{topic: x.topic("t"), payload: fmt.Sprint(i), qos: 1})
			two.message(x.topic("t"), fmt.Sprint(i))
		}
		three := x.client("three")
		three.subscribe(filter{"$share/g/" + x.topic("#"), 1}, filter{"$share/h/" + x.topic("#"), 1})
		two.unsubscribe("$share/g/" + x.topic("#"))
		p.publish(pub{topic: x.topic("t"), payload: "x", qos: 1})
		three.message(x.topic("t"), "x") // for each of its groups
		three.message(x.topic("t"), "x")
		two.nothing()
	}},
}

// rest takes all messages that have come before a ping and acknowledges them.
func (c *client) rest() (list []*packet) {
	c.x.Helper()
	c.send([]byte{pingreq << 4, 0})
	for {
		p, err := c.read()
		switch {
		case err != nil:
			c.x.Fatal(err)
		case p.kind == pingresp:
			return list
		case p.kind == publish:
			list = append(list, p)
			if p.qos == 1 {
				c.ack(puback, p.id)
			} else if p.qos == 2 {
				c.ack(pubrec, p.id)
			}
		case p.kind == pubrel:
			c.ack(pubcomp, p.id)
		}
	}
}
