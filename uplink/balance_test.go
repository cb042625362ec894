package uplink

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func nodes(n int) (urls []string) {
	for i := range n {
		urls = append(urls, fmt.Sprintf("mqtt://node%d:1883", i))
	}
	return urls
}

func TestEveryOrderIsAPermutation(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for round := range 1000 {
		n := 1 + rnd.IntN(30)
		weights := make([]int, n)
		for i := range weights {
			weights[i] = 1 + rnd.IntN(10)
		}
		placement := placements[round%len(placements)]
		gateway, link := fmt.Sprint("gw", rnd.Uint64()), rnd.IntN(16)
		var rate []float64
		if placement == Weighted {
			rate = rates(weights[:min(n, 5)], 2)
			n = len(rate)
		}
		order := preference(placement, gateway, "salt", link, nodes(n), rate)
		if got := slices.Sorted(slices.Values(order)); !slices.Equal(got, identity(n)) {
			t.Fatalf("%s of %d: got %v, want each once", placement, n, order)
		}
		if again := preference(placement, gateway, "salt", link, nodes(n), rate); !slices.Equal(order, again) {
			t.Fatalf("%s: got %v, then %v: not a pure function", placement, order, again)
		}
	}
}

func identity(n int) (list []int) {
	for i := range n {
		list = append(list, i)
	}
	return list
}

// No node has more links than a uniform random spread would give one by chance
// (three standard deviations).
func TestSpread(t *testing.T) {
	for _, placement := range []string{RoundRobin, Sticky, Random} {
		for _, n := range fleetSizes {
			f := newFleet(placement, ones(n))
			if got, most := f.worst(-1, f.fair), bound(n); got > most {
				t.Errorf("%s on %d nodes: got %.4f of the mean on one, want at most %.4f", placement, n, got, most)
			}
		}
	}
}

// Each node has the share that its weight says, within three standard
// deviations, though the two links of a gateway sit apart.
func TestWeightedFollowsWeights(t *testing.T) {
	for _, weights := range [][]int{
		{1, 1, 2}, {1, 2, 3}, {1, 1, 1, 1}, {5, 4, 3, 2, 1}, {10, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1}, {1, 100, 1}, {1, 2}, oneAndTwo(10), oneAndTwo(30),
	} {
		f := newFleet(Weighted, weights)
		for e, got := range f.load() {
			fair := f.fair[e]
			p := fair / fleetGateways / fleetLinks
			sd := math.Sqrt(fleetGateways * fleetLinks * p * (1 - p))
			if math.Abs(float64(got)-fair) > 3*sd {
				t.Errorf("weights %v: got %d links on node %d, want %.0f, three standard deviations are %.0f", weights, got, e, fair, 3*sd)
			}
		}
	}
}

// Rates are right for every number of links, not only for two.
func TestRates(t *testing.T) {
	for _, c := range []struct {
		weights []int
		links   int
		want    []float64 // links per endpoint
	}{
		{[]int{1, 2, 3}, 1, []float64{1. / 6, 2. / 6, 3. / 6}},
		{[]int{3, 3, 2, 2}, 3, []float64{.9, .9, .6, .6}},
		{[]int{4, 1, 1}, 2, []float64{1, .5, .5}}, // no more than one each
		{[]int{1, 3}, 3, []float64{1, 2}},
		{[]int{1, 5}, 2, []float64{1, 1}},
		{[]int{7}, 4, []float64{4}},
	} {
		rate, got := rates(c.weights, c.links), make([]float64, len(c.weights))
		const gateways = 20000
		for g := range gateways {
			var orders [][]int
			for l := range c.links {
				orders = append(orders, preference(Weighted, fmt.Sprint("gw", g), "", l, nodes(len(c.weights)), rate))
			}
			for _, e := range assign(orders, make([]int, len(c.weights))) {
				got[e] += 1. / gateways
			}
		}
		for e := range got {
			if math.Abs(got[e]-c.want[e]) > 0.015 {
				t.Errorf("weights %v, %d links: got %.3f links per endpoint, want %.3f", c.weights, c.links, got, c.want)
				break
			}
		}
	}
}

// When a node dies only its links move, to all the others alike, and when it is
// back they return.
func TestLossOfANode(t *testing.T) {
	for _, placement := range placements {
		weights := ones(7)
		if placement == Weighted {
			weights = oneAndTwo(7)
		}
		const dead = 3
		f := newFleet(placement, weights)
		before, load := slices.Clone(f.at), f.load()
		for g, at := range before {
			before[g] = slices.Clone(at)
		}
		if moved := f.lose(dead); moved != load[dead] {
			t.Errorf("%s: got %d links moved, want the %d of the dead node", placement, moved, load[dead])
		}
		for g, at := range f.at {
			for l, e := range at {
				if before[g][l] != dead && e != before[g][l] {
					t.Fatalf("%s: link %d of gateway %d moved from %d, which lives", placement, l, g, before[g][l])
				}
			}
			if at[0] == at[1] {
				t.Fatalf("%s: both links of gateway %d are on node %d", placement, g, at[0])
			}
		}
		alive := slices.Clone(weights)
		alive = slices.Delete(alive, dead, dead+1)
		fair := slices.Insert(fairShares(alive), dead, 0)
		if got := f.worst(dead, fair); got > bound(6)+0.02 {
			t.Errorf("%s: got %.3f of the fair share on one survivor", placement, got)
		}
		if moved := f.goHome(); moved != load[dead] {
			t.Errorf("%s: got %d links returned, want %d", placement, moved, load[dead])
		}
		if fmt.Sprint(f.at) != fmt.Sprint(before) {
			t.Errorf("%s: not all are where they were", placement)
		}
	}
}

// A node that is added to the list takes its share of the links, and hardly any
// others move.
func TestAddedNodeMovesItsShare(t *testing.T) {
	for _, placement := range []string{Sticky, Weighted, Random} {
		for _, n := range []int{3, 5, 10, 29} {
			moved := newFleet(placement, ones(n)).grow(newFleet(placement, ones(n+1)))
			share := float64(moved) / fleetGateways / fleetLinks * float64(n+1)
			if share < 0.9 || share > 1.35 {
				t.Errorf("%s from %d to %d nodes: got %d links moved, %.2f times the new node's share", placement, n, n+1, moved, share)
			}
		}
	}
}
