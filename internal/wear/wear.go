// Package wear keeps writes to a cheap flash card within a budget.
//
// A Budget is a token bucket of bytes with a daily allowance and a burst. A
// Committer groups what waits to be written into one transaction at a time and
// spaces the transactions by what is left in the bucket: a few milliseconds
// apart while it is full, MaxGap apart when it is empty. It never refuses to
// write: durability comes before wear, and what waits longer is only slower to
// be acknowledged.
package wear

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// Budget counts bytes written and knows how much haste is still affordable.
// It is shared by all that write to one card. The zero Budget is not usable.
type Budget struct {
	perSecond float64 // bytes
	burst     float64 // bytes
	written   atomic.Int64
	commits   atomic.Int64

	mu    sync.Mutex // guards level and last
	level float64    // bytes left; negative when overdrawn
	last  time.Time
}

// NewBudget returns a full bucket that refills with perDay bytes a day and
// holds at most burst bytes.
func NewBudget(perDay, burst int64) *Budget {
	return &Budget{perSecond: float64(perDay) / 86400, burst: float64(burst), level: float64(burst), last: time.Now()}
}

// Spend takes n bytes out of the bucket, more than there are if need be, down
// to minus one burst.
func (b *Budget) Spend(n int64) {
	b.written.Add(n)
	b.commits.Add(1)
	b.mu.Lock()
	b.refill()
	b.level = max(b.level-float64(n), -b.burst)
	b.mu.Unlock()
}

// Left returns how full the bucket is, from 0 (empty or overdrawn) to 1.
func (b *Budget) Left() float64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.refill()
	if b.burst <= 0 {
		return 0
	}
	return max(b.level, 0) / b.burst
}

func (b *Budget) refill() {
	now := time.Now()
	b.level = min(b.level+now.Sub(b.last).Seconds()*b.perSecond, b.burst)
	b.last = now
}

// Written returns the bytes and the commits spent since the start.
func (b *Budget) Written() (bytes, commits int64) { return b.written.Load(), b.commits.Load() }

// Gap is the pause between two commits when the share left (0 to 1) of a
// budget remains: minGap down to half a bucket, then growing evenly to maxGap.
func Gap(left float64, minGap, maxGap time.Duration) time.Duration {
	if left >= 0.5 {
		return minGap
	}
	return maxGap - time.Duration(2*max(left, 0)*float64(maxGap-minGap))
}

// Committer calls Write when it was woken, one call at a time, spaced by the
// budget. Write commits everything that is due and returns the bytes that the
// card was given.
type Committer struct {
	Budget         *Budget
	MinGap, MaxGap time.Duration
	Write          func() (bytes int64, err error)

	wake chan struct{}
}

// NewCommitter returns a committer; Run makes it work.
func NewCommitter(b *Budget, minGap, maxGap time.Duration, write func() (int64, error)) *Committer {
	return &Committer{Budget: b, MinGap: minGap, MaxGap: maxGap, Write: write, wake: make(chan struct{}, 1)}
}

// Wake says that something is due. It never blocks.
func (c *Committer) Wake() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// Run serves Wake until ctx ends. After an error of Write it tries again by
// itself, MaxGap later; whoever wrote Write reports the error.
func (c *Committer) Run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.wake:
		}
		n, err := c.Write()
		if n > 0 {
			c.Budget.Spend(n)
		}
		gap := Gap(c.Budget.Left(), c.MinGap, c.MaxGap)
		if err != nil {
			gap = c.MaxGap
			c.Wake()
		}
		timer.Reset(gap)
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
	}
}
