package load

import (
	"math/rand/v2"
	"sync"
	"time"
)

// Ledger is the account of one run: what was published, what was acknowledged
// to the publishers and, in its Consumers, what arrived. All methods of it, of
// its Topics and of its Consumers are safe for concurrent use.
type Ledger struct {
	run   uint64
	start time.Time

	mu        sync.Mutex // guards what follows
	topics    []*Topic   // by number; only appended to
	consumers []*Consumer
}

// NewLedger returns an empty ledger with a run number of its own. Its clock
// starts now.
func NewLedger() *Ledger {
	return &Ledger{run: rand.Uint64(), start: time.Now()}
}

// Now returns the time since the ledger was made, its clock for everything.
func (l *Ledger) Now() time.Duration { return time.Since(l.start) }

// Topic opens the account of one more topic, published to by one publisher
// only. A publisher may have many.
func (l *Ledger) Topic(publisher uint32, name string) *Topic {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := &Topic{run: l.run, publisher: publisher, number: uint32(len(l.topics)), name: name}
	l.topics = append(l.topics, t)
	return t
}

// Consumer adds one more place where every message of this ledger should arrive
// once.
func (l *Ledger) Consumer() *Consumer {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := &Consumer{ledger: l}
	l.consumers = append(l.consumers, c)
	return c
}

// Sample adds a consumer of some topics only: it subscribes to those, and its
// report is about them alone.
func (l *Ledger) Sample(of func(topic string) bool) *Consumer {
	c := l.Consumer()
	c.of = of
	return c
}

// Published returns how many messages were sent so far, Acked how many of them
// were acknowledged.
func (l *Ledger) Published() (n uint64) { return l.sum(func(t *Topic) uint64 { return t.next }) }

// Acked returns how many messages were acknowledged to their publishers so far.
func (l *Ledger) Acked() (n uint64) { return l.sum(func(t *Topic) uint64 { return t.ackedCount }) }

func (l *Ledger) sum(of func(*Topic) uint64) (n uint64) {
	for _, t := range l.all() {
		t.mu.Lock()
		n += of(t)
		t.mu.Unlock()
	}
	return n
}

// all returns the topics there are; the slice is not written to again.
func (l *Ledger) all() []*Topic {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.topics
}

// Topic is the publishing side of one topic's account.
type Topic struct {
	run       uint64
	publisher uint32
	number    uint32 // in the ledger
	name      string

	mu         sync.Mutex // guards what follows
	next       uint64     // sequence of the next message; so many were published
	acked      bitmap
	ackedCount uint64
	sent       perSecond
	kept       perSecond     // acknowledged
	last       time.Duration // when the last one was published
}

// Name returns the topic as the publisher sends it.
func (t *Topic) Name() string { return t.name }

// Next enters a message as published at now and returns its sequence. It is
// called before the message is sent, so that nothing can arrive unannounced.
func (t *Topic) Next(now time.Duration) (seq uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	seq = t.next
	t.next++
	t.sent.add(now, 1)
	t.last = now
	return seq
}

// Ack enters a message as acknowledged to its publisher; again has no effect.
func (t *Topic) Ack(seq uint64, now time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.acked.set(seq) {
		t.ackedCount++
		t.kept.add(now, 1)
	}
}

// AppendPayload appends the payload of message seq, size bytes but at least
// StampSize; sent is its time of publishing, also when it is sent again.
func (t *Topic) AppendPayload(b []byte, seq uint64, sent time.Duration, size int) []byte {
	s := stamp{run: t.run, publisher: t.publisher, topic: t.number, seq: seq, sent: sent, size: uint32(size)}
	return s.append(b)
}

// perSecond counts events in each second since the ledger was made.
type perSecond []uint64

func (p *perSecond) add(at time.Duration, n uint64) {
	second := int(max(at, 0) / time.Second)
	for second >= len(*p) {
		*p = append(*p, 0)
	}
	(*p)[second] += n
}

func (p *perSecond) merge(o perSecond) {
	for i, n := range o {
		p.add(time.Duration(i)*time.Second, n)
	}
}
