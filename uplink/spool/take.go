package spool

import (
	"errors"
	"time"
)

const readRows = 256 // of a stream's backlog at a time

// Take appends to dst what to send next on a link, in order: at most so many
// messages, and about so many bytes of topic and payload, but one message at
// least. Urgent goes before normal before bulk, with room kept for the former
// (Window). It may read the disk. Entries stay the link's until Ack or Refuse,
// through every reconnect: it keeps them itself and sends them again first, in
// the same order.
func (s *Spool) Take(link int, dst []*Entry, messages, bytes int) []*Entry {
	if messages <= 0 || !s.loaded.Load() {
		return dst
	}
	h := hand{s: s, now: time.Now(), dst: dst, room: messages, bytes: bytes, first: true}
	l := s.links[link]
	h.replay = messages
	if s.replay.least > 0 {
		h.replay = s.replay.reserve(link, messages, h.now)
	}
	if streams, ok := s.old.first(); ok {
		for _, st := range streams {
			if st.link == link {
				h.from(st, h.room)
			}
		}
		h.dropped = h.taken == 0 // perhaps nothing is left
	} else {
		window := int(l.window.Load())
		free := window - int(l.flight.Load())
		for c, keep := range [classes]int{0, window / 16, window / 8} {
			room := h.room
			if window > 0 {
				room = min(room, free-h.taken-keep)
			}
			h.from(s.stream(link, Class(c)), room)
		}
	}
	l.flight.Add(int64(h.taken))
	if s.replay.least > 0 {
		s.replay.giveBack(link, h.replay)
	}
	h.finish()
	if h.more {
		s.opt.Ready(link)
	}
	return h.dst
}

// hand is one call of Take.
type hand struct {
	s       *Spool
	now     time.Time
	dst     []*Entry
	room    int // messages
	replay  int // of them, how many may come from the backlog
	bytes   int
	taken   int
	first   bool // nothing was taken yet: the first message need not fit
	dropped bool
	more    bool     // there is more to take than this call looked at
	gone    []victim // messages that were too old
}

const goneEach = 1024 // messages that are too old, in one Take: an urgent one may have come meanwhile

// from takes up to room messages of one stream, from live and backlog in turn
// while both have some, so that neither keeps the other waiting.
func (h *hand) from(st *stream, room int) {
	st.mu.Lock()
	defer st.mu.Unlock()
	dry := false // the backlog cannot be read now
	fills := 0   // of it, while some is held
	for room > 0 && h.room > 0 {
		if st.ahead.n == 0 && st.read < st.stored && !dry && h.mayReplay(st) {
			if fills++; st.held != nil && fills > fillsHeld {
				dry, h.more = true, true
				continue
			}
			st.mu.Unlock()
			ok := st.fill()
			st.mu.Lock()
			dry = !ok
			continue
		}
		from, i := st.pick(h.mayReplay(st))
		if from == nil {
			return
		}
		e := from.at(i)
		size := len(e.Msg.Topic) + len(e.Msg.Payload)
		if !h.first && size > h.bytes {
			h.room = 0
			return
		}
		st.turn = from == &st.live
		st.handOut(from, i)
		if h.stale(st, e) {
			if len(h.gone) >= goneEach {
				h.room, h.more = 0, true
			}
			continue
		}
		h.dst = append(h.dst, e)
		h.first = false
		h.bytes -= size
		h.room--
		if from != &st.live && st.key.Class != Urgent {
			h.replay--
		}
		h.taken++
		room--
	}
}

// mayReplay says whether the hand may take from the backlog of st.
func (h *hand) mayReplay(st *stream) bool { return h.replay > 0 || st.key.Class == Urgent }

// pick returns the queue to take from, nil if nothing can be taken, and which
// of its entries.
func (st *stream) pick(replay bool) (from *ring, i int) {
	var back *ring
	switch {
	case !replay:
	case st.ahead.n > 0:
		back = &st.ahead
	case st.atEnd() && st.behind.n > 0:
		if i = st.firstFree(); i >= 0 {
			back = &st.behind
		}
	}
	if st.live.n > 0 && (back == nil || !st.turn) {
		return &st.live, 0
	}
	return back, i
}

// handOut takes an entry of a queue out of all accounts of waiting.
func (st *stream) handOut(from *ring, i int) {
	e := from.remove(i)
	if from == &st.ahead {
		if st.keeping() {
			st.skip.add(e.seq)
		}
		e.state = kept
		st.kept.add(e)
		st.unstock(e.size, e.bucket)
	} else {
		e.state = flying
		st.flying.add(e)
		st.bytes -= e.size
		if from == &st.behind {
			st.uncount(e.bucket)
		}
	}
	st.taken++
	if from != &st.live {
		st.replayed++
	}
}

// stale drops e if its expiry or the spool's age limit has passed.
func (h *hand) stale(st *stream, e *Entry) bool {
	age := h.now.Sub(e.Msg.Accepted)
	limit := h.s.cfg.MaxAge.Std()
	var cause Cause
	switch {
	case e.Msg.Expiry > 0 && age >= time.Duration(e.Msg.Expiry)*time.Second:
		st.drops.Expired++
		cause = ForExpiry
	case limit > 0 && age > limit:
		st.drops.Aged++
		cause = ForAge
	default:
		return false
	}
	st.taken--
	h.dropped = true
	h.gone = append(h.gone, victim{e.ticket, 0, cause, e.Class, e.Msg.Topic, ID{e.Epoch, e.Seq}})
	st.done(e)
	return true
}

// done forgets an entry that was handed out.
func (st *stream) done(e *Entry) {
	if e.state == flying {
		st.flying.remove(e)
	} else {
		st.kept.remove(e)
		st.acked += int64(e.size)
	}
	st.release(e)
}

func (h *hand) finish() {
	for _, v := range h.gone {
		h.s.drop(v)
		h.s.settle(v.ticket, v.reason)
	}
	if len(h.gone) > 0 {
		h.s.opt.Settled()
	}
	if h.dropped && h.s.old.any() {
		h.s.nextLayout()
	}
}

// fill reads rows of the backlog into ahead and says whether it got on. Only
// the link's own goroutine calls it.
func (st *stream) fill() bool {
	if !st.filling.TryLock() {
		return false // rows are being dropped; the next Take sees the rest
	}
	defer st.filling.Unlock()
	st.mu.Lock()
	key, to := st.key, st.stored
	from := st.skip.next(st.read, to)
	st.mu.Unlock()
	rows, next, err := st.s.disk.read(key, from, to, readRows)
	if err != nil {
		st.s.readFailed(err)
		return false
	}
	if st.s.disk.turned(key, from, next) {
		st.s.scouts.call()
	}
	now := time.Now()
	wall := st.s.clock.wall()
	st.mu.Lock()
	defer st.mu.Unlock()
	for i := range rows {
		r := &rows[i]
		if st.skip.has(r.seq) {
			continue
		}
		if st.past.has(r.seq) {
			st.unstock(messageSize(&r.msg), bucketOf(r.msg.Topic))
			st.skip.add(r.seq) // it may be read again
			continue
		}
		if st.held != nil && st.held(r.msg.Topic) {
			st.passOver(r.seq)
			continue
		}
		e := st.entry()
		e.Msg = &r.msg
		e.Msg.Accepted = st.s.clock.accepted(r.at, now, wall)
		e.Epoch, e.Seq = r.at.Epoch, r.id
		e.seq, e.size, e.bucket, e.state = r.seq, messageSize(e.Msg), bucketOf(e.Msg.Topic), waiting
		st.ahead.push(e)
	}
	st.read = next
	if st.read == st.stored {
		st.reconcile()
	}
	st.forget()
	return true
}

// reconcile makes the counts right once all rows were read: the backlog is
// what was read ahead and what waits behind. Before that nobody knows better.
// Damage may have cost rows, or several faults at once the count.
func (st *stream) reconcile() {
	if st.passed != 0 {
		return // what is held waits on disk, too
	}
	if more := st.ahead.n - st.unsent; more > 0 {
		st.found += int64(more)
	} else {
		st.drops.Damaged -= int64(more)
		if more < 0 {
			st.s.losses.add(dropKey{"", st.key.Class, ForDamage}, -int64(more), ID{}, ID{}, "")
		}
	}
	st.unsent, st.stock, st.backlog = st.ahead.n, 0, 0
	clear(st.buckets[:])
	for i := range st.ahead.n {
		st.stock += int64(st.ahead.at(i).size)
		st.count(st.ahead.at(i))
	}
	for i := range st.behind.n {
		st.count(st.behind.at(i))
	}
}

// readFailed has a damaged file set aside by the committer.
func (s *Spool) readFailed(err error) {
	switch {
	case errors.Is(err, errUncounted):
		s.scouts.call()
		return
	case errors.Is(err, errBlocked):
		s.work.Wake()
		return
	}
	s.report("read", err)
}
