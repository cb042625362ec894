package uplink

import (
	"container/heap"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// stampede is what a cluster sees when it was away as a whole and comes back.
type stampede struct {
	away  int             // connects a second and node while it is away
	waves []int           // connects per 100 ms after its return, all nodes together
	up    []time.Duration // when links were up, in order
}

func (s *stampede) peak() int { return slices.Max(s.waves) }

// after is when so many of a hundred links are up.
func (s *stampede) after(percent int) time.Duration { return s.up[(len(s.up)-1)*percent/100] }

// dialler is a link of a fleet that has no connection.
type dialler struct {
	gateway, link int
	trouble       []trouble
	tried         []bool
	place         int
	up            bool
	next          time.Time // of its event that counts
}

type event struct {
	at  time.Time
	who int
}

type events []event

func (q events) Len() int           { return len(q) }
func (q events) Less(i, j int) bool { return q[i].at.Before(q[j].at) }
func (q events) Swap(i, j int)      { q[i], q[j] = q[j], q[i] }
func (q *events) Push(e any)        { *q = append(*q, e.(event)) }
func (q *events) Pop() any {
	last := (*q)[len(*q)-1]
	*q = (*q)[:len(*q)-1]
	return last
}

const refusedIn = time.Millisecond // until a node that is down has refused

// comeBack lets every link of f go through the end of a long outage, as reach
// does: an endpoint per try, each with its own pause, at most so long; chance
// draws the pauses.
func comeBack(f *fleet, most time.Duration, chance func() float64) *stampede {
	most = longestPause(most, len(f.fair))
	start := time.Unix(0, 0)
	back := start.Add(3*most/2 + 7*time.Millisecond)
	s, nodes := &stampede{}, len(f.fair)
	var all []*dialler
	var queue events
	for g, at := range f.at {
		for l := range at {
			d := &dialler{gateway: g, link: l, trouble: make([]trouble, nodes), tried: make([]bool, nodes), place: at[l], next: start}
			for e := range d.trouble {
				d.trouble[e].failures = 30
				d.trouble[e].until = start.Add(delay(30, most, chance()))
			}
			queue = append(queue, event{start, len(all)})
			all = append(all, d)
		}
	}
	heap.Init(&queue)
	schedule := func(who int, at time.Time) {
		all[who].next = at
		heap.Push(&queue, event{at, who})
	}
	load := make([]int, nodes)
	for tries := 0; len(s.up) < len(all); {
		ev := heap.Pop(&queue).(event)
		d, other, now := all[ev.who], all[ev.who^1], ev.at
		if d.up || !d.next.Equal(now) {
			continue
		}
		if !slices.Contains(d.tried, false) {
			clear(d.tried)
		}
		clear(load)
		load[other.place]++
		e := pick(f.orders[d.gateway][d.link], load, func(e int) bool { return !d.tried[e] && !d.trouble[e].until.After(now) })
		if e < 0 {
			next := now.Add(time.Hour)
			for e, t := range d.trouble {
				if !d.tried[e] && t.until.Before(next) {
					next = t.until
				}
			}
			schedule(ev.who, next)
			continue
		}
		d.place = e
		if now.Before(back) {
			tries++
			s.away = int(float64(tries) / now.Sub(start).Seconds() / float64(nodes))
			d.tried[e] = true
			d.trouble[e].fail(now, most, chance())
			schedule(ev.who, now.Add(refusedIn))
			continue
		}
		d.up = true
		since := now.Sub(back)
		s.up = append(s.up, since)
		for len(s.waves) <= int(since/(100*time.Millisecond)) {
			s.waves = append(s.waves, 0)
		}
		s.waves[since/(100*time.Millisecond)]++
		if !other.up { // as encourage does
			clear(other.tried)
			for e := range other.trouble {
				other.trouble[e].until = now
			}
			schedule(ev.who^1, now.Add(refusedIn))
		}
	}
	return s
}

// comeHome lets so many links return to a node that is back. It returns the
// most in 100 ms, and when the first and the last one moved.
func comeHome(links int, after time.Duration, chance func() float64) (peak int, first, last time.Duration) {
	start := time.Unix(0, 0)
	waves := map[time.Duration]int{}
	for range links {
		var s spell
		now := start
		for !s.over(now) {
			every := float64(lookEvery(after))
			now = now.Add(time.Duration(every/2 + chance()*every/2))
			s.good(now, after, chance())
		}
		at := now.Sub(start)
		waves[at/(100*time.Millisecond)]++
		if last = max(last, at); first == 0 || at < first {
			first = at
		}
	}
	for _, n := range waves {
		peak = max(peak, n)
	}
	return peak, first, last
}

func fullJitter() func() float64 { return rand.New(rand.NewPCG(11, 12)).Float64 }

// The links that return to a node do not come all at once either.
func TestNoStampedeHome(t *testing.T) {
	peak, first, last := comeHome(4000, time.Minute, fullJitter())
	if first < time.Minute || last > 2*time.Minute || peak > 60 {
		t.Errorf("got %d links in the worst 100 ms, the first after %v, the last after %v", peak, first, last)
	}
}
