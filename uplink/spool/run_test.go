package spool

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	"tidegate/internal/conf"
)

// settled counts the outcome of tickets.
type settled struct {
	mu      sync.Mutex
	reasons map[uint64]byte
	twice   int
}

func (s *settled) Settle(id uint64, reason byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.reasons == nil {
		s.reasons = make(map[uint64]byte)
	}
	if _, ok := s.reasons[id]; ok {
		s.twice++
	}
	s.reasons[id] = reason
}

func (s *settled) count(reason byte) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, r := range s.reasons {
		if r == reason {
			n++
		}
	}
	return n
}

// until polls for ok; the deadline is for a machine under load.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("timed out: %s", what)
		}
	}
}

// running is a spool whose Run is under way.
type running struct {
	*Spool
	t    *testing.T
	stop func()
}

func run(t *testing.T, cfg Config, opt Options, tune ...func(*Spool)) *running {
	t.Helper()
	if opt.Links == 0 {
		opt.Links = 1
	}
	if opt.Epoch == 0 {
		opt.Epoch = 1
	}
	s, err := New(cfg, opt)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range tune {
		f(s)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	once := sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(once)
	until(t, "loaded", s.loaded.Load)
	return &running{s, t, once}
}

func numbered(topic string, n int) *Message {
	return &Message{Topic: topic, Payload: binary.BigEndian.AppendUint32(make([]byte, 0, 200), uint32(n))[:200], QoS: 1, Accepted: time.Now()}
}

func number(e *Entry) int { return int(binary.BigEndian.Uint32(e.Msg.Payload)) }

// TestUnderWay has publishers, links and the committer work at the same time,
// the links going up and down, and looks for loss and disorder.
func TestUnderWay(t *testing.T) {
	const links, topics, perTopic = 2, 16, 1500
	cfg := smallConfig()
	cfg.SpillAfter, cfg.MinGap, cfg.MaxGap = conf.Duration(50*time.Millisecond), conf.Duration(time.Millisecond), conf.Duration(5*time.Millisecond)
	var tickets settled
	r := run(t, cfg, Options{Dir: t.TempDir(), Links: links}, func(s *Spool) { s.disk.fileSize = 256 << 10 })
	var work sync.WaitGroup
	for topic := range topics {
		work.Go(func() {
			name := fmt.Sprintf("t/%d", topic)
			for n := range perTopic {
				r.Push(topic%links, Class(topic%classes), numbered(name, n), Ticket{&tickets, uint64(topic*perTopic + n)})
				if n%50 == 0 {
					time.Sleep(time.Millisecond)
				}
			}
		})
	}
	for link := range links {
		work.Go(func() {
			rnd := rand.New(rand.NewPCG(uint64(link), 2))
			next := make(map[string]int)
			var flight, got []*Entry
			for seen := 0; seen < topics/links*perTopic || len(flight) > 0; {
				if rnd.IntN(200) == 0 {
					r.Online(link, false)
					time.Sleep(20 * time.Millisecond)
					r.Online(link, true)
				}
				got = r.Take(link, got[:0], min(50, 300-len(flight)), 1<<20)
				for _, e := range got {
					seen++
					if n := number(e); n != next[e.Msg.Topic] {
						t.Errorf("%s: %d instead of %d", e.Msg.Topic, n, next[e.Msg.Topic])
						return
					}
					next[e.Msg.Topic]++
				}
				flight = append(flight, got...)
				for len(flight) > 0 && rnd.IntN(20) > 0 {
					i := rnd.IntN(len(flight))
					r.Ack(flight[i])
					flight = append(flight[:i], flight[i+1:]...)
				}
				if len(got) == 0 {
					time.Sleep(time.Millisecond)
				}
			}
		})
	}
	work.Wait()
	until(t, "all settled", func() bool { return tickets.count(0) == topics*perTopic })
	if tickets.twice > 0 {
		t.Errorf("%d tickets were settled twice", tickets.twice)
	}
	if r.Stats().Commits == 0 {
		t.Error("nothing was ever written")
	}
	until(t, "files deleted", func() bool { return r.Stats().Files == 0 })
}

func BenchmarkPushTakeAck(b *testing.B) {
	s, err := New(DefaultConfig(), Options{Dir: b.TempDir(), Links: 1, Epoch: 1})
	if err != nil {
		b.Fatal(err)
	}
	s.admit(nil)
	m := numbered("home/living-room/temperature", 1)
	var tickets nobody
	var got []*Entry
	b.ReportAllocs()
	for b.Loop() {
		s.Push(0, Normal, m, Ticket{tickets, 1})
		got = s.Take(0, got[:0], 100, 1<<20)
		for _, e := range got {
			s.Ack(e)
		}
	}
}

type nobody struct{}

func (nobody) Settle(uint64, byte) {}

// BenchmarkCommit writes batches of 200 B messages; the figure of interest is
// bytes on the card per message.
func BenchmarkCommit(b *testing.B) {
	for _, size := range []int{1, 10, 100, 1000} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			s, err := New(DefaultConfig(), Options{Dir: b.TempDir(), Links: 2, Epoch: 1})
			if err != nil {
				b.Fatal(err)
			}
			s.admit(nil)
			s.Online(0, false)
			s.Online(1, false)
			messages := 0
			for b.Loop() {
				for n := range size {
					s.Push(n%2, Class(n/2%2), numbered("home/living-room/temperature", n), Ticket{nobody{}, 1})
				}
				if _, err := s.write(); err != nil {
					b.Fatal(err)
				}
				messages += size
			}
			b.ReportMetric(float64(s.bytes.Load())/float64(messages), "B/msg")
			b.ReportMetric(float64(messages)/b.Elapsed().Seconds(), "msg/s")
		})
	}
}

// TestStop settles everything and leaves neither goroutines nor the lock
// behind; the next process finds what was not acknowledged.
func TestStop(t *testing.T) {
	before := runtime.NumGoroutine()
	dir := t.TempDir()
	var tickets settled
	r := run(t, smallConfig(), Options{Dir: dir})
	for n := range 50 {
		r.Push(0, Normal, numbered("t", n), Ticket{&tickets, uint64(n)})
	}
	flight := r.Take(0, nil, 20, 1<<20)
	for _, e := range flight[:10] {
		r.Ack(e)
	}
	if _, err := New(smallConfig(), Options{Dir: dir, Links: 0}); err == nil {
		t.Error("no links are accepted")
	}
	second, err := New(smallConfig(), Options{Dir: dir, Links: 1, Epoch: 2})
	if err != nil {
		t.Fatal(err)
	}
	if err := second.Run(t.Context()); err == nil {
		t.Error("two spools run in one directory")
	}
	r.stop()
	if got := tickets.count(0); got != 50 || tickets.twice > 0 {
		t.Errorf("%d tickets settled, want 50", got)
	}
	until(t, "goroutines end", func() bool { return runtime.NumGoroutine() <= before })
	s := byHand(t, dir, 2, nil)
	if got, want := takeAll(s), upTo(10, 50); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("found %v, want %v", got, want)
	}
}

// TestQuietWhileOnline acknowledges in time and looks for files.
func TestQuietWhileOnline(t *testing.T) {
	dir := t.TempDir()
	cfg := smallConfig()
	cfg.SpillAfter = conf.Duration(time.Minute) // this machine may stall
	r := run(t, cfg, Options{Dir: dir})
	for n := range 2000 {
		r.Push(0, Normal, numbered("t", n), Ticket{nobody{}, 1})
		for _, e := range r.Take(0, nil, 10, 1<<20) {
			r.Ack(e)
		}
	}
	r.stop()
	if got := r.Stats(); got.Commits != 0 || got.Written != 0 {
		t.Errorf("%d commits, %d bytes", got.Commits, got.Written)
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("files: %v", left)
	}
}

func TestConfig(t *testing.T) {
	if p := DefaultConfig().Check(); len(p) > 0 {
		t.Fatalf("the defaults: %v", p)
	}
	for name, c := range map[string]struct {
		change func(*Config)
		key    string
	}{
		"file-size":       {func(c *Config) { c.FileSize = 1 << 20 }, "file-size"},
		"max-disk":        {func(c *Config) { c.MaxDisk = c.FileSize }, "max-disk"},
		"max-age":         {func(c *Config) { c.MaxAge = 5 }, "max-age"},
		"spill-after":     {func(c *Config) { c.SpillAfter = 0 }, "spill-after"},
		"min-gap":         {func(c *Config) { c.MinGap = c.MaxGap + 1 }, "min-gap"},
		"max-gap":         {func(c *Config) { c.MaxGap = conf.Duration(time.Hour) }, "max-gap"},
		"replay-rate":     {func(c *Config) { c.ReplayRate = -1 }, "replay-rate"},
		"window-messages": {func(c *Config) { c.Bulk.Messages = 1 }, "bulk.window-messages"},
		"window-bytes":    {func(c *Config) { c.Urgent.Bytes = 1 }, "urgent.window-bytes"},
		"overflow":        {func(c *Config) { c.Normal.Overflow = 9 }, "normal.overflow"},
	} {
		cfg := DefaultConfig()
		c.change(&cfg)
		if p := cfg.Check(); len(p) != 1 || p[0].Key != c.key || p[0].Rule == "" {
			t.Errorf("%s: %v", name, p)
		}
	}
	for _, name := range []string{"urgent", "normal", "bulk"} {
		var c Class
		if err := c.UnmarshalText([]byte(name)); err != nil || c.String() != name {
			t.Errorf("class %s: %v %v", name, c, err)
		}
	}
	for _, name := range []string{"drop-oldest", "drop-newest", "reject"} {
		var p Policy
		if err := p.UnmarshalText([]byte(name)); err != nil || p.String() != name {
			t.Errorf("policy %s: %v %v", name, p, err)
		}
	}
}

// TestStatsWhileLoading asks for numbers while old layouts come in.
func TestStatsWhileLoading(t *testing.T) {
	dir := t.TempDir()
	s := byHand(t, dir, 1, nil)
	s.Push(0, Normal, numbered("t", 1), Ticket{})
	if err := s.shutdown(); err != nil {
		t.Fatal(err)
	}
	s, err := New(smallConfig(), Options{Dir: dir, Links: 3, Epoch: 2, Wall: noClock})
	if err != nil {
		t.Fatal(err)
	}
	var asking sync.WaitGroup
	asking.Go(func() {
		for len(s.Stats().Old) == 0 {
			time.Sleep(time.Millisecond)
		}
	})
	if !s.load(t.Context()) {
		t.Fatal("not loaded")
	}
	asking.Wait()
	if err := s.shutdown(); err != nil {
		t.Fatal(err)
	}
}
