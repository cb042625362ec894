package edge

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"
)

// retainedNow returns what is retained for a topic, in memory and on its way to
// the disk.
func retainedNow(b *Broker, topic string) (memory, disk *Message) {
	b.trie.mu.RLock()
	if n := b.trie.root.find(topic); n != nil {
		memory = n.retained.Load()
	}
	b.trie.mu.RUnlock()
	b.store.mu.Lock()
	defer b.store.mu.Unlock()
	if row := b.store.rows[topic]; row != nil {
		disk = row.now
	}
	return memory, disk
}

// Two publishers retain on one topic at the same time: memory and disk agree
// on who was last.
func TestRetainedSameInMemoryAndOnDisk(t *testing.T) {
	b := startBroker(t, Options{Dir: t.TempDir()})
	for round := range 3000 {
		var both sync.WaitGroup
		for n := range 2 {
			m := &Message{Topic: "t", Payload: fmt.Append(nil, round, n), Accepted: time.Now(), Retain: true}
			both.Go(func() { b.Publish(m, Ticket{}) })
		}
		both.Wait()
		if memory, disk := retainedNow(b, "t"); memory != disk {
			t.Fatalf("round %d: got %q in memory, %q for the disk", round, memory.Payload, disk.Payload)
		}
	}
}

// A message retained at the moment at which its predecessor is found expired
// stays.
func TestExpiryLeavesTheSuccessor(t *testing.T) {
	b := startBroker(t, Options{Dir: t.TempDir()})
	for round := range 3000 {
		b.Publish(&Message{Topic: "t", Payload: []byte("old"), Accepted: time.Now().Add(-time.Hour), Expiry: 1, Retain: true}, Ticket{})
		next := &Message{Topic: "t", Payload: []byte("new"), Accepted: time.Now(), Retain: true}
		var both sync.WaitGroup
		both.Go(b.dropExpired)
		both.Go(func() { b.Publish(next, Ticket{}) })
		both.Wait()
		if memory, disk := retainedNow(b, "t"); memory != next || disk != next {
			t.Fatalf("round %d: got %v in memory, %v for the disk", round, memory, disk)
		}
	}
}

// Two publishers retain on one topic at the same time: subscribers and the
// uplink get last what stays retained.
func TestRetainedIsWhatCameLast(t *testing.T) {
	var mu sync.Mutex
	var up string
	b := startBroker(t, Options{Dir: t.TempDir(), Forward: func(m *Message, _ Ticket) bool {
		mu.Lock()
		defer mu.Unlock()
		up = string(m.Payload)
		return false
	}})
	s := connect(t, b, "s")
	s.subscribe(sub{filter: "t"})
	for round := range 3000 {
		var both sync.WaitGroup
		for n := range 2 {
			m := &Message{Topic: "t", Payload: fmt.Append(nil, round, n), Accepted: time.Now(), Retain: true}
			both.Go(func() { b.Submit(m, Ticket{}) })
		}
		both.Wait()
		b.Flush()
		s.expect(packets.Publish)
		last := string(s.expect(packets.Publish).Payload)
		memory, _ := retainedNow(b, "t")
		if kept := string(memory.Payload); last != kept || up != kept {
			t.Fatalf("round %d: %q is retained, %q came last to the subscriber, %q to the uplink", round, kept, last, up)
		}
	}
}
