package uplink

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

func TestSpell(t *testing.T) {
	now := time.Now()
	const after = time.Minute
	var s spell
	over := func(at time.Duration) bool { return s.over(now.Add(at)) }
	if over(100 * time.Hour) {
		t.Error("a spell is over that has not begun")
	}
	s.good(now, after, 0)
	s.good(now.Add(30*time.Second), after, 1) // changes nothing
	if over(after-1) || !over(after) {
		t.Error("the first spell does not last for stable-after")
	}
	s.bad()
	s.good(now, after, 1)
	if over(after*3/2-1) || !over(after*3/2) {
		t.Error("by chance a spell lasts up to half as long again")
	}
	for i, want := range []time.Duration{2 * after, 4 * after, 8 * after, 16 * after, 32 * after, time.Hour, time.Hour} {
		s.disappoint()
		s.good(now, after, 0)
		if over(want-1) || !over(want) {
			t.Errorf("after %d disappointments: got %v, want %v", i+1, s.need, want)
		}
	}
	for range 1000 {
		s.disappoint()
	}
	s.good(now, after, 0)
	if s.need != time.Hour {
		t.Errorf("got %v, want an hour at most", s.need)
	}
	s.lost(false, 24*time.Hour)
	if s.level == 0 {
		t.Error("a link that was not brought there makes up for nothing")
	}
	s.good(now, after, 0)
	s.lost(true, s.need)
	if s.level != 0 {
		t.Error("a return that lasted does not make up for the failed ones")
	}
	s.good(now, after, 0)
	s.lost(true, s.need-1)
	if s.level != 1 || !s.since.IsZero() {
		t.Errorf("a return that did not last: got %+v", s)
	}
	long := spell{}
	long.good(now, 5*time.Hour, 0)
	if long.need != 5*time.Hour {
		t.Errorf("got %v of a configured 5h", long.need)
	}
}

// orders draws what links like.
func orders(rnd *rand.Rand, links, endpoints int) (o [][]int) {
	for range links {
		o = append(o, rnd.Perm(endpoints))
	}
	return o
}

func TestAssign(t *testing.T) {
	rnd := rand.New(rand.NewPCG(5, 6))
	for range 2000 {
		links, endpoints := 1+rnd.IntN(6), 1+rnd.IntN(8)
		home := assign(orders(rnd, links, endpoints), make([]int, endpoints))
		load := make([]int, endpoints)
		for _, e := range home {
			load[e]++
		}
		for _, n := range load {
			if most := (links + endpoints - 1) / endpoints; n > most {
				t.Fatalf("%d links on %d endpoints: got %v, want at most %d each", links, endpoints, load, most)
			}
		}
	}
}

// From any place, with any endpoints usable, links move a few times and then
// sit still: at home all whose home is usable, and evenly.
func TestBetterComesToRest(t *testing.T) {
	rnd := rand.New(rand.NewPCG(7, 8))
	for round := range 20000 {
		links, endpoints := 1+rnd.IntN(5), 1+rnd.IntN(6)
		o, priority := orders(rnd, links, endpoints), make([]int, endpoints)
		if round%2 == 1 {
			for e := range priority {
				priority[e] = rnd.IntN(2)
			}
		}
		usable := make([]bool, endpoints)
		var some []int
		for e := range usable {
			if usable[e] = rnd.IntN(3) > 0; usable[e] {
				some = append(some, e)
			}
		}
		if len(some) == 0 {
			continue
		}
		at, stuck := make([]int, links), make([]bool, links)
		for l := range at {
			at[l] = some[rnd.IntN(len(some))]
			stuck[l] = rnd.IntN(20) == 0
			if rnd.IntN(20) == 0 {
				at[l] = -1
			}
		}
		start := fmt.Sprint(at)
		may := func(l, e int) bool { return !stuck[l] && usable[e] }
		for moves := 0; ; moves++ {
			l, to := better(o, at, priority, may)
			if l < 0 {
				break
			}
			if at[l] == to || at[l] < 0 || !may(l, to) {
				t.Fatalf("round %d: got link %d from %d to %d", round, l, at[l], to)
			}
			if at[l] = to; moves > 3*links {
				t.Fatalf("round %d: no rest from %s, orders %v, usable %v, now %v", round, start, o, usable, at)
			}
		}
		load := make([]int, endpoints)
		free := true
		for l, e := range at {
			if e >= 0 {
				load[e]++
			}
			free = free && !stuck[l] && e >= 0
		}
		if !free {
			continue
		}
		home := assign(o, priority)
		all := len(some) == endpoints
		for l, e := range at {
			if all && e != home[l] {
				t.Fatalf("round %d: every endpoint is usable, and link %d stays on %d, want %d", round, l, e, home[l])
			}
			for _, other := range some {
				if e != home[l] && priority[other] < priority[e] {
					t.Fatalf("round %d: link %d is on %d, though %d of a lower priority is usable", round, l, e, other)
				}
				if round%2 == 0 && load[e] > load[other]+1 {
					t.Fatalf("round %d: got %v links per endpoint, usable %v, homes %v", round, load, usable, home)
				}
			}
		}
	}
}

// Links that were on a node that died move, others stay; when it is back they
// return, and nobody else moves.
func TestOnlyLinksOfTheLostNodeMove(t *testing.T) {
	rnd := rand.New(rand.NewPCG(9, 10))
	for range 5000 {
		links, endpoints := 1+rnd.IntN(4), 2+rnd.IntN(6)
		o, priority := orders(rnd, links, endpoints), make([]int, endpoints)
		home := assign(o, priority)
		dead := rnd.IntN(endpoints)
		at := append([]int(nil), home...)
		for l := range at {
			if at[l] != dead {
				continue
			}
			load := make([]int, endpoints)
			for k, e := range at {
				if k != l {
					load[e]++
				}
			}
			at[l] = pick(o[l], load, func(e int) bool { return e != dead })
		}
		after := append([]int(nil), at...)
		if l, to := better(o, at, priority, func(_, e int) bool { return e != dead }); l >= 0 {
			t.Fatalf("homes %v, %d dead: link %d goes on from %d to %d", home, dead, l, at[l], to)
		}
		moved := map[int]bool{}
		for {
			l, to := better(o, at, priority, func(int, int) bool { return true })
			if l < 0 {
				break
			}
			if moved[l] || home[l] != dead {
				t.Fatalf("homes %v, then %v: link %d moves to %d", home, after, l, to)
			}
			at[l], moved[l] = to, true
		}
		if fmt.Sprint(at) != fmt.Sprint(home) {
			t.Fatalf("got %v, want all at home: %v", at, home)
		}
	}
}
