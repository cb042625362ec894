package edge

import (
	"fmt"
	"testing"

	"github.com/mochi-mqtt/server/v2/packets"
)

// What was not sent to a member that leaves goes to the others, in order; what
// was sent stays, until the session ends.
func TestSharedMovesWhenOneLeaves(t *testing.T) {
	for _, qos := range []byte{1, 2} {
		t.Run(fmt.Sprint("QoS ", qos), func(t *testing.T) {
			b := startBroker(t, Options{})
			one := connect(t, b, "one", resume(), expiry(100), receiveMax(2))
			one.subscribe(sub{filter: "$share/g/t", qos: qos}, sub{filter: "own", qos: qos})
			p := connect(t, b, "p")
			for i := range 10 {
				p.publish("t", fmt.Sprint(i), qos)
				p.publish("own", fmt.Sprint(i), qos)
			}
			first := one.expect(packets.Publish)
			one.expect(packets.Publish)
			two := connect(t, b, "two")
			two.subscribe(sub{filter: "$share/g/t", qos: qos})
			two.nothing()
			one.nc.Close()
			for i := 1; i < 10; i++ {
				if pk := two.message("t", fmt.Sprint(i)); pk.FixedHeader.Dup {
					t.Fatal("DUP on the first delivery to another member")
				}
			}
			two.nothing()
			one = connect(t, b, "one", resume(), expiry(100))
			if pk := one.message("t", "0"); pk.PacketID != first.PacketID || !pk.FixedHeader.Dup {
				t.Fatalf("packet id %d DUP %v, want %d again", pk.PacketID, pk.FixedHeader.Dup, first.PacketID)
			}
			for i := range 10 {
				one.message("own", fmt.Sprint(i))
			}
			one.nothing()
			until(t, "queues empty", func() bool { return b.Stats().QueuedBytes == 0 })
		})
	}
}

// A session that ends leaves its QoS 1 messages to another member, and a QoS 2
// message that was begun to nobody [MQTT-4.8.2-5].
func TestSharedInheritance(t *testing.T) {
	b := startBroker(t, Options{})
	one := connect(t, b, "one", resume(), expiry(100), receiveMax(2))
	one.subscribe(sub{filter: "$share/g/t", qos: 2})
	p := connect(t, b, "p")
	p.publish("t", "begun", 2)
	p.publish("t", "sent", 1)
	p.publish("t", "waits", 2)
	one.expect(packets.Publish)
	one.expect(packets.Publish)
	one.nc.Close()
	until(t, "gone", func() bool { return b.Stats().Connected == 1 })
	two := connect(t, b, "two")
	two.subscribe(sub{filter: "$share/g/t", qos: 2})
	two.nothing()
	connect(t, b, "one") // without the session
	two.message("t", "sent")
	two.message("t", "waits")
	two.nothing()
}

// A member whose queue is long is passed over while others have room.
func TestSharedPassesOverTheCrowded(t *testing.T) {
	b := startBroker(t, Options{}, func(c *Config) { c.Session.Queue = 20 })
	slow := connect(t, b, "slow", receiveMax(1))
	quick := connect(t, b, "quick")
	for _, m := range []*peer{slow, quick} {
		m.subscribe(sub{filter: "$share/g/t", qos: 1})
	}
	p := connect(t, b, "p")
	for range 200 {
		p.publish("t", "x", 1)
		quick.drain()
	}
	if got := b.Stats().DroppedQueue; got != 0 {
		t.Fatalf("%d dropped", got)
	}
	slow.drain()
}
