package spool

import (
	"errors"
	"fmt"
	"math"
	"os"
	"time"

	"tidegate/internal/advice"
	"tidegate/internal/wear"
)

const (
	batchBytes  = 1 << 20 // of rows in one transaction: what it costs besides is 2 % of that
	lingerAfter = 2 * time.Second
	lingerBytes = 64 << 10 // what a crash may send again rather than cost a commit

	crampedAgain = time.Minute // a copy that finds no room is wear for nothing
)

// write is the committer's: it sets damaged files aside, removes drained ones
// and writes what is due. It returns the bytes that the card was given.
func (s *Spool) write() (int64, error) {
	written, err := s.tend()
	n, e := s.writeRefused()
	written += n
	err = errors.Join(err, e, s.tendGraves(time.Now()))
	n, e = s.commit()
	written += n
	err = errors.Join(err, e)
	if s.closing.Load() {
		n, e = s.tend()
		written += n
		err = errors.Join(err, e)
	}
	s.bytes.Add(written)
	s.report("write", err)
	return written, err
}

// report logs a change of state once: trouble when it begins, and its end.
func (s *Spool) report(what string, err error) {
	old := s.trouble.Load()
	switch {
	case err != nil:
		s.trouble.Store(&trouble{what, err})
		if old == nil || old.what != what {
			s.log.Error("spool has trouble with the disk; what is not written stays unacknowledged", "what", what, "err", advice.Disk(err, s.opt.Dir))
		}
	case old != nil && what == "write":
		s.trouble.Store(nil)
		s.log.Info("spool is well again")
	}
}

// part of pending that belongs to one stream.
type segment struct {
	st         *stream
	start, end int
}

func (s *Spool) anyDue() bool {
	now := time.Now()
	for _, st := range s.streams {
		st.mu.Lock()
		due := st.due(now, s.spill, s.along, s.links[st.link].down.Load())
		st.mu.Unlock()
		if due > 0 {
			return true
		}
	}
	return false
}

// commit writes all that is due, in one transaction unless it is very much.
func (s *Spool) commit() (int64, error) {
	written, room, err := s.diskRoom()
	if !room {
		if err == nil && s.cursorDue() { // for which the margin is enough
			n, err := s.flush(nil)
			return written + n, err
		}
		return written, err
	}
	segments := s.collect()
	if len(segments) == 0 {
		if s.cursorDue() {
			n, err := s.flush(nil)
			return written + n, err
		}
		return written, nil
	}
	b := &s.batchBuf
	now := time.Now()
	wall := s.clock.wall()
	var ready []segment
	for i, seg := range segments {
		from := seg.start
		for j := seg.start; j < seg.end; j++ {
			s.encode(seg.st, s.pending[j], now, wall)
			last := j == seg.end-1
			if last || len(b.buf) >= batchBytes {
				ready = append(ready, segment{seg.st, from, j + 1})
				from = j + 1
			}
			if len(b.buf) < batchBytes && !(last && i == len(segments)-1) {
				continue
			}
			n, err := s.flush(ready)
			written += n
			if err != nil {
				s.giveUp(append(ready, append([]segment{{seg.st, from, seg.end}}, segments[i+1:]...)...))
				return written, err
			}
			ready = ready[:0]
		}
	}
	return written, nil
}

// collect marks and gathers what is due, stream by stream.
func (s *Spool) collect() []segment {
	var segments []segment
	now := time.Now()
	s.pending = s.pending[:0]
	for _, st := range s.streams {
		start := len(s.pending)
		st.mu.Lock()
		if limit := st.due(now, s.spill, s.along, s.closing.Load() || s.links[st.link].down.Load()); limit > 0 {
			s.pending = st.collect(limit, s.pending)
		}
		st.mu.Unlock()
		if len(s.pending) > start {
			segments = append(segments, segment{st, start, len(s.pending)})
		}
	}
	return segments
}

func (s *Spool) encode(st *stream, e *Entry, now time.Time, wall int64) {
	b := &s.batchBuf
	start := len(b.buf)
	r := row{stream: st.key, seq: e.seq, id: e.Seq, at: s.clock.stamp(e.Msg.Accepted, now, wall), msg: *e.Msg}
	if e.Epoch != s.opt.Epoch { // a dead letter of an earlier process
		r.at.Epoch, r.at.Mono = e.Epoch, s.clock.lived(e.Epoch)
	}
	b.buf = appendRow(b.buf, &r)
	b.rows = append(b.rows, rowRef{st.key, e.seq, start, len(b.buf)})
}

// flush commits the encoded batch with all cursors, to a new file if the
// active one fails, and settles what the batch holds.
func (s *Spool) flush(ready []segment) (written int64, err error) {
	b := &s.batchBuf
	defer b.reset()
	most := marksEach
	if s.closing.Load() {
		most = math.MaxInt
	}
	marks := make(map[*stream]mark)
	b.cursors = make(map[streamKey]mark)
	for _, st := range s.every() {
		st.mu.Lock()
		m := st.mark(most)
		st.mu.Unlock()
		marks[st] = m
		if m.seq > firstSeq || len(m.done) > 0 {
			b.cursors[st.key] = m
		}
	}
	for range 2 {
		var n int64
		if n, err = s.append(b); err == nil {
			written += n
			break
		}
		written += n
	}
	if err != nil {
		return written, err
	}
	s.commits.Add(1)
	s.cursorAt = time.Now()
	for st, m := range marks {
		st.mu.Lock()
		st.cursor, st.acked, st.unmarked = m.seq, 0, int64(m.left)
		st.mu.Unlock()
	}
	s.settleAll(ready)
	return written, nil
}

func (s *Spool) append(b *batch) (int64, error) {
	f, created, err := s.disk.writable(int64(len(b.buf)))
	if err != nil {
		return created, err
	}
	n, err := f.append(b)
	if err != nil {
		s.disk.abandon(f, err)
		return created + n, err
	}
	s.disk.wrote(f, b.rows)
	return created + n, nil
}

// settleAll notes what is on disk and settles its tickets.
func (s *Spool) settleAll(ready []segment) {
	for _, seg := range ready {
		seg.st.mu.Lock()
		s.tickets = seg.st.written(s.pending[seg.start:seg.end], s.tickets)
		seg.st.mu.Unlock()
	}
	for i, t := range s.tickets {
		s.settle(t, 0)
		s.tickets[i] = Ticket{}
	}
	if len(s.tickets) > 0 {
		s.opt.Settled()
	}
	s.tickets = s.tickets[:0]
}

func (s *Spool) giveUp(segments []segment) {
	for _, seg := range segments {
		seg.st.mu.Lock()
		seg.st.unwritten(s.pending[seg.start:seg.end])
		seg.st.mu.Unlock()
	}
}

// every returns the streams, those of old layouts included.
func (s *Spool) every() []*stream { return append(s.old.all(), s.streams...) }

// positions returns what each stream still needs from the disk.
func (s *Spool) positions() map[*stream]uint64 {
	out := make(map[*stream]uint64)
	for _, st := range s.every() {
		st.mu.Lock()
		out[st] = st.position()
		st.mu.Unlock()
	}
	return out
}

// cursorDue says whether so much was acknowledged since the last commit that
// the cursors are worth one: 2 MiB, or anything after some seconds, more of
// them as the wear budget runs out.
func (s *Spool) cursorDue() bool {
	if len(s.disk.all()) == 0 || s.idle() {
		return false
	}
	acked := s.unrecorded()
	if s.closing.Load() {
		return acked > 0 || s.unnamed()
	}
	gap := wear.Gap(s.opt.Budget.Left(), 2*time.Second, 30*time.Second)
	return acked > 0 && (acked >= 2<<20 || time.Since(s.cursorAt) >= gap)
}

// unrecorded returns how many bytes of stored rows were acknowledged since the
// cursors were last persisted: what a crash would send again.
func (s *Spool) unrecorded() (acked int64) {
	for _, st := range s.every() {
		st.mu.Lock()
		acked += st.acked
		st.mu.Unlock()
	}
	return acked
}

// unnamed says whether the last commit left out acknowledged rows.
func (s *Spool) unnamed() bool {
	for _, st := range s.every() {
		st.mu.Lock()
		n := st.unmarked
		st.mu.Unlock()
		if n > 0 {
			return true
		}
	}
	return false
}

// idle says whether nothing on disk is needed any more.
func (s *Spool) idle() bool {
	for _, st := range s.every() {
		st.mu.Lock()
		idle := st.idle()
		st.mu.Unlock()
		if !idle {
			return false
		}
	}
	return true
}

// tend looks after the files: damaged ones are set aside and their intact
// rows saved, drained ones deleted. The newest holds the cursors and stays
// while there are others; when nothing is needed any more all go: at once after a
// real backlog, which a crash would send again, else after a while, so that a
// slow cloud does not make a new file every second.
func (s *Spool) tend() (written int64, err error) {
	files := s.disk.all()
	if len(files) == 0 {
		return 0, nil
	}
	at := make(map[streamKey]uint64)
	for st, seq := range s.positions() {
		at[st.key] = seq
	}
	for _, f := range files {
		if !f.damaged.Load() || s.disk.drained(f, at) || time.Now().Before(s.rescueAt) {
			continue
		}
		n, e := s.rescue(f, func(r *row) bool { return r.seq >= at[r.stream] })
		written += n
		err = errors.Join(err, e)
	}
	if !s.idle() {
		s.drainedAt = time.Time{}
		for _, f := range files[:len(files)-1] {
			if s.disk.drained(f, at) {
				err = errors.Join(err, s.disk.remove(f))
			}
		}
		s.disk.rest()
		return written, err
	}
	if s.drainedAt.IsZero() {
		s.drainedAt = time.Now()
	}
	if s.closing.Load() || s.unrecorded() >= lingerBytes || time.Since(s.drainedAt) >= s.linger {
		s.drainedAt = time.Time{}
		for _, st := range s.every() {
			st.mu.Lock()
			st.acked = 0
			st.mu.Unlock()
		}
		for _, f := range files {
			err = errors.Join(err, s.disk.remove(f))
		}
	}
	return written, err
}

// drained says whether no row of f is needed any more.
func (d *disk) drained(f *file, at map[streamKey]uint64) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	for k, s := range f.spans {
		if s.last >= at[k] {
			return false
		}
	}
	return true
}

// rescue sets a damaged file aside and puts what is intact in its place.
func (s *Spool) rescue(f *file, keep func(*row) bool) (int64, error) {
	rep, written, err := s.disk.replace(f, true, keep)
	if errors.Is(err, os.ErrNotExist) {
		s.log.Error("spool file has vanished", "file", f.path)
		return written, s.disk.remove(f)
	}
	if err != nil {
		s.rescueAt = time.Now().Add(loadAgain)
		if noRoom(err) {
			s.rescueAt = time.Now().Add(crampedAgain)
			f.cramped.Store(true)
			s.readyAll()
		}
		return written, fmt.Errorf("set %s aside: %w", f.path, err)
	}
	s.log.Error("damaged spool file was set aside; its intact rows are saved", "file", f.path, "rows", rep.Rows)
	s.readyAll()
	return written, nil
}
