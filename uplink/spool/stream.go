package spool

import (
	"slices"
	"sync"
	"time"
)

// Entry is a message on its way up. The link that took it may use it until it
// calls Ack or Refuse; then the spool uses it again for another message.
type Entry struct {
	Msg   *Message
	Epoch uint64 // with Seq the message's id: the boot epoch in which it was accepted,
	Seq   uint64 // and its number in that epoch, from 1
	Class Class

	stream     *stream
	seq        uint64 // in the stream
	ticket     Ticket
	size       int
	bucket     uint16
	state      state
	writing    bool // in the committer's batch: not to be used again before that ends
	prev, next *Entry
}

type state byte

const (
	free    state = iota
	waiting       // in live or behind, or in ahead
	flying        // taken, not on disk
	kept          // taken, on disk
)

// ExpiryLeft returns what is left of the Message Expiry Interval in seconds,
// at least 1; ok is false if the message has none.
func (e *Entry) ExpiryLeft() (seconds uint32, ok bool) {
	if e.Msg.Expiry == 0 {
		return 0, false
	}
	gone := time.Since(e.Msg.Accepted) / time.Second
	return uint32(max(int64(e.Msg.Expiry)-int64(gone), 1)), true
}

// stream is one ordered sequence of messages.
//
//	Push -> live ---------------------------> Take -> flying -> Ack
//	     -> behind -----------------------/              |
//	          \ commit                   /            commit
//	           rows on disk -> ahead ---/-> kept <-------+
//
// A message waits in live while nothing of its topic's hash bucket waits in
// the backlog: the rows on disk in order of their sequence, then behind. The
// next message of a topic that has backlog goes behind too, so a topic's
// messages are taken in order.
type stream struct {
	link int // that sends it
	cfg  *ClassConfig
	s    *Spool

	filling sync.Mutex // held while its rows are read from disk, or dropped there

	mu       sync.Mutex // guards all that follows
	key      streamKey
	next     uint64 // sequence of the next message
	live     ring
	behind   ring
	ahead    ring                // rows read from disk, not yet taken
	bytes    int                 // of live and behind
	buckets  [hashBuckets]uint32 // how much waits in the backlog, by hash bucket
	backlog  int                 // the sum of buckets
	flying   list
	kept     list
	stored   uint64 // every un-acked sequence below it is on disk
	read     uint64 // the next row to read from disk; below it all were read. At stored the reader is at the end, whatever unsent says
	unsent   int    // rows on disk that nobody took, those in ahead included; may be wrong until the reader is at the end
	stock    int64  // their bytes
	oldest   time.Time
	skip     seqset                  // rows that were taken or acknowledged before they were on disk; below position they may be missing
	past     seqset                  // rows that an earlier process knew to be acknowledged. Until they are read they count as unsent
	held     func(topic string) bool // passed over by Take; nil: none
	passed   uint64                  // the first row that was read and is held, 0 for none
	unmarked int64                   // as in StreamStats
	turn     bool                    // whose turn it is: the backlog's
	spare    *Entry
	drops    Drops
	found    int64 // rows that came from disk beyond unsent
	pushed   int64
	taken    int64
	joined   int64  // messages that came into the backlog since the start
	replayed int64  // messages taken from it
	cursor   uint64 // last persisted
	acked    int64  // bytes acknowledged of stored rows since then
}

const firstSeq = 1

func newStream(s *Spool, key streamKey, link int) *stream {
	return &stream{s: s, key: key, link: link, cfg: s.cfg.class(key.Class), next: firstSeq, stored: firstSeq, read: firstSeq}
}

// entry returns an unused entry. The caller holds st.mu.
func (st *stream) entry() *Entry {
	e := st.spare
	if e == nil {
		return &Entry{stream: st, Class: st.key.Class}
	}
	st.spare, e.next = e.next, nil
	return e
}

// release makes e usable again, unless the committer still reads it.
func (st *stream) release(e *Entry) {
	e.state, e.ticket = free, Ticket{}
	if e.writing {
		return
	}
	e.Msg = nil
	st.spare, e.next = e, st.spare
}

func (st *stream) waiting() int { return st.live.n + st.behind.n }

func (st *stream) count(e *Entry) {
	st.buckets[e.bucket]++
	st.backlog++
}

func (st *stream) uncount(bucket uint16) {
	if st.buckets[bucket] > 0 {
		st.buckets[bucket]--
		st.backlog--
	}
}

// unstock takes a row on disk out of the counts.
func (st *stream) unstock(size int, bucket uint16) {
	st.unsent--
	st.stock -= int64(size)
	st.uncount(bucket)
}

// full says whether a message of size bytes finds no room in RAM.
func (st *stream) full(size int) bool {
	return st.waiting() >= st.cfg.Messages || st.waiting() > 0 && st.bytes+size > int(st.cfg.Bytes)
}

// high says whether RAM is so full that it has to be written.
func (st *stream) high() bool {
	return 2*st.waiting() >= st.cfg.Messages || 2*st.bytes >= int(st.cfg.Bytes)
}

// makeRoom drops the oldest message that waits and is not being written.
func (st *stream) makeRoom() (victim, bool) {
	idle := func(r *ring) int {
		for i := range r.n {
			if !r.at(i).writing {
				return i
			}
		}
		return -1
	}
	l, b := idle(&st.live), idle(&st.behind)
	if l < 0 && b < 0 {
		return victim{}, false
	}
	var e *Entry
	if b < 0 || l >= 0 && st.live.at(l).seq < st.behind.at(b).seq {
		e = st.live.remove(l)
	} else {
		e = st.behind.remove(b)
		st.uncount(e.bucket)
	}
	st.bytes -= e.size
	v := victim{e.ticket, 0, ForOldest, st.key.Class, e.Msg.Topic, ID{e.Epoch, e.Seq}}
	st.release(e)
	return v, true
}

// due returns the sequence below which all has to be written, 0 for nothing.
// Everything is due once the link is down, RAM runs full or the spool stops;
// else what has waited for after. With it goes what has waited for along, so
// that a steady stream of late messages does not make a commit for each.
func (st *stream) due(now time.Time, after, along time.Duration, all bool) uint64 {
	if st.waiting() == 0 && st.flying.n == 0 {
		return 0
	}
	all = all || st.high()
	late := all
	var limit uint64
	note := func(e *Entry) bool {
		age := now.Sub(e.Msg.Accepted)
		if !all && age <= along {
			return false
		}
		if !e.writing {
			limit = max(limit, e.seq+1)
			late = late || age > after
		}
		return true
	}
	for e := st.flying.first; e != nil; e = e.next {
		note(e)
	}
	for i := 0; i < st.live.n && note(st.live.at(i)); i++ {
	}
	for i := 0; i < st.behind.n && note(st.behind.at(i)); i++ {
	}
	if !late {
		return 0
	}
	return limit
}

// collect appends every message below limit that is neither acknowledged nor
// on disk, in order of sequence, and marks it as being written. What waits in
// live joins the backlog, and with it what came later in its buckets.
func (st *stream) collect(limit uint64, batch []*Entry) []*Entry {
	st.toBacklog(limit)
	from := len(batch)
	add := func(e *Entry) {
		if e.seq < limit && !e.writing {
			e.writing = true
			batch = append(batch, e)
		}
	}
	for i := 0; i < st.behind.n && st.behind.at(i).seq < limit; i++ {
		add(st.behind.at(i))
	}
	for e := st.flying.first; e != nil; e = e.next {
		add(e)
	}
	slices.SortFunc(batch[from:], func(a, b *Entry) int {
		if a.seq < b.seq {
			return -1
		}
		return 1
	})
	return batch
}

// toBacklog moves the entries of live below limit to behind, and with them what
// came later in their buckets.
func (st *stream) toBacklog(limit uint64) {
	st.fallBack(func(e *Entry) bool { return e.seq < limit || st.buckets[e.bucket] > 0 })
}

// fallBack moves entries from live to behind, where all stay in order.
func (st *stream) fallBack(which func(*Entry) bool) {
	var stay, move ring
	for i := range st.live.n {
		e := st.live.at(i)
		if !which(e) {
			stay.push(e)
			continue
		}
		st.count(e)
		st.joined++
		move.push(e)
	}
	if move.n == 0 {
		return
	}
	st.live = stay
	if st.behind.n == 0 {
		st.behind = move
		return
	}
	var merged ring
	for st.behind.n > 0 || move.n > 0 {
		if move.n == 0 || st.behind.n > 0 && st.behind.front().seq < move.front().seq {
			merged.push(st.behind.pop())
		} else {
			merged.push(move.pop())
		}
	}
	st.behind = merged
}

// written notes that entries, the oldest of the last collect, are on disk, and
// appends their tickets to settle. A reader at the end passes over those that
// need not be read again.
func (st *stream) written(entries []*Entry, tickets []Ticket) []Ticket {
	follow := st.read == st.stored
	for _, e := range entries {
		e.writing = false
		follow = follow && e.state != waiting
		if follow {
			st.read = e.seq + 1
		}
		if e.ticket.Owner != nil {
			tickets = append(tickets, e.ticket)
			e.ticket = Ticket{}
		}
		switch e.state {
		case waiting:
			st.behind.pop() // e: only the oldest are written, and in order
			st.bytes -= e.size
			if st.unsent == 0 {
				st.oldest = e.Msg.Accepted
			}
			st.unsent++
			st.stock += int64(e.size)
			st.release(e)
		case flying:
			st.flying.remove(e)
			st.kept.add(e)
			e.state = kept
			st.skip.add(e.seq)
		case free: // acknowledged or dropped meanwhile
			st.skip.add(e.seq)
			st.release(e)
		}
	}
	if n := len(entries); n > 0 {
		st.stored = max(st.stored, entries[n-1].seq+1)
	}
	st.forget()
	return tickets
}

// unwritten takes the mark off entries whose commit failed.
func (st *stream) unwritten(entries []*Entry) {
	for _, e := range entries {
		e.writing = false
		if e.state == free {
			st.release(e)
		}
	}
}

// forget drops what is remembered of single rows once all are acknowledged.
func (st *stream) forget() {
	if st.idle() {
		st.skip.clear()
		st.past.clear()
	}
}

// position is the first sequence on disk that is still needed.
func (st *stream) position() uint64 {
	at := st.read
	if e := st.ahead.front(); e != nil {
		at = min(at, e.seq)
	}
	for e := st.kept.first; e != nil; e = e.next {
		at = min(at, e.seq)
	}
	if st.passed != 0 {
		at = min(at, st.passed)
	}
	return at
}

// atEnd says whether every row on disk was read, and taken or passed over.
func (st *stream) atEnd() bool { return st.read == st.stored && st.ahead.n == 0 }

// idle says whether nothing of the stream on disk is needed any more.
func (st *stream) idle() bool { return st.atEnd() && st.kept.n == 0 && st.passed == 0 }
