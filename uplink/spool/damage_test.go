package spool

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"tidegate/internal/boltpage"
)

const checkArg = "check-spool-file"

// TestMain is the checking child when the tests start this binary again.
func TestMain(m *testing.M) {
	if len(os.Args) != 3 || os.Args[1] != checkArg {
		_ = os.Setenv("GORACE", "atexit_sleep_ms=0") // a child built for the race detector would sleep a second
		os.Exit(m.Run())
	}
	rep, err := Check(os.Args[2])
	_ = json.NewEncoder(os.Stdout).Encode(rep)
	switch {
	case errors.Is(err, ErrDamaged):
		os.Exit(1)
	case err != nil:
		os.Exit(2)
	}
}

// sample is a directory of spool files and, for each message in them, the
// pages of which one group must be intact for it to survive.
type sample struct {
	dir    string
	topics []string           // by message
	homes  map[int][]location // message -> where its row stands
}

type location struct {
	file       string
	first, end int64 // bytes
}

func makeSample(t *testing.T) *sample {
	p := &sample{dir: t.TempDir(), homes: make(map[int][]location)}
	s, err := New(smallConfig(), Options{Dir: p.dir, Links: 2, Epoch: 1})
	if err != nil {
		t.Fatal(err)
	}
	s.disk.fileSize = 64 << 10
	s.admit(nil)
	s.Online(0, false)
	s.Online(1, false)
	r := rand.New(rand.NewPCG(3, 3))
	for n := range 700 {
		topic := fmt.Sprintf("t/%d", n%10)
		p.topics = append(p.topics, topic)
		m := numbered(topic, n)
		if n%97 == 0 {
			m.Payload = append(m.Payload, make([]byte, 9000)...)
		}
		s.Push(n%2, Class(n%10%3), m, Ticket{})
		if r.IntN(12) == 0 {
			if _, err := s.write(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := s.shutdown(); err != nil {
		t.Fatal(err)
	}
	files, _ := filepath.Glob(filepath.Join(p.dir, "*.spool"))
	if len(files) < 3 {
		t.Fatalf("%d files", len(files))
	}
	for _, name := range files {
		p.survey(t, name)
	}
	if len(p.homes) != len(p.topics) {
		t.Fatalf("%d of %d rows found in the intact files", len(p.homes), len(p.topics))
	}
	return p
}

func (p *sample) survey(t *testing.T, name string) {
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, _ := f.Stat()
	boltpage.Scan(f, info.Size(), func(pg boltpage.Page) {
		at := int64(pg.ID) * pageSize
		pg.Rows(func(_, value []byte, _ int64) {
			var r row
			if parseRow(value, &r) == nil {
				n := number(&Entry{Msg: &r.msg})
				p.homes[n] = append(p.homes[n], location{filepath.Base(name), at, at + int64(len(pg.Data))})
			}
		})
	})
}

// harm is a range of a file that was damaged.
type harm struct {
	file       string
	first, end int64
}

// damage breaks one to four places of the files in dir.
func damage(t *testing.T, r *rand.Rand, dir string) (out []harm) {
	files, _ := filepath.Glob(filepath.Join(dir, "*.spool"))
	for range 1 + r.IntN(4) {
		name := files[r.IntN(len(files))]
		f, err := os.OpenFile(name, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		info, _ := f.Stat()
		pages := min(info.Size()/pageSize, 40) // most of what is in use
		at := r.Int64N(pages) * pageSize
		h := harm{filepath.Base(name), at, at + pageSize}
		b := make([]byte, pageSize)
		_, _ = f.ReadAt(b, at)
		switch r.IntN(6) {
		case 0:
			clear(b)
		case 1:
			for i := range b {
				b[i] = byte(r.Uint32())
			}
		case 2: // bits anywhere
			for range 1 + r.IntN(20) {
				b[r.IntN(len(b))] ^= 1 << r.IntN(8)
			}
		case 3: // bits where bbolt trusts them
			for range 1 + r.IntN(4) {
				b[r.IntN(64)] ^= 1 << r.IntN(8)
			}
		case 4: // a page of another place
			_, _ = f.ReadAt(b, r.Int64N(pages)*pageSize)
		case 5:
			at += r.Int64N(pageSize)
			h = harm{h.file, at, 1 << 60}
			if err := f.Truncate(at); err != nil {
				t.Fatal(err)
			}
			b = nil
		}
		if _, err := f.WriteAt(b, at); err != nil {
			t.Fatal(err)
		}
		_ = f.Close()
		out = append(out, h)
	}
	return out
}

// intact says whether some page that holds message n was not touched.
func (p *sample) intact(n int, harms []harm) bool {
	for _, l := range p.homes[n] {
		ok := true
		for _, h := range harms {
			ok = ok && (h.file != l.file || h.end <= l.first || h.first >= l.end)
		}
		if ok {
			return true
		}
	}
	return false
}

func (p *sample) copy(t *testing.T) string {
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(p.dir)); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestDamage breaks files in hundreds of ways, before the start and while the
// spool runs, also with no room left for a copy of what is intact. The process must stay up and send every row whose pages are
// intact, in order, and nothing else.
func TestDamage(t *testing.T) {
	p := makeSample(t)
	for seed := range uint64(210) {
		late, full := seed%3 == 2, seed%5 == 4
		t.Run(fmt.Sprintf("%d late %v full %v", seed, late, full), func(t *testing.T) {
			dir := p.copy(t)
			r := rand.New(rand.NewPCG(seed, 4))
			opt := Options{Dir: dir, Links: 2, Epoch: 2, Checker: []string{os.Args[0], checkArg}, Log: slog.New(slog.NewTextHandler(t.Output(), nil))}
			if full {
				opt.open = fullForCopies
			}
			var harms []harm
			if late {
				opt.Checker = nil
			} else {
				harms = damage(t, r, dir)
			}
			s, err := New(smallConfig(), opt)
			if err != nil {
				t.Fatal(err)
			}
			if !s.load(t.Context()) {
				t.Fatal("not loaded")
			}
			if late {
				harms = damage(t, r, dir)
			}
			got := receive(t, s, len(p.topics))
			for n := range p.topics {
				if !got[n] && p.intact(n, harms) {
					t.Errorf("row %d is lost though its page is intact: %v; damage %v", n, p.homes[n], harms)
				}
			}
			if len(got) < len(p.topics) && s.Stats().Corrupt == 0 && !full {
				t.Errorf("rows are missing and no file was set aside; damage %v", harms)
			}
			t.Logf("%d of %d rows, %d files set aside", len(got), len(p.topics), s.Stats().Corrupt)
			if err := s.shutdown(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// fullForCopies is a card without room for the copy of a damaged file.
func fullForCopies(name string, flag int, perm os.FileMode) (*os.File, error) {
	if strings.Contains(name, suffixSalvage) {
		return nil, &os.PathError{Op: "open", Path: name, Err: syscall.ENOSPC}
	}
	return os.OpenFile(name, flag, perm)
}

// receive drains s and returns the numbers of what came, checking their order.
func receive(t *testing.T, s *Spool, limit int) map[int]bool {
	got := make(map[int]bool)
	last := make(map[string]int)
	quiet := 0
	for quiet < 3 {
		quiet++
		for link := range len(s.links) {
			for _, e := range s.Take(link, nil, 20, 1<<20) {
				n := number(e)
				if before, ok := last[e.Msg.Topic]; ok && n <= before {
					t.Errorf("%s: %d after %d", e.Msg.Topic, n, before)
				}
				if n >= limit || e.Msg.Topic != fmt.Sprintf("t/%d", n%10) {
					t.Errorf("%d on %s was never pushed", n, e.Msg.Topic)
				}
				last[e.Msg.Topic] = n
				got[n] = true
				s.Ack(e)
				quiet = 0
			}
		}
		s.rescueAt = time.Time{}
		if _, err := s.write(); err != nil && !noRoom(err) {
			t.Fatal(err)
		}
	}
	return got
}

// TestHiddenRows takes a child out of a branch page of a running spool: bbolt
// passes over its rows without a word.
func TestHiddenRows(t *testing.T) {
	dir := t.TempDir()
	s := byHand(t, dir, 1, nil)
	s.Online(0, false)
	for n := range 200 {
		s.Push(0, Normal, numbered(fmt.Sprintf("t/%d", n%10), n), Ticket{})
	}
	mustWrite(t, s)
	name := s.disk.active.path
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	hidden := false
	for at := 2 * pageSize; at+pageSize <= len(b); at += pageSize {
		p := boltpage.Parse(b[at : at+pageSize])
		if p.Flags != boltpage.Branch || p.Count < 4 || int(p.ID) != at/pageSize {
			continue
		}
		for i := 1; i < p.Count-1; i++ {
			h := p.Data[boltpage.HeadSize+i*boltpage.ItemSize:]
			copy(h[:boltpage.ItemSize], h[boltpage.ItemSize:2*boltpage.ItemSize])
			binary.LittleEndian.PutUint32(h, binary.LittleEndian.Uint32(h)+boltpage.ItemSize)
		}
		binary.LittleEndian.PutUint16(p.Data[10:], uint16(p.Count-1))
		hidden = true
	}
	if !hidden {
		t.Fatal("no branch page")
	}
	f, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(b, 0); err != nil {
		t.Fatal(err)
	}
	_ = f.Close()
	if got := receive(t, s, 200); len(got) != 200 {
		t.Errorf("%d rows of 200", len(got))
	}
	if got := s.Stats().Corrupt; got != 1 {
		t.Errorf("%d files set aside, want 1", got)
	}
	if err := s.shutdown(); err != nil {
		t.Fatal(err)
	}
}

// TestSetAside looks at what is left in the directory after damage.
func TestSetAside(t *testing.T) {
	p := makeSample(t)
	dir := p.copy(t)
	name := filepath.Join(dir, "00000002.spool")
	whole, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 { // the tree's upper pages
		clear(whole[(3+i)*pageSize : (4+i)*pageSize])
	}
	clear(whole[:2*pageSize])
	if err := os.WriteFile(name, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Check(name); !errors.Is(err, ErrDamaged) {
		t.Fatalf("Check: %v, want ErrDamaged", err)
	}
	s, err := New(smallConfig(), Options{Dir: dir, Links: 2, Epoch: 2, Checker: []string{os.Args[0], checkArg}})
	if err != nil {
		t.Fatal(err)
	}
	if !s.load(t.Context()) {
		t.Fatal("not loaded")
	}
	aside, _ := filepath.Glob(filepath.Join(dir, "00000002.corrupt-*"))
	if len(aside) != 1 {
		t.Fatalf("set aside: %v", aside)
	}
	if b, _ := os.ReadFile(aside[0]); string(b) != string(whole) {
		t.Error("the file set aside is not the damaged one")
	}
	if _, err := Check(name); err != nil {
		t.Errorf("the file in its place: %v", err)
	}
	if got, want := s.Stats().Corrupt, int64(1); got != want {
		t.Errorf("corrupt files: %d, want %d", got, want)
	}
	receive(t, s, len(p.topics))
	if err := s.shutdown(); err != nil {
		t.Fatal(err)
	}
}

// A message of the largest packet that may be configured makes a page that is
// longer than a file is meant to be.
func TestLargeRow(t *testing.T) {
	s := byHand(t, t.TempDir(), 1, nil)
	m := numbered("t", 0)
	m.Payload = append(m.Payload, make([]byte, 33<<20)...)
	s.Push(0, Normal, m, Ticket{})
	mustWrite(t, s)
	if err := s.shutdown(); err != nil {
		t.Fatal(err)
	}
	path := s.disk.path(1, suffixFile)
	if rep, err := Check(path); err != nil || rep.Rows != 1 {
		t.Errorf("got %d rows, %v, want 1", rep.Rows, err)
	}
	rep, _, err := rewrite(path, path+".copy", os.OpenFile, true, func(*row) bool { return true })
	if err != nil || rep.Rows != 1 {
		t.Errorf("salvaged %d rows, %v, want 1", rep.Rows, err)
	}
}

// TestRepair starts after crashes in the middle of replacing a file.
func TestRepair(t *testing.T) {
	p := makeSample(t)
	for name, crash := range map[string]func(dir string) error{
		"copy not finished": func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "00000002.salvage.tmp"), []byte("half"), 0o600)
		},
		"copy finished": func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "00000002.salvage"), []byte("copy"), 0o600)
		},
		"original set aside": func(dir string) error {
			return os.Rename(filepath.Join(dir, "00000002.spool"), filepath.Join(dir, "00000002.salvage"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := p.copy(t)
			if err := crash(dir); err != nil {
				t.Fatal(err)
			}
			s, err := New(smallConfig(), Options{Dir: dir, Links: 2, Epoch: 2})
			if err != nil {
				t.Fatal(err)
			}
			if !s.load(t.Context()) {
				t.Fatal("not loaded")
			}
			if got := receive(t, s, len(p.topics)); len(got) != len(p.topics) {
				t.Errorf("%d rows of %d", len(got), len(p.topics))
			}
			if err := s.shutdown(); err != nil {
				t.Fatal(err)
			}
			left, _ := os.ReadDir(dir)
			for _, f := range left {
				if !strings.Contains(f.Name(), suffixCorrupt) {
					t.Errorf("left behind: %s", f.Name())
				}
			}
		})
	}
}
