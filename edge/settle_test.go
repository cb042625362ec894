package edge

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"
)

// uplink keeps the tickets it is handed until the test settles them.
type uplink struct {
	mu       sync.Mutex
	messages []*Message
	tickets  []Ticket
	b        *Broker
}

func (u *uplink) forward(m *Message, t Ticket) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if m.Topic == "local" {
		return false
	}
	u.messages = append(u.messages, m)
	u.tickets = append(u.tickets, t)
	return true
}

func (u *uplink) count() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return len(u.tickets)
}

// settle settles ticket i.
func (u *uplink) settle(i int, reason byte) {
	u.mu.Lock()
	t := u.tickets[i]
	u.mu.Unlock()
	if t.Owner != nil {
		t.Owner.Settle(t.ID, reason)
	}
	u.b.Flush()
}

func startUplink(t testing.TB, change ...func(*Config)) *uplink {
	u := &uplink{}
	u.b = startBroker(t, Options{Forward: u.forward}, change...)
	return u
}

func TestAcknowledgedWhenSettled(t *testing.T) {
	for _, v := range []byte{4, 5} {
		t.Run(fmt.Sprint("version ", v), func(t *testing.T) {
			u := startUplink(t)
			s := connect(t, u.b, "s")
			s.subscribe(sub{filter: "#", qos: 2})
			p := connect(t, u.b, "p", version(v))
			p.write(publishPacket("up", "0", 0, 0))
			p.write(publishPacket("up", "1", 1, 1))
			p.write(publishPacket("up", "2", 2, 2))
			p.write(publishPacket("up", "3", 1, 3))
			for i := range 4 {
				s.message("up", fmt.Sprint(i)) // local delivery does not wait
			}
			p.nothing()
			u.settle(3, 0) // nothing holds another message's acknowledgement back
			if pk := p.expect(packets.Puback); pk.PacketID != 3 {
				t.Fatalf("PUBACK %d, want 3", pk.PacketID)
			}
			u.settle(2, 0)
			if pk := p.expect(packets.Pubrec); pk.PacketID != 2 {
				t.Fatalf("PUBREC %d, want 2", pk.PacketID)
			}
			p.write(publishPacket("up", "2", 2, 2))
			p.expect(packets.Pubrec) // the same message again: not published twice
			p.ack(packets.Pubrel, 2)
			p.expect(packets.Pubcomp)
			u.settle(1, 0)
			p.expect(packets.Puback)
			p.publish("local", "x", 2) // nobody takes the ticket
			if got := u.count(); got != 4 {
				t.Fatalf("forwarded %d, want 4", got)
			}
		})
	}
}

func TestRefusedByTheUplink(t *testing.T) {
	u := startUplink(t)
	p := connect(t, u.b, "p5")
	p.write(publishPacket("up", "", 1, 1))
	p.write(publishPacket("up", "", 2, 2))
	until(t, "forwarded", func() bool { return u.count() == 2 })
	u.settle(0, 0x97)
	if pk := p.expect(packets.Puback); pk.ReasonCode != 0x97 {
		t.Fatalf("reason %#x, want 0x97", pk.ReasonCode)
	}
	u.settle(1, 0x97)
	if pk := p.expect(packets.Pubrec); pk.ReasonCode != 0x97 {
		t.Fatalf("reason %#x, want 0x97", pk.ReasonCode)
	}
	p.write(publishPacket("up", "", 2, 2)) // the exchange is over, the id free
	until(t, "forwarded", func() bool { return u.count() == 3 })
	for qos := byte(1); qos <= 2; qos++ {
		n := u.count()
		old := connect(t, u.b, "p3", version(4))
		old.write(publishPacket("up", "", qos, 1))
		until(t, "forwarded", func() bool { return u.count() == n+1 })
		u.settle(n, 0x97)
		if got := old.ended(); got != -1 {
			t.Fatalf("a 3.1.1 client got DISCONNECT %#x", got)
		}
	}
}

func TestLateSettlementDoesNoHarm(t *testing.T) {
	u := startUplink(t)
	p := connect(t, u.b, "p", resume(), expiry(100))
	p.write(publishPacket("up", "a", 1, 1))
	p.write(publishPacket("up", "b", 2, 2))
	until(t, "forwarded", func() bool { return u.count() == 2 })
	p.nc.Close()
	until(t, "gone", func() bool { return u.b.Stats().Connected == 0 })
	p = connect(t, u.b, "p", resume(), expiry(100))
	p.write(publishPacket("up", "c", 1, 1)) // the same packet id on another connection
	until(t, "forwarded", func() bool { return u.count() == 3 })
	u.settle(0, 0x97) // for the old one
	u.settle(1, 0)    // QoS 2: known, but the client has not asked on this connection
	p.nothing()
	again := publishPacket("up", "b", 2, 2)
	again.FixedHeader.Dup = true
	p.write(again)
	if pk := p.expect(packets.Pubrec); pk.PacketID != 2 {
		t.Fatalf("PUBREC %d", pk.PacketID)
	}
	if u.count() != 3 {
		t.Fatal("published twice")
	}
	p.ack(packets.Pubrel, 2)
	p.expect(packets.Pubcomp)
	u.settle(2, 0)
	p.expect(packets.Puback)
	u.settle(1, 0)
	p.nothing()
	p.bye()
	u.settle(2, 0)
}

// A client that releases a packet id before it got the PUBREC, and uses it again,
// gets none for the second message when the first is settled.
func TestSettlementOfAnEarlierExchange(t *testing.T) {
	for _, v := range []byte{4, 5} {
		u := startUplink(t)
		p := connect(t, u.b, "p", version(v))
		for i, payload := range []string{"first", "second"} {
			p.write(publishPacket("up", payload, 2, 7))
			until(t, "forwarded", func() bool { return u.count() == i+1 })
			if i == 0 {
				p.ack(packets.Pubrel, 7)
				p.expect(packets.Pubcomp)
			}
		}
		u.settle(0, 0)
		p.nothing()
		u.settle(1, 0)
		if pk := p.expect(packets.Pubrec); pk.PacketID != 7 {
			t.Fatalf("PUBREC %d, want 7", pk.PacketID)
		}
	}
}

func TestQoS2OnceOverReconnects(t *testing.T) {
	u := startUplink(t)
	s := connect(t, u.b, "s")
	s.subscribe(sub{filter: "#", qos: 2})
	for round := range 5 {
		n := u.count()
		for try := range 4 {
			p := connect(t, u.b, "p", resume(), expiry(100), version(byte(4+round%2)))
			pk := publishPacket("up", fmt.Sprint(round), 2, 7)
			pk.FixedHeader.Dup = try > 0
			p.write(pk)
			until(t, "forwarded", func() bool { return u.count() == n+1 })
			if try == 2 {
				u.settle(n, 0)
			}
			if try >= 2 {
				p.expect(packets.Pubrec)
			}
			if try == 3 {
				p.ack(packets.Pubrel, 7)
				p.expect(packets.Pubcomp)
				p.ack(packets.Pubrel, 7)
				if got, want := p.expect(packets.Pubcomp).ReasonCode, byte(0x92*(round%2)); got != want {
					t.Fatalf("reason %#x, want %#x", got, want)
				}
			}
			p.nc.Close()
		}
		s.message("up", fmt.Sprint(round))
		s.nothing()
		if u.count() != n+1 {
			t.Fatal("published twice")
		}
	}
}

func TestUnacknowledgedLimit(t *testing.T) {
	few := func(c *Config) { c.Limits.Unacknowledged = 3 }
	t.Run("MQTT 5", func(t *testing.T) {
		u := startUplink(t, few)
		p := dial(t, u.b)
		if got := p.connect("p").Properties.ReceiveMaximum; got != 3 {
			t.Fatalf("Receive Maximum %d, want 3", got)
		}
		for i := range uint16(3) {
			p.write(publishPacket("up", "", 1+byte(i%2), i+1))
		}
		p.nothing()
		u.settle(0, 0)
		p.expect(packets.Puback)
		u.settle(1, 0)
		p.expect(packets.Pubrec)
		p.write(publishPacket("up", "", 1, 4))
		p.nothing()
		p.ack(packets.Pubrel, 2) // only now the second is done
		p.expect(packets.Pubcomp)
		p.write(publishPacket("up", "", 1, 5))
		p.nothing()
		p.write(publishPacket("up", "", 1, 6))
		if got := p.ended(); got != 0x93 {
			t.Fatalf("reason %#x, want 0x93", got)
		}
	})
	t.Run("3.1.1", func(t *testing.T) {
		u := startUplink(t, few)
		p := connect(t, u.b, "p", version(4))
		for i := range uint16(20) {
			p.write(publishPacket("up", fmt.Sprint(i), 1+byte(i%2), i+1))
		}
		until(t, "the first are forwarded", func() bool { return u.count() == 3 })
		for i := range 20 {
			until(t, "forwarded", func() bool { return u.count() == min(i+3, 20) })
			u.settle(i, 0)
			if pk, err := p.read(patience); err != nil || pk.PacketID != uint16(i+1) {
				t.Fatalf("acknowledgement %d: %v %v", i, pk, err)
			}
		}
	})
}

// TestSettledInsideForward settles before Forward returns, without a flush.
func TestSettledInsideForward(t *testing.T) {
	b := startBroker(t, Options{Forward: func(m *Message, t Ticket) bool {
		if t.Owner != nil {
			t.Owner.Settle(t.ID, 0)
		}
		return true
	}})
	for _, v := range []byte{4, 5} {
		p := connect(t, b, "p", version(v))
		for i := range 100 {
			p.publish("t", "x", byte(i%3))
		}
	}
}

// owner counts settlements of tickets that the test gives to Publish.
type owner struct {
	mu      sync.Mutex
	settled map[uint64]byte
}

func (o *owner) Settle(id uint64, reason byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if _, twice := o.settled[id]; twice {
		panic("settled twice")
	}
	o.settled[id] = reason
}

func (o *owner) has(id uint64) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	_, ok := o.settled[id]
	return ok
}

func TestPublishFromInside(t *testing.T) {
	b := startBroker(t, Options{Forward: func(m *Message, t Ticket) bool {
		if m.Topic != "submit" {
			panic("Publish went to the uplink")
		}
		t.Owner.Settle(t.ID, 0)
		return true
	}})
	o := &owner{settled: map[uint64]byte{}}
	message := func(qos byte) *Message {
		return &Message{Topic: "down", Payload: []byte("x"), QoS: qos, Accepted: time.Now()}
	}
	b.Publish(message(1), Ticket{o, 1})
	b.Publish(message(1), Ticket{})
	if !o.has(1) {
		t.Fatal("nobody subscribed: not settled")
	}
	s := connect(t, b, "s", resume(), expiry(100), receiveMax(2))
	s.subscribe(sub{filter: "#", qos: 2})
	q := connect(t, b, "q")
	q.subscribe(sub{filter: "down", qos: 1})
	b.Publish(message(2), Ticket{o, 2})
	b.Flush()
	s.message("down", "x")
	s.ping()
	if o.has(2) {
		t.Fatal("settled before all have acknowledged")
	}
	q.message("down", "x")
	until(t, "settled", func() bool { return o.has(2) })
	b.Publish(message(0), Ticket{o, 3})
	b.Flush()
	if !o.has(3) {
		t.Fatal("QoS 0: not settled")
	}
	s.message("down", "x")
	q.message("down", "x")
	q.bye()
	b.Publish(message(1), Ticket{o, 4})
	b.Publish(message(1), Ticket{o, 5})
	b.Publish(message(1), Ticket{o, 6}) // beyond the window: waits in the session
	b.Flush()
	if o.has(4) || o.has(5) || !o.has(6) {
		t.Fatalf("settled: %v", o.settled)
	}
	s.nc.Close()
	until(t, "the session keeps them", func() bool { return o.has(4) && o.has(5) })
	b.Publish(message(1), Ticket{o, 7})
	if !o.has(7) {
		t.Fatal("the client is away: not settled")
	}
	b.Submit(&Message{Topic: "submit", Payload: []byte("x"), QoS: 1}, Ticket{o, 8})
	if !o.has(8) {
		t.Fatal("not submitted")
	}
	b.Publish(&Message{Topic: "bad/+"}, Ticket{o, 9})
	if !o.has(9) || b.Stats().DroppedInvalid != 1 {
		t.Fatal("an invalid topic")
	}
}

// A client that has not acknowledged a command when the gateway stops has lost
// it with its session: the cloud must not be told otherwise.
func TestStopSettlesNothingUnacknowledged(t *testing.T) {
	cfg := DefaultConfig()
	cfg.Listeners = []ListenerConfig{{Bind: "127.0.0.1:0", Anonymous: true}}
	b, err := New(cfg, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Listen(); err != nil {
		t.Fatal(err)
	}
	stop := run(t, b)
	s := connect(t, b, "s", resume(), expiry(100))
	s.subscribe(sub{filter: "t", qos: 1})
	o := &owner{settled: map[uint64]byte{}}
	b.Publish(&Message{Topic: "t", Payload: []byte("x"), QoS: 1, Accepted: time.Now()}, Ticket{o, 1})
	b.Flush()
	s.expect(packets.Publish)
	stop()
	if o.has(1) {
		t.Fatal("settled without an acknowledgement")
	}
}
