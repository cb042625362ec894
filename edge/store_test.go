package edge

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"tidegate/internal/wear"
)

// storeIn opens the store of a directory for a test that calls write itself.
func storeIn(t testing.TB, dir string) *store {
	t.Helper()
	s, err := openStore(dir, time.Second, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.close() })
	s.checker = childChecker(t)
	return s
}

// childChecker is this test binary, made to call CheckStore.
func childChecker(t testing.TB) []string {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return []string{"/usr/bin/env", "EDGE_CHECK_CHILD=1", "GORACE=atexit_sleep_ms=0", exe, "-test.run=^TestCheckStore$"}
}

// content loads a store and returns what it holds, topic=payload.
func content(t testing.TB, s *store) []string {
	t.Helper()
	var all []string
	if err := s.load(func(m *Message) { all = append(all, m.Topic+"="+string(m.Payload)) }); err != nil {
		t.Fatal(err)
	}
	slices.Sort(all)
	return all
}

func reread(t *testing.T, dir string) []string {
	t.Helper()
	s := storeIn(t, dir)
	defer s.close()
	return content(t, s)
}

func retained(topic, payload string) *Message {
	return &Message{Topic: topic, Payload: []byte(payload), Retain: true, QoS: 1, From: "dev", Accepted: time.Now()}
}

func mustWrite(t testing.TB, s *store) int64 {
	t.Helper()
	n, err := s.write()
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func equal(t *testing.T, what string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s:\n got %.300q\nwant %.300q", what, got, want)
	}
}

func TestStoreKeepsTheLastValues(t *testing.T) {
	dir := t.TempDir()
	s := storeIn(t, dir)
	equal(t, "new", content(t, s), nil)
	long := strings.Repeat("long/", 100) + "topic"
	huge := strings.Repeat("x", 65535)
	for _, m := range []*Message{retained("a", "1"), retained("a", "2"), retained("b", "1"), retained(long, "1"), retained(huge, strings.Repeat("y", 1<<20)), retained("gone", "1"), retained("gone", ""), retained("never", "")} {
		if !s.retain(m) {
			t.Errorf("%.20s: not retained", m.Topic)
		}
	}
	full := retained("c", "1")
	full.Properties = []byte{1, 1}
	s.retain(full)
	mustWrite(t, s)
	if got := s.snapshot(); got.Messages != 5 || got.Commits != 1 {
		t.Errorf("got %+v, want 5 messages in 1 commit", got)
	}
	s.retain(retained("b", ""))
	mustWrite(t, s)
	s.close()
	want := []string{"a=2", "c=1", long + "=1", huge + "=" + strings.Repeat("y", 1<<20)}
	slices.Sort(want)
	s = storeIn(t, dir)
	equal(t, "read again", content(t, s), want)
	if m := s.rows["c"].now; string(m.Properties) != "\x01\x01" || m.QoS != 1 || m.From != "dev" || !m.Retain {
		t.Errorf("got %+v", m)
	}
}

func TestUnchangedValuesAreNotWritten(t *testing.T) {
	s := storeIn(t, t.TempDir())
	content(t, s)
	s.retain(retained("a", "1"))
	if mustWrite(t, s) == 0 {
		t.Error("a new value was not written")
	}
	for what, values := range map[string][]string{"the same": {"1"}, "there and back": {"2", "3", "1"}, "gone and back": {"", "1"}} {
		for _, v := range values {
			s.retain(retained("a", v))
		}
		if n := mustWrite(t, s); n != 0 {
			t.Errorf("%s: got %d bytes written, want 0", what, n)
		}
	}
	s.retain(retained("b", "1"))
	s.retain(retained("b", ""))
	if n := mustWrite(t, s); n != 0 || len(s.rows) != 1 {
		t.Errorf("come and gone: got %d bytes written, %d rows", n, len(s.rows))
	}
}

// What changes while a commit is under way is due for the next one.
func TestChangesDuringACommit(t *testing.T) {
	for _, fail := range []error{nil, errors.New("disk full")} {
		dir := t.TempDir()
		s := storeIn(t, dir)
		content(t, s)
		s.retain(retained("gone", "1"))
		s.retain(retained("back", "1"))
		s.retain(retained("kept", "1"))
		changes := s.due()
		s.retain(retained("gone", ""))
		s.retain(retained("back", "2"))
		s.retain(retained("back", "1"))
		if fail == nil {
			if _, err := s.commit(changes); err != nil {
				t.Fatal(err)
			}
		}
		s.settle(changes, fail)
		mustWrite(t, s)
		if n := mustWrite(t, s); n != 0 {
			t.Errorf("commit error %v: got %d bytes written with nothing due", fail, n)
		}
		s.close()
		equal(t, fmt.Sprintf("commit error %v", fail), reread(t, dir), []string{"back=1", "kept=1"})
	}
}

func TestStoreLimits(t *testing.T) {
	s := storeIn(t, t.TempDir())
	s.messages, s.bytes = 2, 100
	content(t, s)
	for _, c := range []struct {
		topic, payload string
		want           bool
	}{
		{"a", "1", true}, {"b", "1", true}, {"c", "1", false}, {"a", "2", true}, {"a", strings.Repeat("x", 100), false},
		{"b", "", true}, {"c", "1", true}, {"c", "", true}, {"d", "", true},
	} {
		if got := s.retain(retained(c.topic, c.payload)); got != c.want {
			t.Errorf("%s=%.3s: got %v, want %v", c.topic, c.payload, got, c.want)
		}
	}
	if got := s.snapshot(); got.Messages != 1 || got.Bytes != 2 || got.Dropped != 2 {
		t.Errorf("got %+v, want 1 message of 2 bytes, 2 dropped", got)
	}
}

// The model is a map; the disk is read back now and then, once by a copy made
// while the store runs, as after kill -9.
func TestStoreAgainstAMap(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	dir := t.TempDir()
	s := storeIn(t, dir)
	content(t, s)
	model, onDisk := map[string]string{}, map[string]string{}
	list := func(m map[string]string) (out []string) {
		for topic, payload := range m {
			out = append(out, topic+"="+payload)
		}
		slices.Sort(out)
		return out
	}
	for round := range 60 {
		for range rng.IntN(200) {
			topic, payload := fmt.Sprint("t/", rng.IntN(150)), strings.Repeat(fmt.Sprint(rng.IntN(10)), rng.IntN(800))
			s.retain(retained(topic, payload))
			if model[topic] = payload; payload == "" {
				delete(model, topic)
			}
		}
		switch rng.IntN(4) {
		case 0:
			s.close()
			s = storeIn(t, dir)
			model = onDisk
			equal(t, fmt.Sprint("reopened in round ", round), content(t, s), list(model))
		case 1:
			copied := t.TempDir()
			copyFile(t, s.path, filepath.Join(copied, "edge.db"))
			equal(t, fmt.Sprint("copy in round ", round), reread(t, copied), list(onDisk))
		default:
			mustWrite(t, s)
		}
		if rng.IntN(3) > 0 {
			mustWrite(t, s)
		}
		if len(s.dirty) == 0 {
			onDisk = map[string]string{}
			for topic, payload := range model {
				onDisk[topic] = payload
			}
		}
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestRunCommitsInIntervalsAndAtTheEnd(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		budget := wear.NewBudget(1<<30, 1<<30)
		s, err := openStore(dir, 30*time.Second, budget, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		content(t, s)
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- s.run(ctx) }()
		for i := range 120 {
			s.retain(retained("a", fmt.Sprint(i)))
			time.Sleep(time.Second)
		}
		if got := s.snapshot().Commits; got != 4 && got != 5 {
			t.Errorf("got %d commits in 120 s, want one each 30 s", got)
		}
		s.retain(retained("a", "last"))
		stop()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if bytes, commits := budget.Written(); bytes != s.snapshot().Written || commits != s.snapshot().Commits {
			t.Errorf("budget has %d bytes in %d commits, the store %+v", bytes, commits, s.snapshot())
		}
	})
	s := storeIn(t, dir)
	s.checker = []string{"/bin/false"} // must not be asked: the stop was clean
	equal(t, "after a clean stop", content(t, s), []string{"a=last"})
	if got := s.snapshot().Damaged; got != 0 {
		t.Errorf("got %d files set aside", got)
	}
}

func TestExpiryKeepsCounting(t *testing.T) {
	start := time.Unix(1_700_000_000, 0)
	for _, c := range []struct {
		what             string
		ran, away        time.Duration
		synced1, synced2 bool
		want             uint32 // 0: over
	}{
		{"clock right, time away counts", 10 * time.Second, 20 * time.Second, true, true, 70},
		{"no clock before", 10 * time.Second, 20 * time.Second, false, true, 90},
		{"no clock after", 10 * time.Second, 20 * time.Second, true, false, 90},
		{"clock jumped back", 10 * time.Second, -time.Hour, true, true, 90},
		{"over before it was written", 200 * time.Second, 0, true, true, 0},
		{"over while away", 10 * time.Second, 90 * time.Second, true, true, 0},
		{"1970 to today expires nothing", 10 * time.Second, 50 * 365 * 24 * time.Hour, false, true, 90},
		{"parts of a second stay", 9500 * time.Millisecond, 0, true, true, 91},
	} {
		m := retained("a", "1")
		m.Accepted, m.Expiry = start, 100
		row := encodeRow(rowKey("a"), m, 1, start.Add(c.ran), c.synced1)
		got, _, err := decodeRow(rowKey("a"), row, start.Add(c.ran+c.away), c.synced2)
		switch {
		case err != nil:
			t.Errorf("%s: %v", c.what, err)
		case c.want == 0 && got != nil:
			t.Errorf("%s: got %d s left, want none", c.what, got.Expiry)
		case c.want > 0 && (got == nil || got.Expiry != c.want):
			t.Errorf("%s: got %+v, want %d s left", c.what, got, c.want)
		}
	}
}

func TestExpiredMessagesLeave(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s, err := openStore(dir, time.Second, nil, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		s.clock = func() (time.Time, bool) { return time.Now(), false }
		content(t, s)
		for topic, seconds := range map[string]uint32{"a": 2, "b": 100, "c": 0} {
			m := retained(topic, "1")
			m.Expiry = seconds
			s.retain(m)
		}
		mustWrite(t, s)
		ctx, stop := context.WithCancel(t.Context())
		time.Sleep(30 * time.Second)
		stop()
		if err := s.run(ctx); err != nil {
			t.Fatal(err)
		}
		if got := s.snapshot(); got.Messages != 2 || got.Bytes != 4 {
			t.Errorf("got %+v, want 2 messages of 4 bytes", got)
		}
	})
	s := storeIn(t, dir)
	equal(t, "after a stop", content(t, s), []string{"b=1", "c=1"})
	if got := s.rows["b"].now.Expiry; got != 70 {
		t.Errorf("got %d s left, want 70", got)
	}
}

func TestOneGatewayPerDirectory(t *testing.T) {
	dir := t.TempDir()
	first := storeIn(t, dir)
	_, err := openStore(dir, time.Second, nil, slog.New(slog.DiscardHandler))
	if err == nil || !strings.Contains(err.Error(), "another gateway runs on this directory") {
		t.Errorf("got %v", err)
	}
	first.close()
	storeIn(t, dir)
}

// TestFullDisk writes to a file system of 1 MiB until it is full, makes room
// and goes on.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"); err != nil {
		t.Fatalf("mount a small tmpfs (this test needs root): %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 600<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	var log lockedLog
	s := storeIn(t, dir)
	s.log = slog.New(slog.NewTextHandler(&log, nil))
	content(t, s)
	s.retain(retained("small", "1"))
	mustWrite(t, s)
	s.retain(retained("large", strings.Repeat("x", 400<<10)))
	for range 3 {
		if _, err := s.write(); !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "make room") {
			t.Fatalf("got %v, want no space left, and what to do", err)
		}
	}
	copied := t.TempDir()
	copyFile(t, s.path, filepath.Join(copied, "edge.db"))
	equal(t, "while the disk is full", reread(t, copied), []string{"small=1"})
	os.Remove(ballast)
	mustWrite(t, s)
	s.close()
	equal(t, "after room was made", reread(t, dir), []string{"large=" + strings.Repeat("x", 400<<10), "small=1"})
	if got := strings.Count(log.String(), "\n"); got != 2 {
		t.Errorf("got %d lines in the log, want one down and one up:\n%s", got, log.String())
	}
}

// What 100 topics that change once a second cost the card in ten minutes.
func TestBytesPerDay(t *testing.T) {
	for _, c := range []struct {
		payload  int
		interval time.Duration
		most     int64 // MB a day
	}{{20, 30 * time.Second, 120}, {200, 30 * time.Second, 200}, {1000, 30 * time.Second, 500}, {20, time.Minute, 60}, {20, 5 * time.Second, 700}} {
		dir := t.TempDir()
		synctest.Test(t, func(t *testing.T) {
			s, err := openStore(dir, c.interval, nil, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			content(t, s)
			ctx, stop := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() { done <- s.run(ctx) }()
			payload := make([]byte, c.payload)
			for second := range 600 {
				for i := range 100 {
					binary.LittleEndian.PutUint64(payload, uint64(second))
					s.retain(retained(fmt.Sprintf("home/room%d/sensor/temperature", i), string(payload)))
				}
				time.Sleep(time.Second)
			}
			stop()
			if err := <-done; err != nil {
				t.Fatal(err)
			}
			got := s.snapshot()
			perDay := got.Written * 144 / 1e6
			info, _ := os.Stat(s.path)
			t.Logf("100 topics of %d B, changed each second, interval %v: %d commits, %d KiB each, %d MB a day; file %d KiB",
				c.payload, c.interval, got.Commits, got.Written/got.Commits/1024, perDay, info.Size()/1024)
			if perDay > c.most {
				t.Errorf("got %d MB a day, want at most %d", perDay, c.most)
			}
		})
	}
}

// The bytes that the store counts are those that it hands to the kernel.
func TestWrittenBytesAreWhatTheKernelSaw(t *testing.T) {
	s := storeIn(t, t.TempDir())
	content(t, s)
	s.retain(retained("a", strings.Repeat("x", 10_000)))
	mustWrite(t, s)
	before := bytesWritten(t)
	var counted int64
	for i := range 20 {
		for j := range 50 {
			s.retain(retained(fmt.Sprint("t/", j), fmt.Sprint(i, j)))
		}
		counted += mustWrite(t, s)
	}
	if got := bytesWritten(t) - before; got < counted || got > counted+counted/50 {
		t.Errorf("got %d bytes counted, the kernel saw %d", counted, got)
	}
	if info, _ := os.Stat(s.path); info.Size() > 1<<20 {
		t.Errorf("the file has grown to %d bytes", info.Size())
	}
}

// bytesWritten returns what this process has given to write calls so far.
func bytesWritten(t *testing.T) (n int64) {
	t.Helper()
	text, err := os.ReadFile("/proc/self/io")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "wchar: ")
	if _, err := fmt.Sscan(rest, &n); err != nil {
		t.Fatal(err)
	}
	return n
}

// Rows are written by key, long topics among the others by what stands for them.
func TestDueIsSorted(t *testing.T) {
	s := storeIn(t, t.TempDir())
	for i := range 100 {
		s.retain(retained(fmt.Sprint(i), "x"))
		s.retain(retained(fmt.Sprint(i, strings.Repeat("/long", longTopic)), "x"))
	}
	changes := s.due()
	if !slices.IsSortedFunc(changes, func(a, b rowChange) int { return bytes.Compare(a.key, b.key) }) || len(changes) != 200 {
		t.Errorf("%d changes, not by key", len(changes))
	}
}

// BenchmarkFirstCommit writes 50,000 retained messages to a new file; one
// operation is one message.
func BenchmarkFirstCommit(b *testing.B) {
	for n := 0; n < b.N; n += 50_000 {
		b.StopTimer()
		s := storeIn(b, b.TempDir())
		for i := range 50_000 {
			s.retain(retained(fmt.Sprintf("bench/%d/%d", i/1000, i%1000), strings.Repeat("x", 256)))
		}
		b.StartTimer()
		mustWrite(b, s)
	}
}
