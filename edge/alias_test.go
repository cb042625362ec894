package edge

import (
	"fmt"
	"strings"
	"testing"

	"github.com/mochi-mqtt/server/v2/packets"
)

func aliasMax(n uint16) option {
	return func(pk *packets.Packet) { pk.Properties.TopicAliasMaximum = n }
}

// The topics that come most often keep their aliases while others pass by.
func TestAliasesOfTheMostUsed(t *testing.T) {
	a := newAliases(4)
	short, long := 0, 0
	for i := range 4000 {
		topic := fmt.Sprint("often/", i%3)
		if i%4 == 3 {
			topic = fmt.Sprint("seldom/", i)
		}
		if _, known := a.pick(topic); strings.HasPrefix(topic, "often") && known {
			short++
		} else if strings.HasPrefix(topic, "often") {
			long++
		} else if known {
			t.Fatalf("%s is new", topic)
		}
	}
	if long > 30 {
		t.Fatalf("%d of %d in full, want 30 at most", long, short+long)
	}
	if len(a.slots) != 4 || len(a.at) != 4 {
		t.Fatalf("%d slots, %d topics, want 4", len(a.slots), len(a.at))
	}
}

// What was sent before by an alias is understood on the next connection too,
// and what several subscribers share is not spoilt.
func TestAliasesToClients(t *testing.T) {
	b := startBroker(t, Options{})
	p := connect(t, b, "p")
	plain := connect(t, b, "plain")
	plain.subscribe(sub{filter: "home/#", qos: 1})
	s := connect(t, b, "s", aliasMax(2), resume(), expiry(100))
	s.subscribe(sub{filter: "home/#", qos: 1, id: 3})
	take := func(topic string, alias uint16, bare bool) {
		t.Helper()
		pk := s.expect(packets.Publish)
		want := topic
		if bare {
			want = ""
		}
		if pk.TopicName != want || pk.Properties.TopicAlias != alias || fmt.Sprint(pk.Properties.SubscriptionIdentifier) != "[3]" {
			t.Fatalf("got %q alias %d ids %v, want %q alias %d", pk.TopicName, pk.Properties.TopicAlias, pk.Properties.SubscriptionIdentifier, want, alias)
		}
		if pk.FixedHeader.Qos > 0 {
			s.ack(packets.Puback, pk.PacketID)
		}
	}
	for i, topic := range []string{"home/a", "home/a", "home/b", "home/b", "home/a"} {
		p.publish(topic, "x", byte(i%2))
		plain.message(topic, "x")
		take(topic, uint16(1+strings.Index("ab", topic[5:])), i%2 == 1 || i == 4)
	}
	s.nc.Close()
	s = connect(t, b, "s", aliasMax(2), resume(), expiry(100))
	p.publish("home/b", "x", 1)
	take("home/b", 1, false)
}

// A hundred topics in turn, of which half come often.
func BenchmarkAlias(b *testing.B) {
	var topics []string
	for i := range 100 {
		topics = append(topics, fmt.Sprint("home/floor/room/sensor/", i))
	}
	a := newAliases(65535)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		n := i % 50
		if i%2 == 0 {
			n = i % 100
		}
		a.pick(topics[n])
	}
}
