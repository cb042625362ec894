package spool

import (
	"context"
	"errors"
	"io"
	"os"
)

// scout goes ahead of the readers of the backlog, file by file. Before the
// first row of a file is read, its rows are counted, which takes reading all
// of it: on a slow card half a second, for which no link shall keep an urgent
// message waiting.
type scout chan struct{}

func newScout() scout { return make(scout, 1) }

// call says that a reader has come to a new file, or waits for one.
func (c scout) call() {
	select {
	case c <- struct{}{}:
	default:
	}
}

var errUncounted = errors.New("the rows of the file are not counted yet")

// scout counts, until ctx ends, the files in which readers are and those they
// come to next.
func (s *Spool) scout(ctx context.Context) {
	s.disk.scouting.Store(true)
	defer s.disk.scouting.Store(false)
	for {
		for _, st := range s.every() {
			st.mu.Lock()
			key, from, to := st.key, st.read, st.stored
			st.mu.Unlock()
			if s.explore(ctx, key, from, to) {
				s.opt.Ready(st.link)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-s.scouts:
		}
	}
}

// explore counts what is not counted of the next two files of a stream and
// says whether it counted anything.
func (s *Spool) explore(ctx context.Context, k streamKey, from, to uint64) (news bool) {
	near := 0
	for _, p := range s.disk.parts(k, from, to) {
		if near++; near > 2 || ctx.Err() != nil {
			break
		}
		if p.span.counted || p.f.damaged.Load() {
			continue
		}
		p.f.warm(ctx)
		err := s.disk.count(k, p)
		switch {
		case err == nil:
			news = true
		case isDamage(err):
			s.disk.damage(p.f, err)
			s.work.Wake()
		case errors.Is(err, errUncounted):
			s.scouts.call()
		default:
			s.report("read", err)
		}
	}
	return news
}

// warm reads the file once with plain reads. What is in the kernel's cache can
// be read through the memory map without waiting for the card, which would
// stop all goroutines of a machine with one core.
func (f *file) warm(ctx context.Context) {
	r, err := os.Open(f.path)
	if err != nil {
		return // whoever reads it for good will say so
	}
	defer r.Close()
	for buf := make([]byte, 64<<10); err == nil && ctx.Err() == nil; {
		_, err = io.ReadFull(r, buf)
	}
}

// turned says whether a reader that went from one sequence to another has come
// into another file.
func (d *disk) turned(k streamKey, from, next uint64) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, f := range d.files {
		if s := f.spans[k]; s != nil && s.first >= from && s.first < next {
			return true
		}
	}
	return false
}
