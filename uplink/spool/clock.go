package spool

import (
	"sync"
	"time"

	"tidegate/internal/wall"
)

// clock turns stamps into ages. A Pi has no clock of its own: wall time counts
// only between two moments at which it was synchronised, else the monotonic
// time of the epochs, and a gap between epochs counts as nothing.
type clock struct {
	epoch uint64
	start time.Time                // of the process, with its monotonic reading
	read  func() (time.Time, bool) // wall time, and whether it is synchronised

	mu    sync.Mutex
	spans map[uint64]int64 // the largest Mono seen, by earlier epoch
}

func newClock(epoch uint64, read func() (time.Time, bool)) *clock {
	if read == nil {
		read = wall.Now
	}
	return &clock{epoch: epoch, start: time.Now(), read: read, spans: make(map[uint64]int64)}
}

// seen notes that the process of an earlier epoch lived for mono milliseconds.
func (c *clock) seen(epoch uint64, mono int64) {
	c.mu.Lock()
	c.spans[epoch] = max(c.spans[epoch], mono)
	c.mu.Unlock()
}

// lived is the longest that the process of an earlier epoch is known to have
// lived, in milliseconds.
func (c *clock) lived(epoch uint64) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.spans[epoch]
}

// wall returns the wall time in milliseconds, 0 if it is not synchronised.
func (c *clock) wall() int64 {
	if now, synced := c.read(); synced {
		return now.UnixMilli()
	}
	return 0
}

// stamp is the stored form of a moment of this process; wall is the result of
// c.wall then.
func (c *clock) stamp(accepted, now time.Time, wall int64) stamp {
	s := stamp{Epoch: c.epoch, Mono: max(accepted.Sub(c.start).Milliseconds(), 0)}
	if wall != 0 {
		s.Wall = max(wall-now.Sub(accepted).Milliseconds(), 1)
	}
	return s
}

// accepted is the moment of this process's time that lies as far back as s.
func (c *clock) accepted(s stamp, now time.Time, wall int64) time.Time {
	if s.Epoch == c.epoch {
		return c.start.Add(time.Duration(s.Mono) * time.Millisecond)
	}
	return now.Add(-time.Duration(c.age(s, now, wall)) * time.Millisecond)
}

// age returns milliseconds, never less than 0.
func (c *clock) age(s stamp, now time.Time, wall int64) int64 {
	if s.Wall != 0 && wall != 0 {
		return max(wall-s.Wall, 0)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	age := now.Sub(c.start).Milliseconds() + max(c.spans[s.Epoch]-s.Mono, 0)
	for epoch, lived := range c.spans {
		if epoch > s.Epoch && epoch != c.epoch {
			age += lived
		}
	}
	return age
}
