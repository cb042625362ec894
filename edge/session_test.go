package edge

import (
	"fmt"
	"testing"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"

	"tidegate/internal/conf"
)

func TestSessionWaitsForItsClient(t *testing.T) {
	for _, v := range []byte{4, 5} {
		t.Run(fmt.Sprint("version ", v), func(t *testing.T) {
			b := startBroker(t, Options{})
			s := dial(t, b)
			if s.connect("s", version(v), resume(), expiry(100)).SessionPresent {
				t.Fatal("a new client has a session")
			}
			s.subscribe(sub{filter: "t/1", qos: 1}, sub{filter: "t/2", qos: 2}, sub{filter: "t/0"})
			s.bye()
			p := connect(t, b, "p")
			for i := range 100 {
				p.publish(fmt.Sprint("t/", i%3), fmt.Sprint(i), byte(i%3))
			}
			p.ping() // the last one, at QoS 0, has arrived too
			s = dial(t, b)
			if !s.connect("s", version(v), resume(), expiry(100)).SessionPresent {
				t.Fatal("the session is gone")
			}
			for i := range 100 {
				if i%3 == 0 {
					continue // QoS 0 does not wait
				}
				if pk := s.message(fmt.Sprint("t/", i%3), fmt.Sprint(i)); pk.FixedHeader.Dup {
					t.Fatal("DUP on first delivery")
				}
			}
			s.nothing()
			s.bye()
			s = dial(t, b)
			if s.connect("s", version(v)).SessionPresent {
				t.Fatal("the session survived a clean start")
			}
			p.publish("t/1", "x", 1)
			s.nothing()
			if got := b.Stats().QueuedBytes; got != 0 {
				t.Fatalf("%d bytes queued", got)
			}
		})
	}
}

func TestResendInOrderWithDup(t *testing.T) {
	b := startBroker(t, Options{})
	s := connect(t, b, "s", resume(), expiry(100), receiveMax(10))
	s.subscribe(sub{filter: "t", qos: 2})
	p := connect(t, b, "p")
	for i := range 30 {
		p.publish("t", fmt.Sprint(i), byte(1+i%2))
	}
	var got []*packets.Packet
	for range 10 {
		got = append(got, s.expect(packets.Publish))
	}
	s.nothing() // the window is full
	s.ack(packets.Pubrec, got[1].PacketID)
	s.expect(packets.Pubrel)
	s.ack(packets.Puback, got[2].PacketID) // one out of order makes room for one more
	s.expect(packets.Publish)
	s.nc.Close()

	s = connect(t, b, "s", resume(), expiry(100), receiveMax(5))
	order := []string{"0", "rel", "3", "4", "5"}
	for _, want := range order {
		if want == "rel" {
			if pk := s.expect(packets.Pubrel); pk.PacketID != got[1].PacketID {
				t.Fatalf("PUBREL %d, want %d", pk.PacketID, got[1].PacketID)
			}
			continue
		}
		pk := s.expect(packets.Publish)
		if string(pk.Payload) != want || !pk.FixedHeader.Dup {
			t.Fatalf("got %q dup %v, want %q again", pk.Payload, pk.FixedHeader.Dup, want)
		}
	}
	s.nothing() // the new window is smaller than what was in flight
	s.ack(packets.Puback, got[0].PacketID)
	if pk := s.expect(packets.Publish); string(pk.Payload) != "6" || !pk.FixedHeader.Dup || pk.PacketID != got[6].PacketID {
		t.Fatalf("got %q dup %v id %d, want 6 again, id %d", pk.Payload, pk.FixedHeader.Dup, pk.PacketID, got[6].PacketID)
	}
}

func TestPacketIDsWrap(t *testing.T) {
	b := startBroker(t, Options{})
	s := connect(t, b, "s", resume(), expiry(100))
	s.subscribe(sub{filter: "t", qos: 1})
	b.mu.Lock()
	sess := b.seats["s"].sess
	b.mu.Unlock()
	sess.mu.Lock()
	sess.out.first = packetIDs - 3
	sess.mu.Unlock()
	p := connect(t, b, "p")
	var ids []uint16
	for i := range 8 {
		p.publish("t", fmt.Sprint(i), 1)
		pk := s.expect(packets.Publish)
		ids = append(ids, pk.PacketID)
		if i != 2 {
			s.ack(packets.Puback, pk.PacketID)
		}
	}
	if want := "[65533 65534 65535 1 2 3 4 5]"; fmt.Sprint(ids) != want {
		t.Fatalf("ids %v, want %s", ids, want)
	}
	s.ack(packets.Puback, ids[2])
	s.ping()
	sess.mu.Lock()
	defer sess.mu.Unlock()
	if sess.out.n != 0 || sess.out.held != 0 || sess.out.flying != 0 {
		t.Fatalf("left: %d deliveries, %d bytes, %d in flight", sess.out.n, sess.out.held, sess.out.flying)
	}
}

func TestQueueLimits(t *testing.T) {
	limits := map[string]func(*Config){
		"messages":   func(c *Config) { c.Session.Queue = 10 },
		"bytes":      func(c *Config) { c.Session.QueueBytes = 10 * (64 + 1 + 100) },
		"all queues": func(c *Config) { c.Session.AllQueueBytes = 10 * (64 + 1 + 100) },
	}
	for name, limit := range limits {
		t.Run(name, func(t *testing.T) {
			b := startBroker(t, Options{}, limit)
			s := connect(t, b, "s", resume(), expiry(100))
			s.subscribe(sub{filter: "t", qos: 1})
			s.bye()
			p := connect(t, b, "p")
			payload := func(i int) string { return fmt.Sprintf("%0100d", i) }
			for i := range 25 {
				p.publish("t", payload(i), 1)
			}
			if got := b.Stats().DroppedQueue; got != 15 {
				t.Fatalf("dropped %d, want 15", got)
			}
			s = connect(t, b, "s", resume(), expiry(100))
			for i := range 10 {
				s.message("t", payload(i))
			}
			s.nothing()
			if got := b.Stats().QueuedBytes; got != 0 {
				t.Fatalf("%d bytes queued", got)
			}
		})
	}
}

func TestSessionAndMessageExpiry(t *testing.T) {
	b := startBroker(t, Options{})
	s := connect(t, b, "s", resume(), expiry(1))
	s.subscribe(sub{filter: "t", qos: 1})
	start := time.Now()
	s.bye()
	k := connect(t, b, "k", resume(), expiry(100))
	k.subscribe(sub{filter: "t", qos: 1})
	k.bye()
	p := connect(t, b, "p")
	lasts := func(seconds uint32) option {
		return func(pk *packets.Packet) { pk.Properties.MessageExpiryInterval = seconds }
	}
	p.publish("t", "short", 1, lasts(1))
	p.publish("t", "long", 1, lasts(1000))
	p.publish("t", "kept", 1, asRetained(), lasts(1))
	published := time.Now()
	until(t, "session ended", func() bool { return b.Stats().SessionsExpired == 1 })
	if time.Since(start) < time.Second {
		t.Fatal("the session ended early")
	}
	time.Sleep(time.Until(published.Add(1100 * time.Millisecond)))
	k = connect(t, b, "k", resume(), expiry(100))
	if pk := k.message("t", "long"); pk.Properties.MessageExpiryInterval >= 1000 || pk.Properties.MessageExpiryInterval < 900 {
		t.Fatalf("expiry left %d", pk.Properties.MessageExpiryInterval)
	}
	k.subscribe(sub{filter: "t", qos: 1})
	k.nothing()
	if dial(t, b).connect("s", resume(), expiry(1)).SessionPresent {
		t.Fatal("an expired session is present")
	}
}

func TestTooManySessions(t *testing.T) {
	b := startBroker(t, Options{}, func(c *Config) { c.Session.Sessions = 3 })
	for i := range 5 {
		connect(t, b, fmt.Sprint("s", i), resume(), expiry(100)).bye()
		want := min(i+1, 3)
		until(t, "session away", func() bool { st := b.Stats(); return st.Connected == 0 && st.Sessions == want && st.Connections == 0 })
	}
	for i := range 5 {
		p := dial(t, b)
		if got, want := p.connect(fmt.Sprint("s", i), resume(), expiry(0)).SessionPresent, i >= 2; got != want {
			t.Errorf("session %d present: %v, want %v", i, got, want)
		}
	}
}

func TestSessionExpiryInDisconnect(t *testing.T) {
	b := startBroker(t, Options{}, func(c *Config) { c.Session.MaxExpiry = conf.Duration(50 * time.Second) })
	s := dial(t, b)
	if ack := s.connect("s", resume(), expiry(100)); ack.Properties.SessionExpiryInterval != 50 {
		t.Fatalf("granted %d, want 50", ack.Properties.SessionExpiryInterval)
	}
	s.raw([]byte{0xe0, 7, 0, 5, 0x11, 0, 0, 0, 0}) // expiry 0 after all
	s.ended()
	until(t, "session ended", func() bool { return b.Stats().Sessions == 0 })
	s = connect(t, b, "s")
	s.raw([]byte{0xe0, 7, 0, 5, 0x11, 0, 0, 0, 9})
	if got := s.ended(); got != 0x82 {
		t.Fatalf("reason %#x, want 0x82", got)
	}
}

func TestSubscriptionOptions(t *testing.T) {
	b := startBroker(t, Options{})
	s := connect(t, b, "s")
	s.subscribe(sub{filter: "a/#", qos: 1, id: 3})
	s.subscribe(sub{filter: "a/+", qos: 2, id: 4})
	s.subscribe(sub{filter: "own", noLocal: true})
	s.subscribe(sub{filter: "asis", asSent: true})
	p := connect(t, b, "p")
	p.publish("a/b", "x", 2)
	pk := s.message("a/b", "x")
	if ids := fmt.Sprint(pk.Properties.SubscriptionIdentifier); pk.FixedHeader.Qos != 2 || ids != "[3 4]" && ids != "[4 3]" {
		t.Fatalf("QoS %d, ids %s", pk.FixedHeader.Qos, ids)
	}
	p.publish("own", "theirs", 0)
	s.message("own", "theirs")
	s.publish("own", "mine", 0)
	s.nothing()
	p.publish("asis", "x", 0, asRetained())
	if !s.message("asis", "x").FixedHeader.Retain {
		t.Fatal("retain as published was not kept")
	}
	// Retain handling.
	for _, c := range []struct {
		handle byte
		fresh  bool
		want   bool
	}{{0, true, true}, {0, false, true}, {1, true, true}, {1, false, false}, {2, true, false}, {2, false, false}} {
		if c.fresh {
			s.unsubscribe("asis")
		}
		s.subscribe(sub{filter: "asis", handle: c.handle})
		if c.want {
			s.message("asis", "x")
		}
		s.ping()
	}
	if got := s.unsubscribe("asis"); got[0] != 0 {
		t.Fatalf("reason %#x", got[0])
	}
	if got := s.unsubscribe("asis"); got[0] != 0x11 {
		t.Fatalf("reason %#x, want 0x11", got[0])
	}
}

func TestSharedSubscription(t *testing.T) {
	b := startBroker(t, Options{})
	members := []*peer{connect(t, b, "m0", resume(), expiry(100)), connect(t, b, "m1"), connect(t, b, "m2", version(4))}
	for _, m := range members {
		m.subscribe(sub{filter: "$share/g/t/#", qos: 1})
	}
	p := connect(t, b, "p")
	for range 9 {
		p.publish("t/x", "y", 1)
	}
	for _, m := range members {
		for range 3 {
			m.message("t/x", "y")
		}
		m.nothing()
	}
	members[0].bye()
	until(t, "member away", func() bool { return b.Stats().Connected == 3 })
	for range 4 {
		p.publish("t/x", "z", 1)
	}
	total := 0
	for _, m := range members[1:] {
		total += m.drain()
		m.bye()
	}
	if total != 4 {
		t.Fatalf("got %d messages, want 4", total)
	}
	until(t, "members away", func() bool { return b.Stats().Connected == 1 })
	p.publish("t/x", "kept", 1)
	back := connect(t, b, "m0", resume(), expiry(100))
	back.message("t/x", "kept")
}

// A client that is back after its time, but before anybody has looked, is late
// all the same [MQTT-4.1.0-2, MQTT-3.1.2-8].
func TestBackTooLate(t *testing.T) {
	b := startBroker(t, Options{})
	s := connect(t, b, "s")
	s.subscribe(sub{filter: "will/#"})
	for id, late := range map[string]func(*session){
		"session": func(s *session) { s.until = time.Now() },
		"will":    func(s *session) { s.will.due = time.Now() },
	} {
		connect(t, b, id, resume(), expiry(100), willOf("will/"+id, "x", 0, false, 100)).nc.Close()
		until(t, "gone", func() bool { return b.Stats().Connected == 1 })
		away := b.sessionWith(id)
		away.mu.Lock()
		late(away)
		away.mu.Unlock()
		p := dial(t, b)
		if present := p.connect(id, resume(), expiry(100)).SessionPresent; present != (id == "will") {
			t.Errorf("%s: Session Present %v", id, present)
		}
		s.message("will/"+id, "x")
		s.nothing()
		p.bye()
	}
}

// What expired while it waited in a full queue makes room for what comes, under
// either policy: it is not sent, and nothing else is dropped [MQTT-3.3.2-5].
func TestExpiredMessagesMakeRoom(t *testing.T) {
	for _, policy := range []string{dropNewest, dropOldest} {
		b := startBroker(t, Options{}, func(c *Config) { c.Session.Queue, c.Session.QueuePolicy = 3, policy })
		s := connect(t, b, "s", resume(), expiry(100))
		s.subscribe(sub{filter: "t", qos: 1})
		s.bye()
		for i := range 5 {
			m := &Message{Topic: "t", Payload: fmt.Append(nil, i), QoS: 1, Accepted: time.Now()}
			if i < 3 {
				m.Accepted, m.Expiry = m.Accepted.Add(-time.Hour), 3600+uint32(i)/2*3600 // the first two are over
			}
			b.Publish(m, Ticket{})
		}
		if got := b.Stats(); got.DroppedQueue != 0 || got.DroppedExpired != 2 || got.Queued != 3 {
			t.Errorf("%s: %d dropped, %d expired, %d wait, want 0, 2, 3", policy, got.DroppedQueue, got.DroppedExpired, got.Queued)
		}
		s = connect(t, b, "s", resume(), expiry(100))
		for i := 2; i < 5; i++ {
			s.message("t", fmt.Sprint(i))
		}
		s.nothing()
	}
}
