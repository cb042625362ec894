package edge

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"
)

// BenchmarkRetained delivers 50,000 retained messages to a new subscriber to all of
// them, and as many in turn by fan-out to 200 subscribers and, live and each on a
// topic of its own, to one. The ratios are of the time for one delivery.
func BenchmarkRetained(b *testing.B) {
	const topics, subscribers = 50_000, 200
	br := startBroker(b, Options{}, func(c *Config) { c.Limits.Retained = 100_000 })
	topic := func(i int) string { return fmt.Sprintf("bench/%d/%d", i/1000, i%1000) }
	for i := range topics {
		br.Publish(&Message{Topic: topic(i), Payload: make([]byte, 256), QoS: 1, Retain: true, Accepted: time.Now()}, Ticket{})
	}
	for qos := range byte(2) {
		b.Run(fmt.Sprint("qos ", qos), func(b *testing.B) {
			var retained, fanned, live time.Duration
			one := connect(b, br, "one", receiveMax(65535))
			many := make([]*peer, subscribers)
			for i := range many {
				many[i] = connect(b, br, fmt.Sprint("s", i), receiveMax(65535))
				many[i].subscribe(sub{filter: "fan", qos: qos})
			}
			p := connect(b, br, "p")
			for b.Loop() {
				one.write(&packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Subscribe}, PacketID: 9, Filters: packets.Subscriptions{{Filter: "bench/#", Qos: qos}}})
				retained += deliver(b, topics, nil, nil, one)
				live += deliver(b, topics, p, func(i int) string { return topic(i % topics) }, one)
				one.write(&packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Unsubscribe}, PacketID: 9, Filters: packets.Subscriptions{{Filter: "bench/#"}}})
				one.expect(packets.Unsuback)
				fanned += deliver(b, 10*topics/subscribers, p, func(int) string { return "fan" }, many...) / 10
			}
			each := func(d time.Duration) float64 { return float64(d) / float64(b.N*topics) }
			b.ReportMetric(each(retained), "ns/retained")
			b.ReportMetric(each(live), "ns/live")
			b.ReportMetric(each(fanned), "ns/fan-out")
			b.ReportMetric(float64(retained)/float64(live), "retained:live")
			b.ReportMetric(float64(retained)/float64(fanned), "retained:fan-out")
			one.bye()
			for _, s := range many {
				s.bye()
			}
			p.bye()
		})
	}
}

// deliver publishes n messages through p, unless that is nil, and returns how long
// it takes until each of some subscribers has them.
func deliver(b *testing.B, n int, p *peer, topic func(int) string, to ...*peer) time.Duration {
	b.Helper()
	var all sync.WaitGroup
	begin := time.Now()
	for _, s := range to {
		all.Go(func() {
			if err := swallow(s.nc, n); err != nil {
				b.Error(err)
			}
		})
	}
	if p != nil {
		if err := pourOnto(p.nc, n, 1, 20, 256, topic); err != nil {
			b.Error(err)
		}
	}
	all.Wait()
	return time.Since(begin)
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
