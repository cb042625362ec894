package edge

import (
	"fmt"
	"testing"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"
)

// What moved to another member of a shared subscription after it was written
// down does not come back with a restart, and what stayed is not lost.
func TestMovedDeliveriesAcrossRestart(t *testing.T) {
	dir := t.TempDir()
	b, stop := startIn(t, dir, every(20*time.Millisecond))
	one := connect(t, b, "one", resume(), expiry(3600))
	one.subscribe(sub{filter: "$share/g/t", qos: 1}, sub{filter: "own", qos: 1})
	one.bye()
	p := connect(t, b, "p")
	for i := range 6 {
		p.publish("t", fmt.Sprint(i), 1)
		p.publish("own", fmt.Sprint(i), 1)
	}
	until(t, "the queue is on disk", func() bool { return b.Stats().DiskQueued > 0 })
	one = connect(t, b, "one", resume(), expiry(3600), receiveMax(1))
	one.expect(packets.Publish)
	two := connect(t, b, "two", resume(), expiry(3600))
	two.subscribe(sub{filter: "$share/g/t", qos: 1})
	one.nc.Close()
	for i := 1; i < 6; i++ {
		two.message("t", fmt.Sprint(i))
	}
	two.bye()
	stop()

	b, _ = startIn(t, dir, every(20*time.Millisecond))
	one = connect(t, b, "one", resume(), expiry(3600))
	one.message("t", "0")
	for i := range 6 {
		one.message("own", fmt.Sprint(i))
	}
	one.nothing()
	until(t, "the queue has left the disk", func() bool { return b.Stats().DiskQueued == 0 })
}

// What a restart brought back for a member of a shared subscription still goes
// to another one when the member leaves.
func TestRestoredDeliveriesMove(t *testing.T) {
	dir := t.TempDir()
	b, stop := startIn(t, dir)
	one := connect(t, b, "one", resume(), expiry(3600))
	one.subscribe(sub{filter: "$share/g/t", qos: 1}, sub{filter: "own", qos: 1})
	one.bye()
	p := connect(t, b, "p")
	for i := range 4 {
		p.publish("t", fmt.Sprint(i), 1)
	}
	p.publish("own", "x", 1)
	stop()

	b, _ = startIn(t, dir)
	one = connect(t, b, "one", resume(), expiry(3600), receiveMax(1))
	one.expect(packets.Publish)
	two := connect(t, b, "two")
	two.subscribe(sub{filter: "$share/g/t", qos: 1})
	one.nc.Close()
	for i := 1; i < 4; i++ {
		two.message("t", fmt.Sprint(i))
	}
	two.nothing()
	one = connect(t, b, "one", resume(), expiry(3600))
	one.message("t", "0")
	one.message("own", "x")
	one.nothing()
}
