package uplink

import (
	"bytes"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/packets"

	"tidegate/internal/conf"
)

// A flood of QoS 0 passes through without piling up: 120 MB of it.
func TestFloodDownwards(t *testing.T) {
	const messages, size, most = 60_000, 2000, 64 << 20
	var got atomic.Int64
	var peak atomic.Uint64
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	runtime.GC()
	before := heap()
	c := newCloud(t)
	u, to, _ := downLink(t, c, calm(downOnly(c.url())), Options{Deliver: func(m *Message, tk Ticket) {
		if got.Add(1)%2000 == 0 {
			peak.Store(max(peak.Load(), heap()))
		}
		if tk.Owner != nil {
			tk.Owner.Settle(tk.ID, 0)
		}
	}})
	var one bytes.Buffer
	m := &packets.Publish{Topic: "site/7/cmd/a", Payload: make([]byte, size), Properties: &packets.Properties{}}
	m.WriteTo(&one)
	batch := bytes.Repeat(one.Bytes(), 100)
	for range messages / 100 {
		to.get().raw(batch...)
	}
	to.get().publishDown(1, "site/7/cmd/b", "on", nil)
	eventually(t, "all came, and the command behind them is acknowledged", func() bool {
		_, _, acked, _ := c.count()
		return got.Load() == messages+1 && acked == 1
	})
	if grown := int64(peak.Load()) - int64(before); grown > most {
		t.Errorf("got %d MiB more heap during the flood, want at most %d", grown>>20, most>>20)
	}
	if s := state(u, len(u.Stats().Links)-1); s.Reconnects != 0 {
		t.Errorf("got %d reconnects, want none", s.Reconnects)
	}
}

// SUBACKs that nobody waits for, and subscription identifiers that nobody gave,
// change nothing. The identifiers are the cloud's: devices have their own.
func TestStraySubacksAndIdentifiers(t *testing.T) {
	c := newCloud(t)
	c.suback = func(s *served, a *packets.Suback) {
		s.send(a)
		s.send(a)
		s.send(&packets.Suback{PacketID: a.PacketID + 1, Reasons: []byte{0x87}, Properties: &packets.Properties{}})
		// QoS 0, two identifiers (0x0B) around a content type (0x03)
		s.raw(append(append([]byte{0x30, 24, 0, 12}, "site/7/cmd/a"...), 8, 0x0B, 1, 0x03, 0, 1, 't', 0x0B, 2, 'x')...)
		s.publishDown(1, "site/7/cmd/b", "on", nil)
	}
	home := edge{settle: true}
	u, _, _ := downLink(t, c, calm(downOnly(c.url())), home.options())
	eventually(t, "both commands came and one is acknowledged", func() bool { _, _, acked, _ := c.count(); return home.count() == 2 && acked == 1 })
	home.mu.Lock()
	defer home.mu.Unlock()
	if got, want := home.got[0].Properties, []byte{0x03, 0, 1, 't'}; !bytes.Equal(got, want) || string(home.got[0].Payload) != "x" {
		t.Errorf("got properties %x with %q, want %x", got, home.got[0].Payload, want)
	}
	if s := state(u, len(u.Stats().Links)-1); s.Reconnects != 0 || s.Cause != "" {
		t.Errorf("got %d reconnects, cause %q, want none", s.Reconnects, s.Cause)
	}
}

// A node that sends a message byte by byte looks alive for ever, on a link that
// waits for nothing else. It is left after patience.
func TestDribblingNode(t *testing.T) {
	c := newCloud(t)
	quit := make(chan struct{})
	var once atomic.Bool
	c.suback = func(s *served, a *packets.Suback) {
		s.send(a)
		if once.Swap(true) {
			return
		}
		c.wg.Go(func() {
			for _, b := range append([]byte{0x30, 100, 0, 90}, make([]byte, 90)...) {
				s.raw(b)
				select {
				case <-quit:
					return
				case <-time.After(time.Second):
				}
			}
		})
	}
	c.start()
	defer close(quit)
	cfg := calm(downOnly(c.url()))
	cfg.Patience = conf.Duration(2 * time.Second)
	log := new(lines)
	u, _ := begin(t, cfg, Options{Log: log.logger(), Deliver: func(*Message, Ticket) {}})
	at := len(u.Stats().Links) - 1
	eventually(t, "it is left, and the next connection stays", func() bool {
		s := state(u, at)
		return s.Reconnects == 1 && s.State == Connected && s.Faults[FaultSilent] == 1
	})
	if !strings.Contains(log.String(), errDribble.Error()) {
		t.Errorf("got no word of %q in:\n%s", errDribble, log)
	}
}

// How slowly a packet may come: what a bad line makes of a large one is no
// reason to leave.
func TestJudgeSlowPackets(t *testing.T) {
	for _, p := range []struct {
		name string
		size int64
		left time.Duration // about when it is left
	}{
		{"a header", 3, 30 * time.Second},
		{"a small message", 1 << 10, 31 * time.Second},
		{"a mebibyte", 1 << 20, 1054 * time.Second},
	} {
		t.Run(p.name, func(t *testing.T) {
			w := watch{least: time.Second, patience: 30 * time.Second, factor: 1}
			var at time.Duration
			for dead := error(nil); dead == nil && at < time.Hour; {
				at += 100 * time.Millisecond
				v := vitals{now: int64(at), read: int64(at), written: int64(at), begun: 1, size: p.size}
				dead = w.judge(v, rtt{}).dead
			}
			if at < p.left || at > p.left+time.Second {
				t.Errorf("got left after %v, want %v", at, p.left)
			}
		})
	}
	w := watch{least: time.Second, patience: time.Second, factor: 1}
	for at := time.Duration(1); at < time.Minute; at += 100 * time.Millisecond {
		if v := (vitals{now: int64(at), read: int64(at), written: int64(at), begun: int64(at / time.Second), size: 10}); w.judge(v, rtt{}).dead != nil {
			t.Fatalf("left after %v a node whose packets become whole", at)
		}
	}
}
