package uplink

import (
	"sync"

	"tidegate/uplink/spool"
)

// Packet ids of PUBLISH run from 1 to publishIDs; those above are for SUBSCRIBE
// and UNSUBSCRIBE, which share the space on a connection [MQTT 5, 2.2.1].
const publishIDs = 0xFEFF

// window is what one link has in flight: slots in the order of sending, packet
// ids that follow from the position. A slot is free again when its PUBACK
// came.
type window struct {
	mu         sync.Mutex
	slots      []slot // a power of two, at least twice max
	head, tail uint64 // positions; what is between them is in use or free
	count      int    // sent and unanswered
	bytes      int    // of those
	max        int    // messages, the smaller of the configuration's and the cloud's
	maxBytes   int
	cautious   int // 0, or the messages allowed after a refusal; doubles with each good answer
}

type slot struct {
	e    *spool.Entry // nil: answered
	size int32        // bytes on the wire
	sent int64        // ns on the connection's clock
}

// reset makes an empty window. What was in it must have been rewound.
func (w *window) reset(messages, bytes int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 16
	for n < 2*messages {
		n *= 2
	}
	if len(w.slots) != n {
		w.slots = make([]slot, n)
	}
	w.head, w.tail, w.count, w.bytes, w.cautious = 0, 0, 0, 0, 0
	w.max, w.maxBytes = messages, bytes
}

// room returns how many messages and bytes may be sent now: none until a
// quarter of the window is free, rounded down, so that what leaves together is
// worth a system call. A message that is larger than all the bytes may go when nothing
// else is in flight.
func (w *window) room() (messages, bytes int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	messages = min(w.limit()-w.count, len(w.slots)-int(w.tail-w.head))
	bytes = w.maxBytes - w.bytes
	if w.count > 0 && (messages < max(w.limit()/4, 1) || bytes < w.maxBytes/4) {
		return 0, 0
	}
	return messages, bytes
}

func (w *window) limit() int {
	if w.cautious > 0 {
		return min(w.cautious, w.max)
	}
	return w.max
}

// add puts e in flight and returns its packet id. There must be room.
func (w *window) add(e *spool.Entry, size int, now int64) uint16 {
	w.mu.Lock()
	defer w.mu.Unlock()
	pos := w.tail
	w.tail++
	w.slots[pos&uint64(len(w.slots)-1)] = slot{e: e, size: int32(size), sent: now}
	w.count++
	w.bytes += size
	return uint16(pos%publishIDs) + 1
}

// answered takes the PUBACK for id: the entry, when it was sent, and how many
// remain unanswered. A nil entry: nothing is in flight under that id. When
// busy is set the cloud could not take it now, and the window opens slowly.
func (w *window) answered(id uint16, busy bool) (e *spool.Entry, sent int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	pos := w.head + (uint64(id)+publishIDs-1-w.head%publishIDs)%publishIDs
	if id == 0 || id > publishIDs || pos >= w.tail {
		return nil, 0
	}
	s := &w.slots[pos&uint64(len(w.slots)-1)]
	if s.e == nil {
		return nil, 0
	}
	e, sent = s.e, s.sent
	w.count--
	w.bytes -= int(s.size)
	*s = slot{}
	for w.head < w.tail && w.slots[w.head&uint64(len(w.slots)-1)].e == nil {
		w.head++
	}
	switch {
	case busy:
		w.cautious = 1
	case w.cautious > 0:
		if w.cautious *= 2; w.cautious >= w.max {
			w.cautious = 0
		}
	}
	return e, sent
}

// oldest returns when the oldest unanswered message was sent, and how many
// are unanswered.
func (w *window) oldest() (sent int64, count int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.count == 0 {
		return 0, 0
	}
	for pos := w.head; pos < w.tail; pos++ {
		if s := &w.slots[pos&uint64(len(w.slots)-1)]; s.e != nil {
			return s.sent, w.count
		}
	}
	return 0, 0
}

// waiting returns how many are unanswered.
func (w *window) waiting() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.count
}

// rewind empties the window and appends what was in it to dst, in the order of
// sending. No PUBACK may be on its way.
func (w *window) rewind(dst []*spool.Entry) []*spool.Entry {
	w.mu.Lock()
	defer w.mu.Unlock()
	for ; w.head < w.tail; w.head++ {
		s := &w.slots[w.head&uint64(len(w.slots)-1)]
		if s.e != nil {
			dst = append(dst, s.e)
		}
		*s = slot{}
	}
	w.count, w.bytes = 0, 0
	return dst
}
