package edge

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"
)

// mostUnderAttack is what an outpost with the default limits may have resident,
// in bytes: twice what they let clients and retained messages take, since the
// collector lets as much garbage lie about, and what the process needs.
const mostUnderAttack = 2*(96+32)<<20 + 64<<20

// attack has an outpost attacked while an honest client goes on. When the
// attackers have gone, they have left nothing behind. What f needs to keep open
// it gives to o.mustDial.
func attack(t *testing.T, f func(t *testing.T, o *outpost)) {
	o := newOutpost(t)
	served := o.serveHonestly()
	o.usage() // what the first look takes is no leak
	before := o.usage()
	t.Run("attack", func(t *testing.T) {
		u := *o
		u.t = t
		f(t, &u)
	})
	var after usage
	until(t, "all is given back", func() bool {
		after = o.usage()
		return after.Goroutines <= before.Goroutines && after.descriptors <= before.descriptors && after.Stats.Connections == before.Stats.Connections
	})
	served()
	t.Logf("resident at most %d MB, now %d MB anonymous; connections %d, broken %d, refused for lack of room %d, cut %d",
		after.most/1e6, after.anonymous/1e6, after.Stats.ConnectionsTotal, after.Stats.Malformed, after.Stats.Overloads, after.Stats.Cut)
	if most := detector * mostUnderAttack; after.most > most {
		t.Errorf("resident: got %d bytes, want at most %d", after.most, most)
	}
	if after.Stats.Panics > 0 {
		t.Errorf("%d panics", after.Stats.Panics)
	}
}

// each has n attackers at once, few at a time so that a small machine lets all
// of them come in, and waits for them.
func (o *outpost) each(n int, f func(i int)) {
	var all sync.WaitGroup
	room := make(chan struct{}, 50)
	for i := range n {
		room <- struct{}{}
		all.Go(func() {
			defer func() { <-room }()
			f(i)
		})
	}
	all.Wait()
}

// verdict reads until the broker ends the connection, and returns the reason of
// its DISCONNECT or refusing CONNACK: -1 for none.
func (p *peer) verdict() int {
	reason := -1
	for {
		pk, err := p.read(patience)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			p.t.Error("the connection did not end")
			return reason
		case err != nil:
			return reason
		case pk.FixedHeader.Type == packets.Disconnect, pk.FixedHeader.Type == packets.Connack && pk.ReasonCode >= 0x80:
			reason = int(pk.ReasonCode)
		}
	}
}

// known connects like any client; nil when it is not let in.
func (o *outpost) known(i int, id string, opts ...option) *peer {
	p, err := o.dial(i)
	if err != nil {
		o.t.Error(err)
		return nil
	}
	o.t.Cleanup(func() { p.nc.Close() })
	pk := connectPacket(id, opts...)
	p.v = pk.ProtocolVersion
	if p.push(encode(o.t, pk)) != nil {
		return nil
	}
	if ack, err := p.read(patience); err != nil || ack.ReasonCode != 0 {
		return nil
	}
	return p
}

// framedPacket is a packet of any size.
func framedPacket(first byte, parts ...string) []byte {
	body := strings.Join(parts, "")
	return append(appendVarint([]byte{first}, len(body)), body...)
}

// text is a string as MQTT has it.
func text(s string) string { return string(binary.BigEndian.AppendUint16(nil, uint16(len(s)))) + s }

// TestSlowloris has clients that send nothing, or a byte now and then, and never
// come to an end with it: of PROXY, TLS, HTTP or CONNECT.
func TestSlowloris(t *testing.T) {
	attack(t, func(t *testing.T, o *outpost) {
		hello := framedPacket(0x10, "\x00\x04MQTT\x05\x02\x00\x3c\x00", text(strings.Repeat("x", 60_000)))
		openings := [ways][]byte{
			hello,
			[]byte("GET /mqtt HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("x", 5000)),
			[]byte("\x16\x03\x01\x3f\xff\x01\x00\x3f\xfb\x03\x03" + strings.Repeat("x", 5000)),
			hello,
			[]byte("PROXY TCP6 2001:0db8:0000:0000:0000:0000:0000:0001 2001:0db8:0000:0000:0000:0000:0000:0002 65535 65535"),
		}
		var all sync.WaitGroup
		for i := range 300 {
			way := i % ways
			nc, err := o.reach(way)
			if err != nil {
				t.Fatal(err)
			}
			all.Go(func() {
				defer nc.Close()
				slowly := openings[way]
				tick := time.NewTicker(100 * time.Millisecond)
				defer tick.Stop()
				for end := time.Now().Add(patientConnect + patience); ; <-tick.C {
					if time.Now().After(end) {
						t.Error("the broker still listens")
						return
					}
					nc.SetReadDeadline(time.Now().Add(time.Millisecond))
					if _, err := io.Copy(io.Discard, nc); !errors.Is(err, os.ErrDeadlineExceeded) {
						return // ended
					}
					if i/ways%3 > 0 {
						nc.Write(slowly[:1])
						slowly = slowly[1:]
					}
				}
			})
		}
		all.Wait()
	})
}

// TestHugePackets announces what no memory holds, and sends much of what is just
// allowed without ever sending the rest.
func TestHugePackets(t *testing.T) {
	attack(t, func(t *testing.T, o *outpost) {
		waste := bytes.Repeat([]byte{'x'}, 64<<10)
		o.each(100, func(i int) { // before CONNECT
			p, err := o.dial(i)
			if err != nil {
				t.Error(err)
				return
			}
			defer p.nc.Close()
			p.push(append([]byte("\x10\xff\xff\xff\x7f\x00\x04MQTT\x05\x02\x00\x3c"), waste...))
			p.verdict()
		})
		o.each(100, func(i int) {
			if p := o.known(i, fmt.Sprint("huge", i)); p != nil {
				p.push(append([]byte("\x30\xff\xff\xff\x7f\x00\x01a"), waste...))
				if got := p.verdict(); got != 0x95 && got != -1 { // what it sent in vain can reset the connection
					t.Errorf("256 MiB: got reason %#x", got)
				}
				p.nc.Close()
			}
		})
		o.each(50, func(i int) { // a WebSocket frame without end
			if p := o.known(byWebSocket, fmt.Sprint("frame", i)); p != nil {
				sock := socketOf(p.nc)
				sock.Write([]byte("\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00"))
				for range 40 {
					sock.SetWriteDeadline(time.Now().Add(patience))
					if _, err := sock.Write(waste[:30_000]); err != nil {
						break
					}
				}
				p.nc.Close()
			}
		})
		part := append([]byte{0x30}, appendVarint(nil, 1_000_000)...)
		part = append(part, "\x00\x01a\x00"...)
		part = append(part, bytes.Repeat([]byte{'x'}, 900_000)...)
		o.each(300, func(i int) {
			if p := o.known(i, fmt.Sprint("part", i)); p != nil {
				p.push(part)
			}
		})
	})
}

// TestAliasAbuse has each of many clients give its aliases to the longest topics
// there are.
func TestAliasAbuse(t *testing.T) {
	attack(t, func(t *testing.T, o *outpost) {
		refused := make(chan int, 300)
		o.each(200, func(i int) {
			p := o.known(i, fmt.Sprint("alias", i))
			if p == nil {
				return
			}
			for n := range topicAliases {
				topic := fmt.Sprint(i, "/", n, "/", strings.Repeat("x", 65_000))
				if p.push(framedPacket(0x30, text(topic), "\x03\x23\x00", string([]byte{byte(n + 1)}))) != nil {
					break
				}
			}
			if p.push([]byte{0xc0, 0}) == nil {
				if pk, err := p.read(patience); err == nil && pk.FixedHeader.Type == packets.Disconnect {
					refused <- int(pk.ReasonCode)
				}
			}
		})
		close(refused)
		for reason := range refused {
			if reason != 0x97 {
				t.Errorf("got reason %#x, want 0x97", reason)
			}
		}
		if o.usage().Stats.Overloads == 0 {
			t.Error("nobody was refused")
		}
	})
}
