package edge

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"

	"tidegate/internal/topic"
)

// watcher is a part of the gateway that wants to see messages. It is none of
// the sessions: it never makes a publisher wait.
type watcher struct {
	filters []string
	dropped *atomic.Int64 // counts what had no room
	quiet   bool          // to those who publish it is nobody

	mu    sync.Mutex // guards queue
	queue []*Message
	wake  chan struct{}
}

// watchQueue is how many messages may wait for one watcher.
const watchQueue = 256

// Watch calls f with every message that is accepted, from whomever, whose topic
// one of the valid filters matches, until ctx ends. The retained ones come
// first, with Retain set; a message that is published while Watch begins may
// come twice. f runs in the caller's goroutine, one message at a time in the
// order of their acceptance, and may publish. While it is busy, messages wait
// for it, and the oldest are dropped and counted when they are too many. To
// whoever published a message, a watcher is a subscriber that has it at once.
func (b *Broker) Watch(ctx context.Context, filters []string, f func(*Message)) {
	w := &watcher{filters: filters, dropped: &b.stats.droppedWatched, wake: make(chan struct{}, 1)}
	b.trie.watch(w)
	defer b.trie.unwatch(w)
	for _, filter := range filters {
		for _, n := range b.trie.retainedFor(filter) {
			w.offerRetained(n)
		}
	}
	w.run(ctx, f)
}

// Overhear is Watch for somebody who only looks: without the retained messages,
// and nobody is there for it. A command that only it would hear is not Wanted, and
// what it has no time for is no loss that Stats count: f is told how many messages
// were left out since it was called last. Its first call has no message: what is
// published from then on is heard, and what is retained by then can be asked for.
func (b *Broker) Overhear(ctx context.Context, filters []string, f func(m *Message, missed int64)) {
	var missed atomic.Int64
	w := &watcher{filters: filters, dropped: &missed, quiet: true, wake: make(chan struct{}, 1)}
	b.trie.watch(w)
	defer b.trie.unwatch(w)
	f(nil, 0)
	w.run(ctx, func(m *Message) { f(m, missed.Swap(0)) })
}

// Retained calls f with the retained messages that the valid filter matches, in
// no order, until f returns false.
func (b *Broker) Retained(filter string, f func(*Message) bool) {
	for _, n := range b.trie.retainedFor(filter) {
		if m := n.retained.Load(); m != nil && (m.Expiry == 0 || left(m) > 0) && !f(m) {
			return
		}
	}
}

func (w *watcher) run(ctx context.Context, f func(*Message)) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.wake:
		}
		for m := w.take(); m != nil && ctx.Err() == nil; m = w.take() {
			f(m)
		}
	}
}

// offer puts m behind what waits already.
func (w *watcher) offer(m *Message) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.offerLocked(m)
}

// offerRetained reads and offers under one lock: a newer message is retained
// before it is delivered, so an older one cannot come after it.
func (w *watcher) offerRetained(n *node) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if m := n.retained.Load(); m != nil && (m.Expiry == 0 || left(m) > 0) {
		w.offerLocked(m)
	}
}

func (w *watcher) offerLocked(m *Message) {
	if len(w.queue) == watchQueue {
		w.dropped.Add(1)
		w.queue = slices.Delete(w.queue, 0, 1)
	}
	w.queue = append(w.queue, m)
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// take returns the message that has waited for longest, or nil.
func (w *watcher) take() *Message {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.queue) == 0 {
		return nil
	}
	m := w.queue[0]
	w.queue = slices.Delete(w.queue, 0, 1)
	return m
}

// watch adds a watcher to the routes.
func (t *trie) watch(w *watcher) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.watchers = append(slices.Clip(t.watchers), w)
	t.gen.Add(1)
}

func (t *trie) unwatch(w *watcher) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.watchers = slices.DeleteFunc(slices.Clone(t.watchers), func(have *watcher) bool { return have == w })
	t.gen.Add(1)
}

// watching returns those who want the messages of a topic, and those who only
// overhear them. mu is held for reading.
func (t *trie) watching(name string) (list, hear []*watcher) {
	for _, w := range t.watchers {
		switch {
		case !slices.ContainsFunc(w.filters, func(f string) bool { return topic.Match(f, name) }):
		case w.quiet:
			hear = append(hear, w)
		default:
			list = append(list, w)
		}
	}
	return list, hear
}

// MayPublish says whether a client is connected and may publish on a topic. A
// part of the gateway that answers where a message asks for it [MQTT 5, 4.10]
// must ask: it would else lend its own permission.
func (b *Broker) MayPublish(client, topic string) bool {
	b.mu.Lock()
	var s *session
	if st := b.seats[client]; st != nil {
		s = st.sess
	}
	b.mu.Unlock()
	if s == nil {
		return false
	}
	c := s.conn.Load()
	if c == nil {
		return false
	}
	g := c.grant.Load()
	return g != nil && publishable(topic) && g.mayPublish(topic)
}
