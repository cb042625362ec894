package spool

import (
	"math"
	"sync"
	"time"
)

// Replay says how the backlog drains: what is on disk and not taken, and what
// waits behind it.
type Replay struct {
	Backlog int           // messages, those held back included
	Rate    float64       // of them taken, a second, over the last seconds
	Inflow  float64       // of them coming in behind, a second
	Limit   float64       // what Rate is held to; 0 for none
	Left    time.Duration // until all is sent, as it goes now; 0 if nobody knows
}

// replay holds the backlog to replay-rate, the urgent class excepted: a token
// bucket for each link, which the links that have a backlog fill evenly. They
// take from it a hand at a time, and only if there is a limit.
type replay struct {
	least float64 // messages a second as configured; 0 for no limit

	mu      sync.Mutex // guards what follows
	out, in meter
	sharing int // links that have a backlog
	buckets []bucket
}

type bucket struct {
	tokens float64
	at     time.Time
}

const (
	above      = 1.25            // how far the limit stays above the inflow, so that a backlog ends
	replaySlot = time.Second / 2 // how much of the limit may go at once
)

// limit is what the backlog is held to at the present inflow.
func (r *replay) limit() float64 {
	if r.least == 0 {
		return 0
	}
	return max(r.least, above*r.in.rate)
}

// reserve returns how many messages of the backlog a link may take now, at
// most so many. What it does not take it gives back.
func (r *replay) reserve(link, most int, now time.Time) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	limit := r.limit() / float64(max(r.sharing, 1))
	room := max(limit*replaySlot.Seconds(), 1)
	b := &r.buckets[link]
	if b.at.IsZero() {
		b.tokens = room
	}
	b.tokens = min(b.tokens+now.Sub(b.at).Seconds()*limit, room)
	b.at = now
	n := min(most, int(b.tokens))
	b.tokens -= float64(n)
	return n
}

func (r *replay) giveBack(link, n int) {
	r.mu.Lock()
	r.buckets[link].tokens += float64(n)
	r.mu.Unlock()
}

// sample notes what came into and went out of the backlog up to now, and how
// many links have one.
func (r *replay) sample(in, out int64, sharing int, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.in.sample(in, now)
	r.out.sample(out, now)
	r.sharing = sharing
}

// state is for Stats.
func (r *replay) state(backlog int) Replay {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := Replay{Backlog: backlog, Rate: r.out.rate, Inflow: r.in.rate, Limit: r.limit()}
	p.Left = timeLeft(backlog, p.Rate, p.Inflow)
	return p
}

// timeLeft estimates when a backlog ends at these rates a second, 0 if it does
// not.
func timeLeft(backlog int, out, in float64) time.Duration {
	const century = 100 * 365 * 24 * time.Hour
	net := out - in
	if backlog == 0 || net < 0.01*out || net <= 0 {
		return 0
	}
	return time.Duration(min(float64(backlog)/net*float64(time.Second), float64(century)))
}

// meter is the rate of a counter, averaged over some seconds.
type meter struct {
	rate  float64 // a second
	total int64
	at    time.Time
}

const meterTime = 3 * time.Second // after which a change is seen by two thirds

func (m *meter) sample(total int64, now time.Time) {
	if m.at.IsZero() {
		m.total, m.at = total, now
		return
	}
	past := now.Sub(m.at)
	if past < time.Millisecond {
		return
	}
	share := 1 - math.Exp(-past.Seconds()/meterTime.Seconds())
	m.rate += share * (float64(total-m.total)/past.Seconds() - m.rate)
	if m.rate < 0.01 {
		m.rate = 0
	}
	m.total, m.at = total, now
}

// sampleReplay reads the streams' counters.
func (s *Spool) sampleReplay(now time.Time) {
	var in, out int64
	links := make(map[int]bool)
	for _, st := range s.every() {
		st.mu.Lock()
		in += st.joined
		out += st.replayed
		if st.read < st.stored || st.ahead.n > 0 || st.behind.n > 0 && st.firstFree() >= 0 { // not all of it is held
			links[st.link] = true
		}
		st.mu.Unlock()
	}
	s.replay.sample(in, out, len(links), now)
}
