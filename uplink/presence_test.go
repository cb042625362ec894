package uplink

import (
	"encoding/json"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/packets"

	"tidegate/internal/conf"
)

// ear hears a status topic at one broker, and may write to it.
type ear struct {
	conn net.Conn
	mu   sync.Mutex
	got  []statement // those that were no JSON are zero
}

const statusOfGW = "tidegate/gw/status"

func listen(t *testing.T, addr string) *ear {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	e := &ear{conn: conn}
	(&packets.Connect{ProtocolName: "MQTT", ProtocolVersion: 5, ClientID: "ear", CleanStart: true, Properties: &packets.Properties{}}).WriteTo(conn)
	(&packets.Subscribe{PacketID: 1, Subscriptions: []packets.SubOptions{{Topic: statusOfGW, QoS: 1}}, Properties: &packets.Properties{}}).WriteTo(conn)
	var wg sync.WaitGroup
	var once sync.Once
	ready := make(chan struct{})
	wg.Go(func() {
		for {
			p, err := packets.ReadPacket(conn)
			if err != nil {
				return
			}
			switch p := p.Content.(type) {
			case *packets.Suback:
				once.Do(func() { close(ready) })
			case *packets.Publish:
				var s statement
				json.Unmarshal(p.Payload, &s)
				e.mu.Lock()
				e.got = append(e.got, s)
				e.mu.Unlock()
				if p.QoS > 0 {
					(&packets.Puback{PacketID: p.PacketID, Properties: &packets.Properties{}}).WriteTo(conn)
				}
			}
		}
	})
	t.Cleanup(func() { conn.Close(); wg.Wait() })
	<-ready
	return e
}

func (e *ear) all() []statement {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]statement(nil), e.got...)
}

func (e *ear) last() (s statement) {
	if all := e.all(); len(all) > 0 {
		s = all[len(all)-1]
	}
	return s
}

// is waits until the last statement has a state.
func (e *ear) is(t *testing.T, what, state string) statement {
	t.Helper()
	eventually(t, what, func() bool { return e.last().State == state })
	return e.last()
}

func (e *ear) write(payload string) {
	(&packets.Publish{Topic: statusOfGW, Payload: []byte(payload), Retain: true, Properties: &packets.Properties{}}).WriteTo(e.conn)
}

// present is a configuration with presence and nothing but one up link.
func present(urls ...string) Config {
	c := quick(urls...)
	c.Status, c.OfflineAfter = true, conf.Duration(time.Second)
	return c
}

func TestBirthCorrectionAndStop(t *testing.T) {
	m := startMosquitto(t)
	u, stop := begin(t, present(m.url()), Options{Version: "1.2"})
	eventuallyUp(t, u, 0)
	eventuallyUp(t, u, 1)
	eventually(t, "the birth is sent", func() bool { return u.Stats().Status.Sent > 0 })
	e := listen(t, m.addr) // late: what is retained
	s := e.is(t, "the birth is there", online)
	if s.Gateway != "gw" || s.Version != "1.2" || s.Epoch != 7 || s.Number == 0 || s.Reason != "started" {
		t.Errorf("got %+v", s)
	}
	if len(s.Links) != 2 || s.Links[1].ID != "gw-d0" || s.Links[1].State != Connected || s.Links[1].Endpoint != m.url() {
		t.Errorf("got links %+v", s.Links)
	}
	for i, junk := range []string{"junk", "", `{"state":"offline"}`} {
		before := len(e.all())
		e.write(junk)
		eventually(t, "what was written is heard, and corrected", func() bool { return len(e.all()) >= before+2 && e.last().State == online })
		if got := u.Stats().Status.Corrected; got < int64(i+1) {
			t.Errorf("%q: got %d corrections", junk, got)
		}
	}
	stop()
	s = e.is(t, "the gateway has gone", offline)
	if s.Reason != "stopped" || s.Epoch != 7 || len(s.Links) != 0 {
		t.Errorf("got %+v", s)
	}
}

// A gateway whose links stay as they are has nothing to say: its down link does
// not look a thousand times a second for something, however long ago the last
// statement is.
func TestNothingToSayWakesNobody(t *testing.T) {
	m := startMosquitto(t)
	u, _ := begin(t, present(m.url()), Options{})
	eventuallyUp(t, u, 0)
	eventuallyUp(t, u, 1)
	eventually(t, "the birth is sent", func() bool { return u.Stats().Status.Sent > 0 })
	p := u.presence
	eventually(t, "the statement has both links, and rests", func() bool {
		_, again := p.look(time.Now())
		return again > time.Second
	})
	for _, after := range []time.Duration{dropsEvery, dropsEvery + time.Second, time.Hour, 24 * time.Hour} {
		packet, again := p.look(time.Now().Add(after))
		if packet != nil || again < dropsEvery/2 {
			t.Errorf("%v after the last statement: %d bytes to send, looks again after %v", after, len(packet), again)
		}
	}
}

// A link that is cut and finds another way at once leaves no false word; one
// that does not is offline after a while, and then online again.
func TestWill(t *testing.T) {
	m := startMosquitto(t)
	a, b := newRelay(t, m.addr), newRelay(t, m.addr) // two ways into one cluster
	cfg := present("mqtt://"+a.addr(), "mqtt://"+b.addr())
	cfg.OfflineAfter = conf.Duration(3 * time.Second) // "at once" is longer on a busy machine
	e := listen(t, m.addr)
	u, _ := begin(t, cfg, Options{})
	first := e.is(t, "the birth is there", online)
	here, there := a, b
	if first.Links[1].Endpoint == cfg.Endpoints[1] {
		here, there = b, a
	}
	here.refuse(true)
	eventually(t, "it is elsewhere, and says so", func() bool {
		l := e.last().Links
		return len(l) == 2 && l[1].Endpoint == "mqtt://"+there.addr() && strings.Contains(e.last().Reason, "lost mqtt://")
	})
	moved := time.Now()
	eventually(t, "the will would have spoken", func() bool { return time.Since(moved) > 2*cfg.OfflineAfter.Std() })
	for _, s := range e.all() {
		if s.State != online {
			t.Errorf("got %+v, want no word but online", s)
		}
	}
	cut := time.Now()
	there.refuse(true)
	s := e.is(t, "the will speaks", offline)
	if took := time.Since(cut); took < cfg.OfflineAfter.Std() {
		t.Errorf("got the will after %v, want it not before %v", took, cfg.OfflineAfter.Std())
	}
	if s.Reason != "the connection was lost" {
		t.Errorf("got %+v", s)
	}
	will := s.Number
	for _, s := range e.all() {
		if s.State == online && s.Number >= will {
			t.Errorf("got number %d before the will's %d, want less", s.Number, will)
		}
	}
	here.refuse(false)
	if s = e.is(t, "it is back", online); s.Number <= will {
		t.Errorf("got number %d after the will's %d, want more", s.Number, will)
	}
	eventuallyUp(t, u, 1)
}

// On separate brokers the will of the one that was left speaks at once, and
// only there; whoever hears all of them knows the later word by its number.
func TestPresenceOnSeparateBrokers(t *testing.T) {
	a, b := startMosquitto(t), startMosquitto(t)
	ra, rb := newRelay(t, a.addr), newRelay(t, b.addr)
	cfg := present("mqtt://"+ra.addr(), "mqtt://"+rb.addr())
	cfg.Cluster = false
	var log lines
	defer func() {
		if t.Failed() {
			t.Log(log.String())
		}
	}()
	u, _ := begin(t, cfg, Options{Log: log.logger()})
	eventuallyUp(t, u, 1)
	here, there, hereRelay, thereRelay := a, b, ra, rb
	if state(u, 1).Endpoint == cfg.Endpoints[1] {
		here, there, hereRelay, thereRelay = b, a, rb, ra
	}
	old, now := listen(t, here.addr), listen(t, there.addr)
	old.is(t, "it is there", online)
	hereRelay.refuse(true)
	gone := old.is(t, "the will speaks where it was", offline)
	s := now.is(t, "it is elsewhere", online)
	if s.Epoch != gone.Epoch || s.Number <= gone.Number {
		t.Errorf("got number %d after the will's %d, want more", s.Number, gone.Number)
	}
	hereRelay.refuse(false)
	thereRelay.refuse(true)
	if s := old.is(t, "back there, what stood is corrected", online); s.Number <= gone.Number {
		t.Errorf("got number %d, want more than %d", s.Number, gone.Number)
	}
}

// What the gateway says of itself reaches devices only over a route of theirs,
// and then once.
func TestStatusReachesNoDevice(t *testing.T) {
	for filter, want := range map[string]int{"commands/#": 1, "tidegate/#": 2} {
		t.Run(filter, func(t *testing.T) {
			m := startMosquitto(t)
			cfg := present(m.url())
			cfg.Up, cfg.Down = nil, []Down{{Filter: filter}, {Filter: "end"}}
			e := edge{settle: true}
			u, _ := begin(t, cfg, e.options())
			eventuallyUp(t, u, 1)
			eventually(t, "the birth is sent", func() bool { return u.Stats().Status.Sent > 0 })
			listen(t, m.addr).is(t, "the birth is there", online)
			writer := listen(t, m.addr)
			(&packets.Publish{Topic: "end", QoS: 1, PacketID: 9, Properties: &packets.Properties{}}).WriteTo(writer.conn)
			eventually(t, "what was sent after it is there", func() bool { return e.count() > 0 && e.topic(e.count()-1) == "end" })
			if got := e.count(); got != want {
				t.Errorf("got %d messages at home, want %d", got, want)
			}
		})
	}
}

func (e *edge) topic(i int) string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.got[i].Topic
}

// A cloud that refuses the will gets a connection without it: commands matter
// more. The cause names the topic and the key.
func TestWillRefused(t *testing.T) {
	for reason, try := range map[byte]func(c *packets.Connect) bool{
		0x87: func(c *packets.Connect) bool { return !c.WillFlag },
		0x9A: func(c *packets.Connect) bool { return c.WillFlag && !c.WillRetain },
		0x9B: func(c *packets.Connect) bool { return c.WillFlag && c.WillQOS == 0 },
	} {
		t.Run(fmt.Sprintf("0x%02X", reason), func(t *testing.T) {
			c := newCloud(t)
			c.connack = func(_ int, p *packets.Connect) *packets.Connack {
				ca := &packets.Connack{Properties: &packets.Properties{}}
				if p.ClientID == "gw-d0" && !try(p) {
					ca.ReasonCode = reason
				}
				return ca
			}
			cfg := present(c.start().url())
			cfg.Down = []Down{{Filter: "commands/#"}}
			var log lines
			var e edge
			u, _ := begin(t, cfg, Options{Log: log.logger(), Deliver: e.deliver})
			eventuallyUp(t, u, 1)
			if reason != 0x87 {
				eventually(t, "the birth is sent", func() bool { return u.Stats().Status.Sent > 0 })
				return
			}
			s := state(u, 1)
			if s.Faults[FaultWillRefused] != 1 {
				t.Errorf("got faults %v, want one %s", s.Faults, FaultWillRefused)
			}
			eventually(t, "the cause stays", func() bool {
				s := state(u, 1)
				return s.Fault == FaultWillRefused && strings.Contains(s.Cause, statusOfGW) && strings.Contains(s.Cause, "status = false")
			})
			if got := u.Stats().Status; got.Sent != 0 || !strings.Contains(got.Fault, "status = false") {
				t.Errorf("got %+v, want no statement, and why", got)
			}
			if !strings.Contains(log.String(), "status = false") {
				t.Errorf("the log does not name the key:\n%s", log.String())
			}
		})
	}
}

// Some clouds end the connection of a client that publishes where it may not.
func TestCloudThatPunishesStatements(t *testing.T) {
	c := newCloud(t)
	c.publish = func(s *served, _ *packets.Publish) { s.conn.Close() }
	cfg := present(c.start().url())
	cfg.Up = nil
	cfg.Down = []Down{{Filter: "commands/#"}}
	var log lines
	var e edge
	u, _ := begin(t, cfg, Options{Log: log.logger(), Deliver: e.deliver})
	eventually(t, "it is told", func() bool { return strings.Contains(log.String(), "status = false") })
	eventuallyUp(t, u, 1)
	if got := state(u, 1).Reconnects; got != enough {
		t.Errorf("got %d reconnects, want %d", got, enough)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, p := range c.connects[len(c.connects)-1:] {
		if p.ClientID == "gw-d0" && p.WillFlag {
			t.Errorf("connection %d has a will", i)
		}
	}
}

// A statement that is refused is tried again after a while, on the same
// connection: somebody may have set the permissions right.
func TestStatementRefused(t *testing.T) {
	c := newCloud(t)
	var permitted atomic.Bool
	c.publish = func(s *served, p *packets.Publish) {
		reason := byte(0x87)
		if permitted.Load() {
			reason = 0
		}
		s.ack(p.PacketID, reason)
	}
	cfg := present(c.start().url())
	cfg.ReconnectMax = conf.Duration(100 * time.Millisecond)
	u, _ := begin(t, cfg, Options{})
	eventually(t, "it is told", func() bool {
		s := state(u, 1)
		return s.State == Connected && strings.Contains(s.Cause, "status = false") && s.Faults[FaultNotAuthorized] == 1
	})
	permitted.Store(true)
	eventually(t, "it is said after all", func() bool { return u.Stats().Status.Sent > 1 && state(u, 1).Cause == "" })
	if got := state(u, 1).Reconnects; got != 0 {
		t.Errorf("got %d reconnects, want none", got)
	}
}

// A cloud that refused the will is asked again, less and less often: first for a
// statement, then with the next CONNECT for the will.
func TestWillRefusedForAWhile(t *testing.T) {
	c := newCloud(t)
	var permitted atomic.Bool
	c.connack = func(_ int, p *packets.Connect) *packets.Connack {
		ca := &packets.Connack{Properties: &packets.Properties{}}
		if p.WillFlag && !permitted.Load() {
			ca.ReasonCode = 0x87
		}
		return ca
	}
	var speaker atomic.Pointer[served]
	c.publish = func(s *served, p *packets.Publish) {
		speaker.Store(s)
		s.ack(p.PacketID, 0)
	}
	cfg := present(c.start().url())
	cfg.ReconnectMax = conf.Duration(100 * time.Millisecond)
	u, _ := begin(t, cfg, Options{})
	eventuallyUp(t, u, 1)
	eventually(t, "the cause is shown", func() bool { return state(u, 1).Fault == FaultWillRefused })
	permitted.Store(true)
	eventually(t, "it is said after all", func() bool {
		s := u.Stats().Status
		return s.Sent > 0 && s.Fault == "" && state(u, 1).Cause == ""
	})
	c.mu.Lock()
	before := len(c.connects)
	c.mu.Unlock()
	speaker.Load().conn.Close()
	eventually(t, "the next connection has the will", func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return slices.ContainsFunc(c.connects[before:], func(p *packets.Connect) bool { return p.WillFlag })
	})
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range c.connects {
		if p.WillFlag && p.ClientID != "gw-d0" {
			t.Errorf("%s has a will, want it on gw-d0 only", p.ClientID)
		}
	}
}

// How long a cloud that says no is left alone.
func TestDenialsGrowLonger(t *testing.T) {
	var d denial
	now := time.Now()
	for _, want := range []time.Duration{30 * time.Second, time.Minute, 2 * time.Minute} {
		if d.enter(now, 30*time.Second); d.again.Sub(now) != want || !d.lasts(now) || d.lasts(now.Add(want)) {
			t.Errorf("got a pause of %v, want %v", d.again.Sub(now), want)
		}
	}
	for range 10 {
		d.enter(now, 30*time.Second)
	}
	if got := d.again.Sub(now); got != time.Hour {
		t.Errorf("got %v in the end, want an hour", got)
	}
}

// When a statement is due.
func TestPaceOfStatements(t *testing.T) {
	now := time.Now()
	at := func(d time.Duration) time.Time { return now.Add(d) }
	here, elsewhere := []linkStatement{{ID: "u0", State: Connected, Endpoint: "a"}}, []linkStatement{{ID: "u0", State: Connected, Endpoint: "b"}}
	drops := []dropStatement{{Class: "bulk", Cause: "max-disk", Messages: 1}}
	for name, c := range map[string]struct {
		p    *presence
		next statement
		want time.Duration // from now; -1 for never
	}{
		"birth":                      {&presence{}, statement{Links: here}, 0},
		"nothing new":                {&presence{body: "x", sentAt: at(-time.Hour), said: statement{Links: here}}, statement{Links: here}, -1},
		"another fault":              {&presence{body: "x", sentAt: at(-time.Hour), said: statement{Links: here}}, statement{Links: []linkStatement{{ID: "u0", State: Connected, Endpoint: "a", Fault: FaultClosed}}}, -1},
		"a link moved":               {&presence{body: "x", sentAt: at(-time.Hour), said: statement{Links: here}}, statement{Links: elsewhere}, statusCalm},
		"a link moved, and lately":   {&presence{body: "x", sentAt: at(-time.Second), paced: at(statusEvery), said: statement{Links: here}}, statement{Links: elsewhere}, statusCalm},
		"a link moves often":         {&presence{body: "x", sentAt: at(-time.Second), paced: at(2*statusEvery + time.Second), said: statement{Links: here}}, statement{Links: elsewhere}, time.Second},
		"a link moved a while ago":   {&presence{body: "x", sentAt: at(-time.Hour), changed: at(-time.Second), said: statement{Links: here}}, statement{Links: elsewhere}, 0},
		"drops":                      {&presence{body: "x", sentAt: at(-time.Second), said: statement{Links: here}}, statement{Links: here, Drops: drops}, dropsEvery - time.Second},
		"junk":                       {&presence{body: "x", wrong: true, sentAt: at(-time.Hour), said: statement{Links: here}}, statement{Links: here}, 0},
		"junk, right after":          {&presence{body: "x", wrong: true, sentAt: now, said: statement{Links: here}}, statement{Links: here}, amendAfter},
		"junk, for the seventh time": {&presence{body: "x", wrong: true, amends: 6, sentAt: now, said: statement{Links: here}}, statement{Links: here}, 64 * amendAfter},
	} {
		got := c.p.due(c.next, now)
		if c.want < 0 && !got.IsZero() || c.want >= 0 && !latest(got, now).Equal(at(c.want)) {
			t.Errorf("%s: got %v from now, want %v", name, got.Sub(now), c.want)
		}
	}
}

// A few statements may follow each other at once, many come at their pace.
func TestPaceOfManyMoves(t *testing.T) {
	var p presence
	var sent int
	start := time.Now()
	for now := start; now.Sub(start) < 10*statusEvery; now = now.Add(100 * time.Millisecond) {
		p.body, p.changed = "x", now.Add(-statusCalm)
		if due := p.due(statement{Links: []linkStatement{{}}}, now); !due.After(now) {
			p.pace(now)
			sent++
		}
	}
	if want := 10 + statusBurst - 1; sent != want {
		t.Errorf("got %d statements in %v, want %d", sent, 10*statusEvery, want)
	}
}
