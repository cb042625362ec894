package edge

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tidegate/internal/boltpage"
)

// TestCheckStore is the checking child process when asked to be.
func TestCheckStore(t *testing.T) {
	if os.Getenv("EDGE_CHECK_CHILD") != "" {
		if err := CheckStore(os.Args[len(os.Args)-1]); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	path := filepath.Join(filled(t, 300, 100), "edge.db")
	if err := CheckStore(path); err != nil {
		t.Errorf("whole file: %v", err)
	}
	if err := CheckStore(path + ".none"); err == nil {
		t.Error("missing file: got no error")
	}
	if err := os.WriteFile(path, bytes.Repeat([]byte("noise"), 10_000), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := CheckStore(path); err == nil {
		t.Error("noise: got no error")
	}
}

// filled returns a directory with an edge.db of n rows t/<i>=<i>... that was
// not closed cleanly.
func filled(t testing.TB, n, size int) string {
	t.Helper()
	dir := t.TempDir()
	s := storeIn(t, dir)
	content(t, s)
	for range 3 { // leaves old copies in free pages
		for i := range n {
			s.retain(retained(fmt.Sprint("t/", i), value(i, size)+fmt.Sprint(rand.Int())))
		}
		mustWrite(t, s)
	}
	for i := range n {
		s.retain(retained(fmt.Sprint("t/", i), value(i, size)))
	}
	mustWrite(t, s)
	s.close()
	if err := os.Remove(s.cleanPath()); err != nil {
		t.Fatal(err)
	}
	return dir
}

func value(i, size int) string { return fmt.Sprint(i, " ", strings.Repeat("v", size)) }

// Pages zeroed, bits flipped, the file cut: the store opens, what it holds is
// right, most of it is there, and it can be written to.
func TestDamage(t *testing.T) {
	const rows = 300
	whole, err := os.ReadFile(filepath.Join(filled(t, rows, 100), "edge.db"))
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(3, 4))
	pages := len(whole) / dbPageSize
	damage := map[string]func(b []byte) []byte{
		"both metas": func(b []byte) []byte { clear(b[:2*dbPageSize]); return b },
		"empty":      func(b []byte) []byte { return b[:0] },
		"tiny":       func(b []byte) []byte { return b[:100] },
		"one page":   func(b []byte) []byte { return b[:dbPageSize] },
		"noise":      func(b []byte) []byte { fill(rng, b); return b },
		"zeroes":     func(b []byte) []byte { clear(b); return b },
	}
	for i := range 15 {
		page := rng.IntN(pages) * dbPageSize
		damage[fmt.Sprint("zeroed page ", page/dbPageSize)] = func(b []byte) []byte { clear(b[page : page+dbPageSize]); return b }
		damage[fmt.Sprint("noise in page ", i)] = func(b []byte) []byte { fill(rng, b[page:page+dbPageSize]); return b }
		damage[fmt.Sprint("flipped bits ", i)] = func(b []byte) []byte {
			for range 1 + i {
				b[rng.IntN(len(b))] ^= 1 << rng.IntN(8)
			}
			return b
		}
		damage[fmt.Sprint("cut ", i)] = func(b []byte) []byte { return b[:rng.IntN(len(b))] }
	}
	for what, do := range damage {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "edge.db"), do(bytes.Clone(whole)), 0o600); err != nil {
			t.Fatal(err)
		}
		survives(t, what, dir, rows)
	}
}

func fill(rng *rand.Rand, b []byte) {
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
}

func survives(t *testing.T, what, dir string, rows int) {
	t.Helper()
	s := storeIn(t, dir)
	right := 0
	for _, got := range content(t, s) {
		var i int
		topic, payload, _ := strings.Cut(got, "=")
		if fmt.Sscanf(topic, "t/%d", &i); payload == value(i, 100) {
			right++
		} else if !strings.HasPrefix(payload, value(i, 100)) {
			t.Errorf("%s: %s holds what it never held: %.40q", what, topic, payload)
		}
	}
	aside, _ := filepath.Glob(s.path + ".corrupt-*")
	if int64(len(aside)) != s.snapshot().Damaged {
		t.Errorf("%s: got %q set aside, counted %d", what, aside, s.snapshot().Damaged)
	}
	if strings.Contains(what, "zeroed page") && right < rows*3/4 {
		t.Errorf("%s: got %d rows of %d", what, right, rows)
	}
	if strings.Contains(what, "both metas") && right != rows {
		t.Errorf("%s: got %d rows, want all %d", what, right, rows)
	}
	s.retain(retained("new", "1"))
	mustWrite(t, s)
	s.close()
	if err := CheckStore(s.path); err != nil {
		t.Errorf("%s: the file is damaged still: %v", what, err)
	}
}

// Damage that shows only in a commit costs nothing: all is in RAM.
func TestDamageUnderARunningStore(t *testing.T) {
	dir := t.TempDir()
	s := storeIn(t, dir)
	var log lockedLog
	s.log = slog.New(slog.NewTextHandler(&log, nil))
	content(t, s)
	for i := range 300 {
		s.retain(retained(fmt.Sprint("t/", i), value(i, 100)))
	}
	mustWrite(t, s)
	if err := os.Truncate(s.path, 2*dbPageSize); err != nil {
		t.Fatal(err)
	}
	s.retain(retained("t/7", "new"))
	if _, err := s.write(); err == nil {
		t.Error("the damage went unseen")
	}
	mustWrite(t, s)
	s.close()
	got := reread(t, dir)
	if len(got) != 300 || s.snapshot().Damaged != 1 || !strings.Contains(log.String(), "set aside") {
		t.Errorf("got %d rows, %+v, log %s", len(got), s.snapshot(), log.String())
	}
}

func TestDamagedFilesDoNotFillTheCard(t *testing.T) {
	dir := t.TempDir()
	for range keptAside + 3 {
		if err := os.WriteFile(filepath.Join(dir, "edge.db"), bytes.Repeat([]byte("noise"), 2000), 0o600); err != nil {
			t.Fatal(err)
		}
		os.Remove(filepath.Join(dir, "edge.db.clean"))
		equal(t, "noise", reread(t, dir), nil)
	}
	if got, _ := filepath.Glob(filepath.Join(dir, "edge.db.corrupt-*")); len(got) != keptAside {
		t.Errorf("got %q, want %d files", got, keptAside)
	}
}

// Without the head of its bucket no row is reached from the root.
func TestSalvageWithoutBucket(t *testing.T) {
	path := filepath.Join(filled(t, 300, 100), "edge.db")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for item := 16; item < len(b); item += dbPageSize { // the first of every page
		if bytes.HasPrefix(b[item+16:], retainedBucket) {
			binary.LittleEndian.PutUint32(b[item+12:], 8) // bytes of its value
		}
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	got := 0
	if _, err := salvage(path, func(*Message) { got++ }); err != nil || got != 300 {
		t.Errorf("got %d rows, %v, want 300", got, err)
	}
}

func TestCheckBesideARunningStore(t *testing.T) {
	dir := filled(t, 1, 1)
	s := storeIn(t, dir)
	content(t, s)
	defer s.close()
	if err := CheckStore(s.path); err == nil || !strings.Contains(err.Error(), "in use by a running gateway") {
		t.Errorf("got %v, want it to say that a gateway runs", err)
	}
}

// A check that cannot be made is no reason to set a good file aside.
func TestCheckerThatCannotRun(t *testing.T) {
	dir := filled(t, 10, 10)
	for _, argv := range [][]string{{"/no/such/program"}, {"/bin/sh", "-c", "kill -9 $$"}, nil} {
		s := storeIn(t, dir)
		s.checker = argv
		if got := content(t, s); len(got) != 10 || s.snapshot().Damaged != 0 {
			t.Errorf("%q: got %d rows, %+v", argv, len(got), s.snapshot())
		}
		s.close()
		os.Remove(s.cleanPath())
	}
}

func FuzzDecodeRow(f *testing.F) {
	m := retained("a/b", "payload")
	m.Properties, m.Expiry = []byte{1, 1}, 60
	f.Add([]byte("a/b"), encodeRow([]byte("a/b"), m, 7, time.Now(), true), uint16(3))
	f.Fuzz(func(t *testing.T, key, row []byte, at uint16) {
		got, _, err := decodeRow(key, row, time.Now(), true)
		if err == nil && got != nil && string(rowKey(got.Topic)) != string(key) {
			t.Errorf("topic %q under key %q", got.Topic, key)
		}
		// The same row with a right sum reaches the parts behind the check.
		if len(row) > rowTail {
			body := row[: len(row)-rowTail : len(row)-rowTail]
			sum := rowSum(key, body)
			row = append(body, byte(sum), byte(sum>>8), byte(sum>>16), byte(sum>>24))
			decodeRow(key, row, time.Now(), true)
		}
	})
}

func FuzzSalvage(f *testing.F) {
	dir := filled(f, 3, 1)
	whole, err := os.ReadFile(filepath.Join(dir, "edge.db"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(uint32(0), uint64(0), uint32(1<<31), uint64(1))
	f.Add(uint32(3*dbPageSize+8), uint64(1)<<32|uint64(boltpage.Leaf), uint32(3*dbPageSize+16), uint64(1<<63))
	path := filepath.Join(dir, "damaged")
	f.Fuzz(func(t *testing.T, at1 uint32, word1 uint64, at2 uint32, word2 uint64) {
		file := bytes.Clone(whole)
		binary.LittleEndian.PutUint64(file[int64(at1)%int64(len(file)-8):], word1)
		binary.LittleEndian.PutUint64(file[int64(at2)%int64(len(file)-8):], word2)
		if err := os.WriteFile(path, file, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := salvage(path, func(m *Message) {
			if m.Topic == "" {
				t.Error("a message without a topic")
			}
		}); err != nil {
			t.Error(err)
		}
	})
}

// The few retained messages of a small home live in the page of their bucket:
// without the newest one, an older copy of the page has them.
func TestSalvageOfFew(t *testing.T) {
	path := filepath.Join(filled(t, 3, 20), "edge.db")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	clear(b[:2*dbPageSize]) // both meta pages: no root is known
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	got := map[string]bool{}
	if _, err := salvage(path, func(m *Message) { got[m.Topic] = true }); err != nil || len(got) != 3 {
		t.Errorf("got %v, %v, want 3 topics", got, err)
	}
}
