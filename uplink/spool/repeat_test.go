package spool

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"tidegate/internal/boltpage"
)

// commitInVain writes what is due and has the commit fail although it reached
// the disk, as a sync that reports an error does.
func commitInVain(t *testing.T, s *Spool) {
	t.Helper()
	segments := s.collect()
	for _, seg := range segments {
		for _, e := range s.pending[seg.start:seg.end] {
			s.encode(seg.st, e, time.Now(), 0)
		}
	}
	f, _, err := s.disk.writable(0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.append(&s.batchBuf); err != nil {
		t.Fatal(err)
	}
	s.disk.abandon(f, errors.New("made up"))
	s.giveUp(segments)
	s.batchBuf.reset()
}

// TestMaxDiskAfterRepeatedCommit drops the oldest file, which holds rows that a
// commit repeated into the next one: those were not dropped.
func TestMaxDiskAfterRepeatedCommit(t *testing.T) {
	s := byHand(t, t.TempDir(), 1, nil)
	s.Online(0, false)
	push := func(from, to int) {
		for n := from; n < to; n++ {
			s.Push(0, Normal, numbered(fmt.Sprintf("t/%d", n%7), n), Ticket{})
		}
	}
	push(0, 500)
	mustWrite(t, s)
	push(500, 1000)
	commitInVain(t, s)
	mustWrite(t, s)
	push(1000, 1500)
	mustWrite(t, s)
	s.cfg.MaxDisk = diskMargin + 1<<20 + 1<<19
	mustWrite(t, s)
	dropped := int(s.Stats().Streams[Normal].Dropped.Disk)
	if dropped == 0 {
		t.Fatal("nothing was dropped")
	}
	if got, want := takeAll(s), upTo(dropped, 1500); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%d dropped and %d taken of 1500", dropped, len(got))
	}
}

// TestMaxDiskAfterRestart does the same with the files of an earlier process,
// which does not know that a commit had failed.
func TestMaxDiskAfterRestart(t *testing.T) {
	dir := t.TempDir()
	s := byHand(t, dir, 1, nil)
	s.Online(0, false)
	for n := range 1500 {
		s.Push(0, Normal, numbered(fmt.Sprintf("t/%d", n%7), n), Ticket{})
		switch n {
		case 499:
			mustWrite(t, s)
		case 999:
			commitInVain(t, s)
		}
	}
	mustWrite(t, s)
	if err := s.disk.close(); err != nil {
		t.Fatal(err)
	}
	s = byHand(t, dir, 2, nil)
	s.cfg.MaxDisk = diskMargin + 1<<20 + 1<<19
	mustWrite(t, s)
	dropped := int(s.Stats().Streams[Normal].Dropped.Disk)
	if got, want := takeAll(s), upTo(dropped, 1500); dropped == 0 || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%d dropped and %d taken of 1500", dropped, len(got))
	}
}

// TestRescueAfterRepeatedCommit saves the rows of a file in which a commit
// failed, after some of its messages were acknowledged: they do not come back,
// and nothing is lost for them.
func TestRescueAfterRepeatedCommit(t *testing.T) {
	s := byHand(t, t.TempDir(), 1, nil)
	s.Online(0, false)
	for n := range 100 {
		s.Push(0, Normal, numbered("t", n), Ticket{})
	}
	mustWrite(t, s)
	for n := range 600 {
		s.Push(0, Normal, numbered("live", n), Ticket{})
	}
	s.Online(0, true)
	flight := s.Take(0, nil, 600, 1<<20)
	s.Online(0, false)
	commitInVain(t, s)
	for _, e := range flight {
		s.Ack(e)
	}
	left := s.Stats().Streams[Normal]
	for n := range 1000 {
		s.Push(0, Normal, numbered("t", 100+n), Ticket{})
	}
	mustWrite(t, s)
	s.disk.files[0].damaged.Store(true)
	mustWrite(t, s)
	got := takeAll(s)
	if want := left.Waiting + left.Stored + 1000; len(got) != want {
		t.Errorf("%d taken, want %d", len(got), want)
	}
	if last := got[len(got)-1]; last != 1099 {
		t.Errorf("the last is %d, want 1099", last)
	}
}

// TestMaxDiskAgain has the disk fail for a while when the oldest is to give
// way: it gives way once the disk is well again.
func TestMaxDiskAgain(t *testing.T) {
	broken := false
	s := byHand(t, t.TempDir(), 1, nil, func(o *Options) {
		o.open = func(name string, flag int, perm os.FileMode) (*os.File, error) {
			if broken {
				return nil, &os.PathError{Op: "open", Path: name, Err: syscall.EIO}
			}
			return os.OpenFile(name, flag, perm)
		}
	})
	s.Online(0, false)
	for n := range 500 {
		s.Push(0, Normal, numbered("t", n), Ticket{})
	}
	mustWrite(t, s)
	s.cfg.MaxDisk = diskMargin + 1<<19
	broken = true
	for range 3 {
		if _, err := s.write(); !errors.Is(err, syscall.EIO) {
			t.Fatalf("write: %v, want EIO", err)
		}
	}
	broken = false
	s.thinAt = time.Time{}
	mustWrite(t, s)
	if got := s.Stats().Streams[Normal].Dropped.Disk; got != 500 {
		t.Errorf("%d dropped, want 500", got)
	}
}

// repeatedAndDamaged leaves two files as after a commit that failed and was
// repeated: 0 to 199 in the first, 100 to 299 in the second. Damage costs the
// first all of "lost", which are 120 to 179, of which the second has copies.
func repeatedAndDamaged(t *testing.T, dir string) {
	t.Helper()
	s := byHand(t, dir, 1, nil)
	s.Online(0, false)
	push := func(from, to int) {
		for n := from; n < to; n++ {
			topic := fmt.Sprintf("t/%d", n%7)
			if n >= 120 && n < 180 {
				topic = "lost"
			}
			s.Push(0, Normal, numbered(topic, n), Ticket{})
		}
	}
	push(0, 100)
	mustWrite(t, s)
	push(100, 200)
	commitInVain(t, s)
	push(200, 300)
	mustWrite(t, s)
	if err := s.disk.close(); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, "00000001.spool")
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	broken := 0
	boltpage.Scan(bytes.NewReader(b), int64(len(b)), func(p boltpage.Page) {
		p.Rows(func(_, value []byte, offset int64) {
			var r row
			if parseRow(value, &r) == nil && r.msg.Topic == "lost" {
				b[offset+int64(len(value))-1] ^= 1
				broken++
			}
		})
	})
	if broken < 60 {
		t.Fatalf("%d rows broken", broken)
	}
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestRepeatedAndDamaged starts with two files that overlap, of which the older
// lost rows: what the newer has of them is sent, and before what comes now.
func TestRepeatedAndDamaged(t *testing.T) {
	dir := t.TempDir()
	repeatedAndDamaged(t, dir)
	s := byHand(t, dir, 2, nil)
	if got := s.Stats(); got.Corrupt != 1 || got.Streams[Normal].Stored != 300 {
		t.Errorf("%d files set aside, want 1; %d rows stored, want 300", got.Corrupt, got.Streams[Normal].Stored)
	}
	s.Push(0, Normal, numbered("lost", 300), Ticket{})
	if got, want := takeAll(s), upTo(0, 301); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("taken %v, want 0 to 300", got)
	}
	nothingLeft(t, s, Drops{})
}
