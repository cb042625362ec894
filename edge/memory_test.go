package edge

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"

	"tidegate/internal/conf"
)

// TestMemoryIsGivenBack has clients do all that is charged for, and looks at
// the account when they have gone.
func TestMemoryIsGivenBack(t *testing.T) {
	b := startBroker(t, Options{}, func(c *Config) {
		c.SysInterval = 0 // its topics are charged for too
		c.Limits.WriteBuffer = 16 << 10
	})
	for round := range 2 {
		var clients []*peer
		for i := range 5 {
			s := connect(t, b, fmt.Sprint("s", i), receiveMax(5), willOf("w", strings.Repeat("w", 1000), 1, false, 0))
			s.subscribe(sub{filter: "a/deep/filter/#", qos: byte(i % 3)}, sub{filter: "$share/g/x/+/y", qos: 1}, sub{filter: "a/+/topic", qos: 2})
			s.subscribe(sub{filter: "a/+/topic", qos: 0}) // replaced
			clients = append(clients, s)
		}
		p := connect(t, b, "p", resume(), expiry(1000))
		for i := range 30 {
			p.publish("a/deep/filter/x", strings.Repeat("x", 20_000), byte(i%2))
		}
		for id := range uint16(200) {
			p.write(publishPacket("x/1/y", "two", 2, id+1))
			p.expect(packets.Pubrec)
		}
		p.publish("keep/this/topic", "retained", 1, asRetained())
		p.publish("keep/this/topic", "", 1, asRetained())
		if b.Stats().HeldBytes == 0 {
			t.Fatal("nothing is charged for")
		}
		for _, s := range clients {
			if round == 0 {
				s.nc.Close()
			} else {
				s.bye()
			}
		}
		p.bye()
		connect(t, b, "p").bye() // with a clean start
		until(t, "all is given back", func() bool { return b.Stats().HeldBytes == 0 })
	}
}

// TestOverloadIsAnswered fills what memory clients may take with unread
// messages, and looks at what those get who ask for more.
func TestOverloadIsAnswered(t *testing.T) {
	b := startBroker(t, Options{}, func(c *Config) {
		c.Limits.Memory = 1 << 20
		c.Limits.StallAfter = conf.Duration(time.Millisecond)
		c.Limits.WriteTimeout = conf.Duration(time.Hour)
	})
	polite := connect(t, b, "polite")
	polite.subscribe(sub{filter: "polite/#", qos: 1})
	p := connect(t, b, "p")
	for i := 0; !b.crammed(); i++ {
		s := dial(t, b)
		s.nc.(*net.TCPConn).SetReadBuffer(4 << 10)
		s.connect(fmt.Sprint("slow", i))
		s.subscribe(sub{filter: fmt.Sprint("slow/", i)})
		for range 100 {
			if b.crammed() {
				break
			}
			p.publish(fmt.Sprint("slow/", i), strings.Repeat("x", 60_000), 1)
		}
	}
	if got := polite.subscribe(sub{filter: "more"})[0]; got != packets.ErrQuotaExceeded.Code {
		t.Errorf("SUBSCRIBE: got reason %#x", got)
	}
	late := dial(t, b)
	if pk := late.connect("late"); pk.ReasonCode != packets.ErrQuotaExceeded.Code {
		t.Errorf("CONNECT: got reason %#x", pk.ReasonCode)
	}
	for qos := range byte(2) { // who takes what comes still gets it
		p.publish("polite/1", "hello", qos)
		polite.message("polite/1", "hello")
	}
	large := publishPacket("polite/1", strings.Repeat("x", 200_000), 1, 7)
	large.ProtocolVersion = 5
	p.raw(encode(t, large)[:100]) // the rest would be in vain
	if got := p.ended(); got != int(packets.ErrQuotaExceeded.Code) {
		t.Errorf("a large PUBLISH: got reason %#x", got)
	}
	if b.Stats().Overloads == 0 {
		t.Error("nothing was counted")
	}
}

// Each subscription is charged for, also where all have the same filter and none
// makes the trie larger; another one in its place costs nothing more.
func TestSubscriptionsAreChargedFor(t *testing.T) {
	b := startBroker(t, Options{}, func(c *Config) { c.SysInterval = 0 })
	var clients []*peer
	for i := range 20 {
		clients = append(clients, connect(t, b, fmt.Sprint(i)))
	}
	before := heldAtRest(t, b)
	for range 2 {
		for _, c := range clients {
			c.subscribe(sub{filter: "same"}, sub{filter: "$share/g/same"})
		}
		got, each := heldAtRest(t, b)-before, int64(len(clients)*subscriptionCost)
		if got < 2*each || got > 3*each {
			t.Errorf("got %d bytes for %d subscriptions, want some more than %d", got, 2*len(clients), 2*each)
		}
	}
}

// heldAtRest is what is charged for once every writer has given its buffer back:
// a client has its answer before that.
func heldAtRest(t *testing.T, b *Broker) int64 {
	t.Helper()
	until(t, "the writers rest", func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		for c := range b.conns {
			c.mu.Lock()
			resting := !c.writing && c.buf == nil
			c.mu.Unlock()
			if !resting {
				return false
			}
		}
		return true
	})
	return b.Stats().HeldBytes
}
