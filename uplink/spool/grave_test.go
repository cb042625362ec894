package spool

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// dead makes n dead letters, with ids 1 to n of the epoch.
func dead(t *testing.T, s *Spool, n int) {
	t.Helper()
	for i := range n {
		m := numbered("cloud/t", i)
		m.Properties = []byte{1, 1}
		s.Push(0, Bulk, m, Ticket{})
	}
	for _, e := range s.Take(0, nil, n, 1<<20) {
		s.Refuse(e, 0x87)
	}
}

func listed(t *testing.T, dir string) (out []ID) {
	t.Helper()
	letters, _, err := Letters(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range letters {
		if l.Reason != "0x87" || l.Topic != "cloud/t" || l.Class != Bulk || l.QoS != 1 || string(l.Properties) != "\x01\x01" || len(l.Payload) != 200 {
			t.Errorf("letter %+v", l)
		}
		out = append(out, l.ID())
	}
	return out
}

func soon(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// TestDeadLettersWhileRunning asks a spool that runs: some letters go back
// under their old ids, some are dropped, the others stay.
func TestDeadLettersWhileRunning(t *testing.T) {
	dir := t.TempDir()
	r := run(t, smallConfig(), Options{Dir: dir, Epoch: 3, Links: 2, Link: func(string) int { return 1 }})
	dead(t, r.Spool, 6)
	until(t, "the letters are written", func() bool { return len(listed(t, dir)) == 6 })
	if n, err := SendAgain(soon(t), dir, []ID{{3, 2}, {3, 5}, {3, 99}, {1, 1}}); n != 2 || err != nil {
		t.Fatalf("sent %d again, %v; want 2", n, err)
	}
	if n, err := DropDead(soon(t), dir, []ID{{3, 1}, {3, 2}}); n != 1 || err != nil {
		t.Fatalf("dropped %d, %v; want 1", n, err)
	}
	if got := fmt.Sprint(listed(t, dir)); got != "[3/3 3/4 3/6]" {
		t.Errorf("left %s", got)
	}
	var back []*Entry
	until(t, "the letters come back", func() bool {
		back = r.Take(1, back, 10, 1<<20)
		return len(back) == 2
	})
	for i, want := range []ID{{3, 2}, {3, 5}} {
		e := back[i]
		if got := (ID{e.Epoch, e.Seq}); got != want || e.Class != Bulk || number(e) != int(want.Seq)-1 || string(e.Msg.Properties) != "\x01\x01" {
			t.Errorf("got %s of class %s, want %s", got, e.Class, want)
		}
	}
	r.Ack(back[0])
	r.Refuse(back[1], 0x87) // once more
	until(t, "what was sent again is in its file no more", func() bool {
		_, again, err := Letters(dir)
		return err == nil && len(again) == 0
	})
	if got := fmt.Sprint(listed(t, dir)); got != "[3/3 3/4 3/6 3/5]" {
		t.Errorf("left %s", got)
	}
	r.stop()
	left, _ := filepath.Glob(filepath.Join(dir, "*"))
	if len(left) != 1 {
		t.Errorf("files %v, want the dead letters only", left)
	}
}

// TestDeadLettersWhenStopped decides without a gateway; the next one, after a
// power cut too, sends what goes back, even from the card, under the old id.
func TestDeadLettersWhenStopped(t *testing.T) {
	dir := t.TempDir()
	r := run(t, smallConfig(), Options{Dir: dir, Epoch: 3})
	dead(t, r.Spool, 3)
	r.stop()
	torn := filepath.Join(dir, deadName)
	f, err := os.OpenFile(torn, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteString(`{"epoch":3,"seq":4,"topic":"t","pay`)
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	if n, err := SendAgain(soon(t), dir, []ID{{3, 1}, {3, 3}}); n != 2 || err != nil {
		t.Fatalf("%d go back, %v; want 2", n, err)
	}
	if n, err := DropDead(soon(t), dir, []ID{{3, 2}}); n != 1 || err != nil {
		t.Fatalf("dropped %d, %v; want 1", n, err)
	}
	if b, err := os.ReadFile(torn); err != nil || !strings.HasPrefix(string(b), `{"epoch":3,"seq":4,"topic":"t","pay`) {
		t.Errorf("what was torn is gone: %s %v", b, err)
	}
	r = run(t, smallConfig(), Options{Dir: dir, Epoch: 4})
	r.Online(0, false)
	until(t, "the letters are on the card", func() bool { return r.Stats().Streams[Bulk].Stored == 2 })
	until(t, "the letters left their file", func() bool {
		_, again, err := Letters(dir)
		return err == nil && len(again) == 0
	})
	r.stop()
	s := byHand(t, dir, 5, nil)
	var got []string
	for _, e := range s.Take(0, nil, 10, 1<<20) {
		got = append(got, ID{e.Epoch, e.Seq}.String())
	}
	if fmt.Sprint(got) != "[3/1 3/3]" {
		t.Errorf("came back: %v", got)
	}
}

// TestDeadLettersWithoutRoom has no room for what goes back: it waits in its
// file.
func TestDeadLettersWithoutRoom(t *testing.T) {
	dir := t.TempDir()
	s := byHand(t, dir, 1, func(c *Config) { c.Bulk.Messages, c.Bulk.Overflow = 16, Reject })
	dead(t, s, 4)
	mustWrite(t, s)
	if _, err := takeOut(dir, true, func(ID) bool { return true }); err != nil {
		t.Fatal(err)
	}
	for n := range 14 {
		s.Push(0, Bulk, numbered("other", n), Ticket{})
	}
	s.graves.empty = false
	mustWrite(t, s) // pushes four of which two find room
	for _, e := range s.Take(0, nil, 100, 1<<20) {
		s.Ack(e)
	}
	mustWrite(t, s)
	if _, again, err := Letters(dir); len(again) != 2 || err != nil {
		t.Fatalf("%d wait to go back, %v; want 2", len(again), err)
	}
	s.graves.later = time.Time{}
	mustWrite(t, s)
	for _, e := range s.Take(0, nil, 100, 1<<20) {
		s.Ack(e)
	}
	mustWrite(t, s)
	if _, again, err := Letters(dir); len(again) != 0 || err != nil {
		t.Fatalf("%d wait to go back, %v; want 0", len(again), err)
	}
}

// TestNobodyAnswers asks a holder of the directory that is no gateway.
func TestNobodyAnswers(t *testing.T) {
	dir := t.TempDir()
	s := byHand(t, dir, 1, nil)
	dead(t, s, 1)
	mustWrite(t, s)
	lock, err := lockDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := DropDead(ctx, dir, []ID{{1, 1}}); !errors.Is(err, ErrWaiting) {
		t.Errorf("got %v, want %v", err, ErrWaiting)
	}
	if err := lock.Close(); err != nil {
		t.Fatal(err)
	}
	if !s.graves.due(dir, time.Now()) {
		t.Error("the wish is not found")
	}
	mustWrite(t, s)
	if got := listed(t, dir); len(got) > 0 {
		t.Errorf("left %v", got)
	}
}

// TestLetterAge keeps the publisher's expiry going while a letter lies.
func TestLetterAge(t *testing.T) {
	now := time.Now()
	for _, c := range []struct {
		letter Letter
		wall   int64
		want   time.Duration // age of what is sent
	}{
		{Letter{Age: 1000}, 0, 0},
		{Letter{Age: 10, Expiry: 60}, 0, 10 * time.Second},
		{Letter{Age: 10, Expiry: 60, At: 5000}, 25000, 30 * time.Second},
		{Letter{Age: 10, Expiry: 60, At: 5000}, 0, 10 * time.Second},
	} {
		if got := now.Sub(c.letter.message(now, c.wall).Accepted); got != c.want {
			t.Errorf("%+v at %d: age %v, want %v", c.letter, c.wall, got, c.want)
		}
	}
}
