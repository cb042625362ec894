package spool

import (
	"os"
	"path/filepath"
	"testing"
)

// TestRefuseWithoutDisk has the cloud refuse messages while the dead letters
// cannot be written: what comes after them still goes up, and what waits for
// the disk is bounded.
func TestRefuseWithoutDisk(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, deadName), 0o700); err != nil {
		t.Fatal(err)
	}
	s := byHand(t, dir, 1, nil)
	s.Window(0, 16)
	refused := 0
	for n := range 100 {
		m := numbered("t", n)
		m.Payload = append(m.Payload, make([]byte, 100<<10)...)
		s.Push(0, Urgent, m, Ticket{})
		for _, e := range s.Take(0, nil, 16, 1<<20) {
			s.Refuse(e, 0x87)
			refused++
		}
		if _, err := s.write(); err == nil {
			t.Fatal("dead letters were written")
		}
	}
	if refused != 100 {
		t.Errorf("%d of 100 messages left", refused)
	}
	held := 0
	for _, r := range s.refused.waiting {
		held += r.e.size
	}
	if held > 4<<20 {
		t.Errorf("%d bytes wait for the dead letters", held)
	}
}
