package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// part is one thing that runs for the life of the gateway.
type part struct {
	name   string
	cancel context.CancelFunc
	done   chan struct{} // closed after err is set
	err    error
}

// start runs a part. When it ends without having been stopped, it is sent to
// ended.
func start(name string, run func(context.Context) error, ended chan<- *part) *part {
	ctx, cancel := context.WithCancel(context.Background())
	p := &part{name: name, cancel: cancel, done: make(chan struct{})}
	go func() {
		err := run(ctx)
		if err != nil && !errors.Is(err, context.Canceled) {
			p.err = fmt.Errorf("%s: %w", name, err)
		}
		close(p.done)
		if ctx.Err() == nil {
			ended <- p
		}
	}()
	return p
}

// grace is what a part has for its end though others have used up the time.
const grace = time.Second

// stop ends the part and waits for it until the deadline.
func (p *part) stop(deadline time.Time) error {
	p.cancel()
	late := time.NewTimer(max(time.Until(deadline), grace))
	defer late.Stop()
	select {
	case <-p.done:
		return p.err
	case <-late.C:
		return fmt.Errorf("%s: does not stop in time", p.name)
	}
}
