package uplink

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"sync"
	"time"
)

// homeward brings links back to where they belong, one at a time, after the
// endpoint there was well for a while (stable-after).
type homeward struct {
	wake chan struct{} // one slot: the settings have changed

	mu     sync.Mutex        // guards spells
	spells map[string]*spell // by URL; of endpoints that failed or are wanted
}

func newHomeward() *homeward {
	return &homeward{wake: make(chan struct{}, 1), spells: map[string]*spell{}}
}

// with calls do with the spell of an endpoint.
func (h *homeward) with(url string, do func(*spell)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.spells[url]
	if s == nil {
		s = &spell{}
		h.spells[url] = s
	}
	do(s)
}

// changed makes goHome read the settings again. It never blocks.
func (h *homeward) changed() {
	select {
	case h.wake <- struct{}{}:
	default:
	}
}

// failed notes that a link could not connect to url.
func (h *homeward) failed(url string) { h.with(url, (*spell).bad) }

// lost notes that a link lost url; returned: where a return had brought it.
func (h *homeward) lost(url string, returned bool, lasted time.Duration) {
	h.with(url, func(s *spell) { s.lost(returned, lasted) })
}

// sentAway notes that url wants no links until then.
func (h *homeward) sentAway(url string, until time.Time) {
	h.with(url, func(s *spell) { s.away = until })
}

// shut says whether url wants no links now.
func (h *homeward) shut(url string) (shut bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.spells[url]
	return s != nil && s.shut(time.Now())
}

// forget drops the endpoints that are no longer in the list.
func (h *homeward) forget(set *settings) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for url := range h.spells {
		if set.index(url) < 0 {
			delete(h.spells, url)
		}
	}
}

// goHome looks at intervals whether a link would be better placed, looks at the
// endpoint it wants, and after a good spell moves the link; one in a round, so
// that the next one sees how the first fared.
func (u *Uplink) goHome(ctx context.Context) {
	for ctx.Err() == nil {
		set := u.settings.Load()
		after := set.cfg.StableAfter.Std()
		if after <= 0 {
			sleep(ctx, time.Hour, u.home.wake)
			continue
		}
		sleep(ctx, jitter(lookEvery(after)), u.home.wake)
		if set = u.settings.Load(); ctx.Err() == nil {
			u.lookHome(ctx, set, after)
		}
	}
}

// lookHome is one round of goHome.
func (u *Uplink) lookHome(ctx context.Context, set *settings, after time.Duration) {
	if len(set.endpoints) == 0 {
		return
	}
	at, free := u.positions(set)
	priority := append(set.priorities(), math.MaxInt) // of no endpoint of the list
	wanted := map[int]bool{}
	better(set.orders[:len(at)], at, priority, func(l, e int) bool {
		if url := set.endpoints[e].url; free[l] && !u.canary.shuns(url, time.Now()) && !u.home.shut(url) {
			wanted[e] = true
		}
		return false
	})
	ready := map[int]bool{}
	for e := range wanted {
		url := set.endpoints[e].url
		if err := look(ctx, set, e); err != nil {
			u.home.failed(url)
			continue
		}
		u.home.with(url, func(s *spell) {
			s.good(time.Now(), after, rand.Float64())
			ready[e] = s.over(time.Now())
		})
	}
	l, to := better(set.orders[:len(at)], at, priority, func(l, e int) bool { return free[l] && ready[e] })
	if l >= 0 && ctx.Err() == nil {
		u.bringHome(ctx, set, u.links[l], u.links[l].whereabouts(), set.endpoints[to])
	}
}

// positions returns where the links are, and which of them may be moved. One
// whose endpoint is no longer in the list is at the number behind the last.
func (u *Uplink) positions(set *settings) (at []int, free []bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, l := range u.links {
		l.mu.Lock()
		e := set.index(l.at)
		ok := l.state == Connected && l.retire != nil && !l.late.Load() && l.role.mayReturn(set.cfg) && !l.sent.Load()
		l.mu.Unlock()
		if e < 0 {
			e = len(set.endpoints)
		}
		at, free = append(at, e), append(free, ok)
	}
	return at, free
}

// look opens a connection below MQTT to an endpoint and closes it.
func look(ctx context.Context, set *settings, e int) error {
	ctx, cancel := context.WithTimeout(ctx, set.cfg.ConnectTimeout.Std())
	defer cancel()
	conn, err := set.dial(ctx, set.endpoints[e])
	if err != nil {
		return err
	}
	return conn.Close()
}

// bringHome moves a link that is up to an endpoint that was well for its spell.
func (u *Uplink) bringHome(ctx context.Context, set *settings, l *link, from string, to endpoint) {
	select {
	case u.turn <- struct{}{}:
	case <-ctx.Done():
		return
	}
	defer func() { <-u.turn }()
	dctx, cancel := context.WithTimeout(ctx, set.cfg.ConnectTimeout.Std())
	conn, err := set.dial(dctx, to)
	cancel()
	if err != nil {
		u.home.failed(to.url)
		return
	}
	err = l.handOver(ctx, &transfer{set: set, from: from, to: to, conn: conn, done: make(chan error, 1)})
	if err == nil || ctx.Err() != nil {
		return
	}
	var next spell
	u.home.with(to.url, func(s *spell) {
		if errors.Is(err, errStayed) {
			s.bad() // not the endpoint's fault
		} else {
			s.disappoint()
		}
		next = *s
	})
	next.good(time.Now(), set.cfg.StableAfter.Std(), 0)
	l.mu.Lock()
	l.notReturned++
	l.whyNot = err.Error()
	l.mu.Unlock()
	l.log.Info("link did not return", "endpoint", to.url, "again-after", next.need, "err", err)
}
