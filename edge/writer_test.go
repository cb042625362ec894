package edge

import (
	"context"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"tidegate/internal/conf"
)

// TestLargeMessagesComeWhenThereIsRoom has a client come back when there is no
// memory for what was in flight to it. It gets that when there is, without a
// word of its own.
func TestLargeMessagesComeWhenThereIsRoom(t *testing.T) {
	b := startBroker(t, Options{})
	s := connect(t, b, "s", resume(), expiry(1000))
	s.subscribe(sub{filter: "t", qos: 1})
	p := connect(t, b, "p")
	const messages = 3
	payload := strings.Repeat("x", lightBuffer+1)
	for range messages {
		p.publish("t", payload, 1)
		s.read(patience)
	}
	s.nc.Close()
	until(t, "the end is seen", func() bool { return b.Stats().Connected == 1 })

	all := int64(b.config().Limits.Memory)
	b.memory.charge(all)
	s = connect(t, b, "s", resume(), expiry(1000))
	c := b.sessionWith("s").conn.Load()
	until(t, "the CONNACK is written", func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return !c.writing && c.pending() == 0
	})
	b.memory.charge(-all)
	for range messages {
		s.message("t", payload)
	}
}

// TestWriterFetchesWhatDidNotFit has a subscriber read nothing until its
// connection is full, and then everything, before it acknowledges any of it.
func TestWriterFetchesWhatDidNotFit(t *testing.T) {
	overEach(t, writerFetchesWhatDidNotFit)
}

func writerFetchesWhatDidNotFit(t *testing.T, over func(*Config)) {
	b := startBroker(t, Options{}, over, func(c *Config) {
		c.Limits.WriteBuffer = 64 << 10
		c.Limits.WriteTimeout = conf.Duration(time.Hour)
		c.Limits.StallAfter = conf.Duration(time.Millisecond)
		c.Session.InFlight = 20_000
		c.Session.QueueBytes = 64 << 20
	})
	s := dial(t, b)
	s.readLittle(64 << 10)
	s.connect("s", receiveMax(20_000))
	s.subscribe(sub{filter: "t", qos: 1})
	c := b.sessionWith("s").conn.Load()
	full := func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.starved
	}
	const after = 100
	p := connect(t, b, "p")
	payload := strings.Repeat("x", 4000)
	messages := 0
	for left := after; left > 0; messages++ {
		p.publish("t", payload, 1)
		if full() {
			left--
		}
	}
	for n := range messages {
		if pk, err := s.read(patience); err != nil || string(pk.Payload) != payload {
			t.Fatalf("message %d of %d: %v", n, messages, err)
		}
	}
}

// atCut calls f when a connection is cut.
type atCut struct {
	slog.Handler
	f func()
}

func (h atCut) Enabled(context.Context, slog.Level) bool { return true }
func (h atCut) WithAttrs([]slog.Attr) slog.Handler       { return h }
func (h atCut) Handle(_ context.Context, r slog.Record) error {
	if r.Message == "connection cut" {
		h.f()
	}
	return nil
}

// TestNothingFollowsAPartOfAPacket flushes a connection again while it is being
// cut: what came after the packet that the client took a part of stays here, and
// the client is cut once.
func TestNothingFollowsAPartOfAPacket(t *testing.T) {
	var c *conn
	cuts, left := 0, 0
	h := atCut{f: func() {
		if cuts++; cuts > 1 {
			return
		}
		c.send([]byte{0xd0, 0})
		c.flush()
		c.mu.Lock()
		if c.buf != nil {
			left = len(c.buf.b)
		}
		c.mu.Unlock()
	}}
	cfg := DefaultConfig()
	cfg.Limits.WriteTimeout = conf.Duration(50 * time.Millisecond)
	b, err := New(cfg, Options{Log: slog.New(h)})
	if err != nil {
		t.Fatal(err)
	}
	near, far := net.Pipe()
	defer far.Close()
	c = newConn(b, near, nil, &terms{})
	c.send([]byte("a long packet"))
	c.flush()
	far.Read(make([]byte, 1))
	b.writers.Wait()
	if left != 2 {
		t.Errorf("%d bytes were left in the buffer, want 2", left)
	}
	if cuts != 1 || b.Stats().Cut != 1 {
		t.Errorf("cut %d times, counted %d", cuts, b.Stats().Cut)
	}
}

// TestFramesAreCharged looks at what is charged for packets that have got the
// headers of their frames: as long again.
func TestFramesAreCharged(t *testing.T) {
	b, conns := plant(t, 1, true, 0)
	before := b.Stats().HeldBytes
	c := conns[0]
	c.ws = &webSocket{open: true}
	for range 10_000 {
		c.send([]byte{0xd0, 0})
	}
	c.mu.Lock()
	c.take()
	held, size := c.wHeld, cap(c.wbuf.b)
	c.rest()
	c.mu.Unlock()
	if held < size {
		t.Errorf("%d bytes are charged for, want %d", held, size)
	}
	if got := b.Stats().HeldBytes; got != before {
		t.Errorf("%d bytes are charged for at the end, want %d", got, before)
	}
}
