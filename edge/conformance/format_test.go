package conformance

import "strings"

// What a broker must not take, packet by packet.
var formatChecks = []check{
	{"2.1.3-1 3.6.1-1 3.8.1-1 3.10.1-1 4.13.1-1", "45", "reserved bits of the fixed header", func(x *exam) {
		bad := [][]byte{{0, 0}, {pingreq<<4 | 1, 0}, {puback<<4 | 2, 2, 0, 1}, {pubrec<<4 | 8, 2, 0, 1}, {pubrel << 4, 2, 0, 1}, {pubrel<<4 | 3, 2, 0, 1},
			{pubcomp<<4 | 2, 2, 0, 1}, {suback << 4, 3, 0, 1, 0}, {pingresp << 4, 0}, {connack << 4, 2, 0, 0}, {unsuback << 4, 2, 0, 1}}
		for _, flags := range []byte{0, 1, 3, 6, 10} {
			for _, b := range [][]byte{subscribePacket(x.v5, 1, nil, filter{x.topic("t"), 0}), unsubscribePacket(x.v5, 1, x.topic("t"))} {
				b[0] = b[0]&0xf0 | flags
				bad = append(bad, b)
			}
		}
		if !x.v5 {
			bad = append(bad, []byte{auth << 4, 0})
		}
		x.broken(0, bad...)
	}},
	{"3.3.1-4 4.13.1-1", "45", "QoS 3", func(x *exam) {
		x.broken(0, frame(publish<<4|6, str(x.topic("t")), []byte{0, 1, 0}))
	}},
	{"2.2.1-4 3.8.3-2 3.10.3-2", "45", "packet id 0 and no filters", func(x *exam) {
		x.broken(0, subscribePacket(x.v5, 0, nil, filter{x.topic("t"), 0}), subscribePacket(x.v5, 1, nil),
			unsubscribePacket(x.v5, 0, x.topic("t")), unsubscribePacket(x.v5, 1), frame(publish<<4|2, str(x.topic("t")), []byte{0, 0, 0}))
	}},
	{"1.5.4-1 3.3.2-1 3.8.3-1 3.10.3-1", "45", "strings that are none", func(x *exam) {
		for _, bad := range []string{"\xff", "\xc0\x80", "\xed\xbf\xbf", "\xf4\x90\x80\x80"} {
			x.broken(0x90, x.publishOf(bad))
			x.broken(0x8f, subscribePacket(x.v5, 1, nil, filter{bad, 0}), unsubscribePacket(x.v5, 1, bad))
		}
	}},
	{"1.5.4-2 4.7.3-2", "45", "U+0000 in topics", func(x *exam) {
		x.broken(0x90, x.publishOf("a\x00b"))
		x.broken(0x8f, subscribePacket(x.v5, 1, nil, filter{"a\x00b", 0}), unsubscribePacket(x.v5, 1, "a\x00b"))
	}},
	{"1.5.4-3", "45", "U+FEFF", func(x *exam) {
		topic, payload := x.topic("\ufeffa"), "\ufeff"
		s := x.client("s")
		s.subscribe(filter{topic, 0}, filter{x.topic("a"), 0})
		s.publish(pub{topic: x.topic("b"), payload: payload})
		p := x.client("p")
		p.publish(pub{topic: topic, payload: payload})
		s.message(topic, payload)
	}},
	{"1.5.7-1 3.3.2-13 3.3.2-19", "5", "strings in properties", func(x *exam) {
		for _, bad := range []string{"\xff", "a\x00"} {
			x.broken(0x82, x.publishOf(x.topic("t"), text(userProperty, bad, "v")), x.publishOf(x.topic("t"), text(userProperty, "k", bad)),
				x.publishOf(x.topic("t"), text(responseTopic, bad)), x.publishOf(x.topic("t"), text(contentType, bad)))
		}
	}},
	{"3.3.2-2 4.7.0-1 3.3.2-14", "45", "wildcards in topic names", func(x *exam) {
		x.broken(0x90, x.publishOf(x.topic("#")), x.publishOf(x.topic("+")), x.publishOf(x.topic("a+b")), x.publishOf(x.topic("a#")))
		if x.v5 {
			x.broken(0x90, x.publishOf(x.topic("t"), text(responseTopic, "a/#")), x.publishOf(x.topic("t"), text(responseTopic, "+")))
		}
		x.refused(hello{id: x.id("c"), will: &pub{topic: x.topic("#")}}, 0x81, 0x82, 0x90)
	}},
	{"4.7.3-1", "45", "empty topics and filters", func(x *exam) {
		x.broken(0x90, x.publishOf(""))
		x.refusedFilters("")
		x.refused(hello{id: x.id("c"), will: &pub{topic: ""}}, 0x81, 0x82, 0x90)
	}},
	{"4.7.3-3", "45", "the longest topic", func(x *exam) {
		// 65,535 bytes in a few levels.
		topic := x.topic(strings.Repeat("x", 65535-len(x.topic(""))))
		s := x.client("s")
		s.subscribe(filter{topic, 0})
		x.client("p").publish(pub{topic: topic, payload: "p"})
		s.message(topic, "p")
	}},
	{"4.7.1-1 4.7.1-2", "45", "wildcards in wrong places", func(x *exam) {
		x.refusedFilters("a/b#", "a/#/b", "#a", "##", "a/+b", "a+", "+a/b", "a/++")
		c := x.client("c")
		if got := hex(c.subscribe(filter{x.topic("#"), 0}, filter{x.topic("+"), 0}, filter{x.topic("+/b/#"), 0}, filter{x.topic("a/+"), 0}, filter{"+/" + x.id("z"), 0})); got != "00 00 00 00 00" {
			x.Fatalf("refused: %s", got)
		}
	}},
	{"4.8.2-1 4.8.2-2", "5", "shared subscriptions of a wrong form", func(x *exam) {
		x.refusedFilters("$share//t", "$share/g", "$share/g/", "$share/g+/t", "$share/#/t", "$share/")
	}},
	{"3.8.3-4", "5", "No Local with a shared subscription", func(x *exam) {
		x.broken(0, subscribePacket(true, 1, nil, filter{"$share/g/" + x.topic("t"), noLocal}))
	}},
	{"3.8.3-5", "45", "reserved subscription options", func(x *exam) {
		bits := []byte{3, 64, 128}
		if x.v5 {
			bits = append(bits, 0x30) // Retain Handling 3
		} else {
			bits = append(bits, 4, 8, 16, 32)
		}
		for _, opts := range bits {
			x.broken(0, subscribePacket(x.v5, 1, nil, filter{x.topic("t"), opts}))
		}
	}},
	{"3.3.4-6", "5", "a subscription identifier from a client", func(x *exam) {
		x.broken(0, x.publishOf(x.topic("t"), num(subscriptionID, 3)))
		x.broken(0, subscribePacket(true, 1, num(subscriptionID, 0), filter{x.topic("t"), 0}))
		x.broken(0, subscribePacket(true, 1, cat(num(subscriptionID, 1), num(subscriptionID, 2)), filter{x.topic("t"), 0}))
	}},
	{"3.3.2-8 3.3.2-9", "5", "wrong topic aliases", func(x *exam) {
		_, ack := x.connect(hello{id: x.id("c")})
		most := ack.num(aliasMaximum)
		x.broken(0x94, x.publishOf(x.topic("t"), num(topicAlias, 0)), x.publishOf("", num(topicAlias, max(most, 1))))
		if most < 65535 {
			x.broken(0x94, x.publishOf(x.topic("t"), num(topicAlias, most+1)))
		}
		x.broken(0x94, x.publishOf("")) // neither a topic nor an alias
	}},
	{"2.2.2-1 3.3.4-1 4.13.1-1", "5", "packets that are cut off", func(x *exam) {
		x.broken(0, frame(publish<<4, str(x.topic("t"))), frame(publish<<4|2, str(x.topic("t")), []byte{0, 1}), frame(publish<<4, str(x.topic("t")), []byte{5, 1}),
			frame(publish<<4, []byte{0}), frame(puback<<4, []byte{1}), frame(puback<<4, []byte{0, 1, 0, 9}), frame(subscribe<<4|2, []byte{0, 1}),
			frame(subscribe<<4|2, []byte{0, 1, 0, 0, 5, 'a'}), frame(subscribe<<4|2, []byte{0, 1, 0}, str(x.topic("t"))), frame(unsubscribe<<4|2, []byte{0, 1, 0, 0, 9, 'a'}),
			frame(publish<<4, str(x.topic("t")), []byte{0x80, 0x80, 0x80, 0x80, 1}), []byte{publish << 4, 0xff, 0xff, 0xff, 0xff, 1})
	}},
	{"3.3.4-1 4.13.1-1", "4", "packets that are cut off", func(x *exam) {
		x.broken(0, frame(publish<<4, []byte{0}), frame(publish<<4|2, str(x.topic("t"))), frame(puback<<4, []byte{1}), frame(subscribe<<4|2, []byte{0, 1, 0, 5, 'a'}),
			frame(subscribe<<4|2, []byte{0, 1}, str(x.topic("t"))), frame(unsubscribe<<4|2, []byte{0, 1, 0, 9, 'a'}), []byte{publish << 4, 0xff, 0xff, 0xff, 0xff, 1})
	}},
}

// publishOf is a QoS 0 PUBLISH on a topic that need not be one.
func (x *exam) publishOf(topic string, props ...[]byte) []byte {
	head := str(topic)
	if x.v5 {
		list := cat(props...)
		head = cat(head, varint(len(list)), list)
	}
	return frame(publish<<4, head)
}

// broken expects that each packet ends its connection, as malformed, a protocol
// error, or for this reason.
func (x *exam) broken(reason byte, list ...[]byte) {
	x.Helper()
	for i, b := range list {
		c := x.client("broken")
		c.send(b)
		x.Logf("packet %d: % x", i, b[:min(len(b), 40)])
		c.closed(0x81, 0x82, max(reason, 0x81))
	}
}

// refusedFilters expects that each filter is refused in its SUBACK, or that the
// connection ends.
func (x *exam) refusedFilters(list ...string) {
	x.Helper()
	for _, f := range list {
		c := x.client("filters")
		c.send(subscribePacket(x.v5, 9, nil, filter{f, 0}))
		p, err := c.read()
		if err == nil && p.kind == suback && p.reasons[0] < 0x80 {
			x.Fatalf("%q: %v", f, p)
		} else if err == nil && p.kind == disconnect && p.reason < 0x80 {
			x.Fatalf("%q: %v", f, p)
		}
	}
}
