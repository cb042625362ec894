package uplink

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write PLACEMENT.md and its plots")

// spread is what one placement does on a cluster of one size.
type spread struct {
	nodes               int
	start, dead, back   float64 // highest load, as a multiple of the fair one
	lost, home, widened int     // links that moved: at a loss, at the return, to a node that is added
}

func simulate(placement string, nodes int) spread {
	weigh := ones
	if placement == Weighted {
		weigh = oneAndTwo
	}
	f, s, dead := newFleet(placement, weigh(nodes)), spread{nodes: nodes}, nodes/2
	s.start = f.worst(-1, f.fair)
	s.widened = f.grow(newFleet(placement, weigh(nodes+1)))
	s.lost = f.lose(dead)
	alive := weigh(nodes)
	fair := fairShares(append(alive[:dead], alive[dead+1:]...))
	s.dead = f.worst(dead, append(append(append([]float64(nil), fair[:dead]...), 0), fair[dead:]...))
	s.home = f.goHome()
	s.back = f.worst(-1, f.fair)
	return s
}

// PLACEMENT.md and its plots are what the code yields: nothing in them is drawn
// or written by hand. They are written by: make placement
func TestPlacementDocument(t *testing.T) {
	all := map[string][]spread{}
	for _, placement := range placements {
		for _, n := range fleetSizes {
			all[placement] = append(all[placement], simulate(placement, n))
		}
	}
	f := newFleet(Sticky, ones(stampedeNodes))
	herd := comeBack(f, 5*time.Second, func() float64 { return 1 })
	waves := map[time.Duration]*stampede{}
	for _, most := range stampedePauses {
		waves[most] = comeBack(f, most, fullJitter())
	}
	checkStampede(t, herd, waves)
	for name, text := range map[string]string{
		"PLACEMENT.md": document(all, herd, waves), "placement.svg": placementPlot(all), "stampede.svg": stampedePlot(herd, waves),
	} {
		if *update {
			if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		committed, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if string(committed) != text {
			t.Errorf("%s is not what the code yields; run: make placement", name)
		}
	}
}

const stampedeNodes = 5

var stampedePauses = []time.Duration{time.Second, 5 * time.Second, 30 * time.Second, time.Minute}

// checkStampede holds the dialling to this: full jitter keeps the fleet from
// coming back all at once, and nobody waits longer than the longest pause.
func checkStampede(t *testing.T, herd *stampede, waves map[time.Duration]*stampede) {
	const links = fleetGateways * fleetLinks
	if herd.peak() != links {
		t.Errorf("without jitter: got %d of %d links in the worst 100 ms, want all", herd.peak(), links)
	}
	for most, s := range waves {
		if share := float64(s.peak()) / links; share > 0.7*float64(time.Second)/float64(most) {
			t.Errorf("with pauses to %v: got %.0f %% of the links in the worst 100 ms", most, 100*share)
		}
		if s.after(100) > longestPause(most, stampedeNodes) {
			t.Errorf("with pauses to %v: the last link was up after %v", most, s.after(100))
		}
	}
}

func placementPlot(all map[string][]spread) string {
	of := func(title string, value func(spread) float64) chart {
		c := chart{
			title: title, x: "nodes", y: "most loaded node, fair share = 1",
			xs: [2]float64{0, 30}, ys: [2]float64{1, 1.12}, xticks: []float64{3, 5, 10, 15, 20, 30}, yticks: []float64{1, 1.02, 1.04, 1.06, 1.08, 1.1, 1.12},
		}
		limit := line{name: "mean + 3 standard deviations of a random spread", dashed: true}
		for _, placement := range placements {
			l := line{name: placement}
			for _, s := range all[placement] {
				l.points = append(l.points, [2]float64{float64(s.nodes), value(s)})
			}
			c.lines = append(c.lines, l)
		}
		for _, n := range fleetSizes {
			limit.points = append(limit.points, [2]float64{float64(n), bound(n)})
		}
		c.lines = append(c.lines, limit)
		return c
	}
	return svg([]chart{
		of("At the start", func(s spread) float64 { return s.start }),
		of("After one node has died", func(s spread) float64 { return s.dead }),
		of("After it has come back", func(s spread) float64 { return s.back }),
	})
}

func stampedePlot(herd *stampede, waves map[time.Duration]*stampede) string {
	c := chart{
		title: fmt.Sprintf("The whole cluster of %d nodes comes back", stampedeNodes), x: "seconds since its return", y: "connects per 100 ms", log: true,
		xs: [2]float64{0, 20}, ys: [2]float64{10, 30000}, xticks: []float64{0, 5, 10, 15, 20}, yticks: []float64{10, 100, 1000, 10000},
	}
	series := func(name string, s *stampede, dashed bool) {
		l := line{name: name, dashed: dashed}
		for i, n := range s.waves {
			if float64(i)/10 <= c.xs[1] {
				l.points = append(l.points, [2]float64{float64(i) / 10, float64(n)})
			}
		}
		if len(l.points) > 1 || s != herd {
			c.lines = append(c.lines, l)
		}
	}
	for _, most := range stampedePauses {
		series(fmt.Sprintf("reconnect-max = %q", brief(most)), waves[most], false)
	}
	series("no jitter: all at one moment", herd, true)
	return svg([]chart{c})
}

func brief(d time.Duration) string {
	s := d.String()
	if m, ok := strings.CutSuffix(s, "m0s"); ok {
		s = m + "m"
	}
	return s
}

func document(all map[string][]spread, herd *stampede, waves map[time.Duration]*stampede) string {
	var b strings.Builder
	p := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	p("# Where links go: %d gateways simulated", fleetGateways)
	p("")
	p("Each gateway has %d links. The functions that place them here are those of the gateway; nothing in this page is written by hand (`make placement` writes it, a test holds it to the code).", fleetLinks)
	p("")
	p("## Spread")
	p("")
	p("![Most loaded node for each placement, by the number of nodes](placement.svg)")
	p("")
	p("The most loaded node, as a multiple of its fair share (the mean; for `weighted`, here with the weights 1, 2, 1, 2, ..., the mean by weight), when all is well, while one node is away, and after it has returned. A uniform random spread would rarely exceed the bound, its mean and three standard deviations. Moved: links of the %d in all, when the node died, when it came back, and when another node joins the list instead.", fleetGateways*fleetLinks)
	p("")
	p("| placement | nodes | bound | start | one dead | back | moved: dead | back | joined |")
	p("|---|--:|--:|--:|--:|--:|--:|--:|--:|")
	for _, placement := range placements {
		for _, s := range all[placement] {
			p("| %s | %d | %.3f | %.3f | %.3f | %.3f | %d | %d | %d |", placement, s.nodes, bound(s.nodes), s.start, s.dead, s.back, s.lost, s.home, s.widened)
		}
	}
	p("")
	p("When a node dies its links move and no others; when it is back (stable-after) the same links return. A node that joins the list takes its share with `sticky`, `random` and equal weights; with `round-robin` the offsets change and most links move, one at a time. With the weights of this table the new node changes what is fair for all others, too. A gateway's own links sit apart first: with as many links as nodes every placement is the same.")
	p("")
	p("## The whole cluster comes back")
	p("")
	p("![Connects per 100 ms after the return of the whole cluster](stampede.svg)")
	p("")
	p("%d nodes were away for long, so that every pause has its full length. A link has a pause for each endpoint, drawn anew after each failure from 0 to reconnect-max (full jitter), a third of the number of endpoints longer when there are more than three: so the number of tries of a link does not grow with the cluster. The first link of a gateway that is up ends the pauses of the others.", stampedeNodes)
	p("")
	p("| reconnect-max | tries a second and node while away | worst 100 ms, all nodes | half the links up | 99 %% | all |")
	p("|---|--:|--:|--:|--:|--:|")
	for _, most := range stampedePauses {
		s := waves[most]
		p("| %s | %d | %d | %.1f s | %.1f s | %.1f s |", brief(most), s.away, s.peak(), s.after(50).Seconds(), s.after(99).Seconds(), s.after(100).Seconds())
	}
	p("| 5s without jitter | %d | %d | %.1f s | %.1f s | %.1f s |", herd.away, herd.peak(), herd.after(50).Seconds(), herd.after(99).Seconds(), herd.after(100).Seconds())
	p("")
	p("The default, 1s, is for one home: its messages flow within a second of the cloud's return, however long it was away. It is right for hundreds of gateways. An endpoint that answers and says no (busy, credentials, certificates) gets pauses that grow to thirty times as much; one that is not there costs nobody anything. EMQX's documentation limits a listener to 1000 connections a second in its example (`max_conn_rate`), AWS IoT an account to 500: thousands of gateways at one cloud should have `reconnect-max = \"1m\"` or more, and TLS makes each connect dearer still.")
	p("")
	p("## One node dies")
	p("")
	p("Its links dial another node at once, without jitter: silence is what a gateway is there to prevent, and the links go to all survivors alike.")
	p("")
	p("| nodes | links that dial at once | per survivor |")
	p("|--:|--:|--:|")
	for _, s := range all[Sticky] {
		p("| %d | %d | %d |", s.nodes, s.lost, s.lost/(s.nodes-1))
	}
	p("")
	p("That is the worst case, a process that was killed, so that all see it in the same moment; a node that falls silent is found out by each link in its own time, over seconds. What a survivor cannot take at once waits in its listen backlog: give it room for a column of this table (`net.core.somaxconn`, and the broker's own `backlog`, 128 in RabbitMQ and 1024 in EMQX by default). Who finds it full is dropped by the kernel, sends SYN again after a second, goes on to the next endpoint by then, and has jitter from its second failure of an endpoint on. A jitter of one second on the first try would take nine tenths off the peak and cost every failover half a second; it is not there.")
	p("")
	peak, first, last := comeHome(fleetGateways*fleetLinks/stampedeNodes, time.Minute, fullJitter())
	p("Nor is the way back a stampede: of %d links that return to one of %d nodes with `stable-after = \"1m\"` at most %d move in the same 100 ms; the first after %.0f s, the last after %.0f s.", fleetGateways*fleetLinks/stampedeNodes, stampedeNodes, peak, first.Seconds(), last.Seconds())
	return b.String()
}
