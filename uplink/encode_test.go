package uplink

import (
	"bytes"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/packets"
	"github.com/eclipse/paho.golang/paho"

	"tidegate/internal/topic"
	"tidegate/uplink/spool"
)

// FuzzPublish encodes a message and has paho's decoder read it.
func FuzzPublish(f *testing.F) {
	f.Add("a/b", []byte("payload"), []byte{0x01, 1, 0x26, 0, 1, 'k', 0, 1, 'v'}, byte(1), true, uint32(60), uint64(7), uint64(1<<40), uint16(9), "gw")
	f.Add("t", []byte{}, []byte{}, byte(0), false, uint32(0), uint64(0), uint64(0), uint16(1), "")
	f.Add("a/b", bytes.Repeat([]byte("x"), 300), []byte{0x03, 0, 1, 'x'}, byte(2), false, uint32(1), uint64(9), uint64(99999), uint16(65535), "gateway-with-a-long-name")
	f.Fuzz(func(t *testing.T, name string, payload, properties []byte, qos byte, retain bool, expiry uint32, epoch, seq uint64, id uint16, gateway string) {
		kept, _, err := passOn(nil, properties)
		if !topic.ValidName(name) || err != nil || qos > 2 || id == 0 || len(gateway) > 1000 {
			return
		}
		e := &spool.Entry{Epoch: epoch, Seq: seq, Msg: &Message{Topic: name, Payload: payload, Properties: kept, QoS: qos, Retain: retain, Expiry: expiry, Accepted: time.Now()}}
		form := form{gateway: gateway, qos: 1, retain: true}
		wire := form.appendPublish(nil, e, id)
		_, expires := e.ExpiryLeft()
		if got := form.size(e, expires).total; got != len(wire) {
			t.Fatalf("got %d bytes, size says %d", len(wire), got)
		}
		r := bytes.NewReader(wire)
		cp, err := packets.ReadPacket(r)
		if err != nil || r.Len() != 0 {
			t.Fatalf("paho: %v, %d bytes left", err, r.Len())
		}
		p := cp.Content.(*packets.Publish)
		if p.Topic != name || !bytes.Equal(p.Payload, payload) || p.QoS != min(qos, 1) || p.Retain != retain || p.Duplicate {
			t.Errorf("got %v", p)
		}
		if p.QoS > 0 && p.PacketID != id {
			t.Errorf("got packet id %d, want %d", p.PacketID, id)
		}
		if expires != (p.Properties.MessageExpiry != nil) {
			t.Errorf("got expiry %v, want %v", p.Properties.MessageExpiry, expires)
		}
		if users := p.Properties.User; gateway != "" && (len(users) == 0 || users[len(users)-1].Key != IDProperty) {
			t.Errorf("got user properties %v", users)
		}
		in, err := parsePublish(wire[0], body(wire))
		if err != nil || string(in.topic) != name || !bytes.Equal(in.payload, payload) || gateway != "" && !own(in.properties, gateway) || own(in.properties, gateway+"x") {
			t.Errorf("our own parser got %q, %v", in.topic, err)
		}
	})
}

// body returns a packet without its fixed header.
func body(wire []byte) []byte {
	_, l, _ := varint(wire[1:])
	return wire[1+l:]
}

// FuzzParse feeds anything to the decoder of PUBLISH: it must not panic, and
// what it accepts must be what paho reads.
func FuzzParse(f *testing.F) {
	f.Add(byte(0x32), []byte{0, 1, 'a', 0, 5, 7, 0x02, 0, 0, 0, 9, 0x01, 1, 'x'})
	f.Add(byte(0x30), []byte{0, 1, 'a', 2, 0x0B, 3})
	f.Add(byte(0x30), []byte{0, 1, 'a', 3, 0x23, 0, 1})
	f.Fuzz(func(t *testing.T, first byte, b []byte) {
		first = 0x30 | first&0x0f
		p, err := parsePublish(first, b)
		if err != nil {
			return
		}
		kept, expiry, err := passOn(nil, p.properties)
		own(p.properties, "gw")
		if err != nil {
			return
		}
		wire := append(appendVarint([]byte{first}, len(b)), b...)
		cp, perr := packets.ReadPacket(bytes.NewReader(wire))
		if perr != nil {
			t.Fatalf("we accept what paho refuses: %v", perr)
		}
		want := cp.Content.(*packets.Publish)
		if want.Topic != string(p.topic) || !bytes.Equal(want.Payload, p.payload) || want.PacketID != p.id {
			t.Errorf("got %q %q, want %v", p.topic, p.payload, want)
		}
		if want.Properties.MessageExpiry != nil && max(*want.Properties.MessageExpiry, 1) != expiry {
			t.Errorf("got expiry %d, want %d", expiry, *want.Properties.MessageExpiry)
		}
		if _, _, err := passOn(nil, kept); err != nil {
			t.Errorf("what is passed on is malformed: %v", err)
		}
	})
}

// FuzzControl feeds anything to what reads the control packets: a panic there
// would end the gateway.
func FuzzControl(f *testing.F) {
	for _, b := range [][]byte{{0x20, 3, 0, 0, 0}, {0x90, 4, 0, 1, 0, 0}, {0xB0, 4, 0, 1, 0, 0}, {0xD0, 0}, {0xE0, 2, 0x8b, 0}, {0x20, 8, 0, 0, 5, 0x22, 0, 1, 0x24, 1}} {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < 2 || b[1] > 127 || int(b[1]) != len(b)-2 {
			return
		}
		if k := b[0] >> 4; k != packets.CONNACK && k != packets.SUBACK && k != packets.UNSUBACK && k != packets.PINGRESP && k != packets.DISCONNECT {
			return
		}
		p, err := packets.ReadPacket(bytes.NewReader(b))
		if err != nil {
			return
		}
		switch c := p.Content.(type) {
		case *packets.Connack:
			paho.ConnackFromPacketConnack(c)
			readLimits(c)
		case *packets.Disconnect:
			paho.DisconnectFromPacketDisconnect(c)
			disconnected(c)
		case *packets.Suback:
			paho.SubackFromPacketSuback(c)
		case *packets.Unsuback:
			paho.UnsubackFromPacketUnsuback(c)
		}
	})
}
