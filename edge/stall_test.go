package edge

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"
)

// BenchmarkSubscribingInStorm has 10 clients publish at QoS 1 to 10 subscribers,
// each the next message when one is acknowledged, while 10 others at a time make
// subscriptions beside those topics, a tenth of them with wildcards. The longest
// gaps between what comes to a publisher and to a subscriber are compared with
// those in as long a time without, afterwards. One operation is one
// subscription: run it with -benchtime 100000x.
func BenchmarkSubscribingInStorm(b *testing.B) {
	const pairs, each, atOnce = 10, 1000, 100
	br := startBroker(b, Options{})
	many := make([]*peer, max(pairs, (b.N+each-1)/each))
	for i := range many {
		many[i] = connect(b, br, fmt.Sprint("many", i))
	}
	s := newStorm(b, br, pairs)
	time.Sleep(time.Second) // until it is steady
	s.longest()

	b.ResetTimer()
	begin := time.Now()
	var all sync.WaitGroup
	for turn := range pairs {
		all.Go(func() {
			for i := turn; i < len(many); i += pairs {
				for n := 0; n < each; n += atOnce {
					subscribeBeside(many[i], i, n, atOnce)
				}
			}
		})
	}
	all.Wait()
	b.StopTimer()
	took := time.Since(begin)
	acked, arrived := s.longest()
	time.Sleep(took)
	ackedWithout, arrivedWithout := s.longest()
	s.stop()

	b.ReportMetric(milliseconds(acked), "ms-ack")
	b.ReportMetric(milliseconds(ackedWithout), "ms-ack-without")
	b.ReportMetric(float64(acked)/float64(ackedWithout), "ack-ratio")
	b.ReportMetric(milliseconds(arrived), "ms-arrival")
	b.ReportMetric(milliseconds(arrivedWithout), "ms-arrival-without")
	b.ReportMetric(float64(arrived)/float64(arrivedWithout), "arrival-ratio")
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// subscribeBeside makes some of a client's subscriptions, from n on.
func subscribeBeside(p *peer, client, n, some int) {
	var filters packets.Subscriptions
	for i := n; i < n+some; i++ {
		filter := fmt.Sprintf("storm/%d/%d/%d", i%10, client, i)
		if i%10 == 0 {
			filter = fmt.Sprintf("storm/+/%d/%d/#", client, i)
		}
		filters = append(filters, packets.Subscription{Filter: filter, Qos: 1})
	}
	p.write(&packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Subscribe}, PacketID: 9, Filters: filters})
	p.expect(packets.Suback)
}

// storm is publishers and subscribers that never rest.
type storm struct {
	acks, arrivals atomic.Int64 // the longest gap, in nanoseconds
	end            atomic.Bool
	publishers     sync.WaitGroup
	subscribers    sync.WaitGroup
	peers          []*peer // that subscribed
}

func newStorm(b *testing.B, br *Broker, pairs int) *storm {
	st := &storm{}
	for i := range pairs {
		topic := fmt.Sprintf("storm/%d/state", i)
		s, p := connect(b, br, fmt.Sprint("s", i)), connect(b, br, fmt.Sprint("p", i))
		s.subscribe(sub{filter: topic, qos: 1})
		st.peers = append(st.peers, s)
		st.subscribers.Go(func() {
			for last := time.Now(); ; last = widen(&st.arrivals, last) {
				pk, err := s.read(patience)
				if err != nil {
					return
				}
				s.push([]byte{0x40, 2, byte(pk.PacketID >> 8), byte(pk.PacketID)})
			}
		})
		st.publishers.Go(func() {
			for last := time.Now(); !st.end.Load(); last = widen(&st.acks, last) {
				if err := pourOnto(p.nc, 1, 1, 1, 256, func(int) string { return topic }); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	return st
}

// widen makes the longest gap the one since last, if that is longer, and returns
// the time.
func widen(longest *atomic.Int64, last time.Time) time.Time {
	now := time.Now()
	for gap := int64(now.Sub(last)); ; {
		if was := longest.Load(); gap <= was || longest.CompareAndSwap(was, gap) {
			return now
		}
	}
}

// longest returns the longest gaps since the last call.
func (st *storm) longest() (acks, arrivals time.Duration) {
	return time.Duration(st.acks.Swap(0)), time.Duration(st.arrivals.Swap(0))
}

func (st *storm) stop() {
	st.end.Store(true)
	st.publishers.Wait()
	for _, s := range st.peers {
		s.nc.Close()
	}
	st.subscribers.Wait()
}
