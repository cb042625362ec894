package uplink

import (
	"context"
	"sync/atomic"
	"time"
)

// bell wakes one goroutine when there is work.
type bell struct {
	wake   chan struct{} // one slot
	parked atomic.Bool   // the goroutine waits for wake
	signal atomic.Bool   // there is work
}

func newBell() bell { return bell{wake: make(chan struct{}, 1)} }

// notify says that there is work. It never blocks, and costs no wake-up while
// the goroutine runs.
func (b *bell) notify() {
	if !b.signal.Load() {
		b.signal.Store(true)
	}
	if b.parked.Load() && b.parked.CompareAndSwap(true, false) {
		select {
		case b.wake <- struct{}{}:
		default:
		}
	}
}

// park waits for notify, at most so long (0: for ever), or for one of the ends.
func (b *bell) park(ctx context.Context, gone <-chan struct{}, most time.Duration) {
	b.parked.Store(true)
	defer b.parked.Store(false)
	if b.signal.Swap(false) {
		return
	}
	var timer <-chan time.Time
	if most > 0 {
		t := time.NewTimer(most)
		defer t.Stop()
		timer = t.C
	}
	select {
	case <-b.wake:
	case <-gone:
	case <-ctx.Done():
	case <-timer:
	}
	b.signal.Store(false)
}
