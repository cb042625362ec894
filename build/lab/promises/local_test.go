package promises

import (
	"context"
	"sync"
	"testing"
	"time"

	"tidegate/build/bench/load"
	"tidegate/build/lab/gateway"
)

// TestLocalFirst takes the cloud away and makes every fsync take three
// seconds. Devices wait that long for their acknowledgement; other devices of
// the home get the messages as fast as ever.
func TestLocalFirst(t *testing.T) {
	h := newHouse(t, 4)
	local := h.ledger.Consumer()
	display := load.NewSubscriber(load.SubscriberConfig{
		Client:   load.Client{Addrs: []string{h.gateway.Addr}, ID: "display"},
		Filters:  []load.Filter{{Topic: gateway.Up + "#", QoS: 1}},
		Consumer: local,
	})
	ctx, cancel := context.WithCancel(t.Context())
	var work sync.WaitGroup
	defer work.Wait()
	defer cancel()
	work.Go(func() {
		if err := display.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	<-display.Ready()

	const stuck = 3 * time.Second
	h.offline()
	h.disk.SetSyncDelay(stuck)
	tr := h.publish(load.FleetConfig{Clients: 5, Topics: 4, Window: 200, Rate: 100, Size: 200})
	held := uint64(0)
	for range 100 {
		time.Sleep(100 * time.Millisecond)
		held = max(held, local.Received()-min(local.Received(), h.ledger.Acked()))
	}
	if held < 50 {
		t.Errorf("at most %d messages were delivered before they were acknowledged: the disk held nothing back", held)
	}
	h.disk.SetSyncDelay(0)
	h.online()
	tr.finish()
	h.settle()
	if _, err := account(t, local); err != nil {
		t.Errorf("at home: %v", err)
	}
	r := local.Report()
	if p99 := r.Latency.Quantile(0.99); p99 > stuck/2 {
		t.Errorf("local delivery took %v (p99) while the disk took %v", p99, stuck)
	}
}
