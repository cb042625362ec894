package control

import (
	"context"
	"net/http"
	"sync"
	"time"
)

// live gives one frame a second to all who listen, made once. One who is slow
// misses frames and gets the newest.
type live struct {
	make func() (frame, error)
	wake chan struct{}

	mu        sync.Mutex // guards listeners
	listeners map[chan frame]bool
}

const liveEvery = time.Second

func newLive(make_ func() (frame, error)) *live {
	return &live{make: make_, wake: make(chan struct{}, 1), listeners: map[chan frame]bool{}}
}

// run makes frames while somebody listens.
func (l *live) run(ctx context.Context) {
	tick := time.NewTicker(liveEvery)
	defer tick.Stop()
	for {
		if !l.any() {
			tick.Stop()
			select {
			case <-ctx.Done():
				return
			case <-l.wake:
			}
			tick.Reset(liveEvery)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if f, err := l.make(); err == nil {
			l.give(f)
		}
	}
}

func (l *live) any() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.listeners) > 0
}

func (l *live) give(f frame) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.listeners {
		select {
		case <-c: // the one before was not taken
		default:
		}
		c <- f
	}
}

// join returns where the frames come; leave ends it.
func (l *live) join() (frames <-chan frame, leave func()) {
	c := make(chan frame, 1)
	l.mu.Lock()
	l.listeners[c] = true
	l.mu.Unlock()
	select {
	case l.wake <- struct{}{}:
	default:
	}
	return c, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.listeners, c)
	}
}

func (a *API) frame() (frame, error) { return newFrame("status", a.Status()) }

// listen is GET /v1/live.
func (a *API) listen(w http.ResponseWriter, r *http.Request) error {
	s, ctx, done, err := a.open(w, r)
	if err != nil {
		return err
	}
	defer done()
	frames, leave := a.live.join()
	defer leave()
	first, err := a.frame()
	if err != nil {
		return err
	}
	if err := s.send(first); err != nil {
		return err
	}
	return s.follow(ctx, frames)
}
