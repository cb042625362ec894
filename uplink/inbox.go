package uplink

import (
	"encoding/binary"
	"sync"
)

// inbox orders the acknowledgements of one connection. It owns the tickets of
// the messages that came over it; those that are settled later are forgotten,
// the cloud sends the messages again.
type inbox struct {
	down *downward
	wire *wire

	limit int  // of messages not acknowledged: the Receive Maximum
	told  bool // that it is exceeded; the reader's

	mu         sync.Mutex // guards what follows
	ring       []arrival  // a power of two
	head, tail uint64     // positions of messages not acknowledged
	out        []byte     // PUBACKs to write
	reading    bool       // the reader is at work, and will flush before it waits
	with       int        // messages that the edge has and has not settled
	held       bool       // the edge gets nothing more
	skipped    bool       // something was kept from it
}

type arrival struct {
	id     uint16
	reason byte
	handed bool
	done   bool
}

// mostArrivals is how many messages have different packet ids.
const mostArrivals = 65535

// newInbox is for a connection that announced a Receive Maximum.
func newInbox(d *downward, w *wire, receive int) *inbox {
	n := 1
	for n < receive {
		n *= 2
	}
	return &inbox{down: d, wire: w, ring: make([]arrival, n), limit: receive}
}

// arrive notes a message of QoS 1, false when there are more than packet ids.
// More than the Receive Maximum are borne: Mosquitto 2.0.11 sends all it has
// once it gets acknowledgements one by one after a pause, and would send all
// again if it were left for that. What the edge keeps of them has other limits.
func (b *inbox) arrive(id uint16) (pos uint64, ok bool) {
	pos, waiting := b.note(id)
	if waiting >= b.limit && waiting < mostArrivals {
		b.down.exceeded(!b.told)
		b.told = true
	}
	return pos, waiting < mostArrivals
}

// note returns how many messages waited before.
func (b *inbox) note(id uint16) (pos uint64, waiting int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	waiting = int(b.tail - b.head)
	if waiting >= mostArrivals {
		return 0, waiting
	}
	if waiting == len(b.ring) {
		b.grow()
	}
	pos = b.tail
	b.tail++
	b.ring[pos&uint64(len(b.ring)-1)] = arrival{id: id}
	b.reading = true
	return pos, waiting
}

func (b *inbox) grow() {
	bigger := make([]arrival, 2*len(b.ring))
	for pos := b.head; pos < b.tail; pos++ {
		bigger[pos&uint64(len(bigger)-1)] = b.ring[pos&uint64(len(b.ring)-1)]
	}
	b.ring = bigger
}

// hand notes that the edge gets the message at pos. False: it must not.
func (b *inbox) hand(pos uint64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.held {
		b.skipped = true
		return false
	}
	if pos < b.head || pos >= b.tail {
		return false
	}
	b.ring[pos&uint64(len(b.ring)-1)].handed = true
	b.with++
	return true
}

// hold keeps further messages from the edge.
func (b *inbox) hold() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.held = true
}

// release ends that. False: it cannot, because a message was kept from the edge,
// which comes again on another connection only.
func (b *inbox) release() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.held = b.skipped
	return !b.held
}

// handed returns how many messages the edge has and has not settled.
func (b *inbox) handed() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.with
}

// waiting returns how many messages are not acknowledged.
func (b *inbox) waiting() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return int(b.tail - b.head)
}

// Settle makes the acknowledgement of one message ready; from any goroutine.
func (b *inbox) Settle(pos uint64, reason byte) {
	b.mu.Lock()
	if pos < b.head || pos >= b.tail {
		b.mu.Unlock()
		return
	}
	a := &b.ring[pos&uint64(len(b.ring)-1)]
	if a.handed && !a.done {
		b.with--
	}
	a.done, a.reason = true, reason
	ready := 0
	for b.head < b.tail {
		a := b.ring[b.head&uint64(len(b.ring)-1)]
		if !a.done {
			break
		}
		b.head++
		ready++
		if a.reason == 0 {
			b.out = append(b.out, 0x40, 2)
			b.out = binary.BigEndian.AppendUint16(b.out, a.id)
		} else {
			b.out = append(b.out, 0x40, 3)
			b.out = binary.BigEndian.AppendUint16(b.out, a.id)
			b.out = append(b.out, a.reason)
		}
	}
	wake := b.held || ready > 0 && !b.reading
	b.mu.Unlock()
	b.down.acked.Add(int64(ready))
	if wake {
		b.down.bell.notify()
	}
}

// flush writes what is ready. The wire's lock is taken first, so that two
// flushes cannot overtake each other.
func (b *inbox) flush() error {
	b.wire.mu.Lock()
	defer b.wire.mu.Unlock()
	return b.write()
}

// write is flush with the wire's lock held.
func (b *inbox) write() error {
	b.mu.Lock()
	out := b.out
	b.out = nil
	b.mu.Unlock()
	if len(out) == 0 {
		return nil
	}
	return b.wire.write(out)
}

// rest is flush for the reader, which is about to wait. Where the wire is busy
// it leaves the writing to the link's goroutine: the write may be stuck until
// more is read.
func (b *inbox) rest() {
	if b.down.alone && b.wire.mu.TryLock() {
		defer b.wire.mu.Unlock()
		b.write() // an error shows in the next read
	}
	b.mu.Lock()
	b.reading = false
	ready := len(b.out) > 0
	b.mu.Unlock()
	if ready {
		b.down.bell.notify()
	}
}
