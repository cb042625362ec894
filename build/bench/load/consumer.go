package load

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// Arrival is what a Consumer makes of one message.
type Arrival byte

// The kinds of arrival.
const (
	First     Arrival = iota // in order, for the first time
	Late                     // for the first time, but after a later one of its topic
	Duplicate                // again
	Foreign                  // of another run, damaged, or never published
)

// Consumer is the receiving side of a ledger's account.
type Consumer struct {
	ledger *Ledger
	of     func(topic string) bool // which topics it expects; nil for all

	mu         sync.Mutex // guards what follows
	topics     []arrivals // by topic number
	known      []*Topic   // the ledger's topics when last asked
	copies     uint64     // arrivals of any kind but Foreign
	distinct   uint64
	duplicates uint64
	disorder   uint64
	foreign    uint64
	latency    Histogram
	rate       perSecond // first arrivals
	first      time.Duration
	last       time.Duration // of the first arrivals
	silence    time.Duration // the longest between two first arrivals
	silenceAt  time.Duration // when it began
}

// arrivals is what arrived of one topic.
type arrivals struct {
	seen bitmap
	next uint64 // one above the highest seen
	sent uint64 // how many were published when last asked
}

// Receive enters one message that arrived at now, whatever its topic was.
func (c *Consumer) Receive(payload []byte, now time.Duration) Arrival {
	s, ok := parseStamp(payload)
	c.mu.Lock()
	defer c.mu.Unlock()
	if !ok || s.run != c.ledger.run || !c.published(s.topic, s.seq) {
		c.foreign++
		return Foreign
	}
	t := &c.topics[s.topic]
	c.copies++
	if !t.seen.set(s.seq) {
		c.duplicates++
		return Duplicate
	}
	c.distinct++
	c.latency.Add(now - s.sent)
	c.rate.add(now, 1)
	c.listen(now)
	if s.seq < t.next {
		c.disorder++
		return Late
	}
	t.next = s.seq + 1
	return First
}

// listen notes a first arrival and the silence that it ended.
func (c *Consumer) listen(now time.Duration) {
	if c.distinct == 1 {
		c.first, c.last = now, now
		return
	}
	if quiet := now - c.last; quiet > c.silence {
		c.silence, c.silenceAt = quiet, c.last
	}
	c.last = max(c.last, now)
}

// published says whether the ledger knows the message, and makes room for its
// topic.
func (c *Consumer) published(topic uint32, seq uint64) bool {
	if int(topic) >= len(c.known) {
		c.known = c.ledger.all()
		if int(topic) >= len(c.known) {
			return false
		}
	}
	for int(topic) >= len(c.topics) {
		c.topics = append(c.topics, arrivals{})
	}
	a := &c.topics[topic]
	if seq < a.sent {
		return true
	}
	t := c.known[topic]
	t.mu.Lock()
	defer t.mu.Unlock()
	a.sent = t.next
	return seq < a.sent
}

// Received returns how many different messages arrived so far.
func (c *Consumer) Received() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.distinct
}

// Rate returns the first arrivals in each whole second since the ledger was
// made.
func (c *Consumer) Rate() []uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]uint64(nil), c.rate...)
}

// Lost returns how many messages were acknowledged to their publisher and have
// not arrived; while traffic flows, those on their way too. It takes a look at
// every message: not for tight loops.
func (c *Consumer) Lost() (n uint64) {
	for i, t := range c.ledger.all() {
		if c.expects(t) {
			n += c.topic(i).lost(t, nil)
		}
	}
	return n
}

func (c *Consumer) expects(t *Topic) bool { return c.of == nil || c.of(t.name) }

// topic returns a copy of what arrived of topic i.
func (c *Consumer) topic(i int) arrivals {
	c.mu.Lock()
	defer c.mu.Unlock()
	if i >= len(c.topics) {
		return arrivals{}
	}
	a := c.topics[i]
	a.seen = append(bitmap(nil), a.seen...)
	return a
}

func (a arrivals) lost(t *Topic, each func(seq uint64) bool) uint64 {
	if each == nil {
		each = func(uint64) bool { return false }
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.acked.minus(a.seen, each)
}

// Wait returns nil as soon as everything acknowledged has arrived and nothing
// more came for the time quiet, and an error when ctx ends before.
func (c *Consumer) Wait(ctx context.Context, quiet time.Duration) error {
	tick := time.NewTicker(max(min(quiet/4, 50*time.Millisecond), time.Millisecond))
	defer tick.Stop()
	var copies uint64
	since := time.Now()
	for {
		c.mu.Lock()
		now := c.copies
		c.mu.Unlock()
		if now != copies {
			copies, since = now, time.Now()
		} else if time.Since(since) >= quiet && c.Lost() == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for the consumer: %d acknowledged messages have not arrived: %w", c.Lost(), ctx.Err())
		case <-tick.C:
		}
	}
}
