package edge

import (
	"fmt"
	"sync"
	"testing"

	"github.com/mochi-mqtt/server/v2/packets"
)

func TestDeliveryAtEveryQoSAndVersion(t *testing.T) {
	b := startBroker(t, Options{})
	for _, pv := range []byte{3, 4, 5} {
		for _, sv := range []byte{3, 4, 5} {
			for pq := range byte(3) {
				for sq := range byte(3) {
					t.Run(fmt.Sprintf("v%d qos %d to v%d qos %d", pv, pq, sv, sq), func(t *testing.T) {
						s := connect(t, b, "s", version(sv))
						if got := s.subscribe(sub{filter: "a/b", qos: sq}); got[0] != sq {
							t.Fatalf("granted %d, want %d", got[0], sq)
						}
						p := connect(t, b, "p", version(pv))
						p.publish("a/b", "hello", pq)
						if got, want := s.message("a/b", "hello").FixedHeader.Qos, min(pq, sq); got != want {
							t.Fatalf("QoS %d, want %d", got, want)
						}
						s.ping()
						s.bye()
						p.bye()
					})
				}
			}
		}
	}
}

func TestManyMessagesInOrder(t *testing.T) {
	b := startBroker(t, Options{})
	for qos := range byte(3) {
		s := connect(t, b, "s")
		s.subscribe(sub{filter: "#", qos: qos})
		p := connect(t, b, "p")
		var publisher sync.WaitGroup
		publisher.Go(func() {
			for i := range 3000 {
				pk := publishPacket("t", fmt.Sprint(i), qos, uint16(i%500)+1)
				pk.ProtocolVersion = 5
				p.write(pk)
				if qos == 0 {
					continue
				}
				switch ack, err := p.read(patience); {
				case err != nil:
					t.Error(err)
					return
				case qos == 2:
					p.ack(packets.Pubrel, ack.PacketID)
					if _, err := p.read(patience); err != nil {
						t.Error(err)
						return
					}
				}
			}
		})
		for i := range 3000 {
			s.message("t", fmt.Sprint(i))
		}
		publisher.Wait()
		s.bye()
	}
}

func TestRetainedMessages(t *testing.T) {
	b := startBroker(t, Options{})
	p := connect(t, b, "p")
	p.publish("r/a", "1", 1, asRetained())
	p.publish("r/a", "2", 1, asRetained())
	p.publish("r/b", "3", 0, asRetained())
	p.publish("r/c", "4", 2, asRetained())
	p.publish("r/c", "", 2, asRetained())
	s := connect(t, b, "s")
	s.subscribe(sub{filter: "r/a", qos: 1})
	if pk := s.message("r/a", "2"); !pk.FixedHeader.Retain || pk.FixedHeader.Qos != 1 {
		t.Fatalf("header %+v", pk.FixedHeader)
	}
	s.subscribe(sub{filter: "r/b", qos: 1})
	if pk := s.message("r/b", "3"); !pk.FixedHeader.Retain || pk.FixedHeader.Qos != 0 {
		t.Fatalf("header %+v", pk.FixedHeader)
	}
	s.subscribe(sub{filter: "r/c", qos: 1})
	s.nothing()
	p.publish("r/a", "5", 1, asRetained())
	if pk := s.message("r/a", "5"); pk.FixedHeader.Retain {
		t.Fatal("a live message says retain")
	}
}
