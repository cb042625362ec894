package spool

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"sync"
	"time"
)

// olds are the streams of layouts with another number of links, by layout,
// oldest first. Until they have drained nothing else is sent: which of today's
// links a topic belonged to then is not known.
type olds struct {
	mu      sync.Mutex
	layouts [][]*stream
	done    []*stream // drained; files may still hold their rows
}

func (o *olds) first() ([]*stream, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.layouts) == 0 {
		return nil, false
	}
	return o.layouts[0], true
}

func (o *olds) any() bool {
	_, ok := o.first()
	return ok
}

// all returns the streams of every old layout, drained ones included: as long
// as a file holds rows of theirs their cursors count.
func (o *olds) all() []*stream {
	o.mu.Lock()
	defer o.mu.Unlock()
	return append(slices.Concat(o.layouts...), o.done...)
}

// nextLayout goes on to the next layout when the oldest has drained.
func (s *Spool) nextLayout() {
	s.old.mu.Lock()
	before := len(s.old.layouts)
	for len(s.old.layouts) > 0 && allIdle(s.old.layouts[0]) {
		s.old.done = append(s.old.done, s.old.layouts[0]...)
		s.old.layouts = s.old.layouts[1:]
	}
	after := len(s.old.layouts)
	s.old.mu.Unlock()
	if after < before {
		s.readyAll()
	}
}

func allIdle(streams []*stream) bool {
	for _, st := range streams {
		st.mu.Lock()
		idle := st.idle()
		st.mu.Unlock()
		if !idle {
			return false
		}
	}
	return true
}

const loadAgain = 5 * time.Second

// load brings the directory in, trying until it works or ctx ends; until then
// messages wait in RAM, unacknowledged.
func (s *Spool) load(ctx context.Context) bool {
	began := time.Now()
	for {
		reports, err := s.survey(ctx)
		if err == nil {
			s.admit(reports)
			if n := s.stored(); n > 0 {
				s.log.Info("spool loaded", "queued", n, "files", len(reports), "after", time.Since(began))
			}
			return true
		}
		if ctx.Err() != nil {
			return false
		}
		s.report("load", err)
		select {
		case <-ctx.Done():
			return false
		case <-time.After(loadAgain):
		}
	}
}

// stored counts what earlier processes left to send.
func (s *Spool) stored() (n int) {
	for _, st := range s.every() {
		st.mu.Lock()
		n += max(st.unsent, 0)
		st.mu.Unlock()
	}
	return n
}

// survey checks every file, oldest first, and sets damaged ones aside.
func (s *Spool) survey(ctx context.Context) ([]Report, error) {
	numbers, err := s.disk.repair()
	if err != nil {
		return nil, err
	}
	s.disk.forget()
	var reports []Report
	for _, n := range numbers {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		f := &file{number: n, path: s.disk.path(n, suffixFile), open: s.opt.open}
		rep, err := s.inspect(ctx, f.path)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err != nil && blank(f.path) {
			s.log.Info("spool file was never written to", "file", f.path)
			if err := s.disk.remove(f); err != nil {
				return nil, err
			}
			continue
		}
		if err != nil {
			s.log.Error("spool file did not pass its check", "file", f.path, "err", err)
			var written int64
			rep, written, err = s.disk.replace(f, true, func(*row) bool { return true })
			s.opt.Budget.Spend(written)
			if noRoom(err) {
				f.damaged.Store(true)
				f.cramped.Store(true)
				rep, err = intact(f.path)
			}
			if err != nil {
				return nil, err
			}
			if !f.cramped.Load() {
				s.log.Error("damaged spool file was set aside; its intact rows are saved", "file", f.path, "rows", rep.Rows)
			}
		}
		f.spans = make(map[streamKey]*span)
		for _, st := range rep.Streams {
			f.spans[st.key()] = &span{first: st.First, last: st.Last, rows: st.Rows, bytes: st.Bytes}
		}
		f.size.Store(f.fileSize())
		s.disk.enter(f)
		reports = append(reports, rep)
	}
	return reports, nil
}

// blank says whether the power failed before the file got its first bytes.
func blank(path string) bool {
	b, err := os.ReadFile(path)
	return err == nil && len(b) <= 4*pageSize && len(bytes.Trim(b, "\x00")) == 0
}

// checkTime is enough for 32 MiB on the slowest card.
const checkTime = 2 * time.Minute

// inspect runs Check on a file in a child process, which may die of it. A
// child that cannot even be started says nothing about the file.
func (s *Spool) inspect(ctx context.Context, path string) (Report, error) {
	if len(s.opt.Checker) == 0 {
		return Check(path)
	}
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	argv := append(slices.Clone(s.opt.Checker), path)
	child := exec.CommandContext(ctx, argv[0], argv[1:]...)
	child.WaitDelay = time.Second
	var out, errs bytes.Buffer
	child.Stdout, child.Stderr = &out, &errs
	if err := child.Start(); err != nil {
		s.log.Error("cannot start the checking child; checking in this process", "err", err)
		return Check(path)
	}
	err := child.Wait()
	var rep Report
	if e := json.Unmarshal(out.Bytes(), &rep); err == nil {
		err = e
	}
	if err == nil && rep.Damage != "" {
		err = errors.New(rep.Damage)
	}
	if err != nil {
		return rep, fmt.Errorf("check of %s: %w: %.500s", path, cmp.Or(errOf(rep.Damage), err), errs.String())
	}
	return rep, nil
}

func errOf(text string) error {
	if text == "" {
		return nil
	}
	return errors.New(text)
}

// admit enters what is on disk into the streams and lets Take begin.
func (s *Spool) admit(reports []Report) {
	cursors := make(map[streamKey]uint64)
	marks := make(map[streamKey]mark)
	for _, rep := range reports {
		for _, c := range rep.Cursors {
			marks[c.key()] = later(marks[c.key()], c.mark())
			cursors[c.key()] = marks[c.key()].seq
		}
		for epoch, lived := range rep.Epochs {
			s.clock.seen(epoch, lived)
		}
	}
	stocks := s.takeStock(reports, cursors)
	layout := s.layout(stocks)
	older := make(map[uint64][]*stream)
	s.old.mu.Lock()
	defer s.old.mu.Unlock()
	for key, stock := range stocks {
		if key.Layout == layout {
			continue
		}
		st := newStream(s, key, int(key.Link)%len(s.links))
		st.begin(stock, cursors[key])
		st.recall(marks[key])
		if !st.idle() {
			older[key.Layout] = append(older[key.Layout], st)
		} else {
			s.old.done = append(s.old.done, st)
		}
	}
	for _, st := range s.streams {
		st.mu.Lock()
		st.key.Layout = layout
		st.begin(stocks[st.key], cursors[st.key])
		st.recall(marks[st.key])
		st.mu.Unlock()
	}
	for _, streams := range older {
		slices.SortFunc(streams, func(a, b *stream) int {
			return cmp.Or(cmp.Compare(a.key.Class, b.key.Class), cmp.Compare(a.key.Link, b.key.Link))
		})
		s.old.layouts = append(s.old.layouts, streams)
	}
	slices.SortFunc(s.old.layouts, func(a, b []*stream) int { return cmp.Compare(a[0].key.Layout, b[0].key.Layout) })
	s.cursorAt = time.Now()
	s.loaded.Store(true)
}

// layout is the newest one on disk if it has today's number of links, else a
// new one.
func (s *Spool) layout(stocks map[streamKey]*stock) uint64 {
	var newest streamKey
	for k := range stocks {
		if k.Layout >= newest.Layout {
			newest = k
		}
	}
	if int(newest.Links) == len(s.links) {
		return newest.Layout
	}
	return max(s.opt.Epoch, newest.Layout+1)
}

// stock is what the files hold of a stream from its cursor on.
type stock struct {
	last    uint64
	unsent  int
	bytes   int64
	buckets map[uint16]uint32
	oldest  time.Time
}

func (s *Spool) takeStock(reports []Report, cursors map[streamKey]uint64) map[streamKey]*stock {
	stocks := make(map[streamKey]*stock)
	now := time.Now()
	wall := s.clock.wall()
	for i, rep := range reports {
		for _, part := range rep.Streams {
			key := part.key()
			k := stocks[key]
			if k == nil {
				k = &stock{buckets: make(map[uint16]uint32), oldest: s.clock.accepted(part.oldest(), now, wall)}
				stocks[key] = k
			}
			// A part may begin before the end of the one before it, after a
			// commit that failed and was repeated.
			last := k.last
			k.last = max(last, part.Last)
			if part.Last < cursors[key] {
				continue
			}
			k.unsent += part.Rows
			k.bytes += part.Bytes
			for b, n := range part.Buckets {
				k.buckets[b] += n
			}
			if part.First < cursors[key] || part.First <= last {
				s.deduct(k, s.disk.files[i], key, cursors[key], last)
			}
		}
	}
	return stocks
}

// deduct takes the rows of f out of k that are below cursor, or up to last in an
// older file too, which may have lost its own to damage. What it cannot read
// stays counted, which delays a topic but never reorders it.
func (s *Spool) deduct(k *stock, f *file, key streamKey, cursor, last uint64) {
	visit := func(f *file, from uint64, row func(seq uint64, value []byte)) {
		if f.damaged.Load() {
			return
		}
		err := f.read(key, from, func(seq uint64, value []byte) bool {
			if seq >= cursor && seq > last {
				return false
			}
			row(seq, value)
			return true
		})
		if err != nil && isDamage(err) {
			f.damaged.Store(true)
		}
	}
	var older seqset
	for _, p := range s.disk.parts(key, cursor, last+1) {
		if p.f.number < f.number {
			visit(p.f, cursor, func(seq uint64, _ []byte) { older.add(seq) })
		}
	}
	visit(f, 0, func(seq uint64, value []byte) {
		var r row
		if (seq < cursor || older.has(seq)) && parseRow(value, &r) == nil {
			k.unsent--
			k.bytes -= int64(messageSize(&r.msg))
			k.buckets[bucketOf(r.msg.Topic)]--
		}
	})
}

// seqGap keeps new sequences clear of those that the last process had given out
// but not committed: rows with them may still be found in a damaged file.
const seqGap = 1 << 24

// begin makes the stream go on after what is on disk. Messages that came
// before that was known get their places behind it.
func (st *stream) begin(k *stock, cursor uint64) {
	base := max(cursor, firstSeq)
	if k != nil {
		base = max(base, k.last+1)
	}
	if base > firstSeq {
		base += seqGap
	}
	if k != nil {
		st.unsent, st.stock, st.oldest = k.unsent, k.bytes, k.oldest
		for b, n := range k.buckets {
			st.buckets[b] += n
			st.backlog += int(n)
		}
	}
	for i := range st.behind.n {
		st.behind.at(i).seq += base - firstSeq
	}
	st.next += base - firstSeq
	st.stored, st.read, st.cursor = base, base, cursor
	if k != nil && k.last >= cursor {
		st.read = max(cursor, firstSeq)
	}
}
