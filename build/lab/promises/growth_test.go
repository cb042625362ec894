package promises

import (
	"context"
	"fmt"
	"testing"
	"time"

	"tidegate/build/bench/load"
	"tidegate/build/lab/gateway"
	"tidegate/build/lab/proc"
)

// size is what must not grow with what happens.
type size struct {
	goroutines, fds int
	anon            int64 // bytes
}

func (w *world) size(dataDir string) size {
	w.t.Helper()
	var status gateway.Status
	w.eventually("the gateway says how it is", time.Minute, func() bool {
		var err error
		status, err = gateway.ReadStatus(dataDir)
		return err == nil
	})
	u, err := proc.Read(w.gateway.Process().PID())
	w.must(err)
	return size{status.Goroutines, u.FDs, u.Anon}
}

// TestNothingGrows lets devices come and go while nodes are cut off and the
// cloud goes away, again and again, under load. Goroutines and descriptors are
// what they were after the first rounds, memory within 16 MB of it.
func TestNothingGrows(t *testing.T) {
	dir := t.TempDir()
	w := newWorld(t, options{dataDir: dir})
	tr := w.publish(load.FleetConfig{Clients: 10, Topics: 4, Rate: 500, Size: 200})
	const warm = 3
	var first, last size
	for round := range rounds(10) {
		w.ways[round%len(w.ways)].Cut()
		w.visitors(50, fmt.Sprintf("visitor%d-", round))
		if round%2 == 1 {
			w.offline()
			time.Sleep(700 * time.Millisecond)
			w.online()
		}
		w.eventually("the backlog is gone", time.Minute, func() bool { return w.arrived.Received()+200 > w.ledger.Acked() })
		time.Sleep(300 * time.Millisecond)
		if last = w.size(dir); round == warm {
			first = last
		}
	}
	// What comes and goes by itself: a reconnecting link, a writer, a commit. The
	// last visitors may still be leaving.
	const slack = 10
	w.eventually(fmt.Sprintf("it is no larger than after %d rounds, %+v", warm, first), time.Minute, func() bool {
		last = w.size(dir)
		return last.goroutines <= first.goroutines+slack && last.fds <= first.fds+slack && last.anon <= first.anon+16<<20
	})
	t.Logf("after %d rounds %+v, at the end %+v", warm, first, last)
	tr.finish()
	w.settle()
}

// visitors are devices that connect, publish a little and leave.
func (w *world) visitors(n int, id string) {
	w.t.Helper()
	fleet := load.NewFleet(load.FleetConfig{
		Client:  load.Client{Addrs: []string{w.gateway.Addr}, ID: id},
		Clients: n, QoS: 1, Count: 4 * n,
		Topic: func(p, _ int) string { return fmt.Sprintf("local/%s%d", id, p) },
	}, load.NewLedger())
	ctx, cancel := context.WithTimeout(w.t.Context(), time.Minute)
	defer cancel()
	w.must(fleet.Run(ctx))
}
