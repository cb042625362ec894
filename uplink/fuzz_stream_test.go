package uplink

import (
	"bytes"
	"io"
	"net"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/packets"
)

// stream is a connection from which a server's bytes come.
type stream struct{ *bytes.Reader }

func (stream) Write(p []byte) (int, error)      { return len(p), nil }
func (stream) Close() error                     { return nil }
func (stream) LocalAddr() net.Addr              { return nil }
func (stream) RemoteAddr() net.Addr             { return nil }
func (stream) SetDeadline(time.Time) error      { return nil }
func (stream) SetReadDeadline(time.Time) error  { return nil }
func (stream) SetWriteDeadline(time.Time) error { return nil }

// sink parses what a down link would.
type sink struct{}

func (sink) puback(uint16, byte) error { return nil }
func (sink) idle() int                 { return 0 }
func (sink) publish(first byte, body []byte) error {
	p, err := parsePublish(first, body)
	if err == nil {
		_, _, err = passOn(nil, p.properties)
	}
	return err
}

// FuzzServerStream reads whatever a server may send, message plane and control
// plane, and keeps no more of it than the largest packet.
func FuzzServerStream(f *testing.F) {
	const most = 4096
	var good bytes.Buffer
	for _, p := range []packets.Packet{
		&packets.Connack{Properties: &packets.Properties{ServerReference: "b:1", ReasonString: "x"}},
		&packets.Suback{PacketID: 1, Reasons: []byte{1}, Properties: &packets.Properties{}},
		&packets.Publish{Topic: "a", PacketID: 1, QoS: 1, Payload: []byte("x"), Properties: &packets.Properties{}},
		&packets.Puback{PacketID: 1, Properties: &packets.Properties{}},
		&packets.Disconnect{ReasonCode: 0x9C, Properties: &packets.Properties{ServerReference: "[::1]:1 b"}},
	} {
		p.WriteTo(&good)
	}
	f.Add(good.Bytes(), true)
	f.Add([]byte("HTTP/1.1 200 OK\r\n\r\n"), false)
	f.Add([]byte{0x20, 0xff, 0xff, 0xff, 0x7f}, false)
	f.Add([]byte{0x30, 4, 0, 1, 'a', 0, 0x40, 2, 0, 9, 0xD0, 0}, true)
	f.Fuzz(func(t *testing.T, b []byte, open bool) {
		w := newWire(stream{bytes.NewReader(b)}, sink{}, most)
		w.open.Store(open)
		for {
			p, err := packets.ReadPacket(w)
			if err != nil {
				break
			}
			if d, ok := p.Content.(*packets.Disconnect); ok {
				disconnected(d)
			}
		}
		if n := len(w.in); n > 2*most {
			t.Errorf("got a buffer of %d bytes for packets of at most %d", n, most)
		}
		io.Copy(io.Discard, w.Conn)
	})
}
