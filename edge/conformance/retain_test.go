package conformance

import "strings"

func levels(s string) []string { return strings.Split(s, "/") }

var retainChecks = []check{
	{"3.3.1-5 3.3.1-9 3.3.1-8 3.3.1-12", "45", "retained", func(x *exam) {
		p := x.client("p")
		s := x.client("s")
		s.subscribe(filter{x.topic("t"), 2})
		for qos := range byte(3) {
			payload := string('a' + rune(qos))
			p.publish(pub{topic: x.topic("t"), payload: payload, qos: qos, retain: true})
			want(x, "RETAIN of an old subscription", s.message(x.topic("t"), payload).retain, false)
			p.publish(pub{topic: x.topic("t"), payload: "passing", qos: qos})
			s.message(x.topic("t"), "passing")
			late := x.client("late")
			late.subscribe(filter{x.topic("#"), 2})
			got := late.message(x.topic("t"), payload)
			want(x, "RETAIN of a new subscription", got.retain, true)
			want(x, "QoS", got.qos, qos)
			late.nothing()
		}
	}},
	{"3.3.1-6 3.3.1-7", "45", "retained removed", func(x *exam) {
		p, s := x.client("p"), x.client("s")
		s.subscribe(filter{x.topic("t"), 1})
		p.publish(pub{topic: x.topic("t"), payload: "x", qos: 1, retain: true})
		s.message(x.topic("t"), "x")
		p.publish(pub{topic: x.topic("t"), qos: 1, retain: true})
		want(x, "RETAIN", s.message(x.topic("t"), "").retain, false)
		late := x.client("late")
		late.subscribe(filter{x.topic("t"), 1}, filter{x.topic("#"), 1})
		late.nothing()
	}},
	{"3.3.1-9 3.3.2-3", "45", "retained by wildcards", func(x *exam) {
		p := x.client("p")
		for _, name := range []string{"a", "a/b", "a/b/c", "b/b", "a/"} {
			p.publish(pub{topic: x.topic(name), payload: name, retain: true})
		}
		for f, count := range map[string]int{"#": 5, "a/#": 4, "+/b": 2, "a/+": 2, "+": 1, "+/b/#": 3, "a/b/c/#": 1, "a/b": 1, "c": 0, "+/+/+": 1} {
			s := x.client("s")
			s.subscribe(filter{x.topic(f), 0})
			for range count {
				s.want(publish)
			}
			s.nothing()
		}
	}},
	{"3.3.1-10 3.3.1-11 3.3.1-9 3.8.4-4", "5", "Retain Handling", func(x *exam) {
		p, s := x.client("p"), x.client("s")
		p.publish(pub{topic: x.topic("t"), payload: "x", qos: 1, retain: true})
		s.subscribe(filter{x.topic("t"), 1 | noRetained})
		s.nothing()
		s.subscribe(filter{x.topic("t"), 1 | newOnly})
		s.nothing()
		s.unsubscribe(x.topic("t"))
		s.subscribe(filter{x.topic("t"), 1 | newOnly})
		s.message(x.topic("t"), "x")
		s.subscribe(filter{x.topic("t"), 1 | newOnly})
		s.nothing()
		for range 2 {
			s.subscribe(filter{x.topic("t"), 1})
			s.message(x.topic("t"), "x")
		}
	}},
	{"3.3.1-12 3.3.1-13", "5", "Retain As Published", func(x *exam) {
		for _, opts := range []byte{0, asPublished} {
			p, s := x.client("p"), x.client("s")
			s.subscribe(filter{x.topic("t"), 1 | opts})
			for qos := range byte(2) {
				p.publish(pub{topic: x.topic("t"), payload: "kept", qos: qos, retain: true})
				want(x, "RETAIN", s.message(x.topic("t"), "kept").retain, opts != 0)
				p.publish(pub{topic: x.topic("t"), payload: "not", qos: qos})
				want(x, "RETAIN", s.message(x.topic("t"), "not").retain, false)
			}
			p.publish(pub{topic: x.topic("t"), retain: true, qos: 1})
			s.message(x.topic("t"), "")
		}
	}},
	{"3.3.1-9", "5", "nothing retained for a shared subscription", func(x *exam) {
		p, s := x.client("p"), x.client("s")
		p.publish(pub{topic: x.topic("t"), payload: "x", qos: 1, retain: true})
		s.subscribe(filter{"$share/g/" + x.topic("t"), 1}) // [MQTT 5, 4.8.2]
		s.nothing()
	}},
}
