package network

import (
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// Fault says what a lane does to packets now. The zero Fault passes them.
type Fault struct {
	Drop  bool          // nothing arrives, and nobody is told
	Loss  float64       // the share that does not arrive, 0 to 1
	Delay time.Duration // of each packet
	Rate  int           // bytes per second; 0: no limit
}

// Hole is a lane that swallows everything.
var Hole = Fault{Drop: true}

const (
	laneQueue = 4096        // packets
	longest   = time.Second // of queueing before a lane with a rate; what comes then is lost, as in a modem
	least     = 16 * mtu    // bytes that such a queue holds at least
)

// Counts are the packets of a lane since it was made.
type Counts struct{ Passed, Lost int64 }

// lane carries packets from one host to another, in order.
type lane struct {
	to      *os.File
	queue   chan parcel
	waiting atomic.Int64 // in queue, or taken from it and not yet passed
	passed  atomic.Int64
	lost    atomic.Int64

	mu    sync.Mutex
	fault Fault
	free  time.Time // when the last byte accepted is through, by the rate
}

// parcel is a packet and when it is due.
type parcel struct {
	b   []byte
	due time.Time
}

func newLane(to *os.File) *lane { return &lane{to: to, queue: make(chan parcel, laneQueue)} }

func (l *lane) set(f Fault) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fault, l.free = f, time.Time{}
}

func (l *lane) dropping() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.fault.Drop
}

// accept takes one packet; b is the caller's again afterwards. Only one
// goroutine may call it.
func (l *lane) accept(b []byte) {
	due, ok := l.due(len(b), time.Now())
	switch {
	case !ok:
		l.lost.Add(1)
	case due.IsZero() && l.waiting.Load() == 0:
		l.pass(b)
	default:
		l.waiting.Add(1)
		select {
		case l.queue <- parcel{append([]byte(nil), b...), due}:
		default:
			l.waiting.Add(-1)
			l.lost.Add(1)
		}
	}
}

// due says when a packet arrives, zero for at once, and whether it does.
func (l *lane) due(size int, now time.Time) (due time.Time, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f := l.fault
	if f.Drop || f.Loss > 0 && rand.Float64() < f.Loss {
		return due, false
	}
	if f.Rate > 0 {
		if l.free.Before(now) {
			l.free = now
		}
		if l.free.Sub(now) > max(longest, through(least, f.Rate)) {
			return due, false
		}
		l.free = l.free.Add(through(size, f.Rate))
		due = l.free
	}
	if f.Delay > 0 {
		if due.IsZero() {
			due = now
		}
		due = due.Add(f.Delay)
	}
	return due, true
}

// through is how long so many bytes take at the rate.
func through(size, rate int) time.Duration {
	return time.Duration(size) * time.Second / time.Duration(rate)
}

// run passes what waits, until the queue is closed.
func (l *lane) run() {
	for p := range l.queue {
		if wait := time.Until(p.due); wait > 0 {
			time.Sleep(wait)
		}
		if l.dropping() {
			l.lost.Add(1)
		} else {
			l.pass(p.b)
		}
		l.waiting.Add(-1)
	}
}

// pass hands the packet to the receiving kernel, which drops it when it has no
// room, as any link would.
func (l *lane) pass(b []byte) {
	if _, err := l.to.Write(b); err != nil {
		l.lost.Add(1)
		return
	}
	l.passed.Add(1)
}
