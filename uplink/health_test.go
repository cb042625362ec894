package uplink

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/packets"
)

// The cloud may shorten the keepalive; then pings come sooner.
func TestServerKeepAliveIsObeyed(t *testing.T) {
	c := newCloud(t)
	var pings atomic.Int64
	c.connack = func(int, *packets.Connect) *packets.Connack {
		second := uint16(1)
		return &packets.Connack{Properties: &packets.Properties{ServerKeepAlive: &second}}
	}
	c.ping = func(s *served) {
		pings.Add(1)
		s.raw(0xD0, 0)
	}
	c.start()
	u, _ := begin(t, quick(c.url()), Options{})
	eventually(t, "pings come every second or so", func() bool { return pings.Load() >= 3 })
	if s := state(u, 0); s.Reconnects != 0 {
		t.Errorf("got %d reconnects, want none", s.Reconnects)
	}
}

// The down link has nothing in flight that could be late: it learns from an up
// link that their endpoint has gone silent.
func TestDownLinkLeavesWithTheUpLink(t *testing.T) {
	c := newCloud(t).start()
	r := newRelay(t, c.ln.Addr().String())
	cfg := downOnly("mqtt://" + r.addr())
	cfg.Up = []Up{{Filter: "#"}}
	cfg.KeepAlive *= 1000 // no help from there
	u, _ := begin(t, cfg, Options{Deliver: func(*Message, Ticket) {}})
	eventuallyUp(t, u, 0)
	eventuallyUp(t, u, 1)
	r.stall(true)
	u.Send(message("a", "0"), Ticket{Owner: new(counter)})
	eventually(t, "both have left", func() bool { return state(u, 0).State != Connected && state(u, 1).State != Connected })
	r.refuse(true)
	r.stall(false)
	r.refuse(false)
	eventually(t, "both are back", func() bool { return state(u, 0).State == Connected && state(u, 1).State == Connected })
	eventually(t, "the message is there", func() bool { return state(u, 0).Acked == 1 })
}

// A large message takes seconds on a slow line. The node cannot answer a ping
// that waits behind it, and must not be left for that. A try in which the
// machine held the line itself up proves nothing and is repeated.
func TestLargeMessageOnASlowLine(t *testing.T) {
	for range 10 {
		reconnects, late := slowLine(t)
		if reconnects == 0 {
			return
		}
		if late < 100*time.Millisecond {
			t.Fatalf("got %d reconnects, want none", reconnects)
		}
	}
	t.Fatal("the machine is too busy: it held up the line in every try")
}

// slowLine returns how often the link left its node over one large message, and
// for how long the machine held the line up at most.
func slowLine(t *testing.T) (reconnects int64, late time.Duration) {
	c := newCloud(t).start()
	r := newRelay(t, c.ln.Addr().String())
	r.rate.Store(64 << 10)
	u, _ := begin(t, quick("mqtt://"+r.addr()), Options{})
	eventuallyUp(t, u, 0)
	u.Send(message("a", strings.Repeat("x", 128<<10)), Ticket{Owner: new(counter)})
	eventually(t, "it is acknowledged", func() bool { return state(u, 0).Acked == 1 })
	return state(u, 0).Reconnects, time.Duration(r.late.Load())
}
