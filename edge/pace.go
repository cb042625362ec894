package edge

import (
	"sync"
	"time"
)

// pace lets so many through in a second, as many of them at once, and gives the
// others a turn later.
type pace struct {
	mu   sync.Mutex // guards next
	next time.Time  // when the next one's turn is if nobody had come for a second
}

// turn returns how long the caller must wait, or false when that is longer than
// patience: then it has taken nobody's turn. perSecond 0 lets everybody through.
func (p *pace) turn(now time.Time, perSecond int, patience time.Duration) (time.Duration, bool) {
	if perSecond == 0 {
		return 0, true
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if rested := now.Add(-time.Second); p.next.Before(rested) {
		p.next = rested
	}
	next := p.next.Add(time.Second / time.Duration(perSecond))
	wait := max(next.Sub(now), 0)
	if wait > patience {
		return 0, false
	}
	p.next = next
	return wait, true
}
