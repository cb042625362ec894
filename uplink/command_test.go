package uplink

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/packets"

	"tidegate/internal/conf"
)

// sessions makes a cloud's CONNACK say what n-th connection of the down link
// finds.
func sessions(present ...bool) func(int, *packets.Connect) *packets.Connack {
	var n atomic.Int64
	return func(_ int, c *packets.Connect) *packets.Connack {
		ca := &packets.Connack{Properties: &packets.Properties{}}
		if !c.CleanStart {
			ca.SessionPresent = present[min(int(n.Add(1)), len(present))-1]
		}
		return ca
	}
}

// The log and the numbers tell of a session that was there and is not any more.
func TestMissedSession(t *testing.T) {
	for _, k := range []struct {
		name            string
		cluster         bool
		present         []bool
		missed, resumed int64
	}{
		{"resumed", true, []bool{false, true}, 0, 1},
		{"after a restart", true, []bool{true, true}, 0, 2},
		{"missed", true, []bool{false, false}, 1, 0},
		{"separate brokers", false, []bool{false, false}, 0, 0},
	} {
		t.Run(k.name, func(t *testing.T) {
			c := newCloud(t)
			c.connack = sessions(k.present...)
			cfg := downOnly(c.url())
			cfg.Cluster = k.cluster
			var log lines
			e := edge{settle: true}
			opt := e.options()
			opt.Log = log.logger()
			u, to, _ := downLink(t, c, cfg, opt)
			first := to.get()
			c.cut()
			eventually(t, "it has connected and subscribed again", func() bool {
				c.mu.Lock()
				defer c.mu.Unlock()
				return len(c.subscribed) == 2 && to.get() != first
			})
			to.get().publishDown(1, "site/7/cmd/x", "", nil)
			eventually(t, "a command arrives", func() bool { return e.count() == 1 })
			if l := state(u, 1); l.Missed != k.missed || l.Resumed != k.resumed {
				t.Errorf("got %d missed, %d resumed, want %d, %d", l.Missed, l.Resumed, k.missed, k.resumed)
			}
			if got := strings.Count(log.String(), "the session was not there"); got != int(k.missed) {
				t.Errorf("the log says so %d times, want %d", got, k.missed)
			}
			if got, want := strings.Count(log.String(), "separate brokers:"), 0; (got > want) == k.cluster {
				t.Errorf("cluster %v: the log tells of separate brokers %d times", k.cluster, got)
			}
		})
	}
}

// home is an edge whose devices subscribe later.
type home struct {
	edge
	here atomic.Value // topics, as one string
}

func (h *home) options() Options {
	o := h.edge.options()
	o.Wanted = func(topic string) bool { s, _ := h.here.Load().(string); return strings.Contains(s, topic) }
	return o
}

func (h *home) payloads() (p []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, m := range h.got {
		p = append(p, string(m.Payload))
	}
	return p
}

// What comes before its device is back waits for it, in order; others go ahead.
func TestCommandWaitsForItsDevice(t *testing.T) {
	c := newCloud(t)
	cfg := downOnly(c.url())
	cfg.WaitForDevices = conf.Duration(time.Hour)
	h := home{edge: edge{settle: true}}
	h.here.Store("home/cmd/here")
	u, to, stop := downLink(t, c, cfg, h.options())
	s := to.get()
	s.publishDown(1, "site/7/cmd/away", "a1", nil)
	s.publishDown(2, "site/7/cmd/here", "h1", nil)
	s.publishDown(3, "site/7/cmd/away", "a2", nil)
	s.publishDown(4, "site/7/cmd/here", "h2", nil)
	eventually(t, "what is wanted arrives", func() bool { return h.count() == 2 })
	if _, _, n, _ := c.count(); n != 0 || state(u, 1).Commands != 4 {
		t.Errorf("got %d acknowledged, %d waiting, want 0 and 4", n, state(u, 1).Commands)
	}
	h.here.Store("home/cmd/here home/cmd/away")
	s.publishDown(5, "site/7/cmd/away", "a3", nil)
	eventually(t, "all arrive", func() bool { return h.count() == 5 })
	eventually(t, "all are acknowledged", func() bool { _, _, n, _ := c.count(); return n == 5 })
	if got, want := h.payloads(), []string{"h1", "h2", "a1", "a2", "a3"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	// What still waits at the end is not acknowledged: the cloud keeps it.
	s.publishDown(6, "site/7/cmd/gone", "g", nil)
	eventually(t, "it waits", func() bool { return state(u, 1).Commands == 1 })
	stop()
	eventually(t, "the cloud has read the end", func() bool { _, _, _, d := c.count(); return d == 2 })
	if _, _, n, _ := c.count(); n != 5 || h.count() != 5 {
		t.Errorf("got %d acknowledged, %d delivered, want 5 and 5", n, h.count())
	}
}

// Nobody is waited for when too much waits. All is handed over then, and the
// order of a topic holds, through a cloud that sends more than it may, too.
func TestTooManyCommandsToWait(t *testing.T) {
	c := newCloud(t)
	cfg := downOnly(c.url())
	cfg.WaitForDevices = conf.Duration(time.Hour)
	cfg.DownInFlight = 4
	h := home{edge: edge{settle: true}}
	u, to, _ := downLink(t, c, cfg, h.options())
	const few, all, body = 20, 200, 32 << 10
	send := func(i int) {
		to.get().publishDown(uint16(i+1), fmt.Sprint("site/7/cmd/", i%3), fmt.Sprint(i, strings.Repeat(" ", body)), nil)
	}
	for i := range few {
		send(i)
	}
	eventually(t, "they wait", func() bool { return state(u, 1).Received == few })
	if n := h.count(); n != 0 {
		t.Errorf("got %d delivered, want none", n)
	}
	for i := few; i < all; i++ {
		send(i)
	}
	eventually(t, "all are delivered", func() bool { return h.count() == all })
	last := map[string]int{}
	for _, m := range h.got {
		var i int
		fmt.Sscan(string(m.Payload), &i)
		if i < last[m.Topic] {
			t.Fatalf("%s: got %d after %d", m.Topic, i, last[m.Topic])
		}
		last[m.Topic] = i
	}
}

// When the time is over nobody is waited for.
func TestCommandWaitsNotForEver(t *testing.T) {
	c := newCloud(t)
	cfg := downOnly(c.url())
	cfg.WaitForDevices = conf.Duration(300 * time.Millisecond)
	h := home{edge: edge{settle: true}}
	_, to, _ := downLink(t, c, cfg, h.options())
	for i := range uint16(3) {
		to.get().publishDown(i+1, "site/7/cmd/away", fmt.Sprint(i), nil)
	}
	eventually(t, "all are acknowledged", func() bool { _, _, n, _ := c.count(); return n == 3 })
	to.get().publishDown(9, "site/7/cmd/away", "late", nil)
	eventually(t, "it is acknowledged", func() bool { _, _, n, _ := c.count(); return n == 4 })
	if got, want := h.payloads(), []string{"0", "1", "2", "late"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// Before a stop the edge gets nothing more, and what it has is waited for and
// acknowledged to the cloud: the rest is the cloud's.
func TestHoldCommands(t *testing.T) {
	c := newCloud(t)
	var e edge
	u, to, stop := downLink(t, c, downOnly(c.url()), e.options())
	s := to.get()
	s.publishDown(1, "site/7/cmd/x", "1", nil)
	s.publishDown(2, "site/7/cmd/x", "2", nil)
	eventually(t, "both are delivered", func() bool { return e.count() == 2 })

	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	u.HoldCommands(ctx) // in vain
	if ctx.Err() == nil {
		t.Error("it did not wait for the edge")
	}
	s.publishDown(3, "site/7/cmd/x", "3", nil)
	eventually(t, "the third has come", func() bool { return state(u, 1).Received == 3 })
	settled := make(chan struct{})
	go func() { defer close(settled); u.HoldCommands(t.Context()) }()
	for i := range 2 {
		e.tickets[i].Owner.Settle(e.tickets[i].ID, 0)
	}
	<-settled
	stop()
	eventually(t, "the cloud has read the end", func() bool { _, _, _, d := c.count(); return d == 2 })
	if _, _, n, _ := c.count(); n != 2 || e.count() != 2 {
		t.Errorf("got %d acknowledged, %d delivered, want 2 and 2", n, e.count())
	}
}

// A link that moves because the configuration changed lets the edge finish what
// it has first, so that the cloud need not send it again.
func TestRolledDownLinkFinishes(t *testing.T) {
	c := newCloud(t)
	cfg := downOnly(c.url())
	var e edge
	u, to, _ := downLink(t, c, cfg, e.options())
	s := to.get()
	s.publishDown(1, "site/7/cmd/x", "1", nil)
	eventually(t, "it is delivered", func() bool { return e.count() == 1 })
	cfg.KeepAlive = conf.Duration(20 * time.Second)
	cfg.DrainTimeout = conf.Duration(time.Minute)
	if err := u.Reload(cfg); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it wants to leave", func() bool { return state(u, 1).State == Draining })
	s.publishDown(2, "site/7/cmd/x", "2", nil)
	eventually(t, "the second has come", func() bool { return state(u, 1).Received == 2 })
	e.tickets[0].Owner.Settle(e.tickets[0].ID, 0)
	eventually(t, "it is back", func() bool { return to.get() != s && state(u, 1).State == Connected })
	if _, _, n, _ := c.count(); n != 1 || e.count() != 1 {
		t.Errorf("got %d acknowledged, %d delivered, want 1 and 1", n, e.count())
	}
}
