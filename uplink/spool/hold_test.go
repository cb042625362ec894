package spool

import (
	"strings"
	"testing"
	"time"
)

func onHold(prefix string) func(Class, string) bool {
	return func(_ Class, topic string) bool { return strings.HasPrefix(topic, prefix) }
}

// drainAll takes and acknowledges until nothing comes, and returns the numbers
// by topic.
func drainAll(t *testing.T, s *Spool) map[string][]int {
	t.Helper()
	got := make(map[string][]int)
	for idle := 0; idle < 20; { // a Take that passes over much may come back empty
		idle++
		for _, e := range s.Take(0, nil, 50, 1<<20) {
			got[e.Msg.Topic] = append(got[e.Msg.Topic], number(e))
			s.Ack(e)
			idle = 0
		}
	}
	return got
}

func ascending(t *testing.T, what string, got []int, from, to int) {
	t.Helper()
	for i, n := range got {
		if n != from+i {
			t.Fatalf("%s: got %d, want %d", what, n, from+i)
		}
	}
	if len(got) != to-from {
		t.Fatalf("%s: got %d messages, want %d", what, len(got), to-from)
	}
}

// What is held stays, and the rest of a backlog drains past it; what was sent
// is not sent again, not even after a restart.
func TestHeldBacklogStaysInOrder(t *testing.T) {
	dir := t.TempDir()
	s := byHand(t, dir, 1, nil)
	s.Online(0, false)
	for n := range 3000 {
		s.Push(0, Normal, numbered("ill", n), Ticket{})
		s.Push(0, Normal, numbered("well", n), Ticket{})
		if n%500 == 499 {
			mustWrite(t, s)
		}
	}
	s.Online(0, true)
	first := s.Take(0, nil, 5, 1<<20) // some of both are in flight
	s.Hold(0, onHold("ill"))
	for _, e := range first {
		if e.Msg.Topic == "ill" {
			s.Return(e)
		} else {
			s.Ack(e)
		}
	}
	got := drainAll(t, s)
	if len(got["ill"]) > 0 {
		t.Fatalf("%d messages came though they are held", len(got["ill"]))
	}
	ascending(t, "past what is held", got["well"], 2, 3000)
	if got := s.Stats().Streams[1]; got.Stored != 3000 || got.InFlight != 0 {
		t.Errorf("got %d stored and %d in flight, want the 3000 that are held", got.Stored, got.InFlight)
	}
	if err := s.shutdown(); err != nil {
		t.Fatal(err)
	}
	s = byHand(t, dir, 1, nil)
	s.Hold(0, onHold("ill"))
	for n := range 100 {
		s.Push(0, Normal, numbered("well", 3000+n), Ticket{})
		s.Push(0, Normal, numbered("ill", 3000+n), Ticket{})
	}
	got = drainAll(t, s)
	ascending(t, "live beside what is held", got["well"], 3000, 3100)
	s.Release(0, nil)
	got = drainAll(t, s)
	ascending(t, "released", got["ill"], 0, 3100)
	if err := s.shutdown(); err != nil {
		t.Fatal(err)
	}
}

// A message in RAM that is given back goes before the later ones of its topic.
func TestReturnKeepsTheOrder(t *testing.T) {
	s := byHand(t, t.TempDir(), 1, nil)
	for n := range 20 {
		s.Push(0, Normal, numbered("a", n), Ticket{})
	}
	flight := s.Take(0, nil, 10, 1<<20)
	s.Hold(0, onHold("a"))
	for i := len(flight) - 1; i >= 0; i-- {
		s.Return(flight[i])
	}
	for n := range 5 {
		s.Push(0, Normal, numbered("a", 20+n), Ticket{})
	}
	if got := s.Take(0, nil, 50, 1<<20); len(got) > 0 {
		t.Fatalf("got %d, want none while they are held", len(got))
	}
	s.Release(0, nil)
	ascending(t, "released", drainAll(t, s)["a"], 0, 25)
}

// When held and sent messages take turns in a backlog longer than a mark can
// name, what is beyond it is sent again after a power cut, and Unmarked says how
// many those are; after a clean stop none is.
func TestUnmarkedAreCounted(t *testing.T) {
	for _, clean := range []bool{false, true} {
		dir := t.TempDir()
		s := byHand(t, dir, 1, nil)
		s.Online(0, false)
		const each = 3000
		for n := range each {
			s.Push(0, Normal, numbered("ill", n), Ticket{})
			s.Push(0, Normal, numbered("well", n), Ticket{})
			if n%500 == 499 {
				mustWrite(t, s)
			}
		}
		s.Online(0, true)
		s.Hold(0, onHold("ill"))
		ascending(t, "well", drainAll(t, s)["well"], 0, each)
		s.Online(0, false)
		s.cursorAt = time.Time{}
		mustWrite(t, s)
		unmarked := s.Stats().Streams[Normal].Unmarked
		if clean {
			unmarked = 0
			if err := s.shutdown(); err != nil {
				t.Fatal(err)
			}
		} else if err := s.disk.close(); err != nil {
			t.Fatal(err)
		}
		s = byHand(t, dir, 2, nil)
		s.Online(0, true)
		got := drainAll(t, s)
		if again := int64(len(got["well"])); again != unmarked || !clean && (again == 0 || again > each-1300) {
			t.Errorf("clean stop %v: got %d sent again, want %d, less than %d", clean, again, unmarked, each-1300)
		}
		ascending(t, "ill", got["ill"], 0, each)
	}
}
