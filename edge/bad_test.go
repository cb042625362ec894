package edge

import (
	"bytes"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"

	"tidegate/internal/conf"
)

// goodPackets are one of each kind that a client may send after CONNECT.
func goodPackets(t testing.TB, v byte) map[string][]byte {
	list := map[string]*packets.Packet{
		"publish 0":   publishPacket("a/b", "hello", 0, 0),
		"publish 1":   publishPacket("a/b", "hello", 1, 1),
		"publish 2":   publishPacket("a/b", "hello", 2, 2),
		"puback":      {FixedHeader: packets.FixedHeader{Type: packets.Puback}, PacketID: 77},
		"pubrec":      {FixedHeader: packets.FixedHeader{Type: packets.Pubrec}, PacketID: 77},
		"pubrel":      {FixedHeader: packets.FixedHeader{Type: packets.Pubrel}, PacketID: 77},
		"pubcomp":     {FixedHeader: packets.FixedHeader{Type: packets.Pubcomp}, PacketID: 77},
		"subscribe":   {FixedHeader: packets.FixedHeader{Type: packets.Subscribe}, PacketID: 5, Filters: packets.Subscriptions{{Filter: "a/+", Qos: 1}, {Filter: "b/#"}}},
		"unsubscribe": {FixedHeader: packets.FixedHeader{Type: packets.Unsubscribe}, PacketID: 6, Filters: packets.Subscriptions{{Filter: "a/+"}}},
		"pingreq":     {FixedHeader: packets.FixedHeader{Type: packets.Pingreq}},
		"disconnect":  {FixedHeader: packets.FixedHeader{Type: packets.Disconnect}},
	}
	all := map[string][]byte{}
	for name, pk := range list {
		pk.ProtocolVersion = v
		if strings.HasPrefix(name, "publish") {
			pk.Mods.AllowResponseInfo = true
			pk.Properties = packets.Properties{PayloadFormatFlag: true, MessageExpiryInterval: 100, ContentType: "x", ResponseTopic: "r", CorrelationData: []byte("c"),
				User: []packets.UserProperty{{Key: "k", Val: "v"}}}
		}
		all[name] = encode(t, pk)
	}
	return all
}

// TestTruncatedPackets cuts each packet everywhere and corrects the length: the
// client is told, or goes without, and nobody else notices.
func TestTruncatedPackets(t *testing.T) {
	b := startBroker(t, Options{})
	w := connect(t, b, "witness")
	for _, v := range []byte{4, 5} {
		for name, whole := range goodPackets(t, v) {
			t.Run(fmt.Sprintf("%s v%d", name, v), func(t *testing.T) {
				for n := 2; n < len(whole); n++ {
					cut := bytes.Clone(whole[:n])
					cut[1] = byte(n - 2)
					p := connect(t, b, "p", version(v))
					p.raw(cut)
					p.raw([]byte{0xc0, 0, 0xe0, 0})
					if got := p.ended(); v == 4 && got != -1 || got >= 0 && got < 0x80 {
						t.Fatalf("cut at %d: DISCONNECT %#x", n, got)
					}
				}
			})
		}
	}
	w.ping()
	if got := b.Stats().Panics; got != 0 {
		t.Fatalf("%d panics", got)
	}
}

func TestBadPackets(t *testing.T) {
	long := strings.Repeat("x", 70)
	cases := []struct {
		name   string
		packet string
		want   int // MQTT 5 reason
	}{
		{"reserved type 0", "\x00\x00", 0x81},
		{"second CONNECT", "\x10\x00", 0x82},
		{"CONNACK", "\x20\x02\x00\x00", 0x82},
		{"SUBACK", "\x90\x03\x00\x01\x00", 0x82},
		{"AUTH", "\xf0\x00", 0x82},
		{"QoS 3", "\x36\x06\x00\x01a\x00\x01\x00", 0x81},
		{"DUP at QoS 0", "\x38\x04\x00\x01a\x00", 0x82},
		{"packet id 0", "\x32\x06\x00\x01a\x00\x00\x00", 0x82},
		{"empty topic", "\x30\x03\x00\x00\x00", 0x82},
		{"wildcard", "\x30\x04\x00\x01#\x00", 0x90},
		{"wildcard inside", "\x30\x06\x00\x03a/+\x00", 0x90},
		{"U+0000 in topic", "\x30\x05\x00\x02a\x00\x00", 0x81},
		{"invalid UTF-8 in topic", "\x30\x04\x00\x01\xff\x00", 0x81},
		{"129 levels", "\x30\x83\x01\x00\x80" + strings.Repeat("/", 128) + "\x00", 0x90},
		{"topic longer than packet", "\x30\x04\x00\x09a\x00", 0x81},
		{"alias 0", "\x30\x07\x00\x01a\x03\x23\x00\x00", 0x94},
		{"alias too high", "\x30\x07\x00\x01a\x03\x23\x00\x21", 0x94},
		{"unknown alias", "\x30\x06\x00\x00\x03\x23\x00\x05", 0x82},
		{"property twice", "\x30\x08\x00\x01a\x04\x01\x01\x01\x01", 0x82},
		{"unknown property", "\x30\x06\x00\x01a\x02\x7f\x01", 0x82},
		{"property of another packet", "\x30\x06\x00\x01a\x02\x17\x01", 0x82},
		{"subscription identifier", "\x30\x06\x00\x01a\x02\x0b\x01", 0x82},
		{"payload format 2", "\x30\x06\x00\x01a\x02\x01\x02", 0x82},
		{"response topic with wildcard", "\x30\x08\x00\x01a\x04\x08\x00\x01#", 0x82},
		{"properties beyond the packet", "\x30\x04\x00\x01a\x7f", 0x81},
		{"property length unending", "\x30\x08\x00\x01a\xff\xff\xff\xff\xff", 0x81},
		{"user property invalid", "\x30\x0b\x00\x01a\x07\x26\x00\x01\xff\x00\x01v", 0x81},
		{"length unending", "\x30\xff\xff\xff\xff\xff", 0x81},
		{"PUBREL flags", "\x60\x02\x00\x01", 0x81},
		{"SUBSCRIBE flags", "\x80\x07\x00\x01\x00\x00\x01a\x00", 0x81},
		{"SUBSCRIBE without filter", "\x82\x03\x00\x01\x00", 0x82},
		{"SUBSCRIBE id 0", "\x82\x07\x00\x00\x00\x00\x01a\x00", 0x82},
		{"SUBSCRIBE QoS 3", "\x82\x07\x00\x01\x00\x00\x01a\x03", 0x82},
		{"SUBSCRIBE retain handling 3", "\x82\x07\x00\x01\x00\x00\x01a\x30", 0x82},
		{"SUBSCRIBE identifier 0", "\x82\x09\x00\x01\x02\x0b\x00\x00\x01a\x00", 0x82},
		{"SUBSCRIBE shared no local", "\x82\x10\x00\x01\x00\x00\x0a$share/g/a\x04", 0x82},
		{"SUBSCRIBE invalid UTF-8", "\x82\x07\x00\x01\x00\x00\x01\xff\x00", 0x81},
		{"UNSUBSCRIBE without filter", "\xa2\x03\x00\x01\x00", 0x82},
		{"PINGREQ with a body", "\xc0\x01\x00", 0x81},
		{"DISCONNECT property", "\xe0\x04\x00\x02\x01\x01", 0x81},
		{"too large", "\x30\xff\xff\xff\x7f\x00\x01a", 0x95},
		{"just too large", "\x30\x7f\x00\x01a\x00" + long, 0x95},
	}
	b := startBroker(t, Options{}, func(c *Config) { c.Limits.MaxPacket = 256 })
	small := startBroker(t, Options{}, func(c *Config) { c.Limits.MaxPacket = 128 })
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			at := b
			if c.name == "just too large" {
				at = small
			}
			p := connect(t, at, "p")
			p.raw([]byte(c.packet))
			if got := p.ended(); got != c.want {
				t.Errorf("MQTT 5: reason %#x, want %#x", got, c.want)
			}
		})
	}
	if b.Stats().Panics+small.Stats().Panics != 0 {
		t.Fatal("something panicked")
	}
}

func TestRefusedFilters(t *testing.T) {
	b := startBroker(t, Options{}, func(c *Config) { c.Session.Subscriptions = 2 })
	for _, v := range []byte{4, 5} {
		p := connect(t, b, "p", version(v))
		got := p.subscribe(sub{filter: "a"}, sub{filter: "a#"}, sub{filter: "#/a"}, sub{filter: ""}, sub{filter: "$share/g"}, sub{filter: "$share//a"}, sub{filter: "$share/+/a"}, sub{filter: "b", qos: 2}, sub{filter: "c"}, sub{filter: "a", qos: 1})
		want := []byte{0, 0x8f, 0x8f, 0x8f, 0x8f, 0x8f, 0x8f, 2, 0x97, 1}
		for i := range want {
			if v == 4 && want[i] >= 0x80 {
				want[i] = 0x80
			}
		}
		if !bytes.Equal(got, want) {
			t.Errorf("version %d: got %x, want %x", v, got, want)
		}
		p.bye()
	}
}

func TestBadConnects(t *testing.T) {
	b := startBroker(t, Options{})
	const head5, head4 = "\x00\x04MQTT\x05\x02\x00\x3c", "\x00\x04MQTT\x04\x02\x00\x3c"
	frame := func(body string) string { return "\x10" + string(appendVarint(nil, len(body))) + body }
	cases := []struct {
		name, packet string
		want         string // the CONNACK's beginning; empty: closed without a word
	}{
		{"not CONNECT", "\xc0\x00", ""},
		{"flags", "\x11\x00", ""},
		{"TLS hello", "\x16\x03\x01\x02\x00\x01\x00\x01", ""},
		{"HTTP", "GET / HTTP/1.1\r\n\r\n", ""},
		{"protocol name", frame("\x00\x04MQTX\x04\x02\x00\x3c\x00\x00"), ""},
		{"version 6", frame("\x00\x04MQTT\x06\x02\x00\x3c\x00\x00\x00"), "\x20\x03\x00\x84"},
		{"version 3 as MQTT", frame("\x00\x04MQTT\x03\x02\x00\x3c\x00\x00"), "\x20\x02\x00\x01"},
		{"reserved flag", frame("\x00\x04MQTT\x05\x03\x00\x3c\x00\x00\x00"), "\x20\x03\x00\x81"},
		{"reserved flag 3.1.1", frame("\x00\x04MQTT\x04\x03\x00\x3c\x00\x00"), ""},
		{"no client id, no clean session", frame("\x00\x04MQTT\x04\x00\x00\x3c\x00\x00"), "\x20\x02\x00\x02"},
		{"client id invalid", frame(head5 + "\x00\x00\x01\xff"), "\x20\x03\x00\x85"},
		{"truncated", frame(head5 + "\x00\x00\x09a"), "\x20\x03\x00\x81"},
		{"truncated 3.1.1", frame(head4 + "\x00\x09a"), ""},
		{"receive maximum 0", frame(head5 + "\x03\x21\x00\x00\x00\x00"), "\x20\x03\x00\x82"},
		{"property twice", frame(head5 + "\x0a\x11\x00\x00\x00\x01\x11\x00\x00\x00\x01\x00\x00"), "\x20\x03\x00\x82"},
		{"authentication method", frame(head5 + "\x06\x15\x00\x03abc\x00\x00"), "\x20\x03\x00\x8c"},
		{"will QoS 3", frame("\x00\x04MQTT\x05\x1e\x00\x3c\x00\x00\x01c\x00\x00\x01t\x00\x00"), "\x20\x03\x00\x81"},
		{"will topic", frame("\x00\x04MQTT\x05\x06\x00\x3c\x00\x00\x01c\x00\x00\x01#\x00\x00"), "\x20\x03\x00\x90"},
		{"will property twice", frame("\x00\x04MQTT\x05\x06\x00\x3c\x00\x00\x01c\x0a\x18\x00\x00\x00\x01\x18\x00\x00\x00\x01\x00\x01t\x00\x00"), "\x20\x03\x00\x82"},
		{"will response topic", frame("\x00\x04MQTT\x05\x06\x00\x3c\x00\x00\x01c\x04\x08\x00\x01#\x00\x01t\x00\x00"), "\x20\x03\x00\x82"},
		{"password without user 3.1.1", frame("\x00\x04MQTT\x04\x42\x00\x3c\x00\x01c\x00\x01p"), ""},
		{"256 MiB", "\x10\xff\xff\xff\x7f" + head5, ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			p := dial(t, b)
			p.raw([]byte(c.packet))
			p.nc.SetReadDeadline(time.Now().Add(patience))
			var got bytes.Buffer
			if _, err := got.ReadFrom(p.r); err != nil && strings.Contains(err.Error(), "timeout") {
				t.Fatal("the connection did not end")
			}
			if g := got.String(); c.want == "" && g != "" || !strings.HasPrefix(g, c.want) {
				t.Errorf("got %x, want %x", g, c.want)
			}
		})
	}
	ok := connectPacket("c")
	whole := encode(t, ok)
	for n := 2; n < len(whole); n++ {
		cut := bytes.Clone(whole[:n])
		cut[1] = byte(n - 2)
		p := dial(t, b)
		p.raw(cut)
		p.ended()
	}
	if got := b.Stats().Panics; got != 0 {
		t.Fatalf("%d panics", got)
	}
}

func TestSlowConnect(t *testing.T) {
	b := startBroker(t, Options{}, func(c *Config) { c.Limits.ConnectTimeout = conf.Duration(300 * time.Millisecond) })
	silent, drip := dial(t, b), dial(t, b)
	start := time.Now()
	go func() {
		for _, c := range encode(t, connectPacket("slow")) {
			if _, err := drip.nc.Write([]byte{c}); err != nil {
				return
			}
			time.Sleep(50 * time.Millisecond)
		}
	}()
	silent.ended()
	drip.ended()
	if time.Since(start) < 250*time.Millisecond {
		t.Fatal("ended early")
	}
}

func TestKeepAlive(t *testing.T) {
	b := startBroker(t, Options{})
	s := connect(t, b, "s")
	s.subscribe(sub{filter: "will/#"})
	start := time.Now()
	p := connect(t, b, "p", keepAlive(1), willOf("will/p", "gone", 0, false, 0))
	old := connect(t, b, "old", keepAlive(1), version(4))
	lively := connect(t, b, "lively", keepAlive(2))
	go func() {
		for range 30 {
			if _, err := lively.nc.Write([]byte{0xc0, 0}); err != nil {
				return
			}
			time.Sleep(150 * time.Millisecond)
		}
	}()
	s.message("will/p", "gone")
	if d := time.Since(start); d < 1500*time.Millisecond {
		t.Fatalf("ended after %v", d)
	}
	if got := p.ended(); got != 0x8d {
		t.Fatalf("reason %#x, want 0x8d", got)
	}
	if got := old.ended(); got != -1 {
		t.Fatalf("a 3.1.1 client got DISCONNECT %#x", got)
	}
	lively.nc.SetReadDeadline(time.Time{})
	for range 25 {
		lively.expect(packets.Pingresp)
	}
}

func TestServerKeepAlive(t *testing.T) {
	b := startBroker(t, Options{}, func(c *Config) { c.Limits.MaxKeepAlive = conf.Duration(30 * time.Second) })
	for asked, want := range map[uint16]uint16{0: 30, 31: 30, 29: 0} {
		ack := dial(t, b).connect("p", keepAlive(asked))
		if got := ack.Properties.ServerKeepAlive; got != want {
			t.Errorf("asked for %d: got %d, want %d", asked, got, want)
		}
	}
}

func TestConnectionLimits(t *testing.T) {
	for name, limit := range map[string]func(*Config){
		"in total":    func(c *Config) { c.Limits.Connections = 3 },
		"per address": func(c *Config) { c.Limits.ConnectionsPerAddr = 3 },
	} {
		t.Run(name, func(t *testing.T) {
			b := startBroker(t, Options{}, limit)
			var peers []*peer
			for i := range 3 {
				peers = append(peers, connect(t, b, fmt.Sprint("p", i)))
			}
			dial(t, b).ended()
			peers[0].bye()
			until(t, "room again", func() bool { return b.Stats().Connections == 2 })
			connect(t, b, "p4")
			if got := b.Stats().ConnectionsRefused; got != 1 {
				t.Fatalf("refused %d", got)
			}
		})
	}
}

func TestOversizeForClient(t *testing.T) {
	b := startBroker(t, Options{})
	s := connect(t, b, "s", maxPacket(100), resume(), expiry(100))
	s.subscribe(sub{filter: "t", qos: 2})
	p := connect(t, b, "p")
	for qos := range byte(3) {
		p.publish("t", strings.Repeat("x", 100), qos)
		p.publish("t", "small", qos)
		s.message("t", "small")
	}
	s.ping()
	if got := b.Stats().DroppedTooLarge; got != 3 {
		t.Fatalf("dropped %d, want 3", got)
	}
}

func TestLargePackets(t *testing.T) {
	b := startBroker(t, Options{})
	s := connect(t, b, "s")
	s.subscribe(sub{filter: "t", qos: 1})
	p := connect(t, b, "p")
	for _, n := range []int{16 << 10, 16<<10 - 8, 16<<10 - 20, 64 << 10, 1<<20 - 100} {
		payload := strings.Repeat("y", n)
		p.publish("t", payload, 1)
		s.message("t", payload)
	}
}

func TestTopicAlias(t *testing.T) {
	b := startBroker(t, Options{})
	s := connect(t, b, "s")
	s.subscribe(sub{filter: "#"})
	p := dial(t, b)
	if got := p.connect("p").Properties.TopicAliasMaximum; got != topicAliases {
		t.Fatalf("alias maximum %d", got)
	}
	alias := func(n uint16) option {
		return func(pk *packets.Packet) { pk.Properties.TopicAlias, pk.Properties.TopicAliasFlag = n, true }
	}
	p.publish("a", "1", 0, alias(1))
	p.publish("b", "2", 0, alias(32))
	p.publish("", "3", 0, alias(1))
	p.publish("", "4", 1, alias(32))
	p.publish("c", "5", 0, alias(1))
	p.publish("", "6", 0, alias(1))
	for _, want := range []string{"a1", "b2", "a3", "b4", "c5", "c6"} {
		if pk := s.message(want[:1], want[1:]); pk.Properties.TopicAliasFlag {
			t.Fatal("the alias was passed on")
		}
	}
}

func TestPropertiesPassThrough(t *testing.T) {
	b := startBroker(t, Options{})
	s := connect(t, b, "s")
	s.subscribe(sub{filter: "t", qos: 1})
	old := connect(t, b, "old", version(4))
	old.subscribe(sub{filter: "t"})
	p := connect(t, b, "p")
	p.publish("t", "x", 1, func(pk *packets.Packet) {
		pk.Properties = packets.Properties{PayloadFormatFlag: true, PayloadFormat: 1, MessageExpiryInterval: 60, ContentType: "text", ResponseTopic: "answer",
			CorrelationData: []byte("id"), User: []packets.UserProperty{{Key: "b", Val: "1"}, {Key: "a", Val: "2"}, {Key: "b", Val: "3"}}}
	})
	got := s.message("t", "x").Properties
	if !got.PayloadFormatFlag || got.PayloadFormat != 1 || got.MessageExpiryInterval != 60 || got.ContentType != "text" || got.ResponseTopic != "answer" ||
		string(got.CorrelationData) != "id" || fmt.Sprint(got.User) != "[{b 1} {a 2} {b 3}]" {
		t.Fatalf("got %+v", got)
	}
	old.message("t", "x")
}

// TestEndWithinAPacket has clients close or reset their connection in the middle of a packet.
func TestEndWithinAPacket(t *testing.T) {
	b := startBroker(t, Options{})
	for i := range 20 {
		p := connect(t, b, fmt.Sprint("p", i))
		p.raw([]byte{0x30, 0x7f, 0, 1})
		if tcp := p.nc.(*net.TCPConn); i%2 == 0 {
			tcp.SetLinger(0)
		}
		p.nc.Close()
	}
	until(t, "all are gone", func() bool { return b.Stats().Connections == 0 })
}

// One client cannot make its session remember filters without end.
func TestFiltersAreBoundedInBytes(t *testing.T) {
	b := startBroker(t, Options{})
	p := connect(t, b, "p")
	refused := 0
	for i := range 100 {
		if got := p.subscribe(sub{filter: fmt.Sprint(i, strings.Repeat("x", 60_000))}); got[0] == 0x97 {
			refused++
		}
	}
	if got := (100 - refused) * 60_000; got > 4<<20 {
		t.Fatalf("got %d bytes of filters, want 4 MiB at most", got)
	}
	if got := p.unsubscribe("0" + strings.Repeat("x", 60_000)); got[0] != 0 {
		t.Fatalf("unsubscribe: got %#x", got[0])
	}
	if got := p.subscribe(sub{filter: strings.Repeat("y", 50_000)}); got[0] != 0 {
		t.Fatalf("there is room again: got %#x", got[0])
	}
}
