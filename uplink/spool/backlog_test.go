package spool

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"
)

// backlog writes n messages of 200 B on two links into dir.
func backlog(t testing.TB, dir string, n int) {
	t.Helper()
	s := opened(t, dir, 1)
	for i := range s.links {
		s.Online(i, false)
	}
	topics := make([]string, 200)
	for i := range topics {
		topics[i] = fmt.Sprintf("home/room%d/temperature", i)
	}
	for i := range n {
		m := numbered(topics[i/2%len(topics)], i)
		s.Push(i%2, Normal, m, Ticket{nobody{}, 1})
		if i%8192 == 8191 {
			if _, err := s.write(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := s.shutdown(); err != nil {
		t.Fatal(err)
	}
}

// opened is a loaded spool whose committer is the test.
func opened(t testing.TB, dir string, epoch uint64) *Spool {
	t.Helper()
	s, err := New(DefaultConfig(), Options{Dir: dir, Links: 2, Epoch: epoch, Wall: noClock})
	if err != nil {
		t.Fatal(err)
	}
	if !s.load(t.Context()) {
		t.Fatal("not loaded")
	}
	return s
}

// BenchmarkBacklog writes a backlog of 100,000 messages of 200 B, checks its
// files and drains it; the figures are per message.
func BenchmarkBacklog(b *testing.B) {
	const count = 100_000
	per := func(b *testing.B) {
		b.ReportMetric(float64(b.Elapsed())/float64(b.N)/count, "ns/msg")
	}
	b.Run("write", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			backlog(b, b.TempDir(), count)
		}
		per(b)
	})
	dir := b.TempDir()
	backlog(b, dir, count)
	b.Run("check", func(b *testing.B) {
		files, err := filepath.Glob(filepath.Join(dir, "*"+suffixFile))
		if err != nil || len(files) == 0 {
			b.Fatal(err, "no files")
		}
		b.ReportAllocs()
		for b.Loop() {
			rows := int64(0)
			for _, f := range files {
				rep, err := Check(f)
				if err != nil {
					b.Fatal(err)
				}
				rows += rep.Rows
			}
			if rows != count {
				b.Fatalf("%d rows, want %d", rows, count)
			}
		}
		per(b)
	})
	b.Run("drain", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			b.StopTimer()
			s := opened(b, dir, 2)
			b.StartTimer()
			left := count
			for i := 0; left > 0; i++ {
				for _, e := range s.Take(i%2, nil, 100, 1<<20) {
					s.Ack(e)
					left--
				}
				if time.Duration(i) > count {
					b.Fatalf("%d are missing", left)
				}
			}
			b.StopTimer()
			if err := s.disk.close(); err != nil {
				b.Fatal(err)
			}
			b.StartTimer()
		}
		per(b)
	})
}
