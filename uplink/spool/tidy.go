package spool

// tidy rewrites files of which half is done, until it fits: a message that is
// held, or that the cloud does not acknowledge, keeps all files after its own,
// and what was sent since must not push out what waits.
func (s *Spool) tidy(fits func() bool) (written int64, err error) {
	needs := make(map[streamKey]*need)
	for _, st := range s.every() {
		needs[st.key] = newNeed(st)
	}
	for _, f := range s.disk.all() {
		if fits() {
			break
		}
		n, err := s.tidyFile(f, needs)
		written += n
		if err != nil {
			return written, err
		}
	}
	return written, nil
}

func (s *Spool) tidyFile(f *file, needs map[streamKey]*need) (written int64, err error) {
	rows, done := 0, 0
	for k, p := range s.disk.spansOf(f) {
		rows += p.rows
		if n := needs[k]; n != nil {
			done += n.doneIn(p)
		}
	}
	if done-f.tidied <= rows/2 {
		return 0, nil
	}
	for _, st := range s.every() {
		st.filling.Lock() // no row may be read while its file changes
		defer st.filling.Unlock()
	}
	f.tidied = done
	rep, written, err := s.disk.replace(f, false, func(r *row) bool {
		n := needs[r.stream]
		return n == nil || !n.drops(r)
	})
	if err != nil {
		return written, err
	}
	for _, n := range needs {
		n.uncount()
	}
	s.log.Debug("spool file was rewritten without what is done", "file", f.path, "rows", rep.Rows)
	if rep.Rows == 0 && len(s.disk.all()) > 1 {
		err = s.disk.remove(f)
	}
	return written, err
}

// need is what a stream needs from the disk. What is done stays done.
type need struct {
	st     *stream
	from   uint64
	past   seqset             // done, and counted as waiting until it is read
	sent   seqset             // with what is past
	flight seqset             // of what is sent
	gone   map[uint64]dropped // of what is past
}

func newNeed(st *stream) *need {
	st.mu.Lock()
	defer st.mu.Unlock()
	n := &need{st: st, from: st.position(), past: st.past.clone(), sent: st.skip.clone(), gone: make(map[uint64]dropped)}
	n.sent.join(&n.past)
	for e := st.kept.first; e != nil; e = e.next {
		n.flight.add(e.seq)
	}
	return n
}

// drops says whether a row goes. It may be asked about a row more than once.
func (n *need) drops(r *row) bool {
	if !n.done(r.seq) {
		return false
	}
	if n.past.has(r.seq) {
		n.gone[r.seq] = dropped{int32(messageSize(&r.msg)), bucketOf(r.msg.Topic)}
	}
	return true
}

// uncount takes what went out of the count of what waits, unless the reader has
// done so.
func (n *need) uncount() {
	n.st.mu.Lock()
	defer n.st.mu.Unlock()
	for seq, r := range n.gone {
		if seq >= n.from && !n.st.skip.has(seq) {
			n.st.unstock(int(r.size), r.bucket)
			n.st.skip.add(seq)
		}
	}
	clear(n.gone)
}

func (n *need) done(seq uint64) bool {
	return seq < n.from || n.sent.has(seq) && !n.flight.has(seq)
}

// doneIn counts what is done in a file; sequences that were never written to it
// count too.
func (n *need) doneIn(p span) int {
	from := min(max(p.first, n.from), p.last+1)
	return int(from-p.first) + n.sent.count(from, p.last+1) - n.flight.count(from, p.last+1)
}
