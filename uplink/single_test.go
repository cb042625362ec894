package uplink

import (
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/packets"

	"tidegate/internal/conf"
)

func single(urls ...string) Config {
	c := downOnly(urls...)
	c.Up = []Up{{Filter: "dev/#"}}
	c.SingleClient, c.ClientID = true, "thing:17"
	return c
}

// One connection of the configured id carries both directions; what was in
// flight when it ends is sent again in order, before anything new, and commands
// go on.
func TestSingleClient(t *testing.T) {
	c := newCloud(t)
	var mute atomic.Bool
	mute.Store(true)
	c.publish = func(s *served, p *packets.Publish) {
		if !mute.Load() {
			s.ack(p.PacketID, 0)
		}
	}
	var to connection
	c.after = to.set
	c.start()
	e := edge{settle: true}
	u, stop := begin(t, single(c.url()), e.options())
	eventually(t, "it has subscribed", func() bool { c.mu.Lock(); defer c.mu.Unlock(); return len(c.subscribed) == 1 })
	var done counter
	for i := range 50 {
		u.Send(message("dev/a", fmt.Sprint(i)), Ticket{Owner: &done})
	}
	eventually(t, "all are in flight", func() bool { return len(c.got()) == 50 })
	to.get().publishDown(50, "site/7/cmd/x", "1", nil) // an id that is in flight upwards, too
	eventually(t, "the command is acknowledged", func() bool { _, _, n, _ := c.count(); return n == 1 })
	first := to.get()
	mute.Store(false)
	first.conn.Close()
	eventually(t, "all are settled", func() bool { return done.settled.Load() == 50 })
	u.Send(message("dev/a", "50"), Ticket{Owner: &done})
	eventually(t, "a new one is acknowledged", func() bool { return done.settled.Load() == 51 && state(u, 0).Acked == 51 })
	eventually(t, "it has subscribed again", func() bool { c.mu.Lock(); defer c.mu.Unlock(); return len(c.subscribed) == 2 })
	to.get().publishDown(1, "site/7/cmd/x", "2", nil)
	eventually(t, "the second command is acknowledged", func() bool { _, _, n, _ := c.count(); return n == 2 })
	if n := inOrder(t, c.got(), 51); n != 50 {
		t.Errorf("got %d duplicates, want what was in flight, 50", n)
	}
	c.mu.Lock()
	for _, p := range c.connects {
		if p.ClientID != "thing:17" || p.CleanStart || *p.Properties.SessionExpiryInterval != 86400 || *p.Properties.ReceiveMaximum != 1024 {
			t.Errorf("got CONNECT %+v", p)
		}
	}
	for _, p := range c.subscribed {
		if p.PacketID <= publishIDs {
			t.Errorf("got SUBSCRIBE with id %d, which a PUBLISH may have", p.PacketID)
		}
	}
	c.mu.Unlock()
	s := u.Stats()
	if l := s.Links[0]; len(s.Links) != 1 || l.ID != "thing:17" || l.Acked != 51 || l.Resent != 50 || l.Received != 2 || l.Taken != 2 || l.Down {
		t.Errorf("got %+v", s.Links)
	}
	if d, l := u.downward(); d == nil || l != u.links[0] {
		t.Error("the link does not carry commands")
	}
	stop()
	eventually(t, "it has said goodbye", func() bool { _, _, _, n := c.count(); return n == 1 })
}

// A stop lets both directions finish: the PUBACKs of what is in flight, and the
// commands that the edge has.
func TestSingleClientLeavesInOrder(t *testing.T) {
	c := newCloud(t)
	held := make(chan func(), 1)
	c.publish = func(s *served, p *packets.Publish) { held <- func() { s.ack(p.PacketID, 0) } }
	var to connection
	c.after = to.set
	c.start()
	var e edge
	cfg := single(c.url())
	cfg.DrainTimeout = conf.Duration(20 * time.Second)
	u, _ := begin(t, cfg, e.options())
	eventually(t, "it has subscribed", func() bool { c.mu.Lock(); defer c.mu.Unlock(); return len(c.subscribed) == 1 })
	var done counter
	u.Send(message("dev/a", "0"), Ticket{Owner: &done})
	ack := <-held
	to.get().publishDown(1, "site/7/cmd/x", "", nil)
	eventually(t, "a command is delivered", func() bool { return e.count() == 1 })
	cfg.KeepAlive = conf.Duration(20 * time.Second)
	if err := u.Reload(cfg); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it wants to leave", func() bool { return state(u, 0).State == Draining })
	ack()
	eventually(t, "the message is settled", func() bool { return done.settled.Load() == 1 })
	if _, _, _, n := c.count(); n != 0 {
		t.Error("it has left while the edge had a command")
	}
	e.tickets[0].Owner.Settle(e.tickets[0].ID, 0)
	eventually(t, "it has left", func() bool { _, _, _, n := c.count(); return n == 1 })
	if _, _, n, _ := c.count(); n != 1 {
		t.Errorf("got %d commands acknowledged, want 1", n)
	}
}

// A cloud that reads nothing while it sends is read from all the same: it may
// be waiting for that. The acknowledgement of a command must not get stuck
// behind what goes up.
func TestSingleClientReadsWhileItsWriteIsStuck(t *testing.T) {
	c := newCloud(t)
	var to connection
	c.after = func(s *served) {
		s.conn.(*net.TCPConn).SetReadBuffer(16 << 10)
		to.set(s)
	}
	goOn := make(chan struct{})
	var first atomic.Bool
	c.publish = func(s *served, p *packets.Publish) {
		if first.CompareAndSwap(false, true) {
			<-goOn
		}
		s.ack(p.PacketID, 0)
	}
	c.start()
	e := edge{settle: true}
	cfg := single(c.url())
	cfg.InFlightBytes = 64 << 20
	cfg.AckTimeout, cfg.Patience = conf.Duration(time.Minute), conf.Duration(10*time.Minute)
	u, _ := begin(t, cfg, e.options())
	defer close(goOn)
	eventually(t, "it has subscribed", func() bool { c.mu.Lock(); defer c.mu.Unlock(); return len(c.subscribed) == 1 })
	var done counter
	body := strings.Repeat("x", 256<<10)
	for range 64 {
		u.Send(message("dev/a", body), Ticket{Owner: &done})
	}
	eventuallyUp(t, u, 0)
	w := u.links[0].role.(*both).up.wire
	eventually(t, "the write is stuck", func() bool {
		for range 20 {
			if w.mu.TryLock() {
				w.mu.Unlock()
				return false
			}
			time.Sleep(10 * time.Millisecond)
		}
		return true
	})
	for id := range uint16(20) {
		to.get().publishDown(id+1, "site/7/cmd/x", "", nil)
		eventually(t, "a command is delivered", func() bool { return e.count() == int(id)+1 })
	}
	if n := state(u, 0).Reconnects; n != 0 {
		t.Errorf("the connection was lost %d times, want 0", n)
	}
}

// commander publishes numbered commands to one node, one at a time, each
// acknowledged before the next.
type commander struct {
	t    testing.TB
	conn net.Conn
}

func newCommander(t testing.TB, addr string) *commander {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	c := &commander{t, conn}
	c.roundTrip(&packets.Connect{ProtocolName: "MQTT", ProtocolVersion: 5, ClientID: "app", CleanStart: true, Properties: &packets.Properties{}})
	return c
}

func (c *commander) roundTrip(p packets.Packet) {
	c.t.Helper()
	p.WriteTo(c.conn)
	if _, err := packets.ReadPacket(c.conn); err != nil {
		c.t.Fatal(err)
	}
}

func (c *commander) send(n int) {
	c.t.Helper()
	c.roundTrip(&packets.Publish{Topic: "site/7/cmd/x", Payload: []byte(fmt.Sprint(n)), QoS: 1, PacketID: uint16(n%1000 + 1), Properties: &packets.Properties{}})
}

// The node under the one link is killed under load in both directions: nothing
// is lost upwards, order holds, and commands come from the other node.
func TestSingleClientFailover(t *testing.T) {
	var book ledger
	var nodes []*mosquitto
	cfg := single()
	cfg.Cluster = false
	cfg.ReconnectMax = conf.Duration(time.Second)
	for range 2 {
		m := startMosquitto(t)
		nodes = append(nodes, m)
		cfg.Endpoints = append(cfg.Endpoints, m.url())
		book.consume(t, m.addr)
	}
	e := edge{settle: true}
	u, _ := begin(t, cfg, e.options())
	eventuallyUp(t, u, 0)
	var done counter
	var devices publishers
	stop := devices.load(u, &done)
	n := 0
	for round := range 2 {
		at := 0
		if state(u, 0).Endpoint == nodes[1].url() {
			at = 1
		}
		app := newCommander(t, nodes[at].addr)
		arrived := e.count()
		eventually(t, "a command arrives: it has subscribed", func() bool { app.send(n); n++; return e.count() > arrived })
		arrived = e.count()
		for range 200 {
			app.send(n)
			n++
		}
		eventually(t, "commands arrive", func() bool { return e.count() >= arrived+200 })
		if round == 1 {
			break
		}
		acked, before := state(u, 0).Acked, state(u, 0).Reconnects
		nodes[at].kill()
		eventually(t, "it is up elsewhere and acknowledges", func() bool {
			s := state(u, 0)
			return s.Reconnects > before && s.State == Connected && s.Acked > acked+100
		})
	}
	stop()
	sent := devices.sent()
	eventually(t, "all are settled", func() bool { return int(done.settled.Load()) == sent })
	eventually(t, "all are in the cloud", func() bool { n, _ := book.count(); return n == sent })
	_, duplicates := book.count()
	if duplicates > cfg.InFlight || len(book.disorder) > 0 {
		t.Errorf("got %d duplicates, %d out of order, want at most a window of %d and none", duplicates, len(book.disorder), cfg.InFlight)
	}
	last := -1
	for _, m := range e.got {
		var k int
		fmt.Sscan(string(m.Payload), &k)
		if k <= last || !strings.HasPrefix(m.Topic, "home/cmd/") {
			t.Fatalf("got command %d on %s after %d", k, m.Topic, last)
		}
		last = k
	}
}
