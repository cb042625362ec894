package edge

import (
	"context"
	"slices"
	"sync"
	"time"
)

// guesses slows log-ins that fail, by where they come from: each costs one of a
// minute's worth of tries, and who has none left waits for the next. One that is
// under way holds a try, and gives it back when it was good, so that however many
// devices return at once behind one address, all of them come in, one after the
// other. Nobody who is known to be right gets here.
type guesses struct {
	mu   sync.Mutex // guards what follows
	from map[string]*tries
}

// tries are those of one address.
type tries struct {
	left    float64
	at      time.Time       // when left was worked out
	most    float64         // a minute's worth
	waiting []chan struct{} // closed when it is their turn
	timer   *time.Timer     // for the first of them
}

// maxOrigins bounds the addresses remembered. Who has so many addresses is not
// slowed by them anyhow.
const maxOrigins = 4096

// enter waits for a try, at most perMinute of which may fail, as long as ctx
// allows; 0: any number. Each call that returns nil is followed by one of leave.
func (g *guesses) enter(ctx context.Context, from string, perMinute int) error {
	if perMinute == 0 {
		return nil
	}
	g.mu.Lock()
	t := g.of(from, float64(perMinute))
	if t.refill(time.Now()); t.left >= 1 && len(t.waiting) == 0 {
		t.left--
		g.mu.Unlock()
		return nil
	}
	turn := make(chan struct{})
	t.waiting = append(t.waiting, turn)
	g.serve(t)
	g.mu.Unlock()
	select {
	case <-turn:
		return nil
	case <-ctx.Done():
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if i := slices.Index(t.waiting, turn); i >= 0 {
		t.waiting = slices.Delete(t.waiting, i, i+1)
	} else {
		t.left++ // it had just been its turn
	}
	g.serve(t)
	return ctx.Err()
}

// leave ends a try.
func (g *guesses) leave(from string, failed bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	t := g.from[from]
	if t == nil || failed {
		return
	}
	t.left = min(t.left+1, t.most)
	g.serve(t)
}

// of returns the tries of an address. mu is held.
func (g *guesses) of(from string, most float64) *tries {
	t := g.from[from]
	if t == nil {
		if g.from == nil {
			g.from = map[string]*tries{}
		}
		if len(g.from) >= maxOrigins {
			g.sweep()
		}
		t = &tries{left: most, at: time.Now()}
		g.from[from] = t
	}
	t.most = most
	return t
}

// sweep forgets who has all tries again; when nobody has, anyone for whom nobody
// waits. mu is held.
func (g *guesses) sweep() {
	now := time.Now()
	for from, t := range g.from {
		if t.refill(now); t.left >= t.most && len(t.waiting) == 0 {
			delete(g.from, from)
		}
	}
	for from, t := range g.from {
		if len(g.from) < maxOrigins {
			return
		}
		if len(t.waiting) == 0 {
			delete(g.from, from)
		}
	}
}

// serve lets in who may, and sets the timer for who is next. mu is held.
func (g *guesses) serve(t *tries) {
	t.refill(time.Now())
	for t.left >= 1 && len(t.waiting) > 0 {
		t.left--
		close(t.waiting[0])
		t.waiting = t.waiting[1:]
	}
	if t.timer != nil {
		t.timer.Stop()
		t.timer = nil
	}
	if len(t.waiting) > 0 {
		t.timer = time.AfterFunc(time.Duration((1-t.left)/t.most*float64(time.Minute))+time.Millisecond, func() {
			g.mu.Lock()
			defer g.mu.Unlock()
			g.serve(t)
		})
	}
}

func (t *tries) refill(now time.Time) {
	t.left = min(t.left+now.Sub(t.at).Minutes()*t.most, t.most)
	t.at = now
}
