package hw

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// caller makes calls that may never return, in a goroutine of its own. A call
// that does not return in time is left behind with the goroutine, which ends
// when the call does, and the next call gets another.
type caller struct {
	lane  *lane
	timer *time.Timer
}

// lane is one goroutine that makes calls.
type lane struct {
	do   chan func() error
	done chan error // has room for the answer of a call that nobody waits for
}

func newLane() *lane {
	l := &lane{do: make(chan func() error), done: make(chan error, 1)}
	go func() {
		for f := range l.do {
			l.done <- guarded(f)
		}
	}()
	return l
}

// guarded makes an error of a panic: a driver that meets a chip it did not
// expect must not take the home's broker down.
func guarded(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the driver gave up: %v", p)
		}
	}()
	return f()
}

func newCaller() *caller {
	t := time.NewTimer(time.Hour)
	t.Stop()
	return &caller{lane: newLane(), timer: t}
}

// errStuck is a call that did not return in time.
var errStuck = errors.New("does not return from the bus")

// stopping is how long a call may go on when everything else ends.
const stopping = time.Second

// call returns what f returns, or errStuck after limit and the lane that f is
// left behind on. The end of ctx shortens the limit.
func (c *caller) call(ctx context.Context, limit time.Duration, f func() error) (*lane, error) {
	c.lane.do <- f
	c.timer.Reset(limit)
	defer c.timer.Stop()
	done := ctx.Done()
	for {
		select {
		case err := <-c.lane.done:
			return nil, err
		case <-done:
			done, limit = nil, min(limit, stopping)
			c.timer.Reset(limit)
		case <-c.timer.C:
			behind := c.lane
			close(behind.do)
			c.lane = newLane()
			return behind, fmt.Errorf("%w within %v", errStuck, limit)
		}
	}
}

// returned says whether a call left behind has come back since.
func (l *lane) returned() bool {
	select {
	case <-l.done:
		return true
	default:
		return false
	}
}

// end stops the goroutine, which makes no call.
func (c *caller) end() { close(c.lane.do) }
