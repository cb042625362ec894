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

// Old letters that cannot be read give way like others, uncounted.
func TestUnreadableOldLetters(t *testing.T) {
	dir := t.TempDir()
	if err := os.Symlink(deadOld, filepath.Join(dir, deadOld)); err != nil { // to itself
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, deadName), make([]byte, deadBytes+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if gone, err := appendDead(dir, []byte("{}\n")); err != nil || len(gone) != 0 {
		t.Errorf("got %d gone and %v, want the new letter written", len(gone), err)
	}
}

// TestOldLettersAreCounted refuses more than the dead letters have room for: the
// oldest go, and each is counted.
func TestOldLettersAreCounted(t *testing.T) {
	dir := t.TempDir()
	s := byHand(t, dir, 1, nil)
	const refused = 60
	for n := range refused {
		m := numbered("t", n)
		m.Payload = append(m.Payload, make([]byte, 100<<10)...)
		s.Push(0, Normal, m, Ticket{})
		for _, e := range s.Take(0, nil, 16, 1<<20) {
			s.Refuse(e, 0x87)
		}
		mustWrite(t, s)
	}
	stay, _, err := Letters(dir)
	if err != nil {
		t.Fatal(err)
	}
	lost := int64(refused - len(stay))
	if lost == 0 {
		t.Fatal("all letters had room: the test shows nothing")
	}
	st := s.Stats()
	if st.DeadLost != lost {
		t.Errorf("got %d counted as lost, want %d", st.DeadLost, lost)
	}
	for _, d := range st.Drops {
		if d.Cause == ForNoLetter && (d.Messages != lost || d.First.Seq != 1 || d.Last.Seq != uint64(lost)) {
			t.Errorf("got %+v, want %d messages from 1 on", d, lost)
		}
	}
}
