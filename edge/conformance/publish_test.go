package conformance

import (
	"fmt"
	"time"
)

var publishChecks = []check{
	{"3.3.4-1 2.2.1-2 2.2.1-5 4.3.1-1 4.3.2-4 4.3.3-8 4.3.3-11 3.4.2-1 3.5.2-1 3.7.2-1", "45", "acknowledged by QoS", func(x *exam) {
		c := x.client("c")
		for _, id := range []int{1, 255, 256, 65535} {
			for qos := range byte(3) {
				c.publish(pub{topic: x.topic("t"), qos: qos, id: id})
			}
		}
	}},
	{"3.8.4-8 3.3.1-2 2.2.1-4 4.3.1-1 4.3.2-1 4.3.2-2 4.3.3-1 4.3.3-2", "45", "QoS is the lower one", func(x *exam) {
		p := x.client("p")
		for granted := range byte(3) {
			s := x.client(fmt.Sprint("s", granted))
			s.subscribe(filter{x.topic("t"), granted})
			for qos := range byte(3) {
				p.publish(pub{topic: x.topic("t"), payload: "x", qos: qos})
				got := s.message(x.topic("t"), "x")
				want(x, "QoS", got.qos, min(qos, granted))
				want(x, "DUP", got.dup, false)
			}
			s.bye()
		}
	}},
	{"3.3.1-3 3.3.1-1", "45", "DUP does not go through", func(x *exam) {
		s, p := x.client("s"), x.client("p")
		s.subscribe(filter{x.topic("t"), 2})
		for qos := byte(1); qos < 3; qos++ {
			p.publish(pub{topic: x.topic("t"), payload: "x", qos: qos, dup: true})
			want(x, "DUP", s.message(x.topic("t"), "x").dup, false)
		}
	}},
	{"3.3.2-3 4.7.3-4", "45", "matching", func(x *exam) {
		for name, filters := range map[string][]string{
			"a/b":      {"a/b", "a/+", "+/b", "a/b/#", "a/#", "#", "+/+", "+/+/#"},
			"a":        {"a", "+", "a/#", "+/#", "#"},
			"a/b/c":    {"a/+/c", "a/b/c/#", "+/+/c/#", "a/+/c/#", "#", "a/#"},
			"/a":       {"/a", "/+", "+/a", "+/+", "/#", "#"},
			"a/":       {"a/", "a/+", "a/#", "+/", "+/+"},
			"a//b":     {"a//b", "a/+/b", "a/#", "+//b"},
			"A/b":      {"A/b"},
			"a b/ü/$c": {"a b/ü/$c", "a b/+/$c", "+/+/+", "#"},
		} {
			x.matches(name, filters)
		}
	}},
	{"4.7.2-1", "45", "topics that begin with $", func(x *exam) {
		own, early, late := x.client("own"), x.client("early"), x.client("late")
		own.subscribe(filter{"$own/" + x.name, 1})
		// until reads up to a packet; others' tests publish too, before the SUBACK already.
		until := func(c *client, last func(p *packet) bool) {
			for {
				p, err := c.read()
				if err != nil {
					x.Fatal(err)
				}
				if p.kind == publish && p.topic[0] == '$' {
					x.Fatal(p)
				}
				if p.kind == publish && p.qos == 1 {
					c.ack(puback, p.id)
				}
				if last(p) {
					return
				}
			}
		}
		for _, c := range []*client{early, late} {
			c.send(subscribePacket(x.v5, 7, nil, filter{"#", 1}, filter{"+/" + x.name, 1}, filter{"+/#", 1}, filter{"+/+", 1}, filter{"+/" + x.name + "/#", 1}))
			until(c, func(p *packet) bool { return p.kind == suback })
			if c == early {
				own.start(pub{topic: "$own/" + x.name, payload: "x", qos: 1, retain: true, id: 7})
				for acked, got := false, false; !acked || !got && *broker == ""; { // others may keep such topics to themselves
					p, err := own.read()
					if err != nil || p.kind == publish && p.topic != "$own/"+x.name {
						x.Fatal(p, err)
					}
					if p.kind == publish {
						own.ack(puback, p.id)
					}
					acked, got = acked || p.kind == puback, got || p.kind == publish
				}
			}
			own.publish(pub{topic: x.topic("end"), qos: 1})
			until(c, func(p *packet) bool { return p.kind == publish && p.topic == x.topic("end") })
		}
		own.start(pub{topic: "$own/" + x.name, retain: true})
	}},
	{"4.6.0-5 4.6.0-6", "45", "order", func(x *exam) {
		s, p := x.client("s"), x.client("p")
		s.subscribe(filter{x.topic("#"), 2})
		next := map[string]int{}
		for i := range 60 {
			topic := x.topic(fmt.Sprint(i%3, "/", i/3%3))
			if qos := byte(i % 3); qos < 2 {
				p.start(pub{topic: topic, payload: fmt.Sprint(i), qos: qos})
			} else {
				p.start(pub{topic: topic, payload: fmt.Sprint(i), qos: 1})
			}
		}
		for range 60 {
			got := s.want(publish)
			if got.qos == 1 {
				s.ack(puback, got.id)
			}
			var n int
			fmt.Sscan(string(got.payload), &n)
			if n < next[got.topic] {
				x.Fatalf("%d after %d", n, next[got.topic])
			}
			next[got.topic] = n
		}
	}},
	{"3.3.2-4 3.3.2-15 3.3.2-16 3.3.2-17 3.3.2-18 3.3.2-20", "5", "properties passed on", func(x *exam) {
		for qos := range byte(3) {
			s, p := x.client("s"), x.client("p")
			s.subscribe(filter{x.topic("t"), qos})
			p.publish(pub{topic: x.topic("t"), payload: "x", qos: qos, props: passedOn})
			got := s.message(x.topic("t"), "x")
			checkPassedOn(x, got)
			if _, is := got.has(messageExpiry); is {
				x.Fatal("an expiry that nobody set")
			}
			p.publish(pub{topic: x.topic("t"), payload: "x", qos: 1, retain: true, props: passedOn})
			late := x.client("late")
			late.subscribe(filter{x.topic("t"), qos})
			checkPassedOn(x, late.message(x.topic("t"), "x"))
			p.publish(pub{topic: x.topic("t"), retain: true})
		}
	}},
	{"3.3.2-5 3.3.2-6", "5", "message expiry", func(x *exam) {
		s, _ := x.session("s")
		s.subscribe(filter{x.topic("#"), 1})
		p := x.client("p")
		p.publish(pub{topic: x.topic("t"), payload: "now", qos: 1, props: num(messageExpiry, 50)})
		if left := s.message(x.topic("t"), "now").num(messageExpiry); left < 40 || left > 50 {
			x.Fatalf("expiry %d", left)
		}
		s.bye()
		p.publish(pub{topic: x.topic("t"), payload: "short", qos: 1, props: num(messageExpiry, 1)})
		p.publish(pub{topic: x.topic("t"), payload: "long", qos: 1, props: num(messageExpiry, 50)})
		p.publish(pub{topic: x.topic("r"), payload: "short", qos: 1, retain: true, props: num(messageExpiry, 1)})
		p.publish(pub{topic: x.topic("r2"), payload: "long", qos: 1, retain: true, props: num(messageExpiry, 50)})
		time.Sleep(2100 * time.Millisecond)
		s, _ = x.session("s")
		less := func(topic string) {
			x.Helper()
			if left := s.message(x.topic(topic), "long").num(messageExpiry); left > 48 || left < 30 {
				x.Fatalf("expiry %d after 2 s", left)
			}
		}
		less("t")
		less("r2")
		s.nothing()
		s.subscribe(filter{x.topic("r"), 1}, filter{x.topic("r2"), 1})
		less("r2")
		s.nothing()
	}},
	{"3.3.2-12 3.3.2-7", "5", "topic aliases of the client", func(x *exam) {
		c, ack := x.connect(hello{id: x.id("c")})
		s := x.client("s")
		s.subscribe(filter{x.topic("#"), 0})
		most := min(ack.num(aliasMaximum), 100)
		for alias := 1; alias <= most; alias++ {
			topic := x.topic(fmt.Sprint(alias))
			c.publish(pub{topic: topic, payload: "1", qos: 1, props: num(topicAlias, alias)})
			c.publish(pub{payload: "2", qos: byte(alias % 3), props: num(topicAlias, alias)})
			s.message(topic, "1")
			s.message(topic, "2")
		}
		if most == 0 {
			return
		}
		c.publish(pub{topic: x.topic("new"), payload: "1", props: num(topicAlias, 1)}) // another topic
		c.publish(pub{payload: "2", props: num(topicAlias, 1)})
		s.message(x.topic("new"), "1")
		s.message(x.topic("new"), "2")
		c = x.client("c")
		c.start(pub{payload: "3", props: num(topicAlias, 1)})
		c.closed(0x82, 0x94)
		c = x.client("c")
		c.publish(pub{topic: x.topic("known"), payload: "3", props: num(topicAlias, most)})
		s.message(x.topic("known"), "3")
		if most > 1 {
			c.start(pub{payload: "4", props: num(topicAlias, 1)})
			c.closed(0x82, 0x94)
		}
		s.nothing()
	}},
	{"3.1.2-26 3.3.2-11", "5", "topic aliases of the broker", func(x *exam) {
		s, _ := x.connect(hello{id: x.id("s"), props: num(aliasMaximum, 3)})
		s.subscribe(filter{x.topic("#"), 1})
		p := x.client("p")
		for i := range 60 {
			n := i % 7
			if i%2 == 0 {
				n = 0
			}
			topic := x.topic(fmt.Sprint("topic/of/some/length/", n))
			p.publish(pub{topic: topic, payload: fmt.Sprint(i), qos: byte(i % 2)})
			got := s.message(topic, fmt.Sprint(i)) // by its alias, if it has one
			if alias, is := got.has(topicAlias); is && (alias.num == 0 || alias.num > 3) {
				x.Fatalf("alias %d", alias.num)
			}
		}
	}},
	{"3.1.2-27", "5", "no topic aliases", func(x *exam) {
		p := x.client("p")
		for _, props := range [][]byte{nil, num(aliasMaximum, 0)} {
			s, _ := x.connect(hello{id: x.id("s"), props: props})
			s.subscribe(filter{x.topic("#"), 1})
			for range 5 {
				p.publish(pub{topic: x.topic("a/long/topic"), payload: "x", qos: 1})
				if _, is := s.message(x.topic("a/long/topic"), "x").has(topicAlias); is {
					x.Fatal("an alias")
				}
			}
		}
	}},
	{"3.3.4-2 3.3.4-3 3.3.4-4 3.3.4-5", "45", "overlapping subscriptions", func(x *exam) {
		s, p := x.client("s"), x.client("p")
		props := func(id int) []byte {
			if x.v5 {
				return num(subscriptionID, id)
			}
			return nil
		}
		s.subscribeWith(props(7), filter{x.topic("a/+"), 0})
		s.subscribeWith(props(268435455), filter{x.topic("#"), 2})
		s.subscribe(filter{x.topic("a/b"), 1})
		p.publish(pub{topic: x.topic("a/b"), payload: "x", qos: 2})
		p.publish(pub{topic: x.topic("z"), payload: "end"})
		best, ids, copies := byte(0), map[uint32]int{}, 0
		for {
			got := s.want(publish)
			if got.topic == x.topic("z") {
				break
			}
			best, copies = max(best, got.qos), copies+1
			if got.qos == 1 {
				s.ack(puback, got.id)
			}
			for _, id := range got.subscriptions {
				ids[id]++
			}
		}
		want(x, "highest QoS", best, 2)
		if x.v5 && (len(ids) != 2 || ids[7] != 1 || ids[268435455] != 1) {
			x.Fatalf("identifiers %v", ids)
		}
	}},
	{"3.8.3-3", "5", "No Local", func(x *exam) {
		c := x.client("c")
		c.subscribe(filter{x.topic("t"), 1 | noLocal})
		c.publish(pub{topic: x.topic("t"), payload: "own", qos: 1})
		c.nothing()
		x.client("p").publish(pub{topic: x.topic("t"), payload: "other", qos: 1})
		c.message(x.topic("t"), "other")
	}},
}

// matches expects that the filters match the name, and a few that are near do
// not.
func (x *exam) matches(name string, filters []string) {
	x.Helper()
	p := x.client("p")
	for _, f := range []string{"a/b", "a", "a/b/c", "/a", "a/", "a//b", "A/b", "a b/ü/$c", "+", "+/+", "+/b", "a/+", "a/#", "+/#", "#", "/+", "a/+/c", "+/+/+",
		"a/b/#", "b", "a/b/+", "/", "//", "a/+/b", "+/+/#", "+//b", "+/", "a/b/c/#", "+/+/c/#", "a/+/c/#", "+/a", "/#", "a b/+/$c"} {
		should := false
		for _, one := range filters {
			should = should || one == f
		}
		if !should && matchesByRule(f, name) {
			should = true
		}
		s := x.client("s")
		s.subscribe(filter{x.topic(f), 0})
		s.start(pub{topic: x.topic(name), payload: f})
		if should {
			s.message(x.topic(name), f)
		}
		s.nothing()
		s.bye()
	}
	p.bye()
}

// matchesByRule is section 4.7 in the simplest words.
func matchesByRule(f, name string) bool {
	fs, ns := levels(f), levels(name)
	for i, one := range fs {
		if one == "#" {
			return true
		}
		if i >= len(ns) || one != "+" && one != ns[i] {
			return false
		}
	}
	return len(fs) == len(ns)
}
