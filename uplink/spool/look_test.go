package spool

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"testing"
	"time"
)

// seen returns the numbers of what a look finds to be waiting, by stream.
func seen(t *testing.T, path string) map[string][]int {
	t.Helper()
	v, err := Look(path)
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	out := make(map[string][]int)
	for i, st := range v.Streams {
		key := fmt.Sprintf("%d %s", st.Link, st.Class)
		for m, err := range v.Rows(i) {
			if err != nil {
				t.Fatal(err)
			}
			if m.Link != st.Link || m.Class != st.Class {
				t.Errorf("%+v in stream %s", m, key)
			}
			out[key] = append(out[key], number(&Entry{Msg: &m.Message}))
		}
		if len(out[key]) != st.Messages {
			t.Errorf("%s: %d of %d messages", key, len(out[key]), st.Messages)
		}
	}
	return out
}

// TestLook looks into a directory while its spool runs, and after a part was
// acknowledged and it stopped.
func TestLook(t *testing.T) {
	dir := t.TempDir()
	s := byHand(t, dir, 4, nil, func(o *Options) { o.Wall = func() (time.Time, bool) { return time.Unix(1e9, 0), true } })
	s.disk.fileSize = 64 << 10
	s.Online(0, false)
	for n := range 1000 {
		s.Push(0, Class(n%2), numbered("t", n), Ticket{})
		if n%100 == 99 {
			mustWrite(t, s)
		}
	}
	want := make(map[string][]int)
	for n := range 1000 {
		key := "0 " + Class(n%2).String()
		want[key] = append(want[key], n)
	}
	if got := seen(t, dir); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("while it runs: got %v, want %v", got, want)
	}
	for _, e := range s.Take(0, nil, 300, 1<<20)[:290] {
		s.Ack(e) // the others are in flight
	}
	if err := s.shutdown(); err != nil {
		t.Fatal(err)
	}
	want["0 urgent"] = want["0 urgent"][290:]
	if got := seen(t, dir); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("after a stop: got %v, want %v", got, want)
	}
	v, err := Look(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	st := v.Streams[0]
	if st.First != (ID{4, 581}) || st.Last != (ID{4, 999}) || st.Oldest.After(time.Unix(1e9, 0)) || st.Oldest.Before(time.Unix(1e9-60, 0)) || len(v.Files) < 3 {
		t.Errorf("%+v of %d files", st, len(v.Files))
	}
	if one, err := Look(dir + "/" + v.Files[1].Name); err != nil || len(one.Files) != 1 {
		t.Errorf("a file: %v", err)
	} else {
		one.Close()
	}
	if _, err := Look(dir + "/none"); err == nil {
		t.Error("what is not there is read")
	}
}

// grown is a file to which a transaction adds pages right after its size was
// asked for.
type grown struct {
	*os.File
	asked int
}

// short is a file's size before that.
type short struct{ fs.FileInfo }

func (short) Size() int64 { return 4 * 4096 }

func (g *grown) Stat() (fs.FileInfo, error) {
	info, err := g.File.Stat()
	if g.asked++; g.asked == 1 {
		return short{info}, err
	}
	return info, err
}

// A file that has grown since its size was asked for is read again.
func TestLookAtAGrowingFile(t *testing.T) {
	dir := t.TempDir()
	s := byHand(t, dir, 1, nil)
	s.Online(0, false)
	for n := range 500 {
		s.Push(0, Normal, numbered("t", n), Ticket{})
	}
	mustWrite(t, s)
	names, err := spoolFiles(dir)
	if err != nil || len(names) != 1 {
		t.Fatalf("got %q, %v, want one file", names, err)
	}
	f, err := os.Open(names[0])
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	want, err := os.ReadFile(names[0])
	if got, err2 := still(&grown{File: f}); err != nil || err2 != nil || !bytes.Equal(got, want) {
		t.Errorf("got %d bytes, %v, want %d, %v", len(got), err2, len(want), err)
	}
}

// TestLookWhileWritten looks all the time while rows are added and
// acknowledged: what is seen is in order, without a hole.
func TestLookWhileWritten(t *testing.T) {
	dir := t.TempDir()
	r := run(t, smallConfig(), Options{Dir: dir}, func(s *Spool) { s.disk.fileSize = 128 << 10 })
	r.Online(0, false)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for n := range 5000 {
			r.Push(0, Normal, numbered("t", n), Ticket{})
			if n%50 == 0 {
				time.Sleep(2 * time.Millisecond)
			}
		}
	}()
	for looks := 0; ; looks++ {
		got := seen(t, dir)["0 normal"]
		for i, n := range got {
			if n != i {
				t.Fatalf("place %d has %d", i, n)
			}
		}
		select {
		case <-done:
			t.Logf("%d looks, %d rows in the last", looks, len(got))
			return
		default:
		}
	}
}
