package uplink

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/packets"

	"tidegate/internal/conf"
)

// edge takes what comes down and keeps the tickets.
type edge struct {
	mu      sync.Mutex
	got     []*Message
	tickets []Ticket
	settle  bool // at once
	flushes int
}

func (e *edge) deliver(m *Message, t Ticket) {
	e.mu.Lock()
	e.got, e.tickets = append(e.got, m), append(e.tickets, t)
	e.mu.Unlock()
	if e.settle && t.Owner != nil {
		t.Owner.Settle(t.ID, 0)
	}
}

func (e *edge) flush() {
	e.mu.Lock()
	e.flushes++
	e.mu.Unlock()
}

func (e *edge) count() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.got)
}

func (e *edge) options() Options { return Options{Deliver: e.deliver, Settled: e.flush} }

func downOnly(urls ...string) Config {
	c := quick(urls...)
	c.Up = nil
	c.Down = []Down{{Filter: "site/7/cmd/#", Strip: "site/7/", Add: "home/"}}
	return c
}

func (s *served) publishDown(id uint16, topic, payload string, p *packets.Properties) {
	if p == nil {
		p = &packets.Properties{}
	}
	m := &packets.Publish{Topic: topic, Payload: []byte(payload), QoS: 1, PacketID: id, Properties: p}
	if id == 0 {
		m.QoS = 0
	}
	s.send(m)
}

// connection returns what a cloud's after saw last.
type connection struct {
	mu sync.Mutex
	s  *served
}

func (c *connection) set(s *served) { c.mu.Lock(); c.s = s; c.mu.Unlock() }

func (c *connection) get() *served { c.mu.Lock(); defer c.mu.Unlock(); return c.s }

// downLink runs an uplink whose down link is connected to a cloud and
// subscribed.
func downLink(t testing.TB, c *cloud, cfg Config, opt Options) (*Uplink, *connection, func()) {
	t.Helper()
	var to connection
	c.after = func(s *served) {
		if s.id == "gw-d0" {
			to.set(s)
		}
	}
	c.start()
	u, stop := begin(t, cfg, opt)
	eventually(t, "the down link has subscribed", func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return len(c.subscribed) > 0 && to.get() != nil
	})
	return u, &to, stop
}

func TestDownLink(t *testing.T) {
	c := newCloud(t)
	var e edge
	u, to, stop := downLink(t, c, downOnly(c.url()), e.options())
	format, expiry := byte(1), uint32(50)
	to.get().publishDown(1, "site/7/cmd/light", "on", &packets.Properties{PayloadFormat: &format, MessageExpiry: &expiry, User: []packets.User{{Key: "k", Value: "v"}, {Key: IDProperty, Value: "other/1/2"}}})
	to.get().publishDown(2, "site/7/cmd/own", "loop", &packets.Properties{User: []packets.User{{Key: IDProperty, Value: "gw/7/1"}}})
	to.get().publishDown(3, "elsewhere", "no route", nil)
	to.get().publishDown(0, "site/7/cmd/light", "off", nil)
	to.get().publishDown(4, "site/7/cmd/last", "x", nil)
	eventually(t, "three are delivered", func() bool { return e.count() == 3 })
	m := e.got[0]
	if m.Topic != "home/cmd/light" || string(m.Payload) != "on" || m.QoS != 1 || m.Expiry != 50 || m.Accepted.IsZero() || m.From != "" {
		t.Errorf("got %+v", m)
	}
	want := "\x01\x01\x26\x00\x01k\x00\x01v\x26\x00\x0btidegate-id\x00\x09other/1/2"
	if got := string(m.Properties); got != want {
		t.Errorf("got properties %q, want %q", got, want)
	}
	if e.got[1].QoS != 0 || e.tickets[1].Owner != nil {
		t.Errorf("QoS 0: got %+v with a ticket %v", e.got[1], e.tickets[1])
	}
	// Settled in another order, acknowledged in the order of arrival.
	e.tickets[2].Owner.Settle(e.tickets[2].ID, 0)
	if _, _, n, _ := c.count(); n != 0 {
		t.Errorf("got %d acknowledgements while the first message waits", n)
	}
	e.tickets[0].Owner.Settle(e.tickets[0].ID, 0x97)
	eventually(t, "all are acknowledged", func() bool { _, _, n, _ := c.count(); return n == 4 })
	var ids []uint16
	for _, p := range c.pubacks {
		ids = append(ids, p.PacketID)
	}
	if want := []uint16{1, 2, 3, 4}; !slices.Equal(ids, want) || c.pubacks[0].ReasonCode != 0x97 {
		t.Errorf("got acknowledgements %v, the first with 0x%02X, want %v and 0x97", ids, c.pubacks[0].ReasonCode, want)
	}
	s := u.Stats()
	if l := s.Links[1]; s.Looped != 1 || l.Unrouted != 1 || l.Received != 5 || l.InFlight != 0 || !l.Down {
		t.Errorf("got %d looped, link %+v", s.Looped, l)
	}
	e.tickets[0].Owner.Settle(e.tickets[0].ID, 0) // late or twice: nothing
	stop()
	if e.flushes == 0 {
		t.Error("the edge was never told to flush")
	}
}

func TestDownLinkConnects(t *testing.T) {
	for _, cluster := range []bool{true, false} {
		c := newCloud(t)
		cfg := downOnly(c.url())
		cfg.Cluster, cfg.SessionExpiry = cluster, conf.Duration(time.Hour)
		cfg.Down = append(cfg.Down, Down{Filter: "quiet/#", QoS: zero()})
		var e edge
		downLink(t, c, cfg, e.options())
		c.mu.Lock()
		for _, p := range c.connects {
			if p.ClientID != "gw-d0" {
				if !p.CleanStart {
					t.Errorf("%s: got clean start false, want true", p.ClientID)
				}
				continue
			}
			want := uint32(0)
			if cluster {
				want = 3600
			}
			if p.CleanStart || p.Properties.SessionExpiryInterval == nil || *p.Properties.SessionExpiryInterval != want {
				t.Errorf("cluster %v: got clean start %v, expiry %v, want false, %d", cluster, p.CleanStart, *p.Properties.SessionExpiryInterval, want)
			}
		}
		subs := c.subscribed[0].Subscriptions
		if len(subs) != 2 || subs[0].Topic != "site/7/cmd/#" || subs[0].QoS != 1 || subs[1].QoS != 0 || subs[0].RetainHandling != 1 || !subs[0].RetainAsPublished {
			t.Errorf("got subscriptions %+v", subs)
		}
		c.mu.Unlock()
	}
}

// More than the Receive Maximum are borne and told of, once; they are
// acknowledged in order as ever.
func TestMoreThanTheReceiveMaximum(t *testing.T) {
	c := newCloud(t)
	cfg := downOnly(c.url())
	cfg.DownInFlight = 4
	var e edge
	var log lines
	opt := e.options()
	opt.Log = log.logger()
	u, to, _ := downLink(t, c, cfg, opt)
	for id := range uint16(50) {
		to.get().publishDown(id+1, "site/7/cmd/x", fmt.Sprint(id), nil)
	}
	eventually(t, "all are delivered", func() bool { return e.count() == 50 })
	for i := range e.tickets {
		k := e.tickets[len(e.tickets)-1-i]
		k.Owner.Settle(k.ID, 0)
	}
	eventually(t, "all are acknowledged", func() bool { _, _, n, _ := c.count(); return n == 50 })
	for i, p := range c.pubacks {
		if int(p.PacketID) != i+1 {
			t.Fatalf("acknowledgement %d is for %d", i, p.PacketID)
		}
	}
	if s := state(u, 1); s.Excess != 46 || s.Reconnects != 0 {
		t.Errorf("got %d in excess, %d reconnects, want 46 and none", s.Excess, s.Reconnects)
	}
	if n := strings.Count(log.String(), "more than the Receive Maximum"); n != 1 {
		t.Errorf("the log says so %d times, want once", n)
	}
}

func TestTooManyUnacknowledgedEndTheConnection(t *testing.T) {
	c := newCloud(t)
	var e edge
	u, to, _ := downLink(t, c, downOnly(c.url()), e.options())
	s := to.get()
	one := []byte{0x32, 18, 0, 12, 's', 'i', 't', 'e', '/', '7', '/', 'c', 'm', 'd', '/', 'x', 0, 0, 0, 'x'}
	one[1] = byte(len(one) - 2)
	var flood []byte
	for id := range mostArrivals + 1 {
		one[16], one[17] = byte((id%mostArrivals+1)>>8), byte(id%mostArrivals+1)
		flood = append(flood, one...)
	}
	s.raw(flood...)
	eventually(t, "the link has left", func() bool { return state(u, 1).Reconnects >= 1 })
	if got := e.count(); got != mostArrivals {
		t.Errorf("got %d delivered, want %d", got, mostArrivals)
	}
	e.mu.Lock()
	for _, k := range e.tickets { // of the connection that is gone
		k.Owner.Settle(k.ID, 0)
	}
	e.mu.Unlock()
	eventually(t, "the new connection is there", func() bool { return to.get() != s })
	to.get().publishDown(9, "site/7/cmd/x", "", nil)
	eventually(t, "it works", func() bool { return e.count() == mostArrivals+1 })
	if _, _, n, _ := c.count(); n != 0 {
		t.Errorf("got %d acknowledgements on a connection that did not carry the messages, want 0", n)
	}
}

func TestMalformedPublishEndsTheConnection(t *testing.T) {
	for name, b := range map[string][]byte{
		"QoS 3":       {0x36, 7, 0, 1, 'a', 0, 1, 0, 'x'},
		"QoS 2":       {0x34, 7, 0, 1, 'a', 0, 1, 0, 'x'},
		"id 0":        {0x32, 7, 0, 1, 'a', 0, 0, 0, 'x'},
		"alias":       {0x30, 7, 0, 1, 'a', 3, 0x23, 0, 1},
		"empty topic": {0x30, 3, 0, 0, 0},
		"wildcard":    {0x30, 4, 0, 1, '#', 0},
		"short":       {0x30, 1, 0},
		"a PUBACK":    {0x40, 2, 0, 1},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCloud(t)
			var e edge
			cfg := downOnly(c.url())
			cfg.Down = []Down{{Filter: "#"}}
			u, to, _ := downLink(t, c, cfg, e.options())
			to.get().raw(b...)
			eventually(t, "the link has left and is back", func() bool { return state(u, 1).Reconnects >= 1 && state(u, 1).State == Connected })
			if e.count() != 0 {
				t.Error("it was delivered")
			}
		})
	}
}

func TestFloodDown(t *testing.T) {
	c := newCloud(t)
	cfg := downOnly(c.url())
	e := edge{settle: true}
	_, to, _ := downLink(t, c, cfg, e.options())
	s := to.get()
	for i := range 5000 {
		for { // the window is ours to obey
			if _, _, n, _ := c.count(); i-n < 200 {
				break
			}
			time.Sleep(time.Millisecond)
		}
		s.publishDown(uint16(i+1), "site/7/cmd/x", fmt.Sprint(i), nil)
	}
	eventually(t, "all are acknowledged", func() bool { _, _, n, _ := c.count(); return n == 5000 })
	for i, m := range e.got {
		if string(m.Payload) != fmt.Sprint(i) {
			t.Fatalf("message %d: got %q", i, m.Payload)
		}
	}
}

func TestReload(t *testing.T) {
	a, b := newCloud(t), newCloud(t)
	b.start()
	cfg := downOnly(a.url())
	cfg.Up = []Up{{Filter: "#"}}
	var e edge
	u, _, _ := downLink(t, a, cfg, e.options())

	cfg.Up = []Up{{Filter: "only/#", Add: "new/"}}
	cfg.Down = []Down{{Filter: "other/#"}}
	if err := u.Reload(cfg); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the subscription has changed", func() bool {
		a.mu.Lock()
		defer a.mu.Unlock()
		return len(a.subscribed) == 2 && slices.Equal(a.unsubs, []string{"site/7/cmd/#"})
	})
	var done counter
	if u.Send(message("x", ""), Ticket{}) || !u.Send(message("only/x", "1"), Ticket{Owner: &done}) {
		t.Error("the old routes are in force")
	}
	eventually(t, "it is acknowledged", func() bool { return done.settled.Load() == 1 })
	if got := a.got(); got[len(got)-1].Topic != "new/only/x" {
		t.Errorf("got topic %s", got[len(got)-1].Topic)
	}

	cfg.Endpoints = []string{b.url()}
	if err := u.Reload(cfg); err != nil {
		t.Fatal(err)
	}
	eventually(t, "both links have gone over", func() bool { n, _, _, _ := b.count(); _, _, _, d := a.count(); return n == 2 && d == 2 })
	u.Send(message("only/x", "2"), Ticket{Owner: &done})
	eventually(t, "a message goes there", func() bool { return len(b.got()) == 1 })

	for name, change := range map[string]func(*Config){
		"links":   func(c *Config) { c.Links = 3 },
		"name":    func(c *Config) { c.Name = "other" },
		"no down": func(c *Config) { c.Down = nil },
		"invalid": func(c *Config) { c.InFlight = 0 },
	} {
		bad := cfg
		change(&bad)
		if err := u.Reload(bad); err == nil {
			t.Errorf("%s: got no error", name)
		}
	}
}
