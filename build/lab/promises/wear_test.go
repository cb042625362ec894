package promises

import (
	"testing"
	"time"

	"tidegate/build/bench/load"
	"tidegate/build/lab/proc"
)

// written returns the bytes that the gateway has sent to storage so far.
func (w *world) written() int64 {
	w.t.Helper()
	u, err := proc.Read(w.gateway.Process().PID())
	w.must(err)
	return u.Written
}

// TestOnlineWritesNothing counts the bytes that reach the disk with a healthy
// cloud: none for what is routed; and, which is only reported, what a hundred
// retained topics at one message a second each cost. What is not acknowledged
// within spill-after is written, as it must be; on a machine that is busy with
// other tests that can be the cloud's fault, or the machine's.
func TestOnlineWritesNothing(t *testing.T) {
	w := newWorld(t, options{uplink: "[uplink.spool]\nspill-after = \"20s\""})
	tr := w.publish(load.FleetConfig{Clients: 10, Topics: 2, Rate: 200, Size: 200})
	w.eventually("traffic flows", time.Minute, func() bool { return w.arrived.Received() > 600 })
	before := w.written()
	time.Sleep(time.Minute)
	if got := w.written() - before; got != 0 {
		t.Errorf("%d bytes written to disk by routed traffic in a minute, want 0", got)
	}
	retained := w.publish(load.FleetConfig{Clients: 1, Topics: 100, Rate: 100, Size: 60, Retain: true})
	time.Sleep(5 * time.Second)
	before = w.written()
	const span = 60 * time.Second // the default sync interval
	time.Sleep(span)
	day := float64(w.written()-before) * float64(24*time.Hour/span)
	t.Logf("100 retained topics at 1/s each: %.1f MB a day", day/1e6)
	retained.finish()
	tr.finish()
	w.settle()
}

// TestOfflineWear reports what the spool costs while the cloud is away, at 100
// messages a second of 200 bytes.
func TestOfflineWear(t *testing.T) {
	h := newHouse(t, 3)
	tr := h.publish(load.FleetConfig{Clients: 5, Topics: 2, Rate: 100, Size: 200})
	h.eventually("traffic flows", time.Minute, func() bool { return h.arrived.Received() > 100 })
	h.offline()
	time.Sleep(2 * time.Second)
	const span = 20 * time.Second
	before, acked := h.disk.Stats(), h.ledger.Acked()
	time.Sleep(span)
	after, kept := h.disk.Stats(), h.ledger.Acked()-acked
	t.Logf("offline at 100 msg/s of 200 B: %.0f bytes written per message, %.1f commits/s",
		float64(after.Written-before.Written)/float64(max(1, kept)), float64(after.Syncs-before.Syncs)/2/span.Seconds())
	if kept < 1000 {
		t.Errorf("only %d messages accepted in %v", kept, span)
	}
	h.online()
	tr.finish()
	h.settle()
}
