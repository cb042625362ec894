package conformance

import (
	"io"
	"strings"
	"time"
)

var connectChecks = []check{
	{"3.1.4-5 3.2.0-1 3.2.0-2 3.2.2-1 3.2.2-2 3.2.2-8 3.12.4-1", "45", "accepted", func(x *exam) {
		c, ack := x.connect(hello{id: x.id("c")})
		want(x, "Session Present", ack.present, false)
		c.nothing()
		c.bye()
	}},
	{"3.1.0-1", "45", "first packet", func(x *exam) {
		for _, first := range [][]byte{{pingreq << 4, 0}, {disconnect << 4, 0}, frame(publish<<4, str("t"), []byte{0}), subscribePacket(x.v5, 1, nil, filter{"t", 0})} {
			c := x.dial()
			c.send(first)
			if _, err := c.read(); err == nil {
				x.Fatalf("answered to % x", first)
			}
		}
	}},
	{"3.1.0-2 4.13.1-1 4.13.2-1", "45", "second CONNECT", func(x *exam) {
		c := x.client("c")
		c.send(hello{id: x.id("c")}.bytes(x))
		c.closed(0x82)
	}},
	{"3.1.2-1", "45", "protocol name", func(x *exam) {
		for _, name := range []string{"MQTTX", "mqtt", "HTTP", "M"} {
			c := x.dial()
			c.send(hello{id: x.id("c"), protocol: name}.bytes(x))
			c.closed(0, 0x81, 0x84)
		}
	}},
	{"3.1.2-2 3.2.2-6 3.2.2-7", "45", "protocol version", func(x *exam) {
		for _, version := range []byte{1, 2, 6, 0x7f} {
			c := x.dial()
			c.send(hello{id: x.id("c"), version: version}.bytes(x))
			c.nc.SetReadDeadline(time.Now().Add(patience))
			got, err := io.ReadAll(c.r)
			if text := hex(got); err != nil || text != "" && text != "20 02 00 01" && text != "20 03 00 84 00" {
				x.Fatalf("version %d: %s, %v", version, text, err)
			}
		}
	}},
	{"3.1.2-3 2.1.3-1", "45", "reserved connect flag", func(x *exam) { x.refused(hello{id: x.id("c"), flags: 1}, 0x81) }},
	{"3.1.2-4 3.1.4-4 3.2.2-2", "45", "Clean Start", func(x *exam) {
		c, _ := x.session("c")
		c.subscribe(filter{x.topic("t"), 1})
		c.bye()
		p := x.client("p")
		p.publish(pub{topic: x.topic("t"), qos: 1})
		c, ack := x.connect(hello{id: x.id("c")})
		want(x, "Session Present", ack.present, false)
		p.publish(pub{topic: x.topic("t"), qos: 1})
		c.nothing()
		c.bye()
		_, ack = x.session("c")
		want(x, "Session Present after a session that was not to stay", ack.present, false)
	}},
	{"3.1.2-5 3.1.2-6 3.2.2-3 3.1.3-2 4.5.0-1", "45", "resume", func(x *exam) {
		c, ack := x.session("c")
		want(x, "Session Present of a new one", ack.present, false)
		c.subscribe(filter{x.topic("t"), 1})
		c.bye()
		_, ack = x.session("other")
		want(x, "Session Present of another", ack.present, false)
		p := x.client("p")
		for _, payload := range []string{"1", "2", "3"} {
			p.publish(pub{topic: x.topic("t"), payload: payload, qos: 1})
		}
		c, ack = x.session("c")
		want(x, "Session Present", ack.present, true)
		for _, payload := range []string{"1", "2", "3"} {
			want(x, "DUP", c.message(x.topic("t"), payload).dup, false)
		}
		p.publish(pub{topic: x.topic("t"), payload: "4", qos: 1})
		c.message(x.topic("t"), "4")
	}},
	{"3.1.2-16 3.1.2-18", "45", "bytes after the payload", func(x *exam) {
		x.refused(hello{id: x.id("c"), extra: str("nobody")}, 0x81)
	}},
	{"3.1.2-17 3.1.2-19 3.1.2-9", "45", "missing fields", func(x *exam) {
		x.refused(hello{id: x.id("c"), flags: 128}, 0x81)
		x.refused(hello{id: x.id("c"), flags: 128 | 64, extra: str("name")}, 0x81)
		x.refused(hello{id: x.id("c"), flags: 4, extra: []byte{}}, 0x81)
	}},
	{"3.1.2-22 3.2.2-22", "45", "keep alive", func(x *exam) {
		c, ack := x.connect(hello{id: x.id("c"), alive: 1})
		if _, is := ack.has(serverKeepAlive); is {
			x.Fatal("a Server Keep Alive")
		}
		c.closed(0x8d)
	}},
	{"3.1.3-5", "45", "client ids", func(x *exam) {
		for _, id := range []string{"a", "0123456789abcdefghijklm", "nopqrstuvwxyzABCDEFGHIJ", "KLMNOPQRSTUVWXYZ"} {
			c, _ := x.connect(hello{id: id})
			c.send([]byte{disconnect << 4, 0}) // the other version's test has them too
		}
	}},
	{"3.1.3-6 3.1.3-7 3.2.2-16", "45", "assigned client id", func(x *exam) {
		c, first := x.connect(hello{})
		d, second := x.connect(hello{})
		if x.v5 {
			one, _ := first.has(assignedID)
			two, _ := second.has(assignedID)
			if one.text == "" || one.text == two.text {
				x.Fatalf("assigned %q and %q", one.text, two.text)
			}
			_, again := x.connect(hello{id: one.text})
			if _, is := again.has(assignedID); is {
				x.Fatal("assigned to a client with an id")
			}
			c.closed(0x8e)
		}
		d.nothing()
	}},
	{"3.1.3-8 3.2.2-6 3.2.2-7", "4", "no client id, no Clean Session", func(x *exam) {
		c := x.dial()
		c.send(hello{keep: true}.bytes(x))
		p := c.want(connack)
		want(x, "return code", p.reason, 2)
		want(x, "Session Present", p.present, false)
		c.closed()
	}},
	{"1.5.4-1 3.1.3-4 3.1.3-8 3.1.3-11 3.1.3-12", "45", "strings of CONNECT", func(x *exam) {
		for _, bad := range []string{"\xff", "a\xc0\x80", "\xed\xa0\x80", "\xf8\x88\x80\x80\x80", "\xe2\x82"} {
			x.refused(hello{id: bad}, 0x81, 0x82, 0x85)
			x.refused(hello{id: x.id("c"), user: &bad}, 0x81, 0x82, 0x86, 0x87)
			x.refused(hello{id: x.id("c"), will: &pub{topic: bad}}, 0x81, 0x82, 0x90)
			if x.v5 {
				x.refused(hello{id: x.id("c"), props: text(userProperty, "a", bad)}, 0x81, 0x82)
			}
		}
	}},
	{"1.5.4-2", "45", "U+0000 in CONNECT", func(x *exam) {
		bad := "a\x00b"
		x.refused(hello{id: bad}, 0x81, 0x82, 0x85)
		x.refused(hello{id: x.id("c"), user: &bad}, 0x81, 0x82, 0x86, 0x87)
		x.refused(hello{id: x.id("c"), will: &pub{topic: bad}}, 0x81, 0x82, 0x90)
	}},
	{"3.1.4-1", "45", "CONNECT of a wrong format", func(x *exam) {
		whole := hello{id: x.id("c"), will: &pub{topic: "t", payload: "p"}}.bytes(x)
		for n := 2; n < len(whole)-1; n += 3 {
			c := x.dial()
			c.send(frame(connect<<4, whole[2:n]))
			if n < 2+7 { // it has not said that it speaks MQTT 5
				c.closed(0, 0x81, 0x84)
			} else {
				c.closed(0x81, 0x82)
			}
		}
		password := "p"
		if !x.v5 {
			x.refused(hello{id: x.id("c"), password: &password})
			return
		}
		for _, props := range [][]byte{num(topicAlias, 1), num(receiveMaximum, 0), num(maximumPacketSize, 0), num(requestProblem, 2),
			num(requestResponse, 2), cat(num(sessionExpiry, 1), num(sessionExpiry, 1)), {0x7f}, num(sessionExpiry, 1)[:3], text(authData, "x")} {
			x.refused(hello{id: x.id("c"), props: props}, 0x81, 0x82)
		}
		c, _ := x.connect(hello{id: x.id("c"), password: &password}) // allowed since MQTT 5
		c.nothing()
	}},
	{"3.1.4-3 3.14.4-1 3.14.4-2 3.14.2-2", "45", "takeover", func(x *exam) {
		old := x.client("c")
		c := x.client("c")
		old.closed(0x8e)
		c.nothing()
	}},
	{"3.1.4-6", "45", "after a refused CONNECT", func(x *exam) {
		s := x.client("s")
		s.subscribe(filter{x.topic("#"), 0})
		c := x.dial()
		head := str(x.topic("t"))
		if x.v5 {
			head = append(head, 0)
		}
		c.send(cat(hello{id: x.id("c"), flags: 1}.bytes(x), frame(publish<<4, head, []byte("x"))))
		c.closed(0x81)
		s.nothing()
	}},
	{"3.14.0-1", "45", "no DISCONNECT before CONNACK", func(x *exam) {
		c := x.dial()
		c.send(hello{id: x.id("c"), flags: 1}.bytes(x))
		for {
			p, err := c.read()
			if err != nil {
				return
			}
			want(x, "packet", p.kind, connack)
		}
	}},
	{"3.1.2-28", "5", "Response Information", func(x *exam) {
		for _, props := range [][]byte{nil, num(requestResponse, 0)} {
			_, ack := x.connect(hello{id: x.id("c"), props: props})
			if _, is := ack.has(responseInfo); is {
				x.Fatal("Response Information not asked for")
			}
		}
	}},
	{"4.12.0-1 4.12.0-4 3.2.2-7", "5", "unknown authentication", func(x *exam) {
		x.refused(hello{id: x.id("c"), props: text(authMethod, "GS2-KRB5")}, 0x8c, 0x87)
		x.refused(hello{id: x.id("c"), props: cat(text(authMethod, "x"), text(authData, "y"))}, 0x8c, 0x87)
	}},
	{"4.12.0-6", "5", "no authentication", func(x *exam) {
		_, ack := x.connect(hello{id: x.id("c")})
		if _, is := ack.has(authMethod); is {
			x.Fatal("an Authentication Method")
		}
	}},
	{"3.1.2-29", "5", "Request Problem Information", func(x *exam) {
		c, _ := x.connect(hello{id: x.id("c"), props: num(requestProblem, 0)})
		c.send(subscribePacket(true, 7, nil, filter{x.topic("+bad"), 0}, filter{x.topic("t"), 2}))
		for {
			p, err := c.read()
			if err != nil {
				return // a wrong filter may end the connection
			}
			if p.kind == disconnect {
				continue
			}
			_, why := p.has(reasonString)
			_, user := p.has(userProperty)
			want(x, "explains", why || user, false)
			if p.kind == suback {
				c.send(unsubscribePacket(true, 8, x.topic("none")))
			} else if p.kind == unsuback {
				c.start(pub{topic: x.topic("t"), qos: 1})
			} else if p.kind == puback {
				c.ack(pubrel, 999)
			} else if p.kind == pubcomp {
				return
			}
		}
	}},
	{"3.1.4-2", "45", "who may not", func(x *exam) {
		if *broker != "" {
			return // needs users
		}
		private(x, func(address string) {
			c := &exam{T: x.T, v5: x.v5, name: x.name, target: address}
			c.refusedAt(address, hello{id: x.id("c")}, 0x87)
			name, wrong := "nobody", "wrong"
			c.refusedAt(address, hello{id: x.id("c"), user: &name, password: &wrong}, 0x86, 0x87)
		})
	}},
	{"3.14.1-1", "45", "reserved bits of DISCONNECT", func(x *exam) {
		s := x.client("s")
		s.subscribe(filter{x.topic("will"), 0})
		c, _ := x.connect(hello{id: x.id("c"), will: &pub{topic: x.topic("will"), payload: "x"}})
		c.send([]byte{disconnect<<4 | 1, 0})
		c.closed(0x81)
		s.message(x.topic("will"), "x")
	}},
	{"3.15.1-1 3.15.2-1", "5", "AUTH", func(x *exam) {
		for _, bad := range [][]byte{{auth<<4 | 1, 0}, {auth << 4, 0}, frame(auth<<4, []byte{0x18, 0}), frame(auth<<4, []byte{0x19}, varint(4), text(authMethod, "x"))} {
			c := x.client("c")
			c.send(bad)
			c.closed(0x81, 0x82, 0x8c)
		}
	}},
	{"3.14.2-1", "5", "wrong DISCONNECTs", func(x *exam) {
		for _, bad := range [][]byte{frame(disconnect<<4, []byte{0}, varint(5), num(sessionExpiry, 5)), // the session was not to stay [MQTT 5, 3.14.2.2.2]
			frame(disconnect<<4, []byte{0, 1, 0x7f}), frame(disconnect<<4, []byte{0}, varint(3), num(receiveMaximum, 5))} {
			c := x.client("c")
			c.send(bad)
			c.closed(0x81, 0x82)
		}
	}},
}

// refused expects that a CONNECT is refused, by a closed connection at least.
func (x *exam) refused(h hello, reasons ...byte) {
	x.Helper()
	x.refusedAt(x.target, h, reasons...)
}

func (x *exam) refusedAt(address string, h hello, reasons ...byte) {
	x.Helper()
	c := x.dialAt(address)
	c.send(h.bytes(x))
	c.closed(reasons...)
}

func longText(n int) string { return strings.Repeat("x", n) }
