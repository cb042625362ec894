package edge

import (
	"fmt"
	"testing"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"

	"tidegate/internal/conf"
)

func command(topic, payload string) *Message {
	return &Message{Topic: topic, Payload: []byte(payload), QoS: 1, Accepted: time.Now()}
}

func impatient(c *Config) { c.Limits.StallAfter = conf.Duration(100 * time.Millisecond) }

// A client that is connected and acknowledges nothing holds a ticket up once,
// for the stall time; later ones not at all, until it acknowledges in time.
func TestSilentClientHoldsNoTicket(t *testing.T) {
	b := startBroker(t, Options{}, impatient)
	o := &owner{settled: map[uint64]byte{}}
	s := connect(t, b, "s")
	s.subscribe(sub{filter: "#", qos: 1})
	b.Publish(command("t", "1"), Ticket{o, 1})
	b.Flush()
	first := s.expect(packets.Publish)
	until(t, "the first is released", func() bool { return o.has(1) })
	b.Publish(command("t", "2"), Ticket{o, 2})
	if !o.has(2) {
		t.Error("a late client's next ticket waits")
	}
	b.Flush()
	second := s.expect(packets.Publish)
	if got := b.Stats().Overdue; got != 1 {
		t.Errorf("overdue: got %d, want 1", got)
	}
	// The first is far too late. The second may be, too, on a slow machine.
	s.ack(packets.Puback, first.PacketID)
	s.ack(packets.Puback, second.PacketID)
	id := uint64(2)
	until(t, "it has acknowledged in time, and holds tickets again", func() bool {
		id++
		b.Publish(command("t", fmt.Sprint(id)), Ticket{o, id})
		holds := !o.has(id)
		b.Flush()
		m := s.expect(packets.Publish)
		s.ack(packets.Puback, m.PacketID)
		until(t, "settled", func() bool { return o.has(id) })
		return holds
	})
}

// A command that has waited for its device is not overdue when that has only
// just got it.
func TestOldCommandIsNotOverdue(t *testing.T) {
	b := startBroker(t, Options{}, func(c *Config) { c.Limits.StallAfter = conf.Duration(time.Minute) })
	o := &owner{settled: map[uint64]byte{}}
	s := connect(t, b, "s")
	s.subscribe(sub{filter: "#", qos: 1})
	old := command("t", "1")
	old.Accepted = time.Now().Add(-time.Hour)
	b.Publish(old, Ticket{o, 1})
	b.Flush()
	m := s.expect(packets.Publish)
	b.releaseOverdue(time.Now())
	if n := b.Stats().Overdue; o.has(1) || n > 0 {
		t.Errorf("its ticket did not wait: %d overdue", n)
	}
	s.ack(packets.Puback, m.PacketID)
	until(t, "it is settled", func() bool { return o.has(1) })
}

// One client that does not answer does not delay the tickets of others beyond
// the stall time, and gets what it missed when it comes back.
func TestOverdueCommandsStayInTheSession(t *testing.T) {
	b := startBroker(t, Options{}, impatient)
	o := &owner{settled: map[uint64]byte{}}
	s := connect(t, b, "s", resume(), expiry(100), receiveMax(2))
	s.subscribe(sub{filter: "#", qos: 1})
	const n = 20
	for i := range n {
		b.Publish(command("t", fmt.Sprint(i)), Ticket{o, uint64(i)})
	}
	b.Flush()
	until(t, "all are settled", func() bool {
		for i := range n {
			if !o.has(uint64(i)) {
				return false
			}
		}
		return true
	})
	s.nc.Close()
	until(t, "it has left", func() bool { return b.Stats().Connected == 0 })
	s = connect(t, b, "s", resume(), expiry(100))
	for i := range n {
		m := s.expect(packets.Publish)
		if got, want := string(m.Payload), fmt.Sprint(i); got != want {
			t.Fatalf("got command %s, want %s", got, want)
		}
		s.ack(packets.Puback, m.PacketID)
	}
}

// The cloud hears 0x97 of a command that a session had no room for.
func TestFullQueueRefusesCommands(t *testing.T) {
	b := startBroker(t, Options{}, func(c *Config) { c.Session.Queue = 3 })
	o := &owner{settled: map[uint64]byte{}}
	s := connect(t, b, "s", resume(), expiry(100))
	s.subscribe(sub{filter: "#", qos: 1})
	s.bye()
	until(t, "it has left", func() bool { return b.Stats().Connected == 0 })
	for i := range 5 {
		b.Publish(command("t", "x"), Ticket{o, uint64(i)})
	}
	for id, want := range map[uint64]byte{0: 0, 1: 0, 2: 0, 3: 0x97, 4: 0x97} {
		if got, ok := o.settled[id]; !ok || got != want {
			t.Errorf("ticket %d: got %#x (settled: %v), want %#x", id, got, ok, want)
		}
	}
	if got := b.Stats().DroppedQueue; got != 2 {
		t.Errorf("dropped: got %d, want 2", got)
	}
}

// A flood of QoS 0 commands for a client that reads nothing is dropped there;
// nobody waits, and others get theirs.
func TestFloodOfCommandsForOneClient(t *testing.T) {
	b := startBroker(t, Options{})
	deaf := connect(t, b, "deaf")
	deaf.subscribe(sub{filter: "deaf"})
	s := connect(t, b, "s")
	s.subscribe(sub{filter: "t"})
	before := b.Stats().Pauses
	big := string(make([]byte, 16<<10))
	for range 2000 {
		b.Publish(&Message{Topic: "deaf", Payload: []byte(big), Accepted: time.Now()}, Ticket{})
		b.Flush()
	}
	b.Publish(&Message{Topic: "t", Payload: []byte("on"), Accepted: time.Now()}, Ticket{})
	b.Flush()
	s.message("t", "on")
	st := b.Stats()
	if st.DroppedSlow == 0 || st.Pauses != before {
		t.Errorf("got %d dropped, %d pauses, want some and none", st.DroppedSlow, st.Pauses-before)
	}
}

func TestWanted(t *testing.T) {
	b := startBroker(t, Options{})
	s := connect(t, b, "s", resume(), expiry(100))
	s.subscribe(sub{filter: "a/+", qos: 1}, sub{filter: "$share/g/b", qos: 1})
	s.bye()
	for topic, want := range map[string]bool{"a/b": true, "b": true, "a": false, "c": false, "bad/+": false} {
		if got := b.Wanted(topic); got != want {
			t.Errorf("%s: got %v, want %v", topic, got, want)
		}
	}
}
