package uplink

import (
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"strconv"
)

// The ways to spread links over endpoints.
const (
	RoundRobin = "round-robin" // in the order of the list, from an offset that differs between gateways
	Random     = "random"      // a new order at each start
	Sticky     = "sticky"      // rendezvous hash of gateway, link and endpoint: moves little when the list changes
)

var placements = []string{RoundRobin, Random, Sticky}

// preference returns the endpoints (indices of urls) in the order in which one
// link of a gateway likes them. It is a pure function but for Random, whose
// chance is rnd.
func preference(placement, gateway string, link int, urls []string, rnd *rand.Rand) []int {
	order := make([]int, len(urls))
	for i := range order {
		order[i] = i
	}
	switch placement {
	case Random:
		rnd.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
	case Sticky:
		score := make([]uint64, len(urls))
		for i, u := range urls {
			score[i] = hash(gateway, strconv.Itoa(link), u)
		}
		slices.SortStableFunc(order, func(a, b int) int {
			switch {
			case score[a] > score[b]:
				return -1
			case score[a] < score[b]:
				return 1
			}
			return 0
		})
	default:
		first := int(hash(gateway)%uint64(len(urls))) + link
		for i := range order {
			order[i] = (first + i) % len(urls)
		}
	}
	return order
}

// hash mixes FNV-1a, whose high bits alone tell similar names poorly apart.
func hash(parts ...string) uint64 {
	h := fnv.New64a()
	for _, p := range parts {
		h.Write([]byte(p))
		h.Write([]byte{0})
	}
	x := h.Sum64()
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	x *= 0xc4ceb9fe1a85ec53
	return x ^ x>>33
}

// pick returns the endpoint that a link should try: of those allowed, one with
// the fewest other links of the gateway on it, and of these the first in the
// link's order. -1 when none is allowed.
func pick(order, load []int, allowed func(endpoint int) bool) int {
	best := -1
	for _, e := range order {
		if allowed(e) && (best < 0 || load[e] < load[best]) {
			best = e
		}
	}
	return best
}
