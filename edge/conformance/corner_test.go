package conformance

import (
	"fmt"
	"slices"
	"time"
)

// cornerChecks are where two parts of the protocol meet.
var cornerChecks = []check{
	{"3.1.4-5 3.2.0-1 4.6.0-6", "45", "packets behind the CONNECT", func(x *exam) {
		c := x.dial()
		c.send(cat(hello{id: x.id("c")}.bytes(x), subscribePacket(x.v5, 3, nil, filter{x.topic("t"), 1}),
			publishPacket(x.v5, pub{topic: x.topic("t"), payload: "x", qos: 1, id: 3})))
		c.want(connack)
		c.wantID(suback, 3)
		for range 2 { // in either order
			switch p, err := c.read(); {
			case err != nil:
				x.Fatal(err)
			case p.kind == puback:
				want(x, "packet id", p.id, 3)
			default:
				want(x, "payload", string(p.payload), "x")
				c.ack(puback, p.id)
			}
		}
		c.nothing()
	}},
	{"3.1.2-8 4.1.0-2", "5", "DISCONNECT that ends the session makes its will due", func(x *exam) {
		s := x.client("s")
		s.subscribe(filter{x.topic("will"), 0})
		c, _ := x.connect(hello{id: x.id("c"), keep: true, props: num(sessionExpiry, 300), delay: 3600, will: &pub{topic: x.topic("will"), payload: "x"}})
		c.send(frame(disconnect<<4, []byte{4}, varint(5), num(sessionExpiry, 0)))
		c.closed()
		s.message(x.topic("will"), "x")
	}},
	{"3.1.2-8 3.1.3-9 3.1.4-3", "5", "delayed will at takeover", func(x *exam) {
		s := x.client("s")
		s.subscribe(filter{x.topic("#"), 1})
		h := hello{id: x.id("c"), keep: true, props: num(sessionExpiry, 300), delay: 3600, will: &pub{topic: x.topic("will"), payload: "x"}}
		old, _ := x.connect(h)
		c, _ := x.connect(h) // the session goes on: no will
		old.closed(0x8e)
		c.publish(pub{topic: x.topic("t"), qos: 1})
		s.message(x.topic("t"), "")
		s.nothing()
		h.keep = false
		x.connect(h) // the session ends, and its will with it
		s.message(x.topic("will"), "x")
		s.nothing()
	}},
	{"3.1.2-7 3.1.2-10", "5", "the will is that of the last connection", func(x *exam) {
		s := x.client("s")
		s.subscribe(filter{x.topic("will"), 0})
		h := hello{id: x.id("c"), keep: true, props: num(sessionExpiry, 300), delay: 3600, will: &pub{topic: x.topic("will"), payload: "old"}}
		c, _ := x.connect(h)
		c.cut()
		h.will, h.delay = &pub{topic: x.topic("will"), payload: "new"}, 0
		c, _ = x.connect(h)
		c.cut()
		s.message(x.topic("will"), "new")
		h.will = nil
		c, _ = x.connect(h) // without one
		c.cut()
		x.connect(hello{id: x.id("c")})
		s.nothing()
	}},
	{"3.3.2-6", "5", "a will's expiry runs from its publication", func(x *exam) {
		s := x.client("s")
		s.subscribe(filter{x.topic("will"), 0})
		c, _ := x.connect(hello{id: x.id("c"), keep: true, props: num(sessionExpiry, 300), delay: 2,
			will: &pub{topic: x.topic("will"), payload: "x", props: num(messageExpiry, 1)}})
		c.cut()
		want(x, "expiry", s.message(x.topic("will"), "x").num(messageExpiry), 1)
	}},
	{"3.8.3-3", "5", "No Local and what is retained or left by the client itself", func(x *exam) {
		c, p := x.client("c"), x.client("p")
		c.publish(pub{topic: x.topic("t/own"), payload: "own", qos: 1, retain: true})
		p.publish(pub{topic: x.topic("t/other"), payload: "other", qos: 1, retain: true})
		for _, qos := range []byte{0, 1} {
			c.subscribe(filter{x.topic("t/#"), qos | noLocal})
			c.message(x.topic("t/other"), "other")
			c.nothing()
		}
		c, _ = x.connect(hello{id: x.id("d"), keep: true, props: num(sessionExpiry, 300), will: &pub{topic: x.topic("will"), payload: "x", qos: 1}})
		c.subscribe(filter{x.topic("will"), 1 | noLocal})
		p.subscribe(filter{x.topic("will"), 1})
		c.cut()
		p.message(x.topic("will"), "x")
		c, _ = x.session("d")
		c.nothing()
	}},
	{"3.3.1-10 3.8.4-4", "5", "Retain Handling 1 and a subscription of a resumed session", func(x *exam) {
		p := x.client("p")
		p.publish(pub{topic: x.topic("t"), payload: "x", qos: 1, retain: true})
		s, _ := x.session("s")
		s.subscribe(filter{x.topic("t"), 1 | noRetained})
		s.cut()
		s, _ = x.session("s")
		s.subscribe(filter{x.topic("t"), 1 | newOnly})
		s.nothing()
		s.cut()
		s, _ = x.connect(hello{id: x.id("s")})
		s.subscribe(filter{x.topic("t"), 1 | newOnly})
		s.message(x.topic("t"), "x")
	}},
	{"3.8.4-5 3.3.1-9 3.3.1-11", "5", "what is retained for several filters of one SUBSCRIBE", func(x *exam) {
		p, s := x.client("p"), x.client("s")
		p.publish(pub{topic: x.topic("a"), payload: "a", qos: 2, retain: true})
		s.subscribeWith(num(subscriptionID, 9), filter{x.topic("a"), 1}, filter{x.topic("+"), 1}, filter{x.topic("#"), 0}, filter{x.topic("a/#"), 0 | noRetained})
		var qos [3]int
		for range qos { // for each filter, with its QoS
			got := s.message(x.topic("a"), "a")
			qos[got.qos]++
			if !slices.Equal(got.subscriptions, []uint32{9}) {
				x.Fatalf("QoS %d: identifiers %v", got.qos, got.subscriptions)
			}
		}
		want(x, "QoS", qos, [3]int{1, 2, 0})
		s.nothing()
	}},
	{"3.3.4-3 3.3.4-4 3.8.4-3", "5", "subscription identifiers changed and taken back", func(x *exam) {
		p, s := x.client("p"), x.client("s")
		ids := func(ids ...uint32) {
			x.Helper()
			p.publish(pub{topic: x.topic("t"), payload: "x", qos: 1})
			got := s.message(x.topic("t"), "x").subscriptions
			slices.Sort(got)
			if !slices.Equal(got, ids) {
				x.Fatalf("identifiers %v, want %v", got, ids)
			}
			s.nothing()
		}
		s.subscribeWith(num(subscriptionID, 1), filter{x.topic("t"), 1})
		s.subscribeWith(num(subscriptionID, 200), filter{x.topic("#"), 1})
		ids(1, 200)
		s.subscribeWith(num(subscriptionID, 2), filter{x.topic("t"), 1})
		ids(2, 200)
		s.subscribe(filter{x.topic("#"), 1})
		ids(2)
		s.unsubscribe(x.topic("t"))
		ids()
		s.unsubscribe(x.topic("#"))
		s.subscribeWith(num(subscriptionID, 3), filter{"$share/g/" + x.topic("t"), 1})
		ids(3)
	}},
	{"3.3.4-3", "5", "subscription identifiers outlive the connection", func(x *exam) {
		s, _ := x.session("s")
		s.subscribeWith(num(subscriptionID, 5), filter{x.topic("t"), 1})
		p := x.client("p")
		p.publish(pub{topic: x.topic("t"), payload: "sent", qos: 1})
		s.begun(x.topic("t"), "sent")
		s.cut()
		p.publish(pub{topic: x.topic("t"), payload: "waits", qos: 1})
		s, _ = x.session("s")
		for _, payload := range []string{"sent", "waits"} {
			if got := s.message(x.topic("t"), payload).subscriptions; !slices.Equal(got, []uint32{5}) {
				x.Fatalf("identifiers %v", got)
			}
		}
	}},
	{"3.10.4-2 3.3.4-2 3.8.4-8", "45", "one of two overlapping subscriptions taken back", func(x *exam) {
		p, s := x.client("p"), x.client("s")
		s.subscribe(filter{x.topic("t"), 2}, filter{x.topic("+"), 1})
		s.unsubscribe(x.topic("t"))
		p.publish(pub{topic: x.topic("t"), payload: "x", qos: 2})
		want(x, "QoS", s.message(x.topic("t"), "x").qos, 1)
		s.nothing()
	}},
	{"4.9.0-1 4.9.0-2 4.4.0-1", "5", "a smaller Receive Maximum on the next connection", func(x *exam) {
		s, _ := x.session("s", num(receiveMaximum, 4))
		s.subscribe(filter{x.topic("t"), 2})
		p := x.client("p")
		var ids []int
		for i := range 5 {
			p.publish(pub{topic: x.topic("t"), payload: fmt.Sprint(i), qos: 1 + byte(i%2)})
		}
		for i := range 4 {
			ids = append(ids, s.begun(x.topic("t"), fmt.Sprint(i)).id)
		}
		s.ack(pubrec, ids[1])
		s.wantID(pubrel, ids[1])
		s.nothing()
		s.cut()
		s, _ = x.session("s", num(receiveMaximum, 1))
		again := s.begun(x.topic("t"), "0")
		want(x, "packet id", again.id, ids[0])
		want(x, "DUP", again.dup, true)
		s.nothing()
		s.ack(puback, ids[0])
		s.wantID(pubrel, ids[1])
		s.ack(pubcomp, ids[1])
		for i := 2; i < 5; i++ {
			got := s.message(x.topic("t"), fmt.Sprint(i))
			want(x, "DUP", got.dup, i < 4)
		}
		s.nothing()
	}},
	{"3.1.2-24 3.1.2-25 4.4.0-1", "5", "a smaller Maximum Packet Size on the next connection", func(x *exam) {
		s, _ := x.session("s")
		s.subscribe(filter{x.topic("t"), 2})
		p := x.client("p")
		for _, payload := range []string{longText(300), "small", longText(301), "end"} {
			p.publish(pub{topic: x.topic("t"), payload: payload, qos: 1})
		}
		for range 4 {
			s.want(publish)
		}
		s.cut()
		s, _ = x.session("s", num(maximumPacketSize, 200))
		s.most = 200
		s.message(x.topic("t"), "small")
		s.message(x.topic("t"), "end")
		s.nothing()
	}},
	{"3.3.2-7 4.4.0-1 3.1.2-27", "5", "topic aliases of the broker end with the connection", func(x *exam) {
		s, _ := x.session("s", num(aliasMaximum, 5))
		s.subscribe(filter{x.topic("a/long/topic"), 1})
		p := x.client("p")
		for _, payload := range []string{"0", "1", "2"} {
			p.publish(pub{topic: x.topic("a/long/topic"), payload: payload, qos: 1})
			s.begun(x.topic("a/long/topic"), payload)
		}
		for _, most := range []int{5, 0} {
			s.cut()
			s, _ = x.session("s", num(aliasMaximum, most))
			for _, payload := range []string{"0", "1", "2"} { // the topic comes first again, or s knows no topic
				got := s.begun(x.topic("a/long/topic"), payload)
				want(x, "DUP", got.dup, true)
				if _, is := got.has(topicAlias); is && most == 0 {
					x.Fatal("an alias")
				}
			}
		}
	}},
	{"2.2.1-5 2.2.1-6 4.3.3-10", "45", "one packet id in an exchange and in a SUBSCRIBE", func(x *exam) {
		c := x.client("c")
		c.start(pub{topic: x.topic("t"), qos: 2, id: 7})
		c.wantID(pubrec, 7)
		c.send(subscribePacket(x.v5, 7, nil, filter{x.topic("t"), 0})) // the client's fault, but harmless
		c.wantID(suback, 7)
		c.start(pub{topic: x.topic("t"), qos: 2, id: 7, dup: true})
		c.wantID(pubrec, 7)
		c.ack(pubrel, 7)
		want(x, "reason", c.wantID(pubcomp, 7).reason, 0)
		c.nothing()
	}},
	{"4.3.3-9 4.9.0-1", "5", "a packet id after a refusing PUBREC, again and again", func(x *exam) {
		s, _ := x.session("s", num(receiveMaximum, 1))
		s.subscribe(filter{x.topic("t"), 2})
		p := x.client("p")
		for i := range 5 {
			p.publish(pub{topic: x.topic("t"), payload: fmt.Sprint(i), qos: 2})
		}
		for i := range 5 {
			got := s.begun(x.topic("t"), fmt.Sprint(i))
			want(x, "DUP", got.dup, false)
			s.ack(pubrec, got.id, 0x97)
		}
		s.nothing()
	}},
	{"4.1.0-2 3.1.2-23", "5", "a client that is back in time has all of its time again", func(x *exam) {
		c, _ := x.connect(hello{id: x.id("c"), keep: true, props: num(sessionExpiry, 300)})
		c.bye()
		c, ack := x.connect(hello{id: x.id("c"), keep: true}) // this connection asks for none
		want(x, "Session Present", ack.present, true)
		c.bye()
		_, ack = x.connect(hello{id: x.id("c"), keep: true})
		want(x, "Session Present after a connection without an expiry", ack.present, false)
	}},
	{"4.8.2-3", "5", "shared: fair among those who are connected", func(x *exam) {
		away, _ := x.session("away")
		away.subscribe(filter{"$share/g/" + x.topic("t"), 1})
		members := []*client{x.client("one"), x.client("two"), x.client("three")}
		for _, s := range members {
			s.subscribe(filter{"$share/g/" + x.topic("t"), 1})
		}
		away.cut()
		p := x.client("p")
		const round = 12
		publishAll := func(n int) (got []int) {
			for i := range n {
				p.publish(pub{topic: x.topic("t"), payload: fmt.Sprint(i), qos: 1})
			}
			for _, s := range members {
				got = append(got, len(s.rest()))
			}
			return got
		}
		for end := time.Now().Add(patience); ; { // until the broker knows that one is away
			if got := publishAll(round); got[0]+got[1]+got[2] == round {
				break
			}
			if time.Now().After(end) {
				x.Fatal("what is for a member who is away does not go to the others")
			}
		}
		if got := publishAll(60); slices.Min(got) < 19 || slices.Max(got) > 21 {
			x.Fatalf("of 60 the members have %d", got)
		}
	}},
}
