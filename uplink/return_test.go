package uplink

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/packets"

	"tidegate/internal/conf"
)

// journal is what the consumers of all nodes got, by topic, each node's in the
// order of arrival.
type journal struct {
	mu  sync.Mutex
	got map[string]map[int][]arrived // by topic and node
}

type arrived struct {
	n  int
	at time.Time
}

func (j *journal) enter(node int) func(topic string, n int) {
	return func(topic string, n int) {
		j.mu.Lock()
		defer j.mu.Unlock()
		if j.got == nil {
			j.got = map[string]map[int][]arrived{}
		}
		if j.got[topic] == nil {
			j.got[topic] = map[int][]arrived{}
		}
		j.got[topic][node] = append(j.got[topic][node], arrived{n, time.Now()})
	}
}

func (j *journal) count() (n int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, nodes := range j.got {
		for _, list := range nodes {
			n += len(list)
		}
	}
	return n
}

// follow goes through a topic's messages along the nodes that its link was on:
// they must be 0, 1, 2 ... without a hole or a repetition. It returns how many
// there were and the longest pause at a change of nodes.
func (j *journal) follow(t testing.TB, topic string, nodes ...int) (n int, gap time.Duration) {
	t.Helper()
	j.mu.Lock()
	defer j.mu.Unlock()
	var last time.Time
	for _, node := range nodes {
		list := j.got[topic][node]
		if len(list) > 0 && !last.IsZero() {
			gap = max(gap, list[0].at.Sub(last))
		}
		for _, a := range list {
			if a.n != n {
				t.Fatalf("%s: got message %d from node %d, want %d", topic, a.n, node, n)
			}
			n, last = n+1, a.at
		}
	}
	return n, gap
}

// A link goes back under load to the node where it belongs, once that is well:
// nothing is lost, nothing arrives twice, and the pause is short.
func TestReturnUnderLoad(t *testing.T) {
	a, b := startMosquitto(t), startMosquitto(t)
	ra := newRelay(t, a.addr)
	ra.refuse(true)
	var book journal
	consume(t, a.addr, book.enter(0))
	consume(t, b.addr, book.enter(1))
	cfg := quick("mqtt://"+ra.addr(), b.url())
	cfg.StableAfter, cfg.AckTimeout, cfg.DrainTimeout = 0, conf.Duration(10*time.Second), conf.Duration(10*time.Second)
	u, _ := beginAt(t, cfg, 0)
	if s := state(u, 0); s.Endpoint != b.url() {
		t.Fatalf("got the link on %s, want it on the only node that lives", s.Endpoint)
	}
	var done counter
	var devices publishers
	stop := devices.load(u, &done)
	eventually(t, "some arrived", func() bool { return book.count() > 500 })
	if s := state(u, 0); s.Returns != 0 {
		t.Error("the link went to a node that is away")
	}
	ra.refuse(false)
	stableAfter(t, u, cfg, 300*time.Millisecond)
	eventually(t, "the link is back", func() bool { s := state(u, 0); return s.Returns == 1 && s.State == Connected })
	before := book.count()
	eventually(t, "traffic goes on", func() bool { return book.count() > before+500 })
	stop()
	sent := devices.sent()
	eventually(t, "all are settled and in the cloud", func() bool { return int(done.settled.Load()) == sent && book.count() >= sent })
	var pause time.Duration
	for i, n := range devices {
		got, gap := book.follow(t, fmt.Sprintf("dev/%d", i), 1, 0)
		if got != n {
			t.Errorf("device %d: got %d of %d", i, got, n)
		}
		pause = max(pause, gap)
	}
	s := state(u, 0)
	if s.Returns != 1 || s.Failovers != 0 || s.Resent != 0 || s.Endpoint != cfg.Endpoints[0] {
		t.Errorf("got %+v, want one return and nothing sent twice", s)
	}
	if pause > 10*time.Second {
		t.Errorf("got a pause of %v", pause)
	}
	t.Logf("%d messages, pause at the return %v", sent, pause)
}

// stableAfter lets links return from now on.
func stableAfter(t testing.TB, u *Uplink, cfg Config, d time.Duration) {
	t.Helper()
	cfg.StableAfter = conf.Duration(d)
	if err := u.Reload(cfg); err != nil {
		t.Fatal(err)
	}
}

// The links of a gateway that all sit on the one node that came back first
// spread again.
func TestLinksSpreadAgain(t *testing.T) {
	var relays []*relay
	cfg := quick()
	cfg.Links, cfg.StableAfter = 3, 0
	for range 3 {
		c := newCloud(t).start()
		relays = append(relays, newRelay(t, c.ln.Addr().String()))
		cfg.Endpoints = append(cfg.Endpoints, "mqtt://"+relays[len(relays)-1].addr())
	}
	relays[1].refuse(true)
	relays[2].refuse(true)
	u, _ := begin(t, cfg, Options{})
	for l := range cfg.Links {
		eventuallyUp(t, u, l)
		if at := state(u, l).Endpoint; at != cfg.Endpoints[0] {
			t.Fatalf("got link %d on %s", l, at)
		}
	}
	relays[1].refuse(false)
	relays[2].refuse(false)
	stableAfter(t, u, cfg, 200*time.Millisecond)
	eventually(t, "each is on a node of its own", func() bool {
		at := map[string]bool{}
		for l := range cfg.Links {
			if s := state(u, l); s.State == Connected {
				at[s.Endpoint] = true
			}
		}
		return len(at) == 3
	})
	var returns int64
	for l := range cfg.Links {
		s := state(u, l)
		returns += s.Returns
		if s.Returns > 1 {
			t.Errorf("link %d moved %d times", l, s.Returns)
		}
	}
	if returns != 2 {
		t.Errorf("got %d moves, want 2", returns)
	}
}

// An endpoint that lives below MQTT only, or not for long, is tried less and
// less often: links do not flap.
func TestNoFlapping(t *testing.T) {
	refuse := func(int, *packets.Connect) *packets.Connack {
		return &packets.Connack{ReasonCode: 0x88, Properties: &packets.Properties{}}
	}
	mute := func(int, *packets.Connect) *packets.Connack { return nil }
	for _, c := range []struct {
		name    string
		connack func(int, *packets.Connect) *packets.Connack
		after   func(*served)
		count   func(LinkStats) int64
		why     string
	}{
		{"refuses MQTT", refuse, nil, func(s LinkStats) int64 { return s.ReturnsFailed }, "unavailable"},
		{"takes TCP and says nothing", mute, nil, func(s LinkStats) int64 { return s.ReturnsFailed }, "no CONNACK"},
		{"accepts and drops", nil, func(s *served) { s.conn.Close() }, func(s LinkStats) int64 { return s.Returns }, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			bad, good := newCloud(t), newCloud(t).start()
			bad.connack, bad.after = c.connack, c.after
			bad.start()
			cfg := quick(bad.url(), good.url())
			const after = 200 * time.Millisecond
			cfg.StableAfter = conf.Duration(after)
			began := time.Now()
			u, _ := beginAt(t, cfg, 0)
			var done counter
			const tries = 3
			sent := 0
			eventually(t, "it was tried some times", func() bool {
				u.Send(message("a", fmt.Sprint(sent)), Ticket{Owner: &done})
				sent++
				return c.count(state(u, 0)) >= tries
			})
			if least := after + 2*after + 4*after; time.Since(began) < least {
				t.Errorf("got %d tries within %v, want the spell doubled each time: not before %v", tries, time.Since(began), least)
			}
			eventually(t, "the link is on the good node", func() bool {
				s := state(u, 0)
				return s.State == Connected && s.Endpoint == good.url()
			})
			if s := state(u, 0); !strings.Contains(s.ReturnCause, c.why) {
				t.Errorf("got the cause %q, want something about %q", s.ReturnCause, c.why)
			}
			eventually(t, "all are settled", func() bool { return int(done.settled.Load()) == sent })
		})
	}
}

// A cloud that does not acknowledge keeps the link where it is: leaving would
// send everything in flight twice.
func TestNoReturnWithMessagesInFlight(t *testing.T) {
	home, slow := newCloud(t), newCloud(t)
	r := newRelay(t, home.ln.Addr().String())
	r.refuse(true)
	home.start()
	var mu sync.Mutex
	var held []uint16
	let := false
	slow.publish = func(s *served, p *packets.Publish) {
		mu.Lock()
		defer mu.Unlock()
		if let {
			s.ack(p.PacketID, 0)
		} else {
			held = append(held, p.PacketID)
		}
	}
	var at connection
	slow.after = at.set
	slow.start()
	cfg := quick("mqtt://"+r.addr(), slow.url())
	cfg.StableAfter, cfg.AckTimeout, cfg.DrainTimeout = 0, conf.Duration(time.Minute), conf.Duration(200*time.Millisecond)
	u, _ := beginAt(t, cfg, 0)
	var done counter
	u.Send(message("a", "0"), Ticket{Owner: &done})
	eventually(t, "it is in flight", func() bool { mu.Lock(); defer mu.Unlock(); return len(held) == 1 })
	r.refuse(false)
	stableAfter(t, u, cfg, 100*time.Millisecond)
	eventually(t, "the return was given up", func() bool { return state(u, 0).ReturnsFailed > 0 })
	u.Send(message("a", "1"), Ticket{Owner: &done})
	eventually(t, "the link goes on where it is", func() bool { mu.Lock(); defer mu.Unlock(); return len(held) == 2 })
	mu.Lock()
	let = true
	for _, id := range held {
		at.get().ack(id, 0)
	}
	mu.Unlock()
	eventually(t, "the link has returned", func() bool { return state(u, 0).Returns == 1 })
	if s := state(u, 0); s.Resent != 0 || s.Acked != 2 {
		t.Errorf("got %+v, want nothing sent twice", s)
	}
}

// The down link leaves when the edge has settled what came. What comes in the
// meantime is left to the session, which the next node has.
func TestDownLinkReturns(t *testing.T) {
	home, away := newCloud(t), newCloud(t)
	r := newRelay(t, home.ln.Addr().String())
	r.refuse(true)
	var at connection
	away.after = func(s *served) {
		if strings.HasSuffix(s.id, "-d0") {
			at.set(s)
		}
	}
	resumed := func(n int, _ *packets.Connect) *packets.Connack {
		return &packets.Connack{SessionPresent: true, Properties: &packets.Properties{}}
	}
	home.connack = resumed
	home.after = func(s *served) {
		if strings.HasSuffix(s.id, "-d0") {
			s.publishDown(9, "site/7/cmd/b", "second", nil)
		}
	}
	home.start()
	away.start()
	cfg := downOnly("mqtt://"+r.addr(), away.url())
	cfg.Links, cfg.StableAfter, cfg.DrainTimeout = 1, 0, conf.Duration(time.Minute)
	var e edge
	u := beginDownAt(t, cfg, e.options())
	const down = 1
	eventually(t, "the down link is away from home", func() bool {
		s := state(u, down)
		return s.State == Connected && s.Endpoint == away.url() && at.get() != nil
	})
	at.get().publishDown(1, "site/7/cmd/a", "first", nil)
	eventually(t, "it is delivered", func() bool { return e.count() == 1 })
	r.refuse(false)
	stableAfter(t, u, cfg, 100*time.Millisecond)
	eventually(t, "the link waits for the edge", func() bool { return state(u, down).State == Draining })
	at.get().publishDown(2, "site/7/cmd/b", "second", nil)
	eventually(t, "it is read", func() bool { return state(u, down).Received == 2 })
	e.mu.Lock()
	first := e.tickets[0]
	e.mu.Unlock()
	first.Owner.Settle(first.ID, 0)
	eventually(t, "the link has returned", func() bool { return state(u, down).Returns == 1 })
	eventually(t, "the second message came, once", func() bool { return e.count() == 2 })
	e.mu.Lock()
	second := e.tickets[1]
	e.mu.Unlock()
	second.Owner.Settle(second.ID, 0)
	away.mu.Lock()
	defer away.mu.Unlock()
	if len(away.pubacks) != 1 || away.pubacks[0].PacketID != 1 {
		t.Errorf("got acknowledgements %v at the first node, want one of message 1", away.pubacks)
	}
	if fmt.Sprint(away.disconnects) != "[0]" {
		t.Errorf("got DISCONNECT %v, want 0x00", away.disconnects)
	}
	for _, p := range away.connects {
		if strings.HasSuffix(p.ClientID, "-d0") && (p.CleanStart || *p.Properties.SessionExpiryInterval == 0) {
			t.Errorf("got %v, want a session", p)
		}
	}
}

// beginDownAt runs an uplink whose down link belongs to the first endpoint.
func beginDownAt(t testing.TB, cfg Config, opt Options) *Uplink {
	t.Helper()
	for i := 0; ; i++ {
		opt.Gateway, opt.Epoch, opt.Dir = fmt.Sprintf("gw%d", i), 7, t.TempDir()
		u, err := New(cfg, opt)
		if err != nil {
			t.Fatal(err)
		}
		if u.links[cfg.Links].place != 0 {
			continue
		}
		run(t, u)
		return u
	}
}

// The first link that is connected after an outage ends the pauses of the
// others, which then choose another node.
func TestFirstLinkBackEncouragesOthers(t *testing.T) {
	cfg := quick("mqtt://127.0.0.1:1", "mqtt://127.0.0.1:2", "mqtt://127.0.0.1:3")
	cfg.Links = 2
	u, err := New(cfg, Options{Gateway: "gw", Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	set, first, second := u.settings.Load(), u.links[0], u.links[1]
	for _, e := range set.endpoints {
		second.troubleAt(e).until = time.Now().Add(time.Hour)
	}
	second.place = first.place
	tried := make([]bool, 3)
	if e, wait := second.choose(set, tried); e >= 0 || wait < time.Minute {
		t.Fatalf("got endpoint %d, wait %v, want a long wait", e, wait)
	}
	first.retire = func(error) {}
	u.encourage(first)
	select {
	case <-second.wake:
	default:
		t.Error("the other link was not woken")
	}
	if !second.hope.Load() {
		t.Fatal("the other link has no hope")
	}
	second.forgive(tried)
	if e, _ := second.choose(set, tried); e < 0 || e == first.place {
		t.Errorf("got endpoint %d, want one that is not %d", e, first.place)
	}
}
