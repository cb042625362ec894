package uplink

import (
	"context"
	"fmt"
	"io"
	"sync"

	"github.com/eclipse/paho.golang/packets"
	"github.com/eclipse/paho.golang/paho/log"
	"github.com/eclipse/paho.golang/paho/session"
)

// control is paho's session of one connection. It knows requests that wait
// for their answer, SUBSCRIBE and UNSUBSCRIBE; messages do not pass here.
type control struct {
	wire   *wire
	role   beginner
	limits limits // written before Connect returns

	mu    sync.Mutex // guards what follows
	calls map[uint16]chan<- packets.ControlPacket
	next  uint16
	lost  bool
}

func (s *control) ConAckReceived(_ io.Writer, _ *packets.Connect, ca *packets.Connack) error {
	s.limits = readLimits(ca)
	s.role.begin(s.wire, s.limits)
	s.wire.open.Store(true)
	return nil
}

// ConnectionLost is called for a DISCONNECT of the cloud, then for the end.
func (s *control) ConnectionLost(d *packets.Disconnect) error {
	if d != nil {
		s.wire.fail(fault(byReason(disconnectFaults, d.ReasonCode), disconnected(d)))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lost = true
	for id, c := range s.calls {
		c <- packets.ControlPacket{} // has room; paho reads it as the loss of the connection
		delete(s.calls, id)
	}
	return nil
}

func (s *control) AddToSession(_ context.Context, p session.Packet, answer chan<- packets.ControlPacket) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lost {
		return session.ErrNoConnection
	}
	if s.next++; s.next <= publishIDs || s.next >= statusID {
		s.next = publishIDs + 1
	}
	p.SetIdentifier(s.next)
	s.calls[s.next] = answer
	return nil
}

func (s *control) PacketReceived(p *packets.ControlPacket, _ chan<- *packets.Publish) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c, ok := s.calls[p.PacketID()]; ok {
		delete(s.calls, p.PacketID())
		c <- *p
	}
	return nil
}

func (s *control) Ack(*packets.Publish) error { return nil }
func (s *control) Close() error               { return nil }
func (s *control) SetErrorLogger(log.Logger)  {}
func (s *control) SetDebugLogger(log.Logger)  {}

func disconnected(d *packets.Disconnect) error {
	s := "the cloud sent DISCONNECT"
	if w := disconnectReasons[d.ReasonCode]; w != "" {
		s += ": " + w
	}
	if d.Properties != nil && d.Properties.ReasonString != "" {
		s += ": " + d.Properties.ReasonString
	}
	err := fmt.Errorf("%s (0x%02X)", s, d.ReasonCode)
	if d.Properties != nil {
		return redirecting(d.ReasonCode, d.Properties.ServerReference, err)
	}
	return redirecting(d.ReasonCode, "", err)
}

var disconnectReasons = map[byte]string{
	0x87: "not authorized",
	0x89: "it is busy",
	0x8B: "it shuts down",
	0x8D: "the keepalive ran out",
	0x8E: "another client took this client id; give each gateway its own id",
	0x93: "more in flight than its Receive Maximum",
	0x95: "a packet is larger than it takes",
	0x96: "messages come too fast",
	0x97: "its quota is exceeded",
	0x98: "an administrator ended the connection",
	0x9C: "use another server",
	0x9D: "it has moved",
}
