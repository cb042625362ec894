package uplink

import (
	"math"
	"slices"
)

// Weighted rendezvous is a race: each endpoint has a time that is distributed
// exponentially, and the least wins [Thaler, Ravishankar 1998; Schindelhauer,
// Schomaker 2005]. With rates equal to the weights, one link is on each endpoint
// as often as its weight says. The links of a gateway sit apart, though, and the
// second one is not where the first one is: of the weights 1, 1 and 2 the 2
// would get 42 % of two links instead of a half. So the rates are those with
// which the first links-many of the race contain each endpoint as often as its
// weight says, as far as that is possible: no endpoint can have more than one
// of them, and with as many links as endpoints all have one each, whatever the
// weights.

// least keeps shares off 0 and 1, so that every endpoint still has a rate.
const least = 1e-3

// rates returns the rates of endpoints with these weights for a gateway with so
// many links.
func rates(weights []int, links int) []float64 {
	n, sum := len(weights), 0
	rate := make([]float64, n)
	for i, w := range weights {
		rate[i] = float64(w)
		sum += w
	}
	if n < 2 || links%n == 0 || slices.Max(weights) == slices.Min(weights) {
		return rate
	}
	wanted := make([]float64, n) // links per endpoint, above what all have
	for i, w := range weights {
		wanted[i] = float64(links)*float64(w)/float64(sum) - float64(links/n)
	}
	wanted = level(wanted, float64(links%n))
	for i, p := range wanted {
		rate[i] = -math.Log1p(-p)
	}
	for range 40 {
		for i, p := range among(rate, links%n) {
			rate[i] *= math.Log1p(-wanted[i]) / math.Log1p(-min(max(p, least/10), 1-least/10))
		}
	}
	return rate
}

// level scales shares so that their sum is as given though each is from least
// to 1-least.
func level(shares []float64, sum float64) []float64 {
	out := make([]float64, len(shares))
	low, high := 0.0, 1e6
	for range 100 {
		scale, got := (low+high)/2, 0.0
		for i, s := range shares {
			out[i] = min(max(s*scale, least), 1-least)
			got += out[i]
		}
		if got < sum {
			low = scale
		} else {
			high = scale
		}
	}
	return out
}

// among returns the probability of each to be among the first k of the race. It
// integrates over the time of each one (by the quantile of its own
// distribution) the probability that fewer than k others were earlier. It does so
// once for those of the same rate: there may be 64 of them, on a small computer.
func among(rate []float64, k int) []float64 {
	const points = 64
	p := make([]float64, len(rate))
	count := make([]float64, k) // probability that so many were earlier
	for i := range rate {
		if same := slices.Index(rate, rate[i]); same < i {
			p[i] = p[same]
			continue
		}
		for q := range points {
			t := -math.Log1p(-(float64(q)+0.5)/points) / rate[i]
			clear(count)
			count[0] = 1
			for j := range rate {
				if j == i {
					continue
				}
				late := math.Exp(-rate[j] * t)
				for c := k - 1; c > 0; c-- {
					count[c] = count[c]*late + count[c-1]*(1-late)
				}
				count[0] *= late
			}
			for _, c := range count {
				p[i] += c / points
			}
		}
	}
	return p
}
