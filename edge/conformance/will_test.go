package conformance

import "time"

var willChecks = []check{
	{"3.1.2-7 3.1.2-8 3.1.2-10 3.1.2-14", "45", "will", func(x *exam) {
		s := x.client("s")
		s.subscribe(filter{x.topic("will"), 2})
		for qos := range byte(3) {
			c, _ := x.connect(hello{id: x.id("c"), will: &pub{topic: x.topic("will"), payload: "gone", qos: qos}})
			c.cut()
			p := s.message(x.topic("will"), "gone")
			want(x, "QoS", p.qos, qos)
			want(x, "RETAIN", p.retain, false)
		}
		x.client("c").bye()
		s.nothing() // published once
		late := x.client("late")
		late.subscribe(filter{x.topic("will"), 0})
		late.nothing()
	}},
	{"3.1.2-8 3.1.2-10 3.14.4-3", "45", "will discarded", func(x *exam) {
		s := x.client("s")
		s.subscribe(filter{x.topic("#"), 1})
		c, _ := x.connect(hello{id: x.id("c"), will: &pub{topic: x.topic("will"), payload: "x"}})
		c.bye()
		x.client("c").publish(pub{topic: x.topic("t"), qos: 1})
		s.message(x.topic("t"), "")
	}},
	{"3.1.2-15", "45", "retained will", func(x *exam) {
		s := x.client("s")
		s.subscribe(filter{x.topic("will"), 0})
		c, _ := x.connect(hello{id: x.id("c"), will: &pub{topic: x.topic("will"), payload: "x", retain: true, qos: 1}})
		c.cut()
		s.message(x.topic("will"), "x")
		late := x.client("late")
		late.subscribe(filter{x.topic("will"), 0})
		want(x, "RETAIN", late.message(x.topic("will"), "x").retain, true)
	}},
	{"3.1.2-9", "45", "will with an empty payload", func(x *exam) {
		s := x.client("s")
		s.subscribe(filter{x.topic("will"), 0})
		x.client("p").publish(pub{topic: x.topic("will"), payload: "old", qos: 1, retain: true})
		s.message(x.topic("will"), "old")
		c, _ := x.connect(hello{id: x.id("c"), will: &pub{topic: x.topic("will"), retain: true}})
		c.cut()
		s.message(x.topic("will"), "")
		late := x.client("late")
		late.subscribe(filter{x.topic("will"), 0})
		late.nothing()
	}},
	{"3.1.2-11 3.1.2-12 3.1.2-13", "45", "will flags", func(x *exam) {
		x.refused(hello{id: x.id("c"), flags: 8}, 0x81, 0x82)
		x.refused(hello{id: x.id("c"), flags: 16}, 0x81, 0x82)
		x.refused(hello{id: x.id("c"), flags: 32}, 0x81, 0x82)
		x.refused(hello{id: x.id("c"), will: &pub{topic: "t", qos: 3}}, 0x81, 0x82, 0x9b)
	}},
	{"3.1.2-8 3.14.4-3", "5", "DISCONNECT with will", func(x *exam) {
		s := x.client("s")
		s.subscribe(filter{x.topic("will"), 0})
		for _, reason := range []byte{0x04, 0x80} {
			c, _ := x.connect(hello{id: x.id("c"), will: &pub{topic: x.topic("will"), payload: "x"}})
			c.send(frame(disconnect<<4, []byte{reason}))
			s.message(x.topic("will"), "x")
		}
	}},
	{"3.1.3-9 3.1.2-8", "5", "Will Delay Interval", func(x *exam) {
		s := x.client("s")
		s.subscribe(filter{x.topic("#"), 0})
		h := hello{id: x.id("c"), keep: true, props: num(sessionExpiry, 60), will: &pub{topic: x.topic("will"), payload: "x"}, delay: 1}
		c, _ := x.connect(h)
		start := time.Now()
		c.cut()
		s.message(x.topic("will"), "x")
		if late := time.Since(start); late < 900*time.Millisecond {
			x.Fatalf("after %v", late)
		}
		h.delay = 5
		c, _ = x.connect(h)
		c.cut()
		h.will = nil
		c, _ = x.connect(h) // before the delay is over
		probe, _ := x.connect(hello{id: x.id("probe"), keep: true, props: num(sessionExpiry, 60), will: &pub{topic: x.topic("probe"), payload: "y"}, delay: 6})
		probe.cut()
		s.message(x.topic("probe"), "y")
		c.nothing()
	}},
	{"3.1.2-8 4.1.0-2", "5", "Will Delay Interval longer than the session", func(x *exam) {
		s := x.client("s")
		s.subscribe(filter{x.topic("#"), 0})
		will := &pub{topic: x.topic("will"), payload: "x"}
		c, _ := x.connect(hello{id: x.id("c"), will: will, delay: 3600}) // the session ends with the connection
		c.cut()
		s.message(x.topic("will"), "x")
		c, _ = x.connect(hello{id: x.id("d"), keep: true, props: num(sessionExpiry, 1), will: will, delay: 3600})
		c.cut()
		s.message(x.topic("will"), "x")
		c, _ = x.connect(hello{id: x.id("e"), keep: true, props: num(sessionExpiry, 60), will: will, delay: 3600})
		c.cut()
		x.connect(hello{id: x.id("e")}) // Clean Start ends the session
		s.message(x.topic("will"), "x")
	}},
	{"3.1.2-8", "45", "will and takeover", func(x *exam) {
		s := x.client("s")
		s.subscribe(filter{x.topic("will"), 0})
		x.connect(hello{id: x.id("c"), will: &pub{topic: x.topic("will"), payload: "x"}})
		x.client("c")
		s.message(x.topic("will"), "x")
	}},
	{"3.1.2-8 3.1.2-22", "45", "will of a silent client", func(x *exam) {
		s := x.client("s")
		s.subscribe(filter{x.topic("will"), 0})
		x.connect(hello{id: x.id("c"), alive: 1, will: &pub{topic: x.topic("will"), payload: "x"}})
		s.message(x.topic("will"), "x")
	}},
	{"3.1.2-8 4.13.1-1", "45", "will of a client that breaks the protocol", func(x *exam) {
		s := x.client("s")
		s.subscribe(filter{x.topic("will"), 0})
		c, _ := x.connect(hello{id: x.id("c"), will: &pub{topic: x.topic("will"), payload: "x"}})
		c.send([]byte{0, 0})
		s.message(x.topic("will"), "x")
	}},
	{"3.1.2-9 3.3.2-4 3.3.2-15 3.3.2-16 3.3.2-17 3.3.2-18 3.3.2-20", "5", "properties of a will", func(x *exam) {
		s := x.client("s")
		s.subscribe(filter{x.topic("will"), 0})
		c, _ := x.connect(hello{id: x.id("c"), will: &pub{topic: x.topic("will"), payload: "x", props: cat(passedOn, num(messageExpiry, 100))}})
		c.cut()
		p := s.message(x.topic("will"), "x")
		checkPassedOn(x, p)
		if left := p.num(messageExpiry); left < 90 || left > 100 {
			x.Fatalf("expiry %d", left)
		}
		x.refused(hello{id: x.id("c"), will: &pub{topic: "t", props: text(responseTopic, "#")}}, 0x81, 0x82, 0x90)
		x.refused(hello{id: x.id("c"), will: &pub{topic: "t", props: num(topicAlias, 1)}}, 0x81, 0x82)
	}},
}

// passedOn are the properties that every receiver gets as they are.
var passedOn = cat(num(payloadFormat, 1), text(userProperty, "b", "1"), text(contentType, "text/plain"), text(userProperty, "a", "2"),
	text(responseTopic, "answers/here"), text(correlationData, "\x00\xff\x01"), text(userProperty, "b", "1"), text(userProperty, "", ""))

func checkPassedOn(x *exam, p *packet) {
	x.Helper()
	want(x, "Payload Format Indicator", p.num(payloadFormat), 1)
	for id, value := range map[byte]string{contentType: "text/plain", responseTopic: "answers/here", correlationData: "\x00\xff\x01"} {
		got, _ := p.has(id)
		want(x, "property", got.text, value)
	}
	users := ""
	for _, one := range p.props {
		if one.id == userProperty {
			users += one.text + ";"
		}
	}
	want(x, "User Properties", users, "b=1;a=2;b=1;=;")
}
