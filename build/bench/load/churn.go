package load

import (
	"context"
	"fmt"
	"sync/atomic"
)

// Churn is a client that subscribes to its filters and unsubscribes again, as
// fast as the broker answers. It must get no messages.
type Churn struct {
	Client
	Filters []string

	changes atomic.Int64
}

// Changes returns how many subscriptions were made and ended so far.
func (h *Churn) Changes() int64 { return h.changes.Load() }

// Run connects and works until ctx ends, which is not an error.
func (h *Churn) Run(ctx context.Context) error {
	d := dialer{Client: h.Client, id: h.ID}
	c, err := d.connect(ctx)
	if err != nil {
		return err
	}
	defer c.nc.Close()
	defer context.AfterFunc(ctx, func() { c.nc.Close() })()
	filters := make([]Filter, len(h.Filters))
	for i, f := range h.Filters {
		filters[i].Topic = f
	}
	for ctx.Err() == nil {
		c.out = appendSubscribe(c.out, c.version, 1, filters)
		err = h.answer(c, suback)
		if err == nil {
			c.out = appendUnsubscribe(c.out, c.version, 2, h.Filters)
			err = h.answer(c, unsuback)
		}
		if err != nil && ctx.Err() == nil {
			return fmt.Errorf("churn: %w", err)
		}
	}
	return nil
}

// answer sends what is ready and waits for a packet of that kind.
func (h *Churn) answer(c *conn, kind byte) error {
	if err := c.flush(); err != nil {
		return err
	}
	var p packet
	for {
		if err := c.next(&p); err != nil {
			return err
		}
		switch {
		case p.kind == kind && p.reason >= 0x80:
			return Refused{p.reason}
		case p.kind == kind:
			h.changes.Add(int64(len(h.Filters)))
			return nil
		}
	}
}
