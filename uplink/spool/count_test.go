package spool

import (
	"fmt"
	"path/filepath"
	"testing"
)

// nothingLeft ends s, which must have neither rows nor counts of them.
func nothingLeft(t *testing.T, s *Spool, want Drops) {
	t.Helper()
	if got := s.Stats().Streams[Normal]; got.Stored != 0 || got.Disk != 0 || got.InFlight != 0 || got.Dropped != want {
		t.Errorf("at the end: %+v, want dropped %+v", got, want)
	}
	st := s.stream(0, Normal)
	if st.backlog != 0 || st.buckets != [hashBuckets]uint32{} {
		t.Errorf("a backlog of %d is left", st.backlog)
	}
	if err := s.shutdown(); err != nil {
		t.Fatal(err)
	}
	if left, _ := filepath.Glob(filepath.Join(s.disk.dir, "*"+suffixFile)); len(left) > 0 {
		t.Errorf("files left: %v", left)
	}
}

// TestWrongCount has the spool be wrong about how many rows are on disk, before
// or after a part of them was read: all are sent, in order, and the numbers are
// right again.
func TestWrongCount(t *testing.T) {
	const rows = 1000
	for _, taken := range []int{0, 10, 300} {
		for _, wrong := range []int{-1000, -700, -50, -1, 1, 50} {
			t.Run(fmt.Sprintf("%d after %d", wrong, taken), func(t *testing.T) {
				dir := t.TempDir()
				s := byHand(t, dir, 1, nil)
				s.Online(0, false)
				for n := range rows {
					s.Push(0, Normal, numbered("t", n), Ticket{})
				}
				mustWrite(t, s)
				if err := s.disk.close(); err != nil {
					t.Fatal(err)
				}
				s = byHand(t, dir, 2, nil)
				s.Push(0, Normal, numbered("t", rows), Ticket{}) // behind
				var got []int
				for _, e := range s.Take(0, nil, taken, 1<<20) {
					got = append(got, number(e))
					s.Ack(e)
				}
				st := s.stream(0, Normal)
				st.unsent += wrong
				if wrong > 0 {
					st.buckets[7] += uint32(wrong)
					st.backlog += wrong
				}
				got = append(got, takeAll(s)...)
				if want := upTo(0, rows+1); fmt.Sprint(got) != fmt.Sprint(want) {
					t.Errorf("%d taken, want %d in order", len(got), len(want))
				}
				nothingLeft(t, s, Drops{Damaged: int64(max(wrong, 0))})
			})
		}
	}
}

// TestFlightLeavesNothing has messages written while they are in flight: once
// they are acknowledged nothing of them has to be read, and their file goes.
func TestFlightLeavesNothing(t *testing.T) {
	s := byHand(t, t.TempDir(), 1, nil)
	for n := range 100 {
		s.Push(0, Normal, numbered("t", n), Ticket{})
	}
	flight := s.Take(0, nil, 100, 1<<20)
	s.Ack(flight[50])
	s.Online(0, false)
	mustWrite(t, s)
	for i, e := range flight {
		if i != 50 {
			s.Ack(e)
		}
	}
	if st := s.stream(0, Normal); !st.idle() {
		t.Errorf("read %d, stored %d", st.read, st.stored)
	}
	nothingLeft(t, s, Drops{})
}
