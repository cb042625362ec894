package edge

import (
	"fmt"
	"testing"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"
)

// BenchmarkRetained delivers 50,000 retained messages to a new subscriber; one
// operation is one message.
func BenchmarkRetained(b *testing.B) {
	br := startBroker(b, Options{}, func(c *Config) { c.Limits.Retained = 100_000 })
	const topics = 50_000
	for i := range topics {
		br.Publish(&Message{Topic: fmt.Sprintf("bench/%d/%d", i/1000, i%1000), Payload: make([]byte, 256), QoS: 1, Retain: true, Accepted: time.Now()}, Ticket{})
	}
	for qos := range byte(2) {
		b.Run(fmt.Sprint("qos ", qos), func(b *testing.B) {
			b.ReportAllocs()
			s := connect(b, br, "s")
			for n := 0; n < b.N; n += topics {
				pk := &packets.Packet{ProtocolVersion: 5, FixedHeader: packets.FixedHeader{Type: packets.Subscribe, Qos: 1}, PacketID: 9, Filters: packets.Subscriptions{{Filter: "bench/#", Qos: qos}}}
				s.write(pk)
				if err := swallow(s.nc, topics); err != nil {
					b.Fatal(err)
				}
			}
			s.bye()
		})
	}
}

// BenchmarkPublishCost is what the way from a topic to its receivers takes as
// subscriptions grow: in the cache, and when every topic has to be worked out.
func BenchmarkPublishCost(b *testing.B) {
	for _, n := range []int{100, 1000, 10_000, 100_000, 1_000_000} {
		br, err := New(DefaultConfig(), Options{})
		if err != nil {
			b.Fatal(err)
		}
		topics := make([][]byte, n)
		for i := range n {
			s := newSession(br, fmt.Sprint(i/1000))
			topics[i] = fmt.Appendf(nil, "home/%d/%d/state", i%100, i/100)
			br.trie.subscribe(&subscription{s: s, filter: string(topics[i])})
			if i%10 == 0 {
				br.trie.subscribe(&subscription{s: s, filter: fmt.Sprintf("home/+/%d/state", i/100)})
				br.trie.subscribe(&subscription{s: s, filter: fmt.Sprintf("home/%d/%d/+/set", i%100, i/100)})
			}
		}
		b.Run(fmt.Sprintf("one topic/%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				br.routes.lookup(topics[n/2], nil)
			}
		})
		b.Run(fmt.Sprintf("all topics/%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				br.routes.lookup(topics[i%n], nil)
			}
		})
	}
}
