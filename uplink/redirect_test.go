package uplink

import (
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/packets"
	"golang.org/x/sys/unix"

	"tidegate/internal/conf"
)

// No broker at hand sends 0x9C or 0x9D: these tests are against the scripted
// server of cloud_test.go, over TCP.

func referring(reason byte, to string) *packets.Connack {
	return &packets.Connack{ReasonCode: reason, Properties: &packets.Properties{ServerReference: to}}
}

// sendAway is a DISCONNECT [MQTT 5, 3.14], after which a server sends nothing.
// It closes when what it sent has arrived: closed with our messages unread, the
// kernel throws away what has not.
func (s *served) sendAway(reason byte, to string) {
	s.send(&packets.Disconnect{ReasonCode: reason, Properties: &packets.Properties{ServerReference: to}})
	for end := time.Now().Add(20 * time.Second); s.unsent() > 0 && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	s.conn.Close()
}

// unsent returns how many bytes the other side's kernel has not acknowledged.
func (s *served) unsent() (n int) {
	tcp, ok := s.conn.(*net.TCPConn)
	if !ok {
		return 0
	}
	if raw, err := tcp.SyscallConn(); err == nil {
		raw.Control(func(fd uintptr) { n, _ = unix.IoctlGetInt(int(fd), unix.SIOCOUTQ) })
	}
	return n
}

func (c *cloud) addr() string { return c.ln.Addr().String() }

func TestRedirectionInCONNACK(t *testing.T) {
	for _, reason := range []byte{0x9C, 0x9D} {
		t.Run(fmt.Sprintf("0x%02X", reason), func(t *testing.T) {
			target := newCloud(t).start()
			c := newCloud(t)
			c.connack = func(int, *packets.Connect) *packets.Connack { return referring(reason, "127.0.0.1:1 "+target.addr()) }
			c.start()
			u, _ := begin(t, quick(c.url()), Options{})
			eventuallyUp(t, u, 0)
			var done counter
			u.Send(message("a", "0"), Ticket{Owner: &done})
			eventually(t, "a message is acknowledged", func() bool { return done.settled.Load() == 1 && state(u, 0).Acked == 1 })
			if s := state(u, 0); s.Endpoint != target.url() || s.Redirects != 1 || s.Astray != 1 {
				t.Errorf("got %+v, want the link on %s by the second reference", s, target.url())
			}
		})
	}
}

// A node is drained by DISCONNECT 0x9C while messages flow: nothing is lost,
// the order stays, and what comes twice is at most what was in flight.
func TestDrainedNodeLosesNothing(t *testing.T) {
	const messages = 4000
	target := newCloud(t).start()
	c := newCloud(t)
	c.connack = func(n int, _ *packets.Connect) *packets.Connack {
		if n == 0 {
			return &packets.Connack{Properties: &packets.Properties{}}
		}
		return referring(0x9C, target.addr()) // for a kernel that loses the DISCONNECT with the RST after it
	}
	var count atomic.Int64
	c.publish = func(s *served, p *packets.Publish) {
		switch n := count.Add(1); {
		case n == 1000:
			s.sendAway(0x9C, target.addr())
		case n < 850 || n < 1000 && n%7 != 0: // some PUBACKs are missing when it goes
			s.ack(p.PacketID, 0)
		}
	}
	c.start()
	cfg := quick(c.url())
	cfg.InFlight = 256
	u, _ := begin(t, cfg, Options{})
	var done counter
	for i := range messages {
		u.Send(message("a", fmt.Sprint(i)), Ticket{Owner: &done})
	}
	eventually(t, "all are acknowledged by the cloud", func() bool { return state(u, 0).Acked == messages && done.settled.Load() == messages })
	eventually(t, "the link is on the other node", func() bool {
		return state(u, 0).Endpoint == target.url()
	})
	all := append(c.got(), target.got()...)
	duplicates := inOrder(t, all, messages)
	s := state(u, 0)
	if duplicates > cfg.InFlight {
		t.Errorf("got %d duplicates, want at most the window of %d", duplicates, cfg.InFlight)
	}
	if s.Redirects != 1 {
		t.Errorf("got %d redirections followed, want 1", s.Redirects)
	}
	t.Logf("%d duplicates", duplicates)
}

// What was acknowledged before the DISCONNECT is not sent again, though the
// node closes at once, with our messages unread.
func TestDrainedNodesAcknowledgementsCount(t *testing.T) {
	target := newCloud(t).start()
	c := newCloud(t)
	var mu sync.Mutex
	var ids []uint16
	c.publish = func(s *served, p *packets.Publish) {
		mu.Lock()
		defer mu.Unlock()
		if ids = append(ids, p.PacketID); len(ids) == 30 { // it may send no more before a quarter of its window is free
			for _, id := range ids {
				s.ack(id, 0)
			}
			s.sendAway(0x9C, target.addr())
		}
	}
	c.start()
	cfg := calm(quick(c.url()))
	cfg.InFlight = 50
	u, _ := begin(t, cfg, Options{})
	var done counter
	for i := range 500 {
		u.Send(message("a", fmt.Sprint(i)), Ticket{Owner: &done})
	}
	eventually(t, "all are acknowledged", func() bool { return state(u, 0).Acked == 500 && done.settled.Load() == 500 })
	if duplicates := inOrder(t, append(c.got(), target.got()...), 500); duplicates != 0 {
		t.Errorf("got %d duplicates, want none: everything was acknowledged", duplicates)
	}
}

// Without a server to go to, or with one that is not allowed or not there, the
// link goes on through its list and avoids the sender.
func TestRedirectionsThatLeadNowhere(t *testing.T) {
	trap := newCloud(t).start() // must see nobody
	_, trapPort, _ := strings.Cut(trap.addr(), ":")
	for _, r := range []struct{ name, to, log string }{
		{"no reference", "", "no server is named"},
		{"not allowed", "localhost:" + trapPort, "redirect-to"},
		{"not there", "127.0.0.1:1", "leads nowhere"},
	} {
		for _, when := range []string{"CONNACK", "DISCONNECT"} {
			t.Run(r.name+" in "+when, func(t *testing.T) {
				c, other := newCloud(t), newCloud(t).start()
				if when == "CONNACK" {
					c.connack = func(int, *packets.Connect) *packets.Connack { return referring(0x9C, r.to) }
				} else {
					c.publish = func(s *served, p *packets.Publish) { s.sendAway(0x9C, r.to) }
				}
				c.start()
				var log lines
				cfg := quick(c.url(), other.url())
				u, err := New(cfg, Options{Gateway: gatewayAt(cfg, 0), Epoch: 7, Dir: t.TempDir(), Log: log.logger()})
				if err != nil {
					t.Fatal(err)
				}
				run(t, u)
				var done counter
				u.Send(message("a", "0"), Ticket{Owner: &done})
				eventually(t, "the message is acknowledged elsewhere", func() bool { return done.settled.Load() == 1 && state(u, 0).Endpoint == other.url() })
				if s := state(u, 0); s.Astray != 1 || s.Redirects != 0 {
					t.Errorf("got %d astray and %d followed, want 1 and 0", s.Astray, s.Redirects)
				}
				if !strings.Contains(log.String(), r.log) {
					t.Errorf("got log %q, want %q in it", log.String(), r.log)
				}
			})
		}
	}
	if n, _, _, _ := trap.count(); n != 0 {
		t.Errorf("got %d connections to a server that is not allowed", n)
	}
}

// gatewayAt names a gateway whose first link begins at an endpoint.
func gatewayAt(cfg Config, endpoint int) string {
	for i := 0; ; i++ {
		if g := fmt.Sprintf("gw%d", i); preference(cfg.Placement, g, "", 0, cfg.Endpoints, nil)[0] == endpoint {
			return g
		}
	}
}

// Two nodes send the link to each other: it visits each once, then waits as for
// any endpoint that fails, and does not spin.
func TestRedirectionInACircle(t *testing.T) {
	a, b := newCloud(t), newCloud(t)
	a.connack = func(int, *packets.Connect) *packets.Connack { return referring(0x9C, b.addr()) }
	var let atomic.Bool
	b.connack = func(int, *packets.Connect) *packets.Connack {
		if let.Load() {
			return &packets.Connack{Properties: &packets.Properties{}}
		}
		return referring(0x9C, a.addr())
	}
	a.start()
	b.start()
	cfg := quick(a.url())
	cfg.ReconnectMax = conf.Duration(time.Second)
	u, _ := begin(t, cfg, Options{})
	eventually(t, "the link has found out", func() bool { return state(u, 0).Astray >= 3 })
	began := time.Now()
	n, _, _, _ := a.count()
	eventually(t, "the link waits", func() bool { return state(u, 0).State == Backoff })
	if most := 20 + 20*int(time.Since(began)/backoffBase); n > most {
		t.Errorf("got %d connections in a circle, want a few", n)
	}
	let.Store(true)
	eventuallyUp(t, u, 0)
}

// When its time is over the link goes back to its list, in-flight drained.
func TestRedirectionEnds(t *testing.T) {
	target := newCloud(t).start()
	c := newCloud(t)
	c.connack = func(n int, _ *packets.Connect) *packets.Connack {
		if n == 0 {
			return referring(0x9C, target.addr())
		}
		return &packets.Connack{Properties: &packets.Properties{}}
	}
	c.start()
	cfg := quick(c.url())
	cfg.RedirectFor = conf.Duration(time.Second)
	u, _ := begin(t, cfg, Options{})
	eventually(t, "the link follows", func() bool { return state(u, 0).Redirects == 1 })
	eventually(t, "it is back", func() bool { s := state(u, 0); return s.State == Connected && s.Endpoint == c.url() })
	eventually(t, "it said DISCONNECT", func() bool { _, _, _, d := target.count(); return d == 1 })
}

// With TLS at the sender the link goes to nobody without.
func TestRedirectionKeepsTLS(t *testing.T) {
	from, err := parseEndpoint("mqtts://127.0.0.1:8883")
	if err != nil {
		t.Fatal(err)
	}
	to, err := refer("127.0.0.1:8884", from)
	if err != nil || !to.tls || to.host != "127.0.0.1:8884" {
		t.Errorf("got %+v, %v, want TLS", to, err)
	}
}

// Who was sent away without a place to go does not return as soon as the node
// looks well, but after redirect-for.
func TestNoReturnToWhoSendsAway(t *testing.T) {
	home, guest := newCloud(t), newCloud(t).start()
	home.publish = func(s *served, p *packets.Publish) {
		s.ack(p.PacketID, 0)
		s.sendAway(0x9C, "")
	}
	home.start()
	cfg := calm(quick(home.url(), guest.url()))
	cfg.StableAfter = conf.Duration(100 * time.Millisecond)
	u, _ := beginAt(t, cfg, 0)
	eventuallyUp(t, u, 0)
	var done counter
	u.Send(message("a", "0"), Ticket{Owner: &done})
	eventually(t, "the link is with the other node", func() bool { return state(u, 0).Endpoint == guest.url() && state(u, 0).State == Connected })
	if !u.home.shut(home.url()) || u.home.shut(guest.url()) {
		t.Error("the node that sends links away is not shut alone")
	}
	set := u.settings.Load()
	for range 3 {
		u.lookHome(t.Context(), set, time.Nanosecond)
	}
	if s := state(u, 0); s.Returns+s.ReturnsFailed != 0 || s.Endpoint != guest.url() {
		t.Errorf("got %+v, want the link to stay", s)
	}
	u.home.sentAway(home.url(), time.Time{})
	eventually(t, "it returns when the time is over", func() bool { return state(u, 0).Returns > 0 })
}
