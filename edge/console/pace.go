package console

import (
	"sync"
	"time"
)

// triesPerMinute is how many log-ins from one address may fail in a minute.
const triesPerMinute = 10

// mostAddresses bounds the addresses that are remembered.
const mostAddresses = 1024

// pace slows those who try passwords, by where they come from. A log-in that is
// under way holds a try, so that many at once are no way around it.
type pace struct {
	mu   sync.Mutex // guards what follows
	from map[string]*tries
}

type tries struct {
	left float64
	at   time.Time // when left was worked out
}

// take takes a try. Without one left it returns how long the next takes to come.
func (p *pace) take(from string) (wait time.Duration) {
	now := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	t := p.from[from]
	if t == nil {
		p.makeRoom(now)
		t = &tries{left: triesPerMinute, at: now}
		p.from[from] = t
	}
	t.refill(now)
	if t.left < 1 {
		return time.Duration((1 - t.left) / triesPerMinute * float64(time.Minute))
	}
	t.left--
	return 0
}

// giveBack is for a log-in that was good.
func (p *pace) giveBack(from string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if t := p.from[from]; t != nil {
		t.left = min(t.left+1, triesPerMinute)
	}
}

// makeRoom forgets who has all tries again, then anybody. mu is held.
func (p *pace) makeRoom(now time.Time) {
	if p.from == nil {
		p.from = map[string]*tries{}
	}
	if len(p.from) < mostAddresses {
		return
	}
	for from, t := range p.from {
		if t.refill(now); t.left >= triesPerMinute {
			delete(p.from, from)
		}
	}
	for from := range p.from {
		if len(p.from) < mostAddresses {
			return
		}
		delete(p.from, from)
	}
}

func (t *tries) refill(now time.Time) {
	t.left = min(t.left+now.Sub(t.at).Minutes()*triesPerMinute, triesPerMinute)
	t.at = now
}
