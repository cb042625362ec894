package uplink

import (
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/packets"

	"tidegate/internal/conf"
)

func TestLateAcknowledgementsWithPingsAreASlowCloud(t *testing.T) {
	c := newCloud(t)
	var hold sync.Mutex
	hold.Lock()
	c.publish = func(s *served, p *packets.Publish) {
		go func(id uint16) {
			hold.Lock()
			s.ack(id, 0)
			hold.Unlock()
		}(p.PacketID)
	}
	c.start()
	other := newCloud(t).start()
	cfg := quick(c.url(), other.url())
	cfg.AckTimeout = conf.Duration(3 * time.Second) // half of it for a PINGRESP, on a busy machine too
	u, _ := beginAt(t, cfg, 0)
	var done counter
	u.Send(message("a", "0"), Ticket{Owner: &done})
	eventually(t, "the link is slow", func() bool { return state(u, 0).State == Slow })
	hold.Unlock()
	eventually(t, "it is up again", func() bool { return done.settled.Load() == 1 && state(u, 0).State == Connected })
	if s := state(u, 0); s.Failovers != 0 || s.Reconnects != 0 {
		t.Errorf("got %d failovers and %d reconnects, want none", s.Failovers, s.Reconnects)
	}
}

func eventuallyUp(t testing.TB, u *Uplink, link int) {
	t.Helper()
	eventually(t, "the link is up", func() bool { return state(u, link).State == Connected })
}

// A node that answers pings and acknowledges nothing is left in the end.
func TestStuckNodeIsLeft(t *testing.T) {
	mute := func(*served, *packets.Publish) {}
	a, b := newCloud(t), newCloud(t)
	a.publish, b.publish = mute, nil
	a.start()
	b.start()
	cfg := quick(a.url(), b.url())
	cfg.AckTimeout, cfg.Patience = conf.Duration(100*time.Millisecond), conf.Duration(time.Second)
	u, _ := beginAt(t, cfg, 0)
	var done counter
	u.Send(message("a", "0"), Ticket{Owner: &done})
	eventually(t, "the other node acknowledges it", func() bool { return state(u, 0).Acked == 1 && done.settled.Load() == 1 })
	if s := state(u, 0); s.Endpoint != b.url() || s.Failovers != 1 || s.Resent != 1 {
		t.Errorf("got %+v, want one move to the other node", s)
	}
}

// beginAt runs an uplink of a gateway whose first link begins at an endpoint.
func beginAt(t testing.TB, cfg Config, endpoint int) (u *Uplink, stop func()) {
	t.Helper()
	for i := 0; ; i++ {
		gateway := fmt.Sprintf("gw%d", i)
		if preference(cfg.Placement, gateway, "", 0, cfg.Endpoints, nil)[0] != endpoint {
			continue
		}
		u, err := New(cfg, Options{Gateway: gateway, Epoch: 7, Dir: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		stop := run(t, u)
		eventuallyUp(t, u, 0)
		return u, stop
	}
}

// ledger checks what consumers on all nodes see together. Order is that of each
// node: what one delivered before it was killed may be read after what came
// from the next one.
type ledger struct {
	mu         sync.Mutex
	next       map[[2]string]int // by node and topic: after the greatest number
	seen       map[string]map[int]bool
	duplicates int
	disorder   []string
	last       map[string]time.Time // of a first arrival
	gap        time.Duration        // longest between two of one topic
}

func (l *ledger) arrive(node, topic string, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.seen == nil {
		l.next, l.seen, l.last = map[[2]string]int{}, map[string]map[int]bool{}, map[string]time.Time{}
	}
	if l.seen[topic] == nil {
		l.seen[topic] = map[int]bool{}
	}
	if l.seen[topic][n] {
		l.duplicates++
		return
	}
	l.seen[topic][n] = true
	at := [2]string{node, topic}
	if n < l.next[at] {
		l.disorder = append(l.disorder, fmt.Sprintf("%s: %d after %d", topic, n, l.next[at]-1))
	}
	l.next[at] = max(l.next[at], n+1)
	now := time.Now()
	if last, ok := l.last[topic]; ok {
		l.gap = max(l.gap, now.Sub(last))
	}
	l.last[topic] = now
}

func (l *ledger) count() (first, duplicates int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.seen {
		first += len(s)
	}
	return first, l.duplicates
}

// consume enters everything that one node delivers.
func (l *ledger) consume(t testing.TB, addr string) (subscribed *atomic.Int64) {
	return consume(t, addr, func(topic string, n int) { l.arrive(addr, topic, n) })
}

// consume subscribes to everything at one node, connecting anew when the node
// is back. It returns a count of its subscriptions: what a node
// gets while nobody is subscribed is nobody's to find.
func consume(t testing.TB, addr string, arrive func(topic string, n int)) (subscribed *atomic.Int64) {
	quit := make(chan struct{})
	var wg sync.WaitGroup
	var mu sync.Mutex
	var conn net.Conn
	subscribed = new(atomic.Int64)
	wg.Go(func() {
		for {
			select {
			case <-quit:
				return
			default:
			}
			c, err := net.Dial("tcp", addr)
			if err != nil {
				time.Sleep(5 * time.Millisecond)
				continue
			}
			mu.Lock()
			conn = c
			mu.Unlock()
			(&packets.Connect{ProtocolName: "MQTT", ProtocolVersion: 5, ClientID: "consumer", CleanStart: true, Properties: &packets.Properties{}}).WriteTo(c)
			(&packets.Subscribe{PacketID: 1, Subscriptions: []packets.SubOptions{{Topic: "#"}}, Properties: &packets.Properties{}}).WriteTo(c)
			for {
				p, err := packets.ReadPacket(c)
				if err != nil {
					break
				}
				switch p := p.Content.(type) {
				case *packets.Suback:
					subscribed.Add(1)
				case *packets.Publish:
					topic, number, ok := strings.Cut(string(p.Payload), " ")
					if !ok {
						continue // a command
					}
					n := 0
					fmt.Sscan(number, &n)
					arrive(topic, n)
				}
			}
			c.Close()
		}
	})
	eventually(t, "a consumer has subscribed", func() bool { return subscribed.Load() > 0 })
	t.Cleanup(func() {
		close(quit)
		mu.Lock()
		conn.Close()
		mu.Unlock()
		wg.Wait()
	})
	return subscribed
}

// publishers are devices with a topic each; they number what they send.
type publishers [4]int

func (p *publishers) sent() (n int) {
	for _, k := range p {
		n += k
	}
	return n
}

// load makes them send, about 2000 a second together, until stop is called.
func (p *publishers) load(u *Uplink, done *counter) (stop func()) {
	quit := make(chan struct{})
	var wg sync.WaitGroup
	for i := range p {
		wg.Go(func() {
			name := fmt.Sprintf("dev/%d", i)
			tick := time.NewTicker(4 * time.Millisecond)
			defer tick.Stop()
			for {
				select {
				case <-quit:
					return
				case <-tick.C:
				}
				for range 2 {
					u.Send(message(name, fmt.Sprintf("%s %d", name, p[i])), Ticket{Owner: done})
					p[i]++
				}
			}
		})
	}
	return func() { close(quit); wg.Wait() }
}

// Nodes are killed, stopped and blackholed in turn under load: nothing is
// lost, first arrivals stay in order, duplicates are at most a window each.
func TestNodesFailUnderLoad(t *testing.T) {
	for _, f := range []struct {
		name         string
		break_, mend func(m *mosquitto, r *relay)
	}{
		{"kill", func(m *mosquitto, _ *relay) { m.kill() }, func(m *mosquitto, _ *relay) { m.start() }},
		{"stop", func(m *mosquitto, _ *relay) { m.signal(syscall.SIGSTOP) }, func(m *mosquitto, _ *relay) { m.signal(syscall.SIGCONT) }},
		{"blackhole", func(_ *mosquitto, r *relay) { r.stall(true) }, func(_ *mosquitto, r *relay) { r.stall(false) }},
	} {
		t.Run(f.name, func(t *testing.T) {
			var book ledger
			var nodes []*mosquitto
			var relays []*relay
			var subscribed []*atomic.Int64
			cfg := quick()
			cfg.Links = 2
			cfg.ReconnectMax = conf.Duration(time.Second)
			for range 3 {
				m := startMosquitto(t)
				r := newRelay(t, m.addr)
				nodes, relays = append(nodes, m), append(relays, r)
				cfg.Endpoints = append(cfg.Endpoints, "mqtt://"+r.addr())
				subscribed = append(subscribed, book.consume(t, m.addr))
			}
			u, _ := begin(t, cfg, Options{})
			eventuallyUp(t, u, 0)
			eventuallyUp(t, u, 1)
			var done counter
			var devices publishers
			stop := devices.load(u, &done)
			for round := range 2 {
				at := -1
				for i, e := range cfg.Endpoints {
					if e == state(u, round%2).Endpoint {
						at = i
					}
				}
				moves := state(u, round%2).Reconnects
				f.break_(nodes[at], relays[at])
				eventually(t, "the link is up elsewhere", func() bool {
					s := state(u, round%2)
					return s.Reconnects > moves && s.State == Connected && s.Endpoint != cfg.Endpoints[at]
				})
				acked := state(u, round%2).Acked
				eventually(t, "it acknowledges again", func() bool { return state(u, round%2).Acked > acked+100 })
				before := subscribed[at].Load()
				f.mend(nodes[at], relays[at])
				if f.name == "kill" {
					eventually(t, "the node's consumer is back", func() bool { return subscribed[at].Load() > before })
				}
			}
			stop()
			sent := devices.sent()
			eventually(t, "all are settled", func() bool { return int(done.settled.Load()) == sent })
			eventually(t, "all are in the cloud", func() bool { n, _ := book.count(); return n == sent })
			_, duplicates := book.count()
			s := u.Stats()
			losses := int(s.Links[0].Reconnects + s.Links[1].Reconnects)
			if duplicates > losses*cfg.InFlight {
				t.Errorf("got %d duplicates in %d losses, want at most a window of %d each", duplicates, losses, cfg.InFlight)
			}
			if len(book.disorder) > 0 {
				t.Errorf("got %d out of order: %v", len(book.disorder), book.disorder[:min(5, len(book.disorder))])
			}
			t.Logf("%d messages, %d duplicates, %d losses, longest silence of a topic %v", sent, duplicates, losses, book.gap)
		})
	}
}
