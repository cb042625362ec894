package spool

import (
	"testing"
	"time"
)

// TestDuplicatesBesideBacklog has new messages overtake a long backlog, late
// ones, so that they are written and then acknowledged. After a crash long
// after, and after a clean stop, they are not all sent again.
func TestDuplicatesBesideBacklog(t *testing.T) {
	for _, clean := range []bool{true, false} {
		dir := t.TempDir()
		s := byHand(t, dir, 1, nil)
		s.Online(0, false)
		for n := range 8000 {
			s.Push(0, Normal, numbered("old", n), Ticket{})
		}
		mustWrite(t, s)
		acked := make(map[uint64]bool)
		taken := 0
		for range 40 {
			for n := range 40 {
				s.Push(0, Normal, numbered("live", n), Ticket{})
			}
			s.Online(0, true)
			flight := s.Take(0, nil, 80, 1<<20)
			s.Online(0, false)
			mustWrite(t, s)
			for _, e := range flight {
				taken++
				acked[e.Seq] = true
				s.Ack(e)
			}
		}
		again := 0
		for epoch := uint64(2); epoch < 4; epoch++ {
			s.cursorAt = time.Time{}
			mustWrite(t, s)
			if clean {
				if err := s.shutdown(); err != nil {
					t.Fatal(err)
				}
			} else if err := s.disk.close(); err != nil {
				t.Fatal(err)
			}
			s = byHand(t, dir, epoch, nil)
			for epoch == 3 || taken < 5000 {
				got := s.Take(0, nil, 100, 1<<20)
				if len(got) == 0 {
					break
				}
				for _, e := range got {
					if acked[e.Seq] {
						again++
					}
					taken++
					acked[e.Seq] = true
					s.Ack(e)
				}
			}
		}
		if again > 80 {
			t.Errorf("clean stop %v: %d acknowledged messages sent again, want at most the 80 in flight", clean, again)
		}
		if got, want := len(acked), 8000+40*40; got != want {
			t.Errorf("clean stop %v: %d messages came, want %d", clean, got, want)
		}
		if got := s.Stats().Streams[Normal]; got.Dropped != (Drops{}) || got.Stored != 0 {
			t.Errorf("clean stop %v: %+v", clean, got)
		}
	}
}
