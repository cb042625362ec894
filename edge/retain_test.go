package edge

import (
	"fmt"
	"sync"
	"testing"
	"time"
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
			both.Go(func() { b.retain(m) })
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
		b.retain(&Message{Topic: "t", Payload: []byte("old"), Accepted: time.Now().Add(-time.Hour), Expiry: 1, Retain: true})
		next := &Message{Topic: "t", Payload: []byte("new"), Accepted: time.Now(), Retain: true}
		var both sync.WaitGroup
		both.Go(b.dropExpired)
		both.Go(func() { b.retain(next) })
		both.Wait()
		if memory, disk := retainedNow(b, "t"); memory != next || disk != next {
			t.Fatalf("round %d: got %v in memory, %v for the disk", round, memory, disk)
		}
	}
}
