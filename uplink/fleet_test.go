package uplink

import (
	"fmt"
	"math"
	"slices"
)

// fleet is many gateways of two links each, placed by the functions that place
// the links of a real one.
type fleet struct {
	orders [][][]int // by gateway and link
	at     [][]int   // where the links are
	fair   []float64 // links per endpoint if all went by the weights
}

var fleetSizes = []int{3, 4, 5, 6, 8, 10, 15, 20, 30} // nodes

const (
	fleetGateways = 10_000
	fleetLinks    = 2 // per gateway
)

func newFleet(placement string, weights []int) *fleet {
	f := &fleet{fair: fairShares(weights)}
	urls, rate := make([]string, len(weights)), rates(weights, fleetLinks)
	for i := range urls {
		urls[i] = fmt.Sprintf("mqtts://node%d.example.com:8883", i)
	}
	for g := range fleetGateways {
		var orders [][]int
		for l := range fleetLinks {
			orders = append(orders, preference(placement, fmt.Sprintf("gateway-%05d", g), fmt.Sprint(g), l, urls, rate))
		}
		f.orders = append(f.orders, orders)
		f.at = append(f.at, assign(orders, make([]int, len(urls))))
	}
	return f
}

// fairShares is how many links each endpoint should have: in proportion to the
// weights, but not more than one of each gateway.
func fairShares(weights []int) []float64 {
	var sum float64
	shares := make([]float64, len(weights))
	for _, w := range weights {
		sum += float64(w)
	}
	for i, w := range weights {
		shares[i] = float64(w) / sum
	}
	if len(weights) > fleetLinks {
		shares = level(shares, fleetLinks)
	} else {
		for i := range shares {
			shares[i] = fleetLinks / float64(len(weights))
		}
	}
	for i := range shares {
		shares[i] *= fleetGateways
	}
	return shares
}

// load counts the links per endpoint.
func (f *fleet) load() []int {
	load := make([]int, len(f.fair))
	for _, at := range f.at {
		for _, e := range at {
			load[e]++
		}
	}
	return load
}

// worst is the highest load, as a multiple of what is fair; dead is an endpoint
// that does not count, or -1.
func (f *fleet) worst(dead int, fair []float64) (most float64) {
	for e, n := range f.load() {
		if e != dead {
			most = max(most, float64(n)/fair[e])
		}
	}
	return most
}

// lose takes an endpoint away: each link on it dials the next in its order that
// has the fewest others of the gateway. It returns how many moved.
func (f *fleet) lose(dead int) (moved int) {
	load := make([]int, len(f.fair))
	for g, at := range f.at {
		for l := range at {
			if at[l] != dead {
				continue
			}
			clear(load)
			for k, e := range at {
				if k != l {
					load[e]++
				}
			}
			at[l] = pick(f.orders[g][l], load, func(e int) bool { return e != dead })
			moved++
		}
	}
	return moved
}

// goHome moves links while they would be better placed.
func (f *fleet) goHome() (moved int) {
	priority := make([]int, len(f.fair))
	for g, at := range f.at {
		for {
			l, to := better(f.orders[g], at, priority, func(int, int) bool { return true })
			if l < 0 {
				break
			}
			at[l] = to
			moved++
		}
	}
	return moved
}

// grow gives the gateways the list of another fleet and lets them settle. It
// returns how many links moved.
func (f *fleet) grow(to *fleet) (moved int) {
	next := &fleet{orders: to.orders, fair: to.fair}
	for _, at := range f.at {
		next.at = append(next.at, slices.Clone(at))
	}
	return next.goHome()
}

// bound is the highest load that a uniform random spread would rarely exceed:
// its mean and three standard deviations, as a multiple of the mean.
func bound(endpoints int) float64 {
	const links = fleetGateways * fleetLinks
	p := 1 / float64(endpoints)
	return 1 + 3*math.Sqrt(links*p*(1-p))/(links*p)
}

func ones(n int) []int {
	w := make([]int, n)
	fill(w, 1)
	return w
}

// oneAndTwo are the weights of the fleet that shows Weighted: 1, 2, 1, 2, ...
func oneAndTwo(n int) []int {
	w := ones(n)
	for i := 1; i < n; i += 2 {
		w[i] = 2
	}
	return w
}
