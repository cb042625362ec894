package spool

// fillsHeld bounds how many times one Take reads rows that are held: with all
// of a long backlog held, urgent messages still get their turn.
const fillsHeld = 8

// Hold makes Take pass over the messages of a link of which held says true.
// They keep their places, on disk once they have waited for spill-after, and
// come in order when they are released. held is asked with locks taken and must
// be a pure function that calls nothing of the spool.
//
// Hold is for holding more than before; Release for holding less. Both, Take
// and Return are for the link's own goroutine.
func (s *Spool) Hold(link int, held func(c Class, topic string) bool) {
	s.holding(link, held, (*stream).hold)
}

// Release makes held, nil for none, take the place of what Hold was given.
// What was passed over is read again.
func (s *Spool) Release(link int, held func(c Class, topic string) bool) {
	s.holding(link, held, (*stream).unhold)
	s.opt.Ready(link)
}

func (s *Spool) holding(link int, held func(Class, string) bool, set func(*stream, func(string) bool)) {
	for _, st := range s.every() {
		if st.link != link {
			continue
		}
		var of func(string) bool
		if c := st.key.Class; held != nil {
			of = func(topic string) bool { return held(c, topic) }
		}
		st.mu.Lock()
		set(st, of)
		st.mu.Unlock()
	}
}

// Return gives back what was taken and is not sent now: the message takes its
// old place in the order. It is for messages that are held.
func (s *Spool) Return(e *Entry) {
	st := e.stream
	s.links[st.link].flight.Add(-1)
	st.mu.Lock()
	defer st.mu.Unlock()
	st.taken--
	if st.buckets[e.bucket] == 0 {
		st.behindAll(func(o *Entry) bool { return o.bucket == e.bucket })
	}
	st.count(e)
	if e.state == flying {
		st.flying.remove(e)
		e.state = waiting
		st.bytes += e.size
		st.behind.insert(e)
		return
	}
	st.remember()
	st.kept.remove(e)
	st.skip.remove(e.seq)
	st.unsent++
	st.stock += int64(e.size)
	st.passOver(e.seq)
	open := st.held == nil || !st.held(e.Msg.Topic)
	st.release(e)
	if open {
		st.rewind()
	}
}

// Parked says that e, which was taken, waits with its link and takes no room in
// its window, or that it does again.
func (s *Spool) Parked(e *Entry, parked bool) {
	n := int64(1)
	if parked {
		n = -1
	}
	s.links[e.stream.link].flight.Add(n)
}

func (st *stream) hold(held func(string) bool) {
	if held != nil {
		st.remember()
	}
	st.held = held
	if held == nil {
		return
	}
	st.behindAll(func(e *Entry) bool { return held(e.Msg.Topic) })
	for range st.ahead.n {
		if e := st.ahead.pop(); held(e.Msg.Topic) {
			st.passOver(e.seq)
			st.release(e) // on disk, and still counted
		} else {
			st.ahead.push(e)
		}
	}
}

func (st *stream) unhold(held func(string) bool) {
	st.rewind()
	st.hold(held)
}

// passOver notes a row that was read and is held.
func (st *stream) passOver(seq uint64) {
	if st.passed == 0 || seq < st.passed {
		st.passed = seq
	}
}

// keeping says whether rows behind the reader may be needed again: then what is
// taken is remembered.
func (st *stream) keeping() bool { return st.held != nil || st.passed != 0 }

// remember begins with that: what was taken so far, from the oldest row that is
// needed on.
func (st *stream) remember() {
	if st.keeping() {
		return
	}
	to := st.read
	if e := st.ahead.front(); e != nil {
		to = e.seq
	}
	from := st.position()
	if from == to {
		return
	}
	for _, p := range st.s.disk.parts(st.key, from, to) { // sequences have wide gaps between processes
		for seq := max(from, p.span.first); seq < min(to, p.span.last+1); seq++ {
			st.skip.add(seq)
		}
	}
}

// rewind has everything read again from the first row that was passed over.
func (st *stream) rewind() {
	if st.passed == 0 {
		return
	}
	st.read = min(st.read, st.passed)
	for st.ahead.n > 0 {
		e := st.ahead.pop()
		st.read = min(st.read, e.seq)
		st.release(e)
	}
	st.passed = 0
}

// low is the first row on disk that may wait.
func (st *stream) low() uint64 {
	if st.passed != 0 {
		return min(st.read, st.passed)
	}
	return st.read
}

// behindAll moves the entries of live for which move says true to behind, and
// with each all others of its bucket: the next ones of their topics will go
// there too.
func (st *stream) behindAll(move func(*Entry) bool) {
	var buckets map[uint16]bool
	for i := range st.live.n {
		if e := st.live.at(i); move(e) {
			if buckets == nil {
				buckets = make(map[uint16]bool)
			}
			buckets[e.bucket] = true
		}
	}
	if buckets == nil {
		return
	}
	st.fallBack(func(e *Entry) bool { return buckets[e.bucket] })
}

// firstFree is the first entry of behind that is not held, -1 for none.
func (st *stream) firstFree() int {
	if st.held == nil {
		return 0
	}
	for i := range st.behind.n {
		if !st.held(st.behind.at(i).Msg.Topic) {
			return i
		}
	}
	return -1
}
