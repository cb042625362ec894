package edge

import (
	"fmt"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"tidegate/internal/conf"
	"tidegate/internal/wear"
)

// TestPanicEndsOneConnection has the uplink panic under one client.
func TestPanicEndsOneConnection(t *testing.T) {
	b := startBroker(t, Options{Forward: func(m *Message, _ Ticket) bool {
		if string(m.Payload) == "bad" {
			panic("made up")
		}
		return false
	}})
	s := connect(t, b, "s")
	s.subscribe(sub{filter: "#", qos: 1})
	p := connect(t, b, "p", resume(), expiry(100), willOf("t", "bad", 1, false, 0))
	p.write(publishPacket("t", "bad", 1, 1))
	p.ended()
	s.message("t", "bad") // what was appended before is not stuck
	s.message("t", "bad") // the will
	connect(t, b, "p", resume(), expiry(100)).publish("t", "good", 1)
	s.message("t", "good")
	if got := b.Stats().Panics; got != 2 {
		t.Fatalf("%d panics", got)
	}
}

// unsteady is a listener whose Accept fails now and then.
type unsteady struct {
	net.Listener
	mu   sync.Mutex // guards left
	left int
}

func (u *unsteady) Accept() (net.Conn, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.left--; u.left >= 0 {
		return nil, &net.OpError{Op: "accept", Err: syscall.EMFILE}
	}
	return u.Listener.Accept()
}

func TestAcceptIsRetried(t *testing.T) {
	cfg := DefaultConfig()
	cfg.Listeners = []ListenerConfig{{Bind: "127.0.0.1:0", Anonymous: true}}
	b, err := New(cfg, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Listen(); err != nil {
		t.Fatal(err)
	}
	b.listeners[0].ln = &unsteady{Listener: b.listeners[0].ln, left: 4}
	stop := run(t, b)
	connect(t, b, "p").ping()
	if got := b.Stats().AcceptErrors; got != 4 {
		t.Fatalf("%d errors", got)
	}
	stop()
}

func TestListenSaysWhatToDo(t *testing.T) {
	b := startBroker(t, Options{})
	cfg := DefaultConfig()
	for bind, want := range map[string]string{b.Addrs()[0].String(): "another program has this port", "192.0.2.1:1883": "no such address"} {
		cfg.Listeners = []ListenerConfig{{Bind: bind}}
		other, err := New(cfg, Options{Dir: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		if err := other.Listen(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", bind, err)
		}
	}
}

func TestConfigProblems(t *testing.T) {
	if got := DefaultConfig().Check(); len(got) != 0 {
		t.Fatalf("the defaults: %v", got)
	}
	cases := map[string]func(*Config){
		"listener":                       func(c *Config) { c.Listeners = nil },
		"listener[0].bind":               func(c *Config) { c.Listeners[0].Bind = "1883" },
		"listener[1].bind":               func(c *Config) { c.Listeners = append(c.Listeners, c.Listeners[0]) },
		"listener[0].cert":               func(c *Config) { c.Listeners[0].Key = "x" },
		"listener[0].client-ca":          func(c *Config) { c.Listeners[0].ClientCA = "x" },
		"access.users-file":              func(c *Config) { c.Access.UsersFile = "/nonexistent" },
		"sync-interval":                  func(c *Config) { c.SyncInterval = 0 },
		"limits.connections":             func(c *Config) { c.Limits.Connections = 0 },
		"limits.max-packet":              func(c *Config) { c.Limits.MaxPacket = 1 << 30 },
		"limits.write-timeout":           func(c *Config) { c.Limits.WriteTimeout = conf.Duration(time.Millisecond) },
		"limits.unacknowledged":          func(c *Config) { c.Limits.Unacknowledged = 65536 },
		"session.in-flight":              func(c *Config) { c.Session.InFlight = 0 },
		"session.will-grace":             func(c *Config) { c.Session.WillGrace = conf.Duration(2 * time.Hour) },
		"session.queue-bytes":            func(c *Config) { c.Session.QueueBytes = 0 },
		"session.max-expiry":             func(c *Config) { c.Session.MaxExpiry = -1 },
		"limits.connect-timeout":         func(c *Config) { c.Limits.ConnectTimeout = 0 },
		"limits.stall-after":             func(c *Config) { c.Limits.StallAfter = 0 },
		"limits.max-keep-alive":          func(c *Config) { c.Limits.MaxKeepAlive = conf.Duration(24 * time.Hour) },
		"limits.connections-per-address": func(c *Config) { c.Limits.ConnectionsPerAddr = -1 },
	}
	for key, breakIt := range cases {
		cfg := DefaultConfig()
		breakIt(&cfg)
		got := cfg.Check()
		if len(got) != 1 || got[0].Key != key {
			t.Errorf("%s: %v", key, got)
		}
		if _, err := New(cfg, Options{}); err == nil || !strings.Contains(err.Error(), "edge."+key) {
			t.Errorf("%s: New: %v", key, err)
		}
	}
}

// TestRetainedOverRestart stops a broker cleanly and starts another one on the
// same directory.
func TestRetainedOverRestart(t *testing.T) {
	dir := t.TempDir()
	budget := wear.NewBudget(1<<30, 1<<30)
	for round := range 3 {
		cfg := DefaultConfig()
		cfg.Listeners = []ListenerConfig{{Bind: "127.0.0.1:0", Anonymous: true}}
		b, err := New(cfg, Options{Dir: dir, Budget: budget})
		if err != nil {
			t.Fatal(err)
		}
		if err := b.Listen(); err != nil {
			t.Fatal(err)
		}
		stop := run(t, b)
		s := connect(t, b, "s")
		s.subscribe(sub{filter: "keep/#", qos: 2})
		if round > 0 {
			if pk := s.message("keep/a", fmt.Sprint(round-1)); pk.FixedHeader.Qos != 2 || !pk.FixedHeader.Retain || pk.Properties.ContentType != "" {
				t.Fatalf("%+v", pk)
			}
		}
		s.ping()
		p := connect(t, b, "p")
		p.publish("keep/gone", "x", 1, asRetained())
		p.publish("keep/gone", "", 1, asRetained())
		p.publish("keep/a", fmt.Sprint(round), 2, asRetained())
		stop()
	}
	if bytes, commits := budget.Written(); bytes == 0 || commits == 0 {
		t.Fatal("the budget was not charged")
	}
}

func TestRetainedLimits(t *testing.T) {
	b := startBroker(t, Options{}, func(c *Config) { c.Limits.Retained = 3 })
	p := connect(t, b, "p")
	for i := range 5 {
		p.publish(fmt.Sprint("r/", i), "x", 1, asRetained())
	}
	p.publish("r/0", "y", 1, asRetained()) // takes no more room
	if st := b.Stats(); st.Retained != 3 || st.DroppedRetained != 2 {
		t.Fatalf("retained %d, dropped %d", st.Retained, st.DroppedRetained)
	}
	p.publish("r/1", "", 1, asRetained())
	p.publish("r/4", "x", 1, asRetained())
	if st := b.Stats(); st.Retained != 3 || st.DroppedRetained != 2 {
		t.Fatalf("retained %d, dropped %d", st.Retained, st.DroppedRetained)
	}
}
