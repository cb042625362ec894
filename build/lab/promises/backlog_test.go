package promises

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tidegate/build/bench/load"
	"tidegate/build/lab/cloud"
	"tidegate/build/lab/gateway"
	"tidegate/build/lab/proc"
	"tidegate/uplink/spool"
)

// What a backlog may cost.
const (
	backlogAnon   = 48e6                   // bytes of anonymous memory of the gateway, at any moment
	backlogReady  = 150 * time.Millisecond // from the start to the first device
	backlogRate   = 0.8                    // of the rate without a backlog
	backlogUrgent = 100 * time.Millisecond // p99, on its way past the backlog
)

// TestBacklog fills the card while the cloud is away, kills the gateway, starts
// it on what it left and lets it drain, urgent messages passing. With -soak the
// backlog is a million messages and all bars hold; without, on a machine that
// may be busy, the account, the order and the memory.
func TestBacklog(t *testing.T) {
	count := 50_000
	if *soak {
		count = 1_000_000
	}
	dir := t.TempDir()
	w := newWorld(t, options{
		dataDir: dir,
		home:    `wear-burst = "4GiB"`,
		up:      `{filter = "alarm/#", add = "cloud/", class = "urgent"}, `,
	})
	peak := w.watchMemory()
	w.flatOut(count / 10)
	before := w.flatOut(count / 2)
	t.Logf("steady: %.0f/s; anonymous memory up to %.1f MB", before, peak()/1e6)

	w.offline()
	w.publish(load.FleetConfig{Clients: 50, Topics: 4, Window: 200, Count: count, Size: 200}).wait()
	most := peak()
	t.Logf("%d written: anonymous memory up to %.1f MB; files of %d bytes", count, most/1e6, w.spool(dir).DiskBytes)
	w.gateway.Kill()
	began := time.Now()
	w.start()
	ready := time.Since(began)
	w.eventually("the spool is loaded", 5*time.Minute, func() bool { return w.spool(dir).Loaded })
	loaded := time.Since(began)
	t.Logf("ready %v after the start, loaded after %v", ready, loaded)

	alarms := w.alarms()
	rate := w.drain()
	urgent := alarms()
	drained := peak()
	after := w.flatOut(count / 2)
	ratio := 2 * rate / (before + after)
	late := urgent.Latency.Quantile(0.99)
	t.Logf("drained: %.0f/s, %.2f of the steady %.0f/s and %.0f/s; urgent meanwhile p99 %v of %d; anonymous memory up to %.1f MB",
		rate, ratio, before, after, late, urgent.Received, drained/1e6)
	w.settle()
	if got := max(most, drained); got > backlogAnon {
		t.Errorf("%.1f MB of anonymous memory", got/1e6)
	}
	if *soak && (ready > backlogReady || ratio < backlogRate || late > backlogUrgent) {
		t.Errorf("ready after %v, drained at %.2f of the steady rate, urgent p99 %v; want %v, %v, %v", ready, ratio, late, backlogReady, backlogRate, backlogUrgent)
	}
}

// flatOut publishes and returns the rate of arrival.
func (w *world) flatOut(count int) float64 {
	w.t.Helper()
	from := w.ledger.Now()
	had := w.arrived.Received()
	w.publish(load.FleetConfig{Clients: 20, Topics: 4, Window: 100, Count: count, Size: 200}).wait()
	w.caughtUp()
	return float64(w.arrived.Received()-had) / (w.ledger.Now() - from).Seconds()
}

// wait returns when all of a fleet's Count is acknowledged.
func (tr *traffic) wait() {
	tr.w.t.Helper()
	select {
	case err := <-tr.done:
		tr.w.must(err)
	case <-time.After(20 * time.Minute):
		tr.w.t.Fatalf("%d messages are not acknowledged", tr.InFlight())
	}
}

func (w *world) caughtUp() {
	w.t.Helper()
	w.eventually("all has arrived", 10*time.Minute, func() bool { return w.arrived.Received() >= w.ledger.Acked() })
}

// drain lets the cloud come back and returns the rate from the first arrival.
func (w *world) drain() float64 {
	w.t.Helper()
	had := w.arrived.Received()
	w.online()
	w.eventually("the first arrives", time.Minute, func() bool { return w.arrived.Received() > had })
	from, had := w.ledger.Now(), w.arrived.Received()
	w.caughtUp()
	return float64(w.arrived.Received()-had) / (w.ledger.Now() - from).Seconds()
}

// alarms sends 50 urgent messages a second until the account is asked for.
func (w *world) alarms() func() load.Report {
	w.t.Helper()
	ledger := load.NewLedger()
	arrived := ledger.Consumer()
	ctx, cancel := context.WithCancel(w.t.Context())
	var work sync.WaitGroup
	work.Go(func() {
		if err := cloud.Follow(ctx, w.cloud.Record, func(m cloud.Accepted) {
			if strings.HasPrefix(m.Topic, "cloud/alarm/") {
				arrived.Receive(m.Payload, ledger.Now()-time.Since(m.At))
			}
		}); err != nil {
			w.t.Error(err)
		}
	})
	fleet := load.NewFleet(load.FleetConfig{
		Client: load.Client{Addrs: []string{w.gateway.Addr}, ID: "alarm"}, Clients: 2, QoS: 1, Rate: 50, Size: 64, Topics: 4,
		Topic: func(p, n int) string { return fmt.Sprintf("alarm/%d/%d", p, n) },
	}, ledger)
	tr := &traffic{Fleet: fleet, w: w, done: make(chan error, 1)}
	go func() { tr.done <- fleet.Run(ctx) }()
	return func() load.Report {
		w.t.Helper()
		tr.finish()
		w.eventually("all alarms have arrived", time.Minute, func() bool { return arrived.Report().Lost == 0 })
		r := arrived.Report()
		cancel()
		work.Wait()
		if r.Disorder > 0 || r.Lost > 0 {
			w.t.Errorf("alarms: %v", r)
		}
		return r
	}
}

// watchMemory samples the gateway's anonymous memory. The result returns the
// highest since it was last asked, in bytes.
func (w *world) watchMemory() func() float64 {
	var peak atomic.Int64
	ctx, cancel := context.WithCancel(context.Background())
	var work sync.WaitGroup
	w.t.Cleanup(func() { cancel(); work.Wait() })
	work.Go(func() {
		for ctx.Err() == nil {
			if u, err := proc.Read(w.gateway.Process().PID()); err == nil && u.Anon > peak.Load() {
				peak.Store(u.Anon)
			}
			time.Sleep(20 * time.Millisecond)
		}
	})
	return func() float64 { return float64(peak.Swap(0)) }
}

func (w *world) spool(dataDir string) spool.Stats {
	s, err := gateway.ReadStatus(dataDir)
	if err != nil {
		return spool.Stats{} // too many ask: again later
	}
	return s.Cloud().Spool
}
