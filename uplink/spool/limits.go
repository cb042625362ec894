package spool

import (
	"fmt"
	"time"
)

// diskMargin is what one transaction may add: its rows, their pages and the
// room that bbolt makes ahead.
const diskMargin = batchBytes + 2<<20

// diskRoom makes sure that a batch fits below max-disk. Where the policy is to
// drop the oldest, rows on disk give way, of the last class first; other
// classes wait in RAM until its window is full too.
func (s *Spool) diskRoom() (written int64, ok bool, err error) {
	fits := func() bool { return s.disk.used.Load()+diskMargin <= int64(s.cfg.MaxDisk) }
	full := !fits()
	if full && time.Now().Before(s.thinAt) {
		return 0, false, s.thinErr
	}
	gaveUp := func(err error) (int64, bool, error) {
		s.thinAt, s.thinErr = time.Now().Add(loadAgain), fmt.Errorf("make room on the disk: %w", err)
		return written, false, s.thinErr
	}
	if full {
		if written, err = s.tidy(fits); err != nil {
			return gaveUp(err)
		}
	}
	for c := classes - 1; c >= 0 && !fits(); c-- {
		if s.cfg.class(Class(c)).Overflow != DropOldest {
			continue
		}
		for _, f := range s.disk.all() {
			if fits() {
				break
			}
			n, err := s.thin(f, Class(c))
			written += n
			if err != nil {
				return gaveUp(err)
			}
		}
	}
	ok = fits()
	if full && !s.overDisk {
		s.log.Warn("spool has reached max-disk", "bytes", s.disk.used.Load())
	}
	s.overDisk = full
	return written, ok, nil
}

// thin drops the rows of a class that wait in f. What is in flight stays.
func (s *Spool) thin(f *file, c Class) (int64, error) {
	var victims []*stream
	for _, st := range s.every() {
		if st.key.Class == c && s.disk.holds(f, st) {
			victims = append(victims, st)
		}
	}
	if len(victims) == 0 || f.thinned>>c&1 == 1 {
		return 0, nil
	}
	at := make(map[streamKey]uint64)
	for st, seq := range s.positions() {
		at[st.key] = seq
	}
	plans := make(map[streamKey]*plan)
	for _, st := range victims {
		st.filling.Lock() // no row may be read while it is dropped
		defer st.filling.Unlock()
		plans[st.key] = st.plan(s.disk.repeated(f, st.key))
		plans[st.key].route = s.route
	}
	_, written, err := s.disk.replace(f, false, func(r *row) bool {
		p := plans[r.stream]
		return r.seq >= at[r.stream] && (p == nil || p.keep(r))
	})
	if err != nil {
		return written, err
	}
	f.thinned |= 1 << c
	var gone int64
	for _, st := range victims {
		gone += st.dropped(plans[st.key])
	}
	s.log.Debug("spool drops the oldest messages", "class", c, "dropped", gone)
	if s.disk.drained(f, at) && len(s.disk.all()) > 1 {
		err = s.disk.remove(f)
	}
	return written, err
}

// holds says whether f has rows of st that wait.
func (d *disk) holds(f *file, st *stream) bool {
	st.mu.Lock()
	read, waits := st.low(), st.low() < st.stored
	st.mu.Unlock()
	d.mu.Lock()
	defer d.mu.Unlock()
	s := f.spans[st.key]
	return waits && s != nil && s.last >= read
}

// plan is which rows of a stream may be dropped: those not yet read, or read
// and held, except what is in flight.
type plan struct {
	read    uint64
	again   uint64 // from here on rows are in a newer file too
	skip    seqset
	past    seqset
	needed  seqset
	dropped map[uint64]dropped // by sequence: the scan finds a row more than once
	known   int                // of them, how many the cloud has: they only count as waiting
	route   func(topic string, c Class) string
	losses  losses
}

type dropped struct {
	size   int32
	bucket uint16
}

func (st *stream) plan(again uint64) *plan {
	st.mu.Lock()
	defer st.mu.Unlock()
	p := &plan{read: st.low(), again: again, skip: st.skip.clone(), past: st.past.clone(), dropped: make(map[uint64]dropped)}
	for e := st.kept.first; e != nil; e = e.next {
		p.needed.add(e.seq)
	}
	for i := range st.ahead.n {
		p.needed.add(st.ahead.at(i).seq)
	}
	return p
}

func (p *plan) keep(r *row) bool {
	if r.seq < p.read || p.needed.has(r.seq) {
		return true
	}
	if r.seq < p.again && !p.skip.has(r.seq) {
		_, known := p.dropped[r.seq]
		switch {
		case known:
		case p.past.has(r.seq):
			p.known++
		case p.route != nil:
			id := ID{r.at.Epoch, r.id}
			p.losses.add(dropKey{p.route(r.msg.Topic, r.stream.Class), r.stream.Class, ForDisk}, 1, id, id, r.msg.Topic)
		}
		p.dropped[r.seq] = dropped{int32(messageSize(&r.msg)), bucketOf(r.msg.Topic)}
	}
	return false
}

// dropped takes what was dropped out of the accounts.
func (st *stream) dropped(p *plan) int64 {
	st.mu.Lock()
	defer st.mu.Unlock()
	for _, r := range p.dropped {
		st.unstock(int(r.size), r.bucket)
	}
	n := int64(len(p.dropped) - p.known)
	st.drops.Disk += n
	for k, d := range p.losses.by {
		st.s.losses.add(k, d.Messages, d.First, d.Last, d.Topic)
	}
	return n
}
