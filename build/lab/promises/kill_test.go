package promises

import (
	"testing"
	"time"

	"tidegate/build/bench/load"
)

// TestKill kills the gateway at random moments under load, with the cloud
// there, away, and coming and going.
func TestKill(t *testing.T) {
	w := newWorld(t, options{})
	tr := w.publish(load.FleetConfig{Clients: 5, Topics: 4, Rate: 800, Size: 200})
	for round := range rounds(12) {
		switch round % 3 {
		case 0:
			w.online()
		case 1:
			w.offline()
		case 2: // it comes back, so that a backlog is draining
			w.online()
		}
		time.Sleep(w.between(20*time.Millisecond, 900*time.Millisecond))
		w.gateway.Kill()
		w.start()
	}
	w.online()
	tr.finish()
	w.settle()
}

// TestKillWithQoS2 is the same with devices that publish at QoS 2: it goes up
// as QoS 1, at least once.
func TestKillWithQoS2(t *testing.T) {
	w := newWorld(t, options{})
	tr := w.publish(load.FleetConfig{Clients: 3, Topics: 2, QoS: 2, Rate: 300, Size: 200})
	for round := range rounds(4) {
		if round%2 == 0 {
			w.offline()
		} else {
			w.online()
		}
		time.Sleep(w.between(20*time.Millisecond, 600*time.Millisecond))
		w.gateway.Kill()
		w.start()
	}
	w.online()
	tr.finish()
	w.settle()
}

// TestStop ends the gateway with SIGTERM again and again: bounded time, and
// what was in flight settled or on disk.
func TestStop(t *testing.T) {
	w := newWorld(t, options{})
	tr := w.publish(load.FleetConfig{Clients: 5, Topics: 4, Rate: 500, Size: 200})
	for round := range rounds(4) {
		if round%2 == 0 {
			w.offline()
		} else {
			w.online()
		}
		time.Sleep(w.between(20*time.Millisecond, 600*time.Millisecond))
		w.must(w.gateway.Stop(30 * time.Second))
		w.start()
	}
	w.online()
	tr.finish()
	w.settle()
}

// TestOutage is an outage of the whole cloud of 20 s with a kill of the
// gateway in it, at 2000 messages a second from 10 devices with windows of 20.
// The rate at which the gateway accepts stays what the devices offer.
func TestOutage(t *testing.T) {
	const (
		rate   = 2000
		outage = 20 * time.Second
	)
	w := newWorld(t, options{})
	tr := w.publish(load.FleetConfig{Clients: 10, Topics: 4, Window: 20, Rate: rate, Size: 200})
	time.Sleep(3 * time.Second)
	w.offline()
	began := w.ledger.Now()
	time.Sleep(outage / 2)
	killed := w.ledger.Now()
	w.gateway.Kill()
	w.start()
	back := w.ledger.Now()
	time.Sleep(outage - (w.ledger.Now() - began))
	ended := w.ledger.Now()
	w.online()
	time.Sleep(2 * time.Second)
	tr.finish()
	acked := w.ledger.Now()
	r := w.settle()
	t.Logf("accepted while the cloud was away: %.0f/s before the kill, %.0f/s after it; down for %v; drained %v after the devices stopped; %+v",
		mean(r.AckedRate, began, killed), mean(r.AckedRate, back, ended), back-killed, max(0, r.Last-acked), tr.Stats())
	// Two events, the outage and the kill: the windows in flight of both links
	// each, what devices sent again, and what their windows held.
	const inFlight, windows = 2 * 256, 10 * 20
	if most := uint64(2*inFlight + windows + int(tr.Stats().Resent)); r.Duplicates > most {
		t.Errorf("%d duplicates, want at most %d", r.Duplicates, most)
	}
	// A slow machine may not offer 2000/s; then it cannot accept them. What
	// the gateway must not do is hold the devices back.
	if behind := tr.Stats().Behind; mean(r.AckedRate, began, killed) < 0.9*mean(r.SentRate, began, killed) {
		t.Errorf("accepts less than is offered; devices fell %v behind", behind)
	}
}

// mean returns the mean of a rate in each second over the whole seconds
// between two moments.
func mean(rate []uint64, from, to time.Duration) float64 {
	first, last := int(from/time.Second)+1, int(to/time.Second)
	sum := uint64(0)
	for i := first; i < last && i < len(rate); i++ {
		sum += rate[i]
	}
	return float64(sum) / float64(max(1, last-first))
}
