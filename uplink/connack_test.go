package uplink

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/packets"

	"tidegate/internal/conf"
)

// answered is an uplink with one up link and the down link whose cloud answers
// every CONNECT alike.
type answered struct {
	*cloud
	u     *Uplink
	log   *lines
	pings atomic.Int64
	wrong atomic.Pointer[string] // what the cloud saw against its limit
}

func (a *answered) goesOn(t *testing.T) {
	t.Helper()
	before := state(a.u, 0).Acked
	a.u.Send(message("a", "0"), Ticket{Owner: new(counter)})
	eventually(t, "a message goes up", func() bool { return state(a.u, 0).Acked == before+1 })
	eventually(t, "the route is subscribed", func() bool { return len(a.filters()) == 1 })
	for i := range 2 {
		if s := state(a.u, i); s.Reconnects != 0 || s.Cause != "" {
			t.Errorf("got %d reconnects of %s, cause %q, want none", s.Reconnects, s.ID, s.Cause)
		}
	}
}

func (a *answered) pinged(t *testing.T) {
	eventually(t, "pings come every second or so", func() bool { return a.pings.Load() >= 4 })
	a.goesOn(t)
}

// again makes both links connect a second time.
func (a *answered) again(t *testing.T) {
	eventuallyUp(t, a.u, 0)
	eventuallyUp(t, a.u, 1)
	a.cut()
	for i := range 2 {
		eventually(t, "it is connected again", func() bool { s := state(a.u, i); return s.Reconnects > 0 && s.State == Connected })
	}
}

// hold keeps acknowledgements back until as many messages as the cloud allows
// wait for them, and a moment longer for one too many.
func (a *answered) hold(most int) {
	var mu sync.Mutex
	var held []uint16
	a.publish = func(s *served, p *packets.Publish) {
		mu.Lock()
		defer mu.Unlock()
		if held = append(held, p.PacketID); len(held) > most {
			wrong := fmt.Sprintf("%d unanswered, want %d at most", len(held), most)
			a.wrong.Store(&wrong)
		}
		if len(held) != most {
			return
		}
		time.AfterFunc(5*time.Millisecond, func() {
			mu.Lock()
			defer mu.Unlock()
			for _, id := range held {
				s.ack(id, 0)
			}
			held = nil
		})
	}
}

// What a CONNACK may say [MQTT 5, 3.2.2.3], as far as it is not in
// TestCONNACKLimitsUpwards and TestNoWildcardsAvailable.
func TestCONNACK(t *testing.T) {
	seconds := func(n uint32) *uint32 { return &n }
	short := func(n uint16) *uint16 { return &n }
	none := byte(0)
	type test struct {
		name   string
		ca     packets.Connack
		config func(*Config)
		want   func(*testing.T, *answered)
	}
	tests := []test{
		{"Server Keep Alive of a second", packets.Connack{Properties: &packets.Properties{ServerKeepAlive: short(1)}},
			func(c *Config) { c.KeepAlive = conf.Duration(time.Hour) },
			func(t *testing.T, a *answered) { a.pinged(t) }},
		{"Server Keep Alive 0: the gateway's own finds a silent node", packets.Connack{Properties: &packets.Properties{ServerKeepAlive: short(0)}},
			func(c *Config) { c.KeepAlive = conf.Duration(time.Second) },
			func(t *testing.T, a *answered) { a.pinged(t) }},
		{"Server Keep Alive longer than asked for", packets.Connack{Properties: &packets.Properties{ServerKeepAlive: short(65535)}},
			func(c *Config) { c.KeepAlive = conf.Duration(time.Second) },
			func(t *testing.T, a *answered) { a.pinged(t) }},
		{"Session Expiry Interval shorter than asked for", packets.Connack{Properties: &packets.Properties{SessionExpiryInterval: seconds(90)}}, nil,
			func(t *testing.T, a *answered) {
				a.again(t)
				if n := strings.Count(a.log.String(), "session-expiry asks"); n != 1 || !strings.Contains(a.log.String(), "after=1m30s") {
					t.Errorf("got %d lines about it, want one, with 1m30s, in:\n%s", n, a.log)
				}
			}},
		{"Session Expiry Interval as asked for", packets.Connack{Properties: &packets.Properties{SessionExpiryInterval: seconds(86400)}}, nil,
			func(t *testing.T, a *answered) {
				a.goesOn(t)
				if strings.Contains(a.log.String(), "session-expiry") {
					t.Errorf("got a line about it, want none, in:\n%s", a.log)
				}
			}},
		{"Assigned Client Identifier for one that has an id", packets.Connack{Properties: &packets.Properties{AssignedClientID: "other"}}, nil,
			func(t *testing.T, a *answered) {
				a.goesOn(t)
				a.again(t)
				a.mu.Lock()
				defer a.mu.Unlock()
				for _, p := range a.connects {
					if p.ClientID != "gw-u0" && p.ClientID != "gw-d0" {
						t.Errorf("got client id %q, want the link's own", p.ClientID)
					}
				}
			}},
		{"what nobody asked for", packets.Connack{Properties: &packets.Properties{
			ResponseInfo: "reply/", AuthMethod: "SCRAM-SHA-256", AuthData: []byte("x"), ServerReference: "elsewhere.example.com",
			ReasonString: "welcome", User: []packets.User{{Key: "a", Value: "b"}},
		}}, nil, func(t *testing.T, a *answered) { a.goesOn(t) }},
		{"no shared subscriptions, no identifiers", packets.Connack{Properties: &packets.Properties{SharedSubAvailable: &none, SubIDAvailable: &none}}, nil,
			func(t *testing.T, a *answered) { a.goesOn(t) }},
		{"Reason String", packets.Connack{ReasonCode: 0x88, Properties: &packets.Properties{ReasonString: "closed until noon"}}, nil,
			func(t *testing.T, a *answered) {
				eventually(t, "the cause has it", func() bool {
					return strings.Contains(state(a.u, 0).Cause, "unavailable: closed until noon (0x88)")
				})
			}},
	}
	for _, most := range []uint16{1, 2, 7} {
		tests = append(tests, test{fmt.Sprint("Receive Maximum ", most), packets.Connack{Properties: &packets.Properties{ReceiveMaximum: &most}},
			func(c *Config) { c.Up[0].Class = "urgent" }, // has all of the window
			func(t *testing.T, a *answered) {
				for i := range 42 {
					a.u.Send(message("a", fmt.Sprint(i)), Ticket{Owner: new(counter)})
				}
				eventually(t, "all are acknowledged, with as many unanswered as allowed", func() bool { return state(a.u, 0).Acked == 42 })
				if wrong := a.wrong.Load(); wrong != nil {
					t.Error("got " + *wrong)
				}
			}})
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			a := &answered{cloud: newCloud(t), log: new(lines)}
			a.connack = func(int, *packets.Connect) *packets.Connack { return &test.ca }
			a.ping = func(s *served) {
				a.pings.Add(1)
				s.raw(0xD0, 0)
			}
			if most := test.ca.Properties.ReceiveMaximum; most != nil {
				a.hold(int(*most))
			}
			a.start()
			cfg := calm(quick(a.url()))
			cfg.Down = []Down{{Filter: "cmd/#"}}
			if test.config != nil {
				test.config(&cfg)
			}
			a.u, _ = begin(t, cfg, Options{Log: a.log.logger(), Deliver: func(*Message, Ticket) {}})
			test.want(t, a)
		})
	}
}
