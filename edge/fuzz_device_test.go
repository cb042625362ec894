package edge

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"
)

// FuzzDevice lets a device connect as it should and then send whole packets
// that were changed, beside others who live in the same broker: it answers these
// still, nothing panics, and in the end every byte that was queued is accounted
// for.
//
// script is read as a list of: which of the good packets, how many changes, and
// for each change where and what to put there; what is left goes out as it is.
func FuzzDevice(f *testing.F) {
	kinds := map[byte][][]byte{4: sorted(goodPackets(f, 4)), 5: sorted(goodPackets(f, 5))}
	for i := range kinds[5] {
		f.Add([]byte{byte(i), 0, byte(i), 1, 0, 0x32, byte(i), 2, 3, 'x', 5, 0}, byte(i))
	}
	f.Add([]byte{9, 0, 6, 1, 2, '$', 0, 0, 6, 0, 8, 0, 6, 0, 2, 0}, byte(5))
	b := startBroker(f, Options{}, func(c *Config) {
		c.Limits.MaxPacket = 4 << 10
		c.Session.Queue = 50
	})
	l, err := newListener(ListenerConfig{Anonymous: true}, nil)
	if err != nil {
		f.Fatal(err)
	}
	for i := range 3 { // with sessions that others' messages wait in
		p := connect(f, b, fmt.Sprint("away", i), resume(), expiry(3600))
		p.subscribe(sub{filter: "a/#", qos: byte(i)}, sub{filter: "$share/g/+/b", qos: 2})
		p.bye()
	}
	witness := connect(f, b, "witness")
	witness.subscribe(sub{filter: "witness", qos: 1})
	f.Fuzz(func(t *testing.T, script []byte, how byte) {
		witness.t = t
		v := 4 + how&1
		opts := []option{version(v)}
		if how&2 != 0 {
			opts = append(opts, resume(), expiry(60))
		}
		if how&4 != 0 {
			opts = append(opts, willOf("a/will", "w", how>>3&1, how&16 != 0, uint32(how>>7)))
		}
		if how&32 != 0 {
			opts = append(opts, receiveMax(2), maxPacket(60))
		}
		client, served := net.Pipe()
		c := newConn(b, served, l, l.terms.Load())
		go c.serve(t.Context())
		go io.Copy(io.Discard, client)
		client.SetDeadline(time.Now().Add(patience))
		client.Write(append(encode(t, connectPacket("fuzz", opts...)), mutated(script, kinds[v])...))
		client.Close()
		select {
		case <-c.done:
		case <-time.After(patience):
			t.Fatal("the connection did not end")
		}
		if err := witness.roundTrip("witness", "x"); err != nil {
			t.Fatalf("the witness: %v", err)
		}
		if got := b.Stats(); got.Panics != 0 || got.Queued < 0 || got.QueuedBytes < 0 || got.QueuedBytes > 64<<20 {
			t.Fatalf("got %+v", got)
		}
	})
}

func sorted(all map[string][]byte) (list [][]byte) {
	for _, packet := range all {
		list = append(list, packet)
	}
	slices.SortFunc(list, bytes.Compare)
	return list
}

// mutated follows a script. The Remaining Length stays right, as long as it is
// one byte and no change hits it.
func mutated(script []byte, kinds [][]byte) (out []byte) {
	for len(script) >= 2 {
		packet := bytes.Clone(kinds[int(script[0])%len(kinds)])
		changes := int(script[1] % 8)
		script = script[2:]
		for ; changes > 0 && len(script) >= 2; changes-- {
			at := int(script[0]) % (len(packet) + 1)
			switch {
			case at == len(packet) && len(packet) < 127:
				packet = append(packet, script[1])
				packet[1]++
			case script[0] >= 0xc0 && at > 2 && packet[1] > 0:
				packet = slices.Delete(packet, at-1, at)
				packet[1]--
			default:
				packet[at%len(packet)] = script[1]
			}
			script = script[2:]
		}
		out = append(out, packet...)
	}
	return append(out, script...)
}

// FuzzConnect reads a CONNECT's body: nothing panics, and what is let through
// can be said to others.
func FuzzConnect(f *testing.F) {
	for _, v := range []byte{3, 4, 5} {
		for _, opts := range [][]option{nil, {resume(), expiry(7)}, {willOf("w", "x", 1, true, 9), user("u", "p")}} {
			whole := encode(f, connectPacket("fuzz", append(opts, version(v))...))
			f.Add(whole[2:])
		}
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		pk, w, err := decodeConnect(body)
		if pk == nil {
			t.Fatal("no packet")
		}
		if err != nil || checkConnect(pk) != nil {
			return
		}
		for _, text := range []string{pk.Connect.ClientIdentifier, string(pk.Connect.Username), pk.Connect.WillTopic} {
			if !validText([]byte(text)) {
				t.Fatalf("let through: %q", text)
			}
		}
		if (w != nil) != pk.Connect.WillFlag {
			t.Fatalf("will %v, flag %v", w, pk.Connect.WillFlag)
		}
		if w == nil {
			return
		}
		m := w.msg
		sent, _ := appendPublish(nil, &m, &publishForm{v5: true, qos: m.QoS, retain: m.Retain, expiry: m.Expiry})
		_, used := varint(sent[1:])
		var got packets.Packet
		got.ProtocolVersion = 5
		if err := got.FixedHeader.Decode(sent[0]); err != nil {
			t.Fatal(err)
		}
		if got.FixedHeader.Qos > 0 {
			setID(sent, 1+used+2+len(m.Topic))
		}
		if err := got.PublishDecode(sent[1+used:]); err != nil || got.TopicName != m.Topic || !bytes.Equal(got.Payload, m.Payload) {
			t.Fatalf("the will arrives as %+v, %v, want %+v", got, err, m)
		}
	})
}

// FuzzFilters reads the bodies of SUBSCRIBE and UNSUBSCRIBE: nothing panics, and
// every filter in them can be subscribed to and forgotten without a trace.
func FuzzFilters(f *testing.F) {
	for _, v := range []byte{4, 5} {
		for name, packet := range goodPackets(f, v) {
			if name == "subscribe" || name == "unsubscribe" {
				f.Add(packet[2:], v == 5, name == "subscribe")
			}
		}
	}
	b, err := New(DefaultConfig(), Options{})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, body []byte, v5, subscribe bool) {
		c := &conn{b: b, v5: v5, sess: newSession(b, "fuzz")}
		kind := packets.Unsubscribe
		if subscribe {
			kind = packets.Subscribe
		}
		pk, err := c.decodeFilters(kind, body)
		if err != nil {
			return
		}
		if pk.PacketID != binary.BigEndian.Uint16(body) || len(pk.Filters) == 0 {
			t.Fatalf("got %+v", pk)
		}
		var filters []string
		for i := range pk.Filters {
			if sub, _, err := c.newSubscription(&pk.Filters[i]); err == nil && sub != nil {
				b.trie.subscribe(sub)
				filters = append(filters, sub.filter)
			}
		}
		for _, filter := range filters {
			b.trie.unsubscribe(c.sess, filter)
		}
		if len(b.trie.root.children) > 0 || b.trie.subscriptions != 0 || b.trie.shared != 0 {
			t.Fatalf("left after %q: %+v", filters, b.trie.root.children)
		}
	})
}

// FuzzProperties holds our walk over properties against mochi's: what we accept
// it accepts too.
func FuzzProperties(f *testing.F) {
	for kind, list := range map[byte]string{
		packets.Connect:    "\x11\x00\x00\x00\x07\x21\x00\x05\x27\x00\x00\x01\x00\x26\x00\x01k\x00\x01v\x17\x01",
		packets.Subscribe:  "\x0b\x81\x01\x26\x00\x01k\x00\x01v",
		packets.Puback:     "\x1f\x00\x03why",
		packets.Disconnect: "\x11\x00\x00\x00\x00\x1f\x00\x03why",
	} {
		f.Add(append(appendVarint(nil, len(list)), list+"rest"...), kind)
	}
	f.Fuzz(func(t *testing.T, b []byte, kind byte) {
		kind &= 15
		rest, err := checkProperties(b, kind)
		if err != nil || kind == 0 || kind == packets.Publish {
			return
		}
		size, used := varint(b)
		if len(b)-len(rest) != used+size {
			t.Fatalf("%d bytes left of %d, want %d", len(rest), len(b), len(b)-used-size)
		}
		var theirs packets.Properties
		if _, err := theirs.Decode(kind, bytes.NewBuffer(bytes.Clone(b))); err != nil {
			t.Fatalf("mochi: %v", err)
		}
	})
}
