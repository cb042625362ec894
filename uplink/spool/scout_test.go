package spool

import (
	"testing"
)

// TestUrgentPassesUncounted has a file that nobody has counted yet hold up its
// own rows only.
func TestUrgentPassesUncounted(t *testing.T) {
	dir := t.TempDir()
	s := byHand(t, dir, 1, nil)
	for n := range 1000 {
		s.Push(0, Normal, numbered("t", n), Ticket{})
	}
	if err := s.shutdown(); err != nil {
		t.Fatal(err)
	}
	s = byHand(t, dir, 2, nil)
	s.disk.scouting.Store(true) // and is away
	s.Push(0, Urgent, numbered("alarm", 1), Ticket{})
	got := s.Take(0, nil, 10, 1<<20)
	if len(got) != 1 || got[0].Msg.Topic != "alarm" {
		t.Fatalf("took %d messages, want the alarm", len(got))
	}
	s.Ack(got[0])
	select {
	case <-s.scouts:
	default:
		t.Error("nobody was called to count")
	}
	st := s.stream(0, Normal)
	if !s.explore(t.Context(), st.key, st.read, st.stored) || s.explore(t.Context(), st.key, st.read, st.stored) {
		t.Error("the file is not counted once")
	}
	if got := takeAll(s); len(got) != 1000 {
		t.Errorf("took %d messages of 1000", len(got))
	}
}
