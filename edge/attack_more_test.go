package edge

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"
)

// TestPacketIDAbuse uses packet ids again before they are free, releases what
// nobody sent, and begins more exchanges than may be.
func TestPacketIDAbuse(t *testing.T) {
	attack(t, func(t *testing.T, o *outpost) {
		s := o.join("subscriber", receiveMax(10))
		s.subscribe(sub{filter: "ids/#", qos: 2})
		p := o.join("again")
		for range 2000 { // one exchange, whatever else is in it
			p.raw(framedPacket(0x34, text("ids/again"), "\x00\x05\x00", "x"))
			if pk := p.expect(packets.Pubrec); pk.PacketID != 5 || pk.ReasonCode >= 0x80 {
				t.Fatalf("got PUBREC %d, reason %#x", pk.PacketID, pk.ReasonCode)
			}
		}
		s.message("ids/again", "x")
		s.nothing()
		for id := range uint16(1000) {
			p.ack(packets.Pubrel, 1000+id)
			if pk := p.expect(packets.Pubcomp); pk.ReasonCode != 0x92 {
				t.Fatalf("PUBREL of nothing: got reason %#x, want 0x92", pk.ReasonCode)
			}
		}
		for _, kind := range []byte{packets.Puback, packets.Pubrec, packets.Pubcomp} {
			for id := range uint16(1000) {
				p.ack(kind, 1000+id)
				if kind == packets.Pubrec {
					p.expect(packets.Pubrel)
				}
			}
		}
		p.ping()
		o.each(100, func(i int) {
			p := o.known(i, fmt.Sprint("ids", i), version(byte(4+i%4/2)), resume(), expiry(1))
			if p == nil {
				return
			}
			var flood []byte
			for id := range uint16(5000) {
				flood = append(flood, framedPacket(0x34, text("ids2/x"), string([]byte{byte((id + 1) >> 8), byte(id + 1)}), map[byte]string{4: "", 5: "\x00"}[p.v], "x")...)
			}
			p.push(flood)
			if got := p.verdict(); p.v == 5 && got != 0x93 && got != 0x97 && got != -1 {
				t.Errorf("got reason %#x, want 0x93", got)
			}
		})
	})
}

// TestSubscriptionBombs has clients subscribe to as much as they can, to deep
// filters of which no two have a level in common.
func TestSubscriptionBombs(t *testing.T) {
	attack(t, func(t *testing.T, o *outpost) {
		o.each(100, func(i int) {
			p := o.known(i, fmt.Sprint("deep", i))
			for batch := 0; p != nil && batch < 10; batch++ {
				var filters []string
				for n := range 100 {
					filters = append(filters, text(fmt.Sprintf("%d-%d-%d%s", i, batch, n, strings.Repeat("/x", 127))), "\x00")
				}
				if p.push(framedPacket(0x82, "\x00\x01\x00", strings.Join(filters, ""))) != nil {
					return
				}
				pk, err := p.read(patience)
				switch {
				case err != nil:
					t.Error(err)
					return
				case pk.FixedHeader.Type == packets.Disconnect && pk.ReasonCode == 0x97:
					return
				case pk.FixedHeader.Type != packets.Suback:
					t.Errorf("got %s, reason %#x", packets.PacketNames[pk.FixedHeader.Type], pk.ReasonCode)
					return
				}
			}
		})
	})
}

// TestPacketsOfFilters has 340,000 filters in a packet of a megabyte, and as
// many as may be.
func TestPacketsOfFilters(t *testing.T) {
	attack(t, func(t *testing.T, o *outpost) {
		for n, want := range map[int]byte{mostFilters: packets.Suback, mostFilters + 1: packets.Disconnect} {
			p := o.join("most")
			p.raw(framedPacket(0x82, "\x00\x01\x00", strings.Repeat("\x00\x01a\x01", n)))
			p.expect(want)
			p.nc.Close()
		}
		o.each(100, func(i int) {
			if p := o.known(i, fmt.Sprint("many", i)); p != nil {
				p.push(framedPacket(0x82, "\x00\x01\x00", strings.Repeat("\x00\x00\x00", 340_000)))
				if got := p.verdict(); got != 0x97 && got != -1 {
					t.Errorf("SUBSCRIBE: got reason %#x, want 0x97", got)
				}
			}
			if p := o.known(i, fmt.Sprint("many", i)); p != nil {
				p.push(framedPacket(0xa2, "\x00\x01\x00", strings.Repeat("\x00\x01a", 340_000)))
				if got := p.verdict(); got != 0x97 && got != -1 {
					t.Errorf("UNSUBSCRIBE: got reason %#x, want 0x97", got)
				}
			}
		})
	})
}

// TestEveryWildcard has 2^13 filters that match one topic, each in another way.
func TestEveryWildcard(t *testing.T) {
	attack(t, func(t *testing.T, o *outpost) {
		const levels = 13
		for i := range 1 << levels / 1000 {
			p := o.join(fmt.Sprint("wild", i))
			var filters []sub
			for n := range 1000 {
				filter := ""
				for level := range levels {
					filter += map[bool]string{true: "/+", false: "/a"}[(i*1000+n)>>level&1 == 1]
				}
				filters = append(filters, sub{filter: filter})
			}
			p.subscribe(filters...)
		}
		p := o.join("publisher")
		for n := range 50 { // no two are the same topic, so each is worked out
			p.raw(framedPacket(0x30, text(strings.Repeat("/a", levels-1)+"/"+fmt.Sprint(n)), "\x00", "x"))
		}
		p.ping()
	})
}

// TestDeepTopics has messages retained under the deepest topics, and others sent
// to topics of which no two are the same.
func TestDeepTopics(t *testing.T) {
	attack(t, func(t *testing.T, o *outpost) {
		o.each(20, func(i int) {
			p := o.known(i, fmt.Sprint("deep", i))
			for n := 0; p != nil && n < 1500; n++ {
				first := byte(0x30 | n%2) // retained
				if p.push(framedPacket(first, text(fmt.Sprint(i, ".", n, strings.Repeat("/y", 127))), "\x00", "x")) != nil {
					return
				}
			}
			if p != nil {
				if p.push(framedPacket(0x31, text("z"+strings.Repeat("/", 128)), "\x00x")); p.verdict() != 0x90 {
					t.Error("129 levels were taken")
				}
			}
		})
		if st := o.usage().Stats; st.Retained == 0 || st.DroppedRetained == 0 {
			t.Errorf("retained %d, refused %d, want some of both", st.Retained, st.DroppedRetained)
		}
	})
}

// TestInvalidText sends what is no UTF-8 wherever text may be.
func TestInvalidText(t *testing.T) {
	for name, bad := range map[string]string{"no UTF-8": "\xff\xfe", "overlong": "\xc0\xaf", "a surrogate": "\xed\xa0\x80", "U+0000": "a\x00b", "cut off": "a\xe2\x82", "beyond U+10FFFF": "\xf4\x90\x80\x80"} {
		t.Run(name, func(t *testing.T) {
			attack(t, func(t *testing.T, o *outpost) {
				user := "\x26" + text("k") + text(bad)
				way := 0 // each packet comes another one
				size := func(s string) string { return string(appendVarint(nil, len(s))) + s }
				for what, packet := range map[string][]byte{
					"topic":           framedPacket(0x30, text(bad), "\x00x"),
					"user property":   framedPacket(0x30, text("a"), size(user)),
					"content type":    framedPacket(0x30, text("a"), size("\x03"+text(bad))),
					"response topic":  framedPacket(0x30, text("a"), size("\x08"+text(bad))),
					"filter":          framedPacket(0x82, "\x00\x01\x00", text(bad), "\x00"),
					"shared filter":   framedPacket(0x82, "\x00\x01\x00", text("$share/"+bad+"/x"), "\x00"),
					"unsubscribing":   framedPacket(0xa2, "\x00\x01\x00", text(bad)),
					"reason":          framedPacket(0xe0, "\x00", size("\x1f"+text(bad))),
					"acknowledgement": framedPacket(0x40, "\x00\x01\x00", size("\x1f"+text(bad))),
				} {
					way++
					if p := o.known(way, "invalid"); p == nil {
						t.Errorf("%s: not let in", what)
					} else if p.push(packet); p.verdict() != 0x81 {
						t.Errorf("%s: was taken", what)
					}
				}
				for what, body := range map[string]string{
					"client id":          "\x02\x00\x3c\x00" + text(bad),
					"will topic":         "\x06\x00\x3c\x00" + text("invalid") + "\x00" + text(bad) + text("x"),
					"will user property": "\x06\x00\x3c\x00" + text("invalid") + size(user) + text("w") + text("x"),
					"user name":          "\x82\x00\x3c\x00" + text("invalid") + text(bad),
					"user property":      "\x02\x00\x3c" + size(user) + text("invalid"),
				} {
					way++
					p, err := o.dial(way)
					if err != nil {
						t.Fatal(err)
					}
					p.push(framedPacket(0x10, "\x00\x04MQTT\x05", body))
					if got := p.verdict(); got < 0x80 {
						t.Errorf("CONNECT, %s: was taken, %#x", what, got)
					}
					p.nc.Close()
				}
			})
		})
	}
}

// TestSessionBombs has clients leave sessions with large wills and long ids
// behind, one after the other.
func TestSessionBombs(t *testing.T) {
	attack(t, func(t *testing.T, o *outpost) {
		will := strings.Repeat("w", 60_000)
		o.each(2500, func(i int) {
			id := fmt.Sprint(i, strings.Repeat("x", 20_000))
			if p := o.known(i, id, resume(), expiry(3600), willOf("will/"+fmt.Sprint(i), will, 1, true, 3600)); p != nil {
				if tcp, ok := socketOf(p.nc).(*net.TCPConn); ok {
					tcp.SetLinger(0)
				}
				p.nc.Close()
			}
		})
		if st := o.usage().Stats; st.Overloads == 0 && st.DroppedSessions == 0 {
			t.Errorf("nobody was refused: %+v", st)
		}
	})
}

// TestDeafSubscribers has many who asked for everything and read nothing while
// one publishes as fast as it can.
func TestDeafSubscribers(t *testing.T) {
	attack(t, func(t *testing.T, o *outpost) {
		for i := range 100 {
			p := o.mustDial(i)
			p.readLittle(4 << 10)
			if ack := p.connect(fmt.Sprint("deaf", i)); ack.ReasonCode != 0 {
				t.Fatalf("CONNACK %#x", ack.ReasonCode)
			}
			p.subscribe(sub{filter: "flood/#", qos: byte(i % 3)})
		}
		p := o.join("flooder")
		go func() {
			for {
				if _, err := p.read(time.Hour); err != nil {
					return
				}
			}
		}()
		payload := strings.Repeat("x", 10_000)
		for n := range 3000 {
			if p.push(framedPacket(byte(0x30|n%2<<1), text("flood/x"), []string{"", "\x00\x07"}[n%2], "\x00", payload)) != nil {
				return // it never reads enough of its answers to be told
			}
		}
	})
}
