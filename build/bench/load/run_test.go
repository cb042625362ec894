package load

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"
)

// limit is the deadline of a test that waits for something.
const limit = 60 * time.Second

// start runs something until the end of the test, which waits for it.
func start(t *testing.T, run func(ctx context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := run(ctx); err != nil {
			t.Errorf("run: %v", err)
		}
	})
	t.Cleanup(func() {
		cancel()
		wg.Wait()
	})
}

func startSink(t *testing.T) string {
	t.Helper()
	sink, err := NewSink("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	start(t, sink.Run)
	return sink.Addr()
}

func startSubscriber(t *testing.T, cfg SubscriberConfig) *Subscriber {
	t.Helper()
	s := NewSubscriber(cfg)
	start(t, s.Run)
	select {
	case <-s.Ready():
	case <-time.After(limit):
		t.Fatal("the subscriber did not become ready")
	}
	return s
}

func TestThroughSink(t *testing.T) {
	for _, version := range []byte{MQTT311, MQTT5} {
		for qos := range byte(3) {
			for _, rate := range []float64{0, 5000} {
				t.Run(fmt.Sprintf("version %d QoS %d rate %v", version, qos, rate), func(t *testing.T) {
					ctx, cancel := context.WithTimeout(t.Context(), limit)
					defer cancel()
					addr := startSink(t)
					ledger := NewLedger()
					var mine int
					consumer := ledger.Consumer()
					sub := startSubscriber(t, SubscriberConfig{
						Client:    Client{Addrs: []string{addr}, Version: version, ID: "sub", KeepAlive: 10 * time.Second},
						Filters:   []Filter{{"#", 1}},
						Consumer:  consumer,
						OnMessage: func(*Message) { mine++ },
					})
					const count = 2003
					fleet := NewFleet(FleetConfig{
						Client:  Client{Addrs: []string{addr}, Version: version, KeepAlive: 10 * time.Second},
						Clients: 7, Topics: 3, QoS: qos, Window: 9, Rate: rate, Count: count, Size: 100, CatchUp: -1,
					}, ledger)
					if err := fleet.Run(ctx); err != nil {
						t.Fatal(err)
					}
					for consumer.Received() < count && ctx.Err() == nil {
						time.Sleep(time.Millisecond)
					}
					r := consumer.Report()
					acked := uint64(count)
					if qos == 0 {
						acked = 0
					}
					if r.Published != count || r.Acked != acked || r.Received != count || r.Duplicates+r.Disorder+r.Gaps+r.Lost+r.Foreign > 0 {
						t.Errorf("got %v", r)
					}
					if got := sub.Received(); got != count {
						t.Errorf("Received: got %d, want %d", got, count)
					}
				})
			}
		}
	}
}

func TestStop(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	addr := startSink(t)
	for qos := range byte(3) {
		ledger := NewLedger()
		fleet := NewFleet(FleetConfig{Client: Client{Addrs: []string{addr}}, Clients: 3, QoS: qos}, ledger)
		go func() {
			for ledger.Published() < 1000 && ctx.Err() == nil {
				time.Sleep(time.Millisecond)
			}
			fleet.Stop()
		}()
		if err := fleet.Run(ctx); err != nil {
			t.Fatal(err)
		}
		if got, want := ledger.Acked(), ledger.Published(); qos > 0 && got != want {
			t.Errorf("QoS %d: %d acknowledged of %d", qos, got, want)
		}
	}
}

// TestWindowAndRate has a window that is often full. A publisher that then
// waited for an acknowledgement only would stop when the last one came before
// the next message was due.
func TestWindowAndRate(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	addr := startSink(t)
	ledger := NewLedger()
	fleet := NewFleet(FleetConfig{Client: Client{Addrs: []string{addr}}, QoS: 1, Window: 1, Rate: 4000, Count: 4000, CatchUp: -1}, ledger)
	if err := fleet.Run(ctx); err != nil {
		t.Fatal(err)
	}
	if got := fleet.Stats().Behind; got >= idle {
		t.Errorf("the publisher slept for %v", got)
	}
}

// TestSchedule checks numbers, not times: a slow machine leaves messages out, or
// catches up.
func TestSchedule(t *testing.T) {
	cfg := FleetConfig{Clients: 4, Rate: 1000, Count: 10}
	var total int
	for i := range 4 {
		s := cfg.schedule(i)
		total += s.count
		if got, want := s.period, 4*time.Millisecond; got != want {
			t.Errorf("period of %d: got %v, want %v", i, got, want)
		}
		if got, want := s.at(0), time.Duration(i)*time.Millisecond; got != want {
			t.Errorf("phase of %d: got %v, want %v", i, got, want)
		}
		for n := range 100 {
			if got := s.due(s.at(n)); got != n+1 {
				t.Errorf("due at message %d: got %d, want %d", n, got, n+1)
			}
			if got := s.due(s.at(n) - 1); got != n {
				t.Errorf("due before message %d: got %d, want %d", n, got, n)
			}
		}
	}
	if total != 10 {
		t.Errorf("count: got %d, want 10", total)
	}
}
