package uplink

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/packets"

	"tidegate/internal/conf"
)

func zero() *int { n := 0; return &n }

func TestRoutesShapeWhatGoesUp(t *testing.T) {
	c := newCloud(t).start()
	cfg := quick(c.url())
	cfg.Up = []Up{
		{Filter: "home/once", Strip: "home/", Add: "x/", QoS: zero(), Retain: "clear"},
		{Filter: "home/#", Strip: "home/", Add: "site/7/"},
	}
	u, stop := begin(t, cfg, Options{})
	var done counter
	sent := []*Message{
		{Topic: "home/a", Payload: []byte("1"), QoS: 2, Retain: true, Accepted: time.Now(), Properties: []byte{0x01, 1, 0x26, 0, 1, 'k', 0, 1, 'v'}},
		{Topic: "home/once", Payload: []byte("2"), QoS: 1, Retain: true, Accepted: time.Now(), Expiry: 100},
	}
	for i, m := range sent {
		if !u.Send(m, Ticket{Owner: &done, ID: uint64(i)}) {
			t.Errorf("%s: got no route", m.Topic)
		}
	}
	for _, topic := range []string{"other", "home"} {
		if u.Send(message(topic, ""), Ticket{Owner: &done}) {
			t.Errorf("%s: got a route, want none", topic)
		}
	}
	eventually(t, "both are settled and in the cloud", func() bool { return done.settled.Load() == 2 && len(c.got()) == 2 })
	stop()
	got := c.got()
	if p := got[0]; p.Topic != "site/7/a" || p.QoS != 1 || !p.Retain || string(p.Payload) != "1" || p.Properties.PayloadFormat == nil || p.Properties.MessageExpiry != nil {
		t.Errorf("first: got %v", p)
	}
	if users := got[0].Properties.User; len(users) != 2 || users[0].Key != "k" || users[1].Key != IDProperty || !strings.HasPrefix(users[1].Value, "gw/7/") {
		t.Errorf("first: got user properties %v, want the publisher's, then the id", users)
	}
	if p := got[1]; p.Topic != "x/once" || p.QoS != 0 || p.Retain || p.Properties.MessageExpiry == nil || *p.Properties.MessageExpiry < 90 || *p.Properties.MessageExpiry > 100 {
		t.Errorf("second: got %v", p)
	}
	if a, b := got[0].Properties.User[1].Value, got[1].Properties.User[0].Value; a == b {
		t.Errorf("two messages have the id %s", a)
	}
	if s := u.Stats(); s.NoRoute != 2 || s.Routes[0].Messages != 1 || s.Routes[1].Messages != 1 {
		t.Errorf("got %d without route, routes %v", s.NoRoute, s.Routes)
	}
	if done.bad.Load() != 0 {
		t.Errorf("got %d tickets settled with an error", done.bad.Load())
	}
}

func TestReceiveMaximumIsObeyed(t *testing.T) {
	for _, limit := range []uint16{1, 3, 10} {
		t.Run(fmt.Sprint(limit), func(t *testing.T) {
			c := newCloud(t)
			var mu sync.Mutex
			var held []uint16
			most := 0
			c.connack = func(int, *packets.Connect) *packets.Connack {
				return &packets.Connack{Properties: &packets.Properties{ReceiveMaximum: &limit}}
			}
			c.publish = func(s *served, p *packets.Publish) {
				mu.Lock()
				defer mu.Unlock()
				held = append(held, p.PacketID)
				most = max(most, len(held))
				time.AfterFunc(2*time.Millisecond, func() {
					mu.Lock()
					defer mu.Unlock()
					for _, id := range held {
						s.ack(id, 0)
					}
					held = nil
				})
			}
			c.start()
			u, _ := begin(t, quick(c.url()), Options{})
			var done counter
			for i := range 200 {
				u.Send(message("a", fmt.Sprint(i)), Ticket{Owner: &done})
			}
			eventually(t, "all are acknowledged", func() bool { return done.settled.Load() == 200 && state(u, 0).Acked == 200 })
			mu.Lock()
			defer mu.Unlock()
			if most > int(limit) {
				t.Errorf("got %d unanswered, want at most %d", most, limit)
			}
			inOrder(t, c.got(), 200)
		})
	}
}

// inOrder checks that the first arrivals are 0, 1, 2, ... want-1.
func inOrder(t testing.TB, got []*packets.Publish, want int) (duplicates int) {
	t.Helper()
	next := 0
	for _, p := range got {
		var n int
		fmt.Sscan(string(p.Payload), &n)
		if p.Duplicate {
			t.Errorf("message %d has the DUP flag in a new session", n)
		}
		switch {
		case n == next:
			next++
		case n < next:
			duplicates++
		default:
			t.Fatalf("got message %d, want %d", n, next)
		}
	}
	if next != want {
		t.Errorf("got %d messages, want %d", next, want)
	}
	return duplicates
}

func TestWhatIsTooLargeIsRefusedAndTheRestGoesOn(t *testing.T) {
	c := newCloud(t)
	limit := uint32(200)
	c.connack = func(int, *packets.Connect) *packets.Connack {
		return &packets.Connack{Properties: &packets.Properties{MaximumPacketSize: &limit}}
	}
	c.start()
	u, _ := begin(t, quick(c.url()), Options{})
	var done counter
	for _, payload := range []string{"small", strings.Repeat("x", 300), "after"} {
		u.Send(message("a", payload), Ticket{Owner: &done})
	}
	eventually(t, "all are settled, two of them in the cloud", func() bool { return done.settled.Load() == 3 && state(u, 0).Acked == 2 })
	if got := len(c.got()); got != 2 {
		t.Errorf("got %d messages in the cloud, want 2", got)
	}
	if s := state(u, 0); s.Refused != 1 || s.Reconnects != 0 {
		t.Errorf("got %d refused and %d reconnects, want 1 and 0", s.Refused, s.Reconnects)
	}
}

func TestMaximumQoSAndRetainAvailable(t *testing.T) {
	c := newCloud(t)
	c.connack = func(int, *packets.Connect) *packets.Connack {
		no := byte(0)
		return &packets.Connack{Properties: &packets.Properties{MaximumQOS: &no, RetainAvailable: &no}}
	}
	c.start()
	u, _ := begin(t, quick(c.url()), Options{})
	var done counter
	m := message("a", "1")
	m.Retain = true
	u.Send(m, Ticket{Owner: &done})
	eventually(t, "it is settled and there", func() bool { return done.settled.Load() == 1 && len(c.got()) == 1 })
	if p := c.got()[0]; p.QoS != 0 || p.Retain {
		t.Errorf("got %v, want QoS 0 without retain", p)
	}
}

// The connection breaks while messages are in flight, again and again: all
// come, first arrivals in order.
func TestRewindAfterLoss(t *testing.T) {
	c := newCloud(t)
	var count atomic.Int64
	c.publish = func(s *served, p *packets.Publish) {
		n := count.Add(1)
		if n%97 == 0 {
			s.conn.Close()
			return
		}
		if n%5 != 0 { // some PUBACKs are late, and lost with the connection
			s.ack(p.PacketID, 0)
			return
		}
		id := p.PacketID
		time.AfterFunc(time.Millisecond, func() { s.ack(id, 0) })
	}
	c.start()
	cfg := quick(c.url())
	cfg.InFlight = 32
	u, _ := begin(t, cfg, Options{})
	var done counter
	for i := range 1000 {
		u.Send(message("a", fmt.Sprint(i)), Ticket{Owner: &done})
	}
	eventually(t, "all are acknowledged", func() bool { return done.settled.Load() == 1000 && state(u, 0).Acked == 1000 })
	duplicates := inOrder(t, c.got(), 1000)
	s := state(u, 0)
	if s.Reconnects == 0 || s.Resent == 0 {
		t.Errorf("got %d reconnects and %d resent, want some", s.Reconnects, s.Resent)
	}
	if most := int(s.Reconnects) * cfg.InFlight; duplicates > most {
		t.Errorf("got %d duplicates, want at most %d windows of %d", duplicates, s.Reconnects, cfg.InFlight)
	}
}

func TestReasonsOfPUBACK(t *testing.T) {
	for _, r := range []struct {
		reason  byte
		refused bool
	}{{0x10, false}, {0x80, false}, {0x83, false}, {0x97, false}, {0x87, true}, {0x90, true}, {0x95, true}, {0x99, true}} {
		t.Run(fmt.Sprintf("0x%02X", r.reason), func(t *testing.T) {
			c := newCloud(t)
			tries := 0
			c.publish = func(s *served, p *packets.Publish) {
				if string(p.Payload) == "2" {
					if tries++; tries < 3 {
						s.ack(p.PacketID, r.reason)
						return
					}
				}
				s.ack(p.PacketID, 0)
			}
			c.start()
			u, _ := begin(t, quick(c.url()), Options{})
			var done counter
			for i := range 20 {
				u.Send(message("a", fmt.Sprint(i)), Ticket{Owner: &done})
			}
			eventually(t, "all are answered", func() bool { s := state(u, 0); return done.settled.Load() == 20 && s.Acked+s.Refused == 20 })
			s := state(u, 0)
			if got := s.Refused == 1; got != r.refused {
				t.Errorf("got %d refused for good, want %v", s.Refused, r.refused)
			}
			if again := s.Retried > 0; again != (r.reason >= 0x80 && !r.refused) {
				t.Errorf("got %d tried again", s.Retried)
			}
			if s.Reconnects != 0 {
				t.Errorf("got %d reconnects, want 0", s.Reconnects)
			}
		})
	}
}

func TestBadServers(t *testing.T) {
	long := append([]byte{0x20, 0xff, 0xff, 0xff, 0x7f}, make([]byte, 64)...)
	for _, b := range []struct {
		name  string
		bytes []byte
		cause string
	}{
		{"endless length", []byte{0x40, 0xff, 0xff, 0xff, 0xff, 0xff}, "length"},
		{"huge packet", long, "announced"},
		{"short PUBACK", []byte{0x40, 1, 0}, "PUBACK"},
		{"a message", []byte{0x30, 4, 0, 1, 'a', 0}, "without subscriptions"},
		{"CONNECT", []byte{0x10, 2, 0, 0}, "type 1"},
		{"AUTH", []byte{0xF0, 0}, "type 15"},
		{"type 0", []byte{0, 0}, "type 0"},
		{"DISCONNECT", []byte{0xE0, 1, 0x8E}, "its own id"},
		{"broken SUBACK", []byte{0x90, 0}, ""},
		{"broken DISCONNECT", []byte{0xE0, 3, 0, 50, 1}, ""},
		{"end of file", nil, "closed"},
	} {
		t.Run(b.name, func(t *testing.T) {
			c := newCloud(t)
			c.after = func(s *served) {
				if s.n == 0 {
					s.raw(b.bytes...)
					if b.bytes == nil {
						s.conn.Close()
					}
				}
			}
			c.start()
			var log lines
			u, _ := begin(t, quick(c.url()), Options{Log: log.logger()})
			eventually(t, "the link has left and is up again", func() bool { return state(u, 0).Reconnects >= 1 && state(u, 0).State == Connected })
			if !strings.Contains(log.String(), b.cause) {
				t.Errorf("got log %q, want the cause %q in it", log.String(), b.cause)
			}
			var done counter
			u.Send(message("a", "0"), Ticket{Owner: &done})
			eventually(t, "a message goes up", func() bool { return done.settled.Load() == 1 })
		})
	}
}

func TestUnknownPUBACKsAreCounted(t *testing.T) {
	c := newCloud(t)
	c.publish = func(s *served, p *packets.Publish) {
		s.ack(p.PacketID+5, 0)
		s.raw(0x40, 2, 0, 0)
		s.ack(p.PacketID, 0)
		s.ack(p.PacketID, 0)
	}
	c.start()
	u, _ := begin(t, quick(c.url()), Options{})
	var done counter
	u.Send(message("a", "0"), Ticket{Owner: &done})
	eventually(t, "it is settled once and the rest counted", func() bool { return state(u, 0).Unknown == 3 && done.settled.Load() == 1 })
}

// At stop the links wait for PUBACKs, and say DISCONNECT 0x00.
func TestStopDrains(t *testing.T) {
	c := newCloud(t)
	c.publish = func(s *served, p *packets.Publish) {
		id := p.PacketID
		time.AfterFunc(300*time.Millisecond, func() { s.ack(id, 0) })
	}
	c.start()
	cfg := quick(c.url())
	cfg.DrainTimeout = conf.Duration(20 * time.Second)
	u, stop := begin(t, cfg, Options{})
	var done counter
	for i := range 10 {
		u.Send(message("a", fmt.Sprint(i)), Ticket{Owner: &done})
	}
	eventually(t, "all are in the cloud", func() bool { return len(c.got()) == 10 })
	stop()
	if got := state(u, 0).Acked; got != 10 {
		t.Errorf("got %d acknowledged before Run returned, want 10", got)
	}
	eventually(t, "DISCONNECT has come", func() bool { _, _, _, d := c.count(); return d == 1 })
	if c.disconnects[0] != 0 {
		t.Errorf("got DISCONNECT 0x%02X, want 0x00", c.disconnects[0])
	}
}

// A cloud that never acknowledges does not hold the stop up for long.
func TestStopIsBounded(t *testing.T) {
	c := newCloud(t)
	c.publish = func(*served, *packets.Publish) {}
	c.start()
	cfg := quick(c.url())
	cfg.DrainTimeout = conf.Duration(100 * time.Millisecond)
	u, stop := begin(t, cfg, Options{})
	u.Send(message("a", "0"), Ticket{Owner: new(counter)})
	eventually(t, "it is in the cloud", func() bool { return len(c.got()) == 1 })
	stop()
}
