package edge

import (
	"strings"
	"testing"
)

// TestLargeMessagesComeWhenThereIsRoom has a client come back when there is no
// memory for what was in flight to it. It gets that when there is, without a
// word of its own.
func TestLargeMessagesComeWhenThereIsRoom(t *testing.T) {
	b := startBroker(t, Options{})
	s := connect(t, b, "s", resume(), expiry(1000))
	s.subscribe(sub{filter: "t", qos: 1})
	p := connect(t, b, "p")
	const messages = 3
	payload := strings.Repeat("x", lightBuffer+1)
	for range messages {
		p.publish("t", payload, 1)
		s.read(patience)
	}
	s.nc.Close()
	until(t, "the end is seen", func() bool { return b.Stats().Connected == 1 })

	all := int64(b.config().Limits.Memory)
	b.memory.charge(all)
	s = connect(t, b, "s", resume(), expiry(1000))
	c := b.sessionWith("s").conn.Load()
	until(t, "the CONNACK is written", func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return !c.writing && c.pending() == 0
	})
	b.memory.charge(-all)
	for range messages {
		s.message("t", payload)
	}
}
