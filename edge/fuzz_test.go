package edge

import (
	"io"
	"net"
	"testing"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"
)

// FuzzConnection sends anything at all to a broker: it must not panic, and end
// the connection when the client has gone.
func FuzzConnection(f *testing.F) {
	for _, v := range []byte{3, 4, 5} {
		hello := encode(f, connectPacket("fuzz", version(v), resume(), willOf("w", "x", 1, true, 0)))
		f.Add(hello)
		for _, packet := range goodPackets(f, max(v, 4)) {
			f.Add(append(append([]byte(nil), hello...), packet...))
		}
	}
	b := startBroker(f, Options{Forward: func(m *Message, t Ticket) bool {
		if len(m.Payload)%2 == 0 || t.Owner == nil {
			return false
		}
		t.Owner.Settle(t.ID, byte(len(m.Payload)))
		return true
	}})
	l, err := newListener(ListenerConfig{Anonymous: true}, nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, sent []byte) {
		client, served := net.Pipe()
		c := newConn(b, served, l, l.terms.Load())
		go c.serve(t.Context())
		go io.Copy(io.Discard, client)
		client.SetDeadline(time.Now().Add(patience))
		client.Write(sent)
		client.Close()
		select {
		case <-c.done:
		case <-time.After(patience):
			t.Fatal("the connection did not end")
		}
		if got := b.Stats().Panics; got != 0 {
			t.Fatalf("%d panics", got)
		}
	})
}

// FuzzPublish holds the PUBLISH decoder against mochi's: what we accept it
// accepts too, and they read the same.
func FuzzPublish(f *testing.F) {
	for name, packet := range goodPackets(f, 5) {
		if name[:3] == "pub" {
			f.Add(packet[0], packet[2:], true)
		}
	}
	f.Add(byte(0x30), []byte("\x00\x01ahello"), false)
	f.Fuzz(func(t *testing.T, first byte, body []byte, v5 bool) {
		first = packets.Publish<<4 | first&15
		theirs := packets.Packet{ProtocolVersion: 4}
		if v5 {
			theirs.ProtocolVersion = 5
		}
		own := append([]byte(nil), body...)
		in, err := parsePublish(first, own, v5)
		if err != nil || !validText(in.topic) {
			return
		}
		if err := theirs.FixedHeader.Decode(first); err != nil {
			t.Fatalf("header: %v", err)
		}
		if err := theirs.PublishDecode(body); err != nil {
			t.Fatalf("mochi: %v", err)
		}
		if theirs.TopicName != string(in.topic) || string(theirs.Payload) != string(in.payload) || theirs.PacketID != in.id || theirs.Properties.TopicAlias != in.alias {
			t.Fatalf("got %+v, want %+v", in, theirs)
		}
		m := &Message{Topic: string(in.topic), Payload: in.payload, Properties: in.properties}
		sent, idAt := appendPublish(nil, m, &publishForm{v5: v5, qos: in.qos, retain: in.retain, expiry: in.expiry})
		n, used := varint(sent[1:])
		if 1+used+n != len(sent) || in.qos > 0 && idAt != 1+used+2+len(m.Topic) {
			t.Fatalf("encoded %x", sent)
		}
		back, err := parsePublish(sent[0], setID(sent, idAt)[1+used:], v5)
		if err != nil || string(back.payload) != string(in.payload) || string(back.properties) != string(in.properties) || back.expiry != in.expiry {
			t.Fatalf("read back %+v, %v, want %+v", back, err, in)
		}
	})
}

func setID(packet []byte, at int) []byte {
	if at > 0 {
		packet[at+1] = 1
	}
	return packet
}
