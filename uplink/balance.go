package uplink

import (
	"cmp"
	"math"
	"slices"
	"strconv"
)

// The ways to spread links over endpoints.
const (
	RoundRobin = "round-robin" // link after link along the list, from an offset and by a step that differ between gateways
	Random     = "random"      // another order at each start
	Sticky     = "sticky"      // rendezvous hash of gateway, link and endpoint: moves little when the list changes
	Weighted   = "weighted"    // the same, in proportion to weights
)

var placements = []string{RoundRobin, Random, Sticky, Weighted}

// preference returns the endpoints (indices of urls) in the order in which one
// link of a gateway likes them. It is a pure function; the chance of Random is
// salt. Rates are for Weighted, as rates returns them.
//
// Whatever the placement, what comes after the first choice is in an order of
// its own for each link: the links of a node that dies spread over all others.
func preference(placement, gateway, salt string, link int, urls []string, rates []float64) []int {
	who := fnv(fnv(fnvOffset, gateway), strconv.Itoa(link))
	if placement == Random {
		who = fnv(who, salt)
	}
	score := make([]float64, len(urls)) // the least first
	for i, u := range urls {
		score[i] = -math.Log((float64(avalanche(fnv(who, u))>>11) + 0.5) / (1 << 53))
		if placement == Weighted {
			score[i] /= rates[i]
		}
	}
	if placement == RoundRobin && len(urls) > 0 {
		n := uint64(len(urls))
		step := 1 + hash(gateway, "step")%max(n-1, 1)
		first := (hash(gateway)%n + uint64(link)*step) % n
		score[first] = -1
	}
	order := make([]int, len(urls))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(score[a], score[b]) })
	return order
}

// hash mixes FNV-1a, whose high bits alone tell similar names poorly apart.
func hash(parts ...string) uint64 {
	h := uint64(fnvOffset)
	for _, p := range parts {
		h = fnv(h, p)
	}
	return avalanche(h)
}

const (
	fnvOffset = 14695981039346656037
	fnvPrime  = 1099511628211
)

// fnv goes on with s and the byte 0.
func fnv(h uint64, s string) uint64 {
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * fnvPrime
	}
	return h * fnvPrime
}

func avalanche(x uint64) uint64 {
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

// assign returns where the links of a gateway belong while every endpoint is
// well: each in turn where the fewest before it are, and of these places on the
// first of its order. Endpoints of any but the lowest priority are nobody's
// home.
func assign(orders [][]int, priority []int) []int {
	lowest := slices.Min(priority)
	load, home := make([]int, len(priority)), make([]int, len(orders))
	for l, order := range orders {
		home[l] = pick(order, load, func(e int) bool { return priority[e] == lowest })
		load[home[l]]++
	}
	return home
}

// better returns the link that should move next, and where to; -1 and -1 when
// all sit well. at is where the links are, -1 for nowhere; may says whether a
// link can leave and the endpoint can take it.
//
// A link goes home, where assign puts it, as soon as it may. While it may not,
// it goes to a lower priority, or where at least two fewer links of the gateway
// are. Asked again and again it comes to an end: links at home never leave, and
// what is done for those that are not makes their spread more even.
func better(orders [][]int, at, priority []int, may func(link, endpoint int) bool) (link, to int) {
	home, load := assign(orders, priority), make([]int, len(priority))
	for _, e := range at {
		if e >= 0 {
			load[e]++
		}
	}
	for l, e := range home {
		if at[l] >= 0 && at[l] != e && makesWay(home, at, load, priority, l, may) && may(l, e) {
			return l, e
		}
	}
	for l, e := range at {
		if e < 0 || e == home[l] {
			continue
		}
		to := pick(orders[l], load, func(to int) bool { return priority[to] < priority[e] && may(l, to) })
		if to < 0 {
			to = pick(orders[l], load, func(to int) bool {
				return priority[to] == priority[e] && load[to]+2 <= load[e] && may(l, to)
			})
		}
		if to >= 0 {
			return l, to
		}
	}
	return -1, -1
}

// makesWay says whether link l at home would not crowd it, or would only until
// another link, which is there as a guest, has gone home in its turn.
func makesWay(home, at, load, priority []int, l int, may func(link, endpoint int) bool) bool {
	if load[home[l]] < load[at[l]] || priority[home[l]] < priority[at[l]] {
		return true
	}
	for o, e := range at {
		if o != l && e == home[l] && home[o] != e && may(o, home[o]) {
			return true
		}
	}
	return false
}
