package spool

import "testing"

// TestLiveBesideBacklog lets a long backlog of one topic drain while another
// topic, of another hash bucket, comes in and is not held up.
func TestLiveBesideBacklog(t *testing.T) {
	s := byHand(t, t.TempDir(), 1, nil)
	s.Online(0, false)
	for n := range 1000 {
		s.Push(0, Normal, numbered("old", n), Ticket{})
	}
	mustWrite(t, s)
	s.Online(0, true)
	written := s.bytes.Load()
	old, live := 0, 0
	for n := range 100 {
		s.Push(0, Normal, numbered("live", n), Ticket{})
		s.Push(0, Normal, numbered("old", 1000+n), Ticket{}) // behind
		for _, e := range s.Take(0, nil, 20, 1<<20) {
			switch e.Msg.Topic {
			case "live":
				if number(e) != live || live != n {
					t.Fatalf("live %d at %d", number(e), n)
				}
				live++
			case "old":
				if number(e) != old {
					t.Fatalf("old: %d, want %d", number(e), old)
				}
				old++
			}
			s.Ack(e)
		}
		mustWrite(t, s)
	}
	if live != 100 || old != 1100 {
		t.Errorf("%d live, %d old", live, old)
	}
	if got := s.bytes.Load(); got != written {
		t.Errorf("%d bytes written while draining within spill-after", got-written)
	}
}

// TestShare keeps live from starving the backlog and the other way round.
func TestShare(t *testing.T) {
	s := byHand(t, t.TempDir(), 1, nil)
	s.Online(0, false)
	for n := range 100 {
		s.Push(0, Normal, numbered("old", n), Ticket{})
	}
	mustWrite(t, s)
	for n := range 100 {
		s.Push(0, Normal, numbered("live", n), Ticket{})
	}
	count := make(map[string]int)
	for _, e := range s.Take(0, nil, 20, 1<<20) {
		count[e.Msg.Topic]++
	}
	if count["old"] != 10 || count["live"] != 10 {
		t.Errorf("a full hand has %v", count)
	}
}

func TestClassesAndWindow(t *testing.T) {
	s := byHand(t, t.TempDir(), 1, nil)
	s.Window(0, 80)
	for n := range 100 {
		s.Push(0, Bulk, numbered("b", n), Ticket{})
	}
	flight := s.Take(0, nil, 80, 1<<20)
	if got, want := len(flight), 70; got != want {
		t.Errorf("bulk takes %d of the window, want %d", got, want)
	}
	for n := range 10 {
		s.Push(0, Normal, numbered("n", n), Ticket{})
		s.Push(0, Urgent, numbered("u", n), Ticket{})
	}
	got := ""
	for _, e := range s.Take(0, nil, 10, 1<<20) {
		got += e.Msg.Topic
	}
	if want := "uuuuuuuuuu"; got != want {
		t.Errorf("took %s, want %s", got, want)
	}
	for _, e := range flight[:10] {
		s.Ack(e)
	}
	got = ""
	for _, e := range s.Take(0, nil, 10, 1<<20) {
		got += e.Msg.Topic
	}
	if want := "nnnnn"; got != want {
		t.Errorf("took %s, want %s", got, want)
	}
}

func TestTakeBytes(t *testing.T) {
	s := byHand(t, t.TempDir(), 1, nil)
	for n := range 10 {
		s.Push(0, Normal, numbered("topic", n), Ticket{})
	}
	for _, c := range []struct{ bytes, want int }{{0, 1}, {1, 1}, {410, 2}, {614, 2}, {615, 3}} {
		if got := len(s.Take(0, nil, 10, c.bytes)); got != c.want {
			t.Errorf("%d bytes: %d messages, want %d", c.bytes, got, c.want)
		}
	}
}
