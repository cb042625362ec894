package edge

import (
	"context"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"
)

func TestTakeover(t *testing.T) {
	b := startBroker(t, Options{})
	for v, want := range map[byte]int{4: -1, 5: 0x8e} {
		first := connect(t, b, "c", version(v))
		second := connect(t, b, "c", version(v))
		if got := first.ended(); got != want {
			t.Errorf("version %d: reason %#x, want %#x", v, got, want)
		}
		second.ping()
	}
}

// TestTakeoverStorm has a client id come a hundred times, several at once, while
// others publish to it: what was acknowledged to the publishers arrives, QoS 2
// once.
func TestTakeoverStorm(t *testing.T) {
	b := startBroker(t, Options{})
	connect(t, b, "c", resume(), expiry(1000)).subscribe(sub{filter: "t/#", qos: 2})
	var publishers sync.WaitGroup
	const each = 150
	for n := range 2 {
		p := connect(t, b, fmt.Sprint("p", n))
		publishers.Go(func() {
			for i := range each {
				p.publish(fmt.Sprint("t/", n), fmt.Sprint(i), byte(n+1))
			}
		})
	}
	type arrival struct{ topic, payload string }
	var mu sync.Mutex
	seen := map[arrival]int{}
	var order [2][]string
	// handle plays a client whose memory of QoS 2 outlives connections.
	pending := map[uint16]bool{}
	handle := func(p *peer, wait time.Duration) {
		for {
			pk, err := p.read(wait)
			if err != nil {
				return
			}
			var answer byte
			mu.Lock()
			switch pk.FixedHeader.Type {
			case packets.Publish:
				if pk.FixedHeader.Qos == 1 {
					answer = packets.Puback
				} else {
					answer = packets.Pubrec
				}
				if pk.FixedHeader.Qos != 2 || !pending[pk.PacketID] {
					a := arrival{pk.TopicName, string(pk.Payload)}
					if seen[a]++; seen[a] == 1 {
						i := int(pk.TopicName[2] - '0')
						order[i] = append(order[i], a.payload)
					}
				}
				pending[pk.PacketID] = pk.FixedHeader.Qos == 2
			case packets.Pubrel:
				answer = packets.Pubcomp
				delete(pending, pk.PacketID)
			}
			mu.Unlock()
			if answer != 0 {
				out := &packets.Packet{FixedHeader: packets.FixedHeader{Type: answer}, PacketID: pk.PacketID, ProtocolVersion: 5}
				if err := p.push(encode(t, out)); err != nil {
					return
				}
			}
		}
	}
	for range 50 {
		p := connect(t, b, "c", resume(), expiry(1000))
		handle(p, 10*time.Millisecond)
		// Two more at the same time, which only one survives.
		var both sync.WaitGroup
		for range 2 {
			both.Go(func() {
				nc, err := net.Dial("tcp", b.Addrs()[0].String())
				if err != nil {
					t.Error(err)
					return
				}
				defer nc.Close()
				nc.Write(encode(t, connectPacket("c", resume(), expiry(1000))))
				time.Sleep(5 * time.Millisecond)
			})
		}
		both.Wait()
	}
	publishers.Wait()
	last := connect(t, b, "c", resume(), expiry(1000))
	handle(last, time.Second)
	for n := range 2 {
		for i := range each {
			a := arrival{fmt.Sprint("t/", n), fmt.Sprint(i)}
			if got := seen[a]; got == 0 || n == 1 && got != 1 {
				t.Errorf("%v arrived %d times", a, got)
			}
			if i < len(order[n]) && order[n][i] != a.payload {
				t.Fatalf("topic %d: %v came instead of %v", n, order[n][i], a.payload)
			}
		}
	}
	until(t, "one connection each", func() bool { return b.Stats().Connections == 3 })
}

// TestStopIsBounded stops a broker with idle, stalled, half-connected and busy
// clients.
func TestStopIsBounded(t *testing.T) {
	cfg := DefaultConfig()
	cfg.Listeners = []ListenerConfig{{Bind: "127.0.0.1:0", Anonymous: true}}
	b, err := New(cfg, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Listen(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- b.Run(ctx) }()
	idle := connect(t, b, "idle", willOf("w", "x", 1, true, 0))
	old := connect(t, b, "old", version(4))
	dial(t, b)
	for i := range 5 {
		connect(t, b, fmt.Sprint("stalled", i)).subscribe(sub{filter: "#"})
	}
	busy := connect(t, b, "busy")
	go func() {
		flood := encode(t, &packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Publish}, ProtocolVersion: 5, TopicName: "t", Payload: make([]byte, 10_000)})
		for {
			if _, err := busy.nc.Write(flood); err != nil {
				return
			}
		}
	}()
	time.Sleep(300 * time.Millisecond)
	start := time.Now()
	cancel()
	select {
	case err := <-ended:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(patience):
		t.Fatal("Run did not return")
	}
	if d := time.Since(start); d > 5*time.Second {
		t.Fatalf("took %v", d)
	}
	if got := idle.ended(); got != 0x8b {
		t.Fatalf("reason %#x, want 0x8b", got)
	}
	if got := old.ended(); got != -1 {
		t.Fatalf("reason %#x for a 3.1.1 client", got)
	}
}

// TestDisconnectJustBeforeTakeover has a client say goodbye and come back at
// once: what it sent before it came back counts, the DISCONNECT too.
func TestDisconnectJustBeforeTakeover(t *testing.T) {
	b := startBroker(t, Options{})
	s := connect(t, b, "s")
	s.subscribe(sub{filter: "#", qos: 1})
	p := connect(t, b, "p", resume(), expiry(100), willOf("will", "x", 1, false, 0))
	for i := range 200 {
		last := publishPacket("t", fmt.Sprint(i), 0, 0)
		last.ProtocolVersion = 5
		p.raw(encode(t, last))
		p.raw([]byte{0xe0, 0})
		again := connect(t, b, "p", resume(), expiry(100), willOf("will", "x", 1, false, 0))
		s.message("t", fmt.Sprint(i)) // and not the will
		p.nc.Close()
		p = again
	}
}
