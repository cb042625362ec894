package spool

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"tidegate/internal/conf"
)

// byHand returns a loaded spool with one link, driven without goroutines.
func byHand(t *testing.T, dir string, epoch uint64, tune func(*Config), opts ...func(*Options)) *Spool {
	t.Helper()
	cfg := smallConfig()
	if tune != nil {
		tune(&cfg)
	}
	opt := Options{Dir: dir, Links: 1, Epoch: epoch, Wall: noClock}
	for _, f := range opts {
		f(&opt)
	}
	s, err := New(cfg, opt)
	if err != nil {
		t.Fatal(err)
	}
	if !s.load(t.Context()) {
		t.Fatal("not loaded")
	}
	return s
}

func mustWrite(t *testing.T, s *Spool) {
	t.Helper()
	if _, err := s.write(); err != nil {
		t.Fatal(err)
	}
}

// takeAll takes and acknowledges what there is and returns the numbers.
func takeAll(s *Spool) (out []int) {
	for {
		got := s.Take(0, nil, 100, 1<<20)
		if len(got) == 0 {
			return out
		}
		for _, e := range got {
			out = append(out, number(e))
			s.Ack(e)
		}
	}
}

func TestOverflowInRAM(t *testing.T) {
	for _, c := range []struct {
		policy   Policy
		reason   byte // of the messages that give way
		dropped  []int
		counters Drops
	}{
		{DropOldest, 0, []int{0, 1, 2, 3}, Drops{Oldest: 4}},
		{DropNewest, 0, []int{16, 17, 18, 19}, Drops{Newest: 4}},
		{Reject, 0x97, []int{16, 17, 18, 19}, Drops{Rejected: 4}},
	} {
		t.Run(c.policy.String(), func(t *testing.T) {
			s := byHand(t, t.TempDir(), 1, func(cfg *Config) {
				cfg.Normal.Messages, cfg.Normal.Overflow = 16, c.policy
			})
			var tickets settled
			for n := range 20 {
				s.Push(0, Normal, numbered("t", n), Ticket{&tickets, uint64(n)})
			}
			want := make([]int, 0, 16)
			for n := range 20 {
				gone := n >= c.dropped[0] && n <= c.dropped[3]
				reason, done := tickets.reasons[uint64(n)]
				if done != gone || done && reason != c.reason {
					t.Errorf("message %d: settled %v with 0x%02X", n, done, reason)
				}
				if !gone {
					want = append(want, n)
				}
			}
			if got := takeAll(s); fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("taken %v, want %v", got, want)
			}
			if got := s.Stats().Streams[Normal].Dropped; got != c.counters {
				t.Errorf("dropped %+v, want %+v", got, c.counters)
			}
		})
	}
}

// TestOverflowSparesFlight fills RAM while messages are in flight and others
// are being written: neither may give way.
func TestOverflowSparesFlight(t *testing.T) {
	s := byHand(t, t.TempDir(), 1, func(cfg *Config) { cfg.Normal.Messages = 16 })
	var tickets settled
	push := func(from, to int) {
		for n := from; n < to; n++ {
			s.Push(0, Normal, numbered("t", n), Ticket{&tickets, uint64(n)})
		}
	}
	push(0, 4)
	flight := s.Take(0, nil, 4, 1<<20)
	push(4, 12)
	s.Online(0, false)
	segments := s.collect() // 0 to 11 are being written
	push(12, 24)            // 16 wait from 20 on
	if got, want := s.Stats().Streams[Normal].Dropped.Oldest, int64(4); got != want {
		t.Errorf("dropped %d, want %d", got, want)
	}
	s.giveUp(segments)
	var got []int
	for _, e := range flight {
		got = append(got, number(e))
		s.Ack(e)
	}
	got = append(got, takeAll(s)...)
	want := []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 16, 17, 18, 19, 20, 21, 22, 23}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("left %v, want %v", got, want)
	}
	if tickets.twice > 0 || tickets.count(0) != 24 {
		t.Errorf("%d tickets settled, %d twice", tickets.count(0), tickets.twice)
	}
}

// TestMaxDisk fills the disk with two classes: bulk drops its oldest rows, and
// urgent, which rejects, keeps all of its own although they share files.
func TestMaxDisk(t *testing.T) {
	dir := t.TempDir()
	s := byHand(t, dir, 1, func(cfg *Config) { cfg.Urgent.Messages, cfg.Bulk.Messages = 4096, 4096 })
	s.disk.fileSize = 1 << 20
	s.cfg.MaxDisk = diskMargin + 6<<20
	s.Online(0, false)
	pushed := 0
	for round := range 60 {
		for range 200 {
			m := numbered(fmt.Sprintf("bulk/%d", pushed%7), pushed)
			m.Payload = append(m.Payload, make([]byte, 1000)...)
			s.Push(0, Bulk, m, Ticket{})
			pushed++
		}
		s.Push(0, Urgent, numbered("urgent", round), Ticket{})
		mustWrite(t, s)
		if got := s.disk.used.Load(); got > int64(s.cfg.MaxDisk) {
			t.Fatalf("%d bytes on disk, limit %d", got, s.cfg.MaxDisk)
		}
	}
	dropped := s.Stats().Streams[Bulk].Dropped
	if dropped.Disk == 0 || dropped != (Drops{Disk: dropped.Disk}) {
		t.Fatalf("dropped %+v", dropped)
	}
	if got := s.Stats().Streams[Urgent].Dropped; got != (Drops{}) {
		t.Errorf("urgent dropped %+v", got)
	}
	if err := s.disk.close(); err != nil { // the rest is found again after a crash
		t.Fatal(err)
	}
	s = byHand(t, dir, 2, nil)
	got := takeAll(s)
	if fmt.Sprint(got[:60]) != fmt.Sprint(upTo(0, 60)) {
		t.Errorf("urgent: %v", got[:60])
	}
	if want := upTo(int(dropped.Disk), pushed); fmt.Sprint(got[60:]) != fmt.Sprint(want) {
		t.Errorf("bulk: %d rows from %d on, want %d from %d on", len(got)-60, got[60], len(want), want[0])
	}
}

func upTo(from, to int) (out []int) {
	for n := from; n < to; n++ {
		out = append(out, n)
	}
	return out
}

// TestMaxDiskKeepsFlight drops rows of a file of which some are in flight,
// taken from RAM before they were written, or from the disk.
func TestMaxDiskKeepsFlight(t *testing.T) {
	for _, fromDisk := range []bool{false, true} {
		t.Run(fmt.Sprintf("from disk %v", fromDisk), func(t *testing.T) {
			dir := t.TempDir()
			s := byHand(t, dir, 1, nil)
			s.disk.fileSize = 256 << 10
			var flight []*Entry
			for n := range 3000 {
				s.Push(0, Bulk, numbered("t", n), Ticket{})
				if n == 49 && !fromDisk {
					flight = s.Take(0, nil, 50, 1<<20)
					s.Online(0, false)
				}
				if n%100 == 99 {
					s.Online(0, false)
					mustWrite(t, s)
				}
			}
			if fromDisk {
				flight = s.Take(0, nil, 50, 1<<20)
			}
			s.Ack(flight[0])
			s.cfg.MaxDisk = diskMargin + 1
			mustWrite(t, s)
			if err := s.disk.close(); err != nil {
				t.Fatal(err)
			}
			s = byHand(t, dir, 2, nil)
			got := takeAll(s)
			if len(got) < 49 || fmt.Sprint(got[:49]) != fmt.Sprint(upTo(1, 50)) {
				t.Errorf("what was in flight did not survive: %v", got)
			}
			if len(got) > 2900 {
				t.Errorf("%d rows left", len(got))
			}
		})
	}
}

// TestDiskFull has every write and then every new file fail with ENOSPC: what
// was acknowledged stays, nothing more is, and all goes on once there is room.
func TestDiskFull(t *testing.T) {
	full := false
	dir := t.TempDir()
	s := byHand(t, dir, 1, nil, func(o *Options) {
		o.open = func(name string, flag int, perm os.FileMode) (*os.File, error) {
			if full && flag&os.O_CREATE != 0 {
				return nil, &os.PathError{Op: "open", Path: name, Err: syscall.ENOSPC}
			}
			return os.OpenFile(name, flag, perm)
		}
	})
	var tickets settled
	s.Online(0, false)
	for n := range 100 {
		s.Push(0, Normal, numbered("t", n), Ticket{&tickets, uint64(n)})
	}
	mustWrite(t, s)
	full = true
	putUnder(t, s.disk.active, "/dev/full")
	for n := range 100 {
		s.Push(0, Normal, numbered("t", 100+n), Ticket{&tickets, uint64(100 + n)})
	}
	for range 3 {
		if _, err := s.write(); !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("write: %v, want ENOSPC", err)
		}
	}
	if got := tickets.count(0); got != 100 {
		t.Errorf("%d tickets settled, want 100", got)
	}
	if got := s.Stats().Trouble; !strings.Contains(got, "no space left") {
		t.Errorf("trouble: %q", got)
	}
	full = false
	mustWrite(t, s)
	if got := tickets.count(0); got != 200 || s.Stats().Trouble != "" {
		t.Errorf("%d tickets settled, want 200; trouble %q", got, s.Stats().Trouble)
	}
	if got := takeAll(s); fmt.Sprint(got) != fmt.Sprint(upTo(0, 200)) {
		t.Errorf("taken %v", got)
	}
}

// TestDuplicates bounds what a crash sends again: what drained since the
// cursor was last written, and what was in flight.
func TestDuplicates(t *testing.T) {
	dir := t.TempDir()
	s := byHand(t, dir, 1, nil)
	s.Online(0, false)
	for n := range 2000 {
		s.Push(0, Normal, numbered("t", n), Ticket{})
	}
	mustWrite(t, s)
	s.Online(0, true)
	ack := func(n int) {
		for _, e := range s.Take(0, nil, n, 1<<20) {
			s.Ack(e)
		}
	}
	ack(700)
	s.cursorAt = time.Time{}
	mustWrite(t, s) // the cursor
	ack(150)
	if flight := s.Take(0, nil, 40, 1<<20); number(flight[0]) != 850 {
		t.Fatalf("in flight from %d on", number(flight[0]))
	}
	if err := s.disk.close(); err != nil {
		t.Fatal(err)
	}
	s = byHand(t, dir, 2, nil)
	if got, want := s.Stats().Streams[Normal].Stored, 1300; got != want {
		t.Errorf("%d rows stored, want %d", got, want)
	}
	if got := takeAll(s); fmt.Sprint(got) != fmt.Sprint(upTo(700, 2000)) {
		t.Errorf("sent again from %d on, %d rows", got[0], len(got))
	}
}

// TestLateMessagesShareCommits has a message come late every 10 ms: one commit
// takes those that are half as late along.
func TestLateMessagesShareCommits(t *testing.T) {
	s := byHand(t, t.TempDir(), 1, func(c *Config) { c.SpillAfter = conf.Duration(20 * time.Second) })
	var tickets settled
	for n := range 2000 {
		m := numbered("t", n)
		m.Accepted = m.Accepted.Add(-time.Duration(2000-n) * 10 * time.Millisecond)
		s.Push(0, Normal, m, Ticket{&tickets, uint64(n)})
	}
	until(t, "the first is late", s.anyDue)
	mustWrite(t, s)
	if got := tickets.count(0); got < 1000 || got > 1900 || s.Stats().Commits != 1 {
		t.Errorf("%d settled by %d commits", got, s.Stats().Commits)
	}
	if s.anyDue() {
		t.Error("more is due")
	}
}

func TestSpillRule(t *testing.T) {
	s := byHand(t, t.TempDir(), 1, func(c *Config) { c.SpillAfter = conf.Duration(time.Second) })
	var tickets settled
	now := time.Now()
	push := func(n int, age time.Duration) {
		m := numbered("t", n)
		m.Accepted = now.Add(-age)
		s.Push(0, Normal, m, Ticket{&tickets, uint64(n)})
	}
	push(0, 3*time.Second)
	push(1, 2*time.Second)
	flight := s.Take(0, nil, 2, 1<<20)
	push(2, 90*time.Second) // accepted early, pushed late
	push(3, 0)
	s.Ack(flight[0])
	mustWrite(t, s)
	for n, want := range []bool{true, true, true, false} {
		if _, got := tickets.reasons[uint64(n)]; got != want {
			t.Errorf("message %d settled: %v, want %v", n, got, want)
		}
	}
	if got := s.disk.files[0].spans[s.stream(0, Normal).key]; got.rows != 2 {
		t.Errorf("%d rows written, want 2", got.rows)
	}
}

// TestLinksChanged starts with another number of links while messages of the
// old layout, and of two before it, are on disk.
func TestLinksChanged(t *testing.T) {
	dir := t.TempDir()
	n := 0
	for epoch, links := range []int{2, 3} {
		s := byHand(t, dir, uint64(epoch+1), nil, func(o *Options) { o.Links = links })
		for range 120 {
			s.Push(n%links, Class(n%3), numbered("t", n), Ticket{})
			n++
		}
		if err := s.shutdown(); err != nil {
			t.Fatal(err)
		}
	}
	s := byHand(t, dir, 3, nil)
	s.Push(0, Urgent, numbered("new", n), Ticket{})
	flight := s.Take(0, nil, 500, 1<<20)
	if got, want := len(flight), 120; got != want {
		t.Fatalf("%d taken at first, want the %d of the oldest layout", got, want)
	}
	for i, e := range flight {
		if number(e) >= 120 {
			t.Errorf("%d taken before the oldest layout was acknowledged", number(e))
		}
		if i < 119 {
			s.Ack(e)
		}
	}
	if got := s.Take(0, nil, 500, 1<<20); len(got) > 0 {
		t.Fatalf("%d taken while one of the old layout is in flight", len(got))
	}
	s.Ack(flight[119])
	second := s.Take(0, nil, 500, 1<<20)
	if got, want := len(second), 120; got != want || len(s.Stats().Old) == 0 {
		t.Fatalf("%d taken then, want %d", got, want)
	}
	s.Ack(second[0]) // the cursors are written once more, with the old layout done
	if err := s.shutdown(); err != nil {
		t.Fatal(err)
	}
	s = byHand(t, dir, 4, nil)
	if got, want := len(takeAll(s)), 120; got != want {
		t.Errorf("%d after a restart, want %d: 119 that were in flight and the new one", got, want)
	}
}

func TestRefuse(t *testing.T) {
	dir := t.TempDir()
	s := byHand(t, dir, 1, nil)
	var tickets settled
	for n := range 3 {
		s.Push(0, Normal, numbered("t", n), Ticket{&tickets, uint64(n)})
	}
	got := s.Take(0, nil, 3, 1<<20)
	s.Refuse(got[1], 0x87)
	if _, done := tickets.reasons[1]; done {
		t.Error("settled before it was in the dead letters")
	}
	mustWrite(t, s)
	if reason, done := tickets.reasons[1]; !done || reason != 0 {
		t.Errorf("settled %v with 0x%02X", done, reason)
	}
	b, err := os.ReadFile(filepath.Join(dir, deadName))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"topic":"t"`, `"reason":"0x87"`, `"epoch":1`, `"seq":2`} {
		if !strings.Contains(string(b), want) {
			t.Errorf("dead letters lack %s: %s", want, b)
		}
	}
	if got := s.Stats().Streams[Normal]; got.Dropped.Refused != 1 || got.InFlight != 2 {
		t.Errorf("%+v", got)
	}
}

// TestSkip is a set against a map.
func TestSkip(t *testing.T) {
	var s seqset
	want := make(map[uint64]bool)
	r := rand.New(rand.NewPCG(1, 1))
	low := uint64(5000)
	for range 20000 {
		seq := low + r.Uint64N(5000)
		switch r.IntN(3) {
		case 0:
			s.add(seq)
			want[seq] = true
		case 1:
			if r.IntN(100) == 0 {
				low += r.Uint64N(500)
				s.prune(low)
			}
		case 2:
			if got := s.has(seq); got != want[seq] {
				t.Fatalf("has %d: %v", seq, got)
			}
		}
	}
	s.prune(low + 6024)
	if len(s.chunks) != 0 {
		t.Errorf("%d chunks left of an empty set", len(s.chunks))
	}
}
