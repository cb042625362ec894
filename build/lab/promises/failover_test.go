package promises

import (
	"fmt"
	"testing"
	"time"

	"tidegate/build/bench/load"
	"tidegate/build/lab/proxy"
)

// breaks are the ways in which one node goes away, and comes back.
var breaks = []struct {
	name  string
	begin func(w *world, node int)
	end   func(w *world, node int)
}{
	{"killed",
		func(w *world, n int) { w.cloud.Nodes[n].Kill() },
		func(w *world, n int) { w.must(w.cloud.Nodes[n].Start(w.soon(time.Minute))) }},
	{"stopped",
		func(w *world, n int) { w.cloud.Nodes[n].Pause() },
		func(w *world, n int) { w.cloud.Nodes[n].Resume() }},
	{"blackholed",
		func(w *world, n int) { w.must(w.ways[n].Set(proxy.Stall)) },
		func(w *world, n int) { w.must(w.ways[n].Set(proxy.Fault{})) }},
	{"deaf", // takes everything, answers nothing
		func(w *world, n int) { w.must(w.ways[n].Set(proxy.Fault{StallDown: true})) },
		func(w *world, n int) { w.must(w.ways[n].Set(proxy.Fault{})) }},
}

// TestNodesGoAway breaks one node after the other in every way, under load.
// The silence of the worst topic is reported; a killed node is noticed by its
// connections, the others only by time.
func TestNodesGoAway(t *testing.T) {
	w := newWorld(t, options{})
	const devices = 20
	tr := w.publish(load.FleetConfig{Clients: devices, Rate: 400, Size: 200})
	w.eventually("all topics arrive", time.Minute, func() bool { return w.watch.flowing(devices, time.Time{}) })
	silences := map[string]string{}
	for range rounds(1) {
		for _, b := range breaks {
			for n := range w.cloud.Nodes {
				w.watch.reset()
				began := time.Now()
				b.begin(w, n)
				// Long enough for a deadline; then every topic flows through another node.
				time.Sleep(200 * time.Millisecond)
				w.eventually(fmt.Sprintf("all topics arrive with node %d %s", n, b.name), time.Minute,
					func() bool { return w.watch.flowing(devices, began.Add(300*time.Millisecond)) })
				silence := w.watch.silence()
				silences[b.name] += fmt.Sprint(" ", silence.Round(time.Millisecond))
				if b.name == "killed" && silence > 5*time.Second {
					t.Errorf("a killed node silenced a topic for %v", silence)
				}
				b.end(w, n)
				w.eventually("all topics arrive again", time.Minute, func() bool { return w.watch.flowing(devices, time.Now().Add(-200*time.Millisecond)) })
			}
		}
	}
	for _, b := range breaks {
		t.Logf("node %s: longest silence of a topic:%s", b.name, silences[b.name])
	}
	tr.finish()
	w.settle()
}

// TestBadNetwork switches the networks to the nodes at random between good,
// slow, narrow, silent and cut, and kills the gateway now and then.
func TestBadNetwork(t *testing.T) {
	w := newWorld(t, options{})
	tr := w.publish(load.FleetConfig{Clients: 5, Topics: 4, Rate: 300, Size: 200})
	faults := []proxy.Fault{
		{},
		{Delay: 200 * time.Millisecond},
		{Rate: 20_000},
		{Delay: 50 * time.Millisecond, Rate: 5_000},
		{StallDown: true},
		{StallUp: true},
		proxy.Stall,
		{Refuse: true},
	}
	for range rounds(40) {
		way := w.ways[w.rng.IntN(len(w.ways))]
		w.must(way.Set(faults[w.rng.IntN(len(faults))]))
		if w.rng.IntN(3) == 0 {
			way.Cut()
		}
		if w.rng.IntN(10) == 0 {
			w.gateway.Kill()
			w.start()
		}
		time.Sleep(w.between(50*time.Millisecond, 600*time.Millisecond))
	}
	w.online()
	tr.finish()
	w.settle()
}
