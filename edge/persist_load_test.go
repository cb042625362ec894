package edge

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"
)

// TestRestartUnderLoad stops the broker while four clients publish as fast as
// they can, three times: with the subscriber there, away, and there again. What
// was acknowledged arrives, in each publisher's order.
func TestRestartUnderLoad(t *testing.T) {
	const publishers, perRound = 4, 300
	dir := t.TempDir()
	var acked [publishers]atomic.Int64 // numbers below it were acknowledged
	got := [publishers]int64{}         // the next number that has not arrived
	take := func(pk *packets.Packet) error {
		var who int
		var n int64
		if _, err := fmt.Sscanf(string(pk.Payload), "%d %d", &who, &n); err != nil {
			return err
		}
		if n > got[who] {
			return fmt.Errorf("publisher %d: message %d, want %d", who, n, got[who])
		}
		got[who] = max(got[who], n+1)
		return nil
	}
	for round := range 3 {
		b, stop := startIn(t, dir, every(20*time.Millisecond), deep)
		s := dial(t, b)
		if ack := s.connect("s", resume(), expiry(3600)); ack.SessionPresent != (round > 0) {
			t.Fatalf("round %d: session present %v", round, ack.SessionPresent)
		}
		switch round {
		case 0:
			s.subscribe(sub{filter: "load", qos: 1})
		case 1:
			s.bye()
		}
		var clients sync.WaitGroup
		if round != 1 {
			clients.Go(func() { takeAll(t, s, take) })
		}
		total := func() (n int64) {
			for i := range acked {
				n += acked[i].Load()
			}
			return n
		}
		before := total()
		for i := range publishers {
			p := connect(t, b, fmt.Sprint("p", i))
			clients.Go(func() { publishOn(p, i, &acked[i]) })
		}
		until(t, "they publish", func() bool { return total() >= before+perRound })
		stop()
		clients.Wait()
	}
	b, _ := startIn(t, dir, deep)
	s := connect(t, b, "s", resume(), expiry(3600))
	for i := range acked {
		for got[i] < acked[i].Load() {
			pk := s.expect(packets.Publish)
			if err := take(pk); err != nil {
				t.Fatal(err)
			}
			s.ack(packets.Puback, pk.PacketID)
		}
	}
	if got := b.Stats().DroppedQueue; got != 0 {
		t.Errorf("%d dropped", got)
	}
}

// takeAll acknowledges what comes until the connection ends.
func takeAll(t *testing.T, p *peer, take func(*packets.Packet) error) {
	for {
		pk, err := p.read(patience)
		if err != nil {
			return
		}
		if pk.FixedHeader.Type != packets.Publish {
			continue
		}
		if err := take(pk); err != nil {
			t.Error(err)
			return
		}
		if err := p.push(encode(t, &packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Puback}, ProtocolVersion: 5, PacketID: pk.PacketID})); err != nil {
			return
		}
	}
}

// publishOn publishes numbered messages, each after the last one's
// acknowledgement, until the connection ends; next is the first number. The
// message whose acknowledgement is missing is sent again the next time.
func publishOn(p *peer, who int, next *atomic.Int64) {
	for {
		pk := publishPacket("load", fmt.Sprint(who, " ", next.Load()), 1, 7)
		pk.ProtocolVersion = p.v
		if err := p.push(encode(p.t, pk)); err != nil {
			return
		}
		if pk, err := p.read(patience); err != nil || pk.FixedHeader.Type != packets.Puback {
			return
		}
		next.Add(1)
	}
}
