package uplink

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/packets"
)

func limiting(p packets.Properties) func(int, *packets.Connect) *packets.Connack {
	return func(int, *packets.Connect) *packets.Connack { return &packets.Connack{Properties: &p} }
}

func TestCONNACKLimitsUpwards(t *testing.T) {
	none, small := byte(0), uint32(100)
	for _, l := range []struct {
		name  string
		props packets.Properties
		want  func(p *packets.Publish) bool
	}{
		{"Maximum QoS", packets.Properties{MaximumQOS: &none}, func(p *packets.Publish) bool { return p.QoS == 0 && p.PacketID == 0 }},
		{"Retain Available", packets.Properties{RetainAvailable: &none}, func(p *packets.Publish) bool { return !p.Retain }},
		{"Maximum Packet Size", packets.Properties{MaximumPacketSize: &small}, func(p *packets.Publish) bool { return len(p.Payload) < 100 }},
		{"Topic Alias Maximum", packets.Properties{TopicAliasMaximum: new(uint16)}, func(p *packets.Publish) bool { return p.Topic != "" && p.Properties.TopicAlias == nil }},
	} {
		t.Run(l.name, func(t *testing.T) {
			c := newCloud(t)
			c.connack = limiting(l.props)
			c.start()
			u, _ := begin(t, quick(c.url()), Options{})
			var done counter
			for i := range 4 {
				m := message("a", fmt.Sprint(i))
				m.Retain = true
				if i%2 == 1 && l.name == "Maximum Packet Size" {
					m.Payload = make([]byte, 200)
				}
				u.Send(m, Ticket{Owner: &done})
			}
			eventually(t, "all are settled", func() bool { return done.settled.Load() == 4 })
			for _, p := range c.got() {
				if !l.want(p) {
					t.Errorf("got %v against the limit", p)
				}
			}
			if s := state(u, 0); s.Reconnects != 0 {
				t.Errorf("got %d reconnects, want none", s.Reconnects)
			}
		})
	}
}

// Routes with wildcards are left out, in words, where there are none.
func TestNoWildcardsAvailable(t *testing.T) {
	c := newCloud(t)
	none := byte(0)
	c.connack = limiting(packets.Properties{WildcardSubAvailable: &none, SharedSubAvailable: &none, SubIDAvailable: &none})
	c.start()
	cfg := quick(c.url())
	cfg.Status, cfg.Canary = false, false
	cfg.Down = []Down{{Filter: "cmd/#"}, {Filter: "plain"}}
	u, _ := begin(t, cfg, Options{Deliver: func(*Message, Ticket) {}})
	eventually(t, "the plain one is subscribed", func() bool { return len(c.filters()) == 1 })
	eventually(t, "the other is named", func() bool { return strings.Contains(state(u, 1).Cause, "cmd/#") })
	if got := c.filters()[0]; got != "plain" {
		t.Errorf("got %q subscribed, want plain", got)
	}
}

func (c *cloud) filters() (out []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.subscribed {
		for _, o := range s.Subscriptions {
			out = append(out, o.Topic)
		}
	}
	return out
}

// A node that sends what nobody asked for reaches no device with it.
func TestNothingReachesADeviceUnasked(t *testing.T) {
	publish := func(topic string) *packets.Publish {
		return &packets.Publish{Topic: topic, Payload: []byte("x"), Properties: &packets.Properties{}}
	}
	alias := uint16(1)
	aliased := publish("cmd/a")
	aliased.Properties.TopicAlias = &alias
	for _, b := range []struct {
		name   string
		packet packets.Packet
	}{
		{"another topic", publish("other/a")},
		{"a system topic", publish("$SYS/a")},
		{"no topic", publish("")},
		{"a wildcard", publish("cmd/#")},
		{"a topic alias", aliased},
	} {
		t.Run(b.name, func(t *testing.T) {
			c := newCloud(t)
			var sent atomic.Bool
			c.after = func(s *served) {
				if strings.HasSuffix(s.id, "-d0") {
					if !sent.Swap(true) {
						s.send(b.packet)
					}
					s.send(publish("cmd/asked"))
				}
			}
			c.start()
			cfg := quick(c.url())
			cfg.Down = []Down{{Filter: "cmd/#"}}
			var mu sync.Mutex
			var got []string
			begin(t, cfg, Options{Deliver: func(m *Message, tk Ticket) {
				mu.Lock()
				got = append(got, m.Topic)
				mu.Unlock()
				if tk.Owner != nil {
					tk.Owner.Settle(tk.ID, 0)
				}
			}})
			eventually(t, "what was asked for comes, at once or after a new connection", func() bool { mu.Lock(); defer mu.Unlock(); return len(got) > 0 })
			mu.Lock()
			defer mu.Unlock()
			for _, topic := range got {
				if topic != "cmd/asked" {
					t.Errorf("got %q at a device", topic)
				}
			}
		})
	}
}

// Whatever a node says instead of CONNACK, the link goes on elsewhere.
func TestBadAnswersToCONNECT(t *testing.T) {
	many := append([]byte{0x20, 0x80, 0x80, 0x20, 0, 0, 0xFC, 0xFF, 0x1F}, make([]byte, 64)...)
	for _, b := range []struct {
		name  string
		bytes []byte
	}{
		{"a web server", []byte("HTTP/1.1 400 Bad Request\r\n\r\n")},
		{"endless properties", many},
		{"a message first", []byte{0x30, 4, 0, 1, 'a', 0}},
		{"PUBACK first", []byte{0x40, 2, 0, 1}},
		{"AUTH", []byte{0xF0, 2, 0x18, 0}},
		{"random", []byte{0x20, 5, 1, 2, 3, 4, 5, 6, 7, 8}},
		{"byte by byte", nil},
	} {
		t.Run(b.name, func(t *testing.T) {
			bad, good := newCloud(t), newCloud(t).start()
			bad.connack = func(int, *packets.Connect) *packets.Connack { return nil }
			quit := make(chan struct{})
			bad.connected = func(s *served) {
				if b.bytes != nil {
					s.raw(b.bytes...)
					return
				}
				for range 1000 {
					s.raw(0x20)
					select {
					case <-quit:
						return
					case <-time.After(50 * time.Millisecond):
					}
				}
			}
			bad.start()
			defer close(quit)
			cfg := quick(bad.url(), good.url())
			u, err := New(cfg, Options{Gateway: gatewayAt(cfg, 0), Epoch: 7, Dir: t.TempDir()})
			if err != nil {
				t.Fatal(err)
			}
			run(t, u)
			var done counter
			u.Send(message("a", "0"), Ticket{Owner: &done})
			eventually(t, "the message goes up elsewhere", func() bool { return state(u, 0).Acked == 1 && state(u, 0).Endpoint == good.url() })
		})
	}
}
