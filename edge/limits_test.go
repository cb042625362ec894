package edge

import (
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"

	"tidegate/internal/conf"
)

// listenAlso adds a listener to that of startBroker.
func listenAlso(l ListenerConfig) func(*Config) {
	l.Bind, l.Anonymous = "127.0.0.1:0", true
	return func(c *Config) { c.Listeners = append(c.Listeners, l) }
}

// TestListenerLimits has two listeners, of which the second has limits of its own.
func TestListenerLimits(t *testing.T) {
	dialAt := func(t *testing.T, b *Broker, i int) *peer { return newPeer(t, dialRaw(t, b, i)) }
	refused := func(t *testing.T, b *Broker, i int) {
		t.Helper()
		p := dialAt(t, b, i)
		p.nc.SetReadDeadline(time.Now().Add(patience))
		if _, err := p.nc.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("listener %d: got %v, want a closed connection", i, err)
		}
	}
	for _, c := range []struct {
		name string
		own  ListenerConfig
		all  func(*Config)
	}{
		{"in all", ListenerConfig{Connections: 2}, func(*Config) {}},
		{"per address", ListenerConfig{ConnectionsPerAddr: 2}, func(*Config) {}},
		{"of all listeners", ListenerConfig{Connections: 100}, func(c *Config) { c.Limits.Connections = 2 }},
	} {
		t.Run("connections "+c.name, func(t *testing.T) {
			b := startBroker(t, Options{}, listenAlso(c.own), c.all)
			first := dialAt(t, b, 1)
			first.connect("a")
			dialAt(t, b, 1).connect("b")
			refused(t, b, 1)
			if c.own.Connections == 100 {
				refused(t, b, 0)
			} else {
				connect(t, b, "other listener").bye()
			}
			first.bye()
			until(t, "there is room again", func() bool { return b.Stats().Connections < 2 })
			dialAt(t, b, 1).connect("c")
			if got := b.Stats().ConnectionsRefused; got < 1 {
				t.Errorf("refused: got %d", got)
			}
		})
	}

	t.Run("max-packet", func(t *testing.T) {
		b := startBroker(t, Options{}, listenAlso(ListenerConfig{MaxPacket: 200}))
		p := dialAt(t, b, 1)
		if got := p.connect("p").Properties.MaximumPacketSize; got != 200 {
			t.Errorf("Maximum Packet Size: got %d, want 200", got)
		}
		p.publish("t", strings.Repeat("x", 150), 1)
		p.write(publishPacket("t", strings.Repeat("x", 200), 1, 1))
		if got := p.ended(); got != 0x95 {
			t.Errorf("got reason %#x, want 0x95", got)
		}
		connect(t, b, "other").publish("t", strings.Repeat("x", 200), 1)
		long := dialAt(t, b, 1)
		long.write(connectPacket(strings.Repeat("x", 200)))
		long.ended()
	})

	t.Run("connect-timeout", func(t *testing.T) {
		b := startBroker(t, Options{}, listenAlso(ListenerConfig{ConnectTimeout: conf.Duration(50 * time.Millisecond)}))
		refused(t, b, 1)
	})
}

// TestTLSTimeout has clients that are silent before, and within, the handshake.
func TestTLSTimeout(t *testing.T) {
	_, _, both := listenTwice(t)
	b := startBroker(t, Options{}, both, func(c *Config) {
		c.Limits.ConnectTimeout = conf.Duration(time.Minute)
		c.Listeners[1].TLSTimeout = conf.Duration(100 * time.Millisecond)
	})
	for _, sent := range []string{"", "\x16\x03\x01\x02\x00\x01"} {
		nc := dialRaw(t, b, 1)
		defer nc.Close()
		io.WriteString(nc, sent)
		nc.SetReadDeadline(time.Now().Add(patience))
		if _, err := io.ReadAll(nc); err != nil && strings.Contains(err.Error(), "timeout") {
			t.Errorf("after %q: %v", sent, err)
		}
	}
}

// TestConnectRate lets more clients come than are answered in a second: some
// wait, and those whose turn would be too late are told.
func TestConnectRate(t *testing.T) {
	b := startBroker(t, Options{}, listenAlso(ListenerConfig{ConnectsPerSecond: 1, ConnectTimeout: conf.Duration(10 * time.Minute)}))
	first, second := newPeer(t, dialRaw(t, b, 1)), newPeer(t, dialRaw(t, b, 1))
	begin := time.Now()
	first.connect("first")
	second.connect("second") // waits
	if took := time.Since(begin); took < 500*time.Millisecond {
		t.Errorf("the second came in after %v, want about a second", took)
	}

	b = startBroker(t, Options{}, listenAlso(ListenerConfig{ConnectsPerSecond: 2, ConnectTimeout: conf.Duration(leastDeadline)}))
	for _, v := range []byte{4, 5} {
		want := map[byte]byte{4: packets.Err3ServerUnavailable.Code, 5: packets.ErrConnectionRateExceeded.Code}[v]
		var got byte
		until(t, "refused", func() bool {
			p := newPeer(t, dialRaw(t, b, 1))
			p.v = v
			p.write(connectPacket("c", version(v)))
			ack, err := p.read(patience)
			if err != nil {
				return false // too late, when the machine is busy
			}
			got = ack.ReasonCode
			return got != 0
		})
		if got != want {
			t.Errorf("version %d: got reason %#x, want %#x", v, got, want)
		}
	}
}

func TestPace(t *testing.T) {
	var p pace
	start := time.Now()
	for i, c := range []struct {
		at, patience time.Duration
		want         time.Duration // -1: refused
	}{
		{0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, // as many as in a second
		{0, 0, -1},
		{0, 250 * time.Millisecond, 250 * time.Millisecond},
		{0, time.Second, 500 * time.Millisecond},
		{0, 700 * time.Millisecond, -1},
		{500 * time.Millisecond, time.Second, 250 * time.Millisecond},
		{time.Second, 0, 0},
		{time.Second, 0, -1},
		{time.Hour, 0, 0}, {time.Hour, 0, 0}, {time.Hour, 0, 0}, {time.Hour, 0, 0}, {time.Hour, 0, -1},
	} {
		wait, ok := p.turn(start.Add(c.at), 4, c.patience)
		if ok != (c.want >= 0) || ok && wait != c.want {
			t.Errorf("%d: got %v, %v, want %v", i, wait, ok, c.want)
		}
	}
	if wait, ok := p.turn(start, 0, 0); wait != 0 || !ok {
		t.Errorf("no rate: got %v, %v", wait, ok)
	}
}

// TestReloadOfListenerLimits changes limits of a listener: its socket and its
// connections stay, and the new ones hold.
func TestReloadOfListenerLimits(t *testing.T) {
	b := startBroker(t, Options{})
	p := connect(t, b, "p")
	at, cfg := b.Addrs()[0].String(), *b.config()
	cfg.Listeners = []ListenerConfig{cfg.Listeners[0]}
	cfg.Listeners[0].Connections = 1
	if err := b.Reload(cfg); err != nil {
		t.Fatal(err)
	}
	if got := b.Addrs()[0].String(); got != at {
		t.Fatalf("bound anew: %s, was %s", got, at)
	}
	p.ping()
	newPeer(t, dialRaw(t, b, 0)).ended()
	p.bye()
	until(t, "there is room", func() bool { return b.Stats().Connections == 0 })
	connect(t, b, "q").ping()
}
