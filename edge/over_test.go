package edge

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/coder/websocket"
)

// overEach runs f with each kind of listener in the place of the first, or with
// some of them.
func overEach(t *testing.T, f func(t *testing.T, over func(*Config)), some ...string) {
	files := newCertFiles(t, newAuthority(t, "home CA"), 1)
	socket := filepath.Join(files.dir, "s")
	for name, set := range map[string]func(*ListenerConfig){
		"TCP":              func(*ListenerConfig) {},
		"TLS":              func(l *ListenerConfig) { l.Cert, l.Key = files.cert, files.key },
		"unix":             func(l *ListenerConfig) { l.Bind = unixPrefix + socket },
		"WebSocket":        func(l *ListenerConfig) { l.Protocol = overWebSocket },
		"secure WebSocket": func(l *ListenerConfig) { l.Protocol, l.Cert, l.Key = overWebSocket, files.cert, files.key },
	} {
		if len(some) > 0 && !slices.Contains(some, name) {
			continue
		}
		t.Run(name, func(t *testing.T) { f(t, func(c *Config) { set(&c.Listeners[0]) }) })
	}
}

// dialRaw connects to listener i in the way that this one wants.
func dialRaw(t testing.TB, b *Broker, i int) net.Conn {
	t.Helper()
	at := b.Addrs()[i]
	nc, err := net.Dial(at.Network(), at.String())
	if err != nil {
		t.Fatal(err)
	}
	return nc
}

// dialThrough connects to listener i as its configuration wants it.
func dialThrough(t testing.TB, b *Broker, i int) net.Conn {
	t.Helper()
	return wrapAs(t, dialRaw(t, b, i), b.listeners[i].terms.Load())
}

// wrapAs makes a connection what a listener with these terms takes.
func wrapAs(t testing.TB, nc net.Conn, terms *terms) net.Conn {
	t.Helper()
	if terms.tls != nil {
		secure := tls.Client(nc, &tls.Config{InsecureSkipVerify: true})
		if err := secure.Handshake(); err != nil {
			t.Fatal(err)
		}
		nc = secure
	}
	if terms.path == "" {
		return nc
	}
	return openFramed(t, nc, terms.path)
}

// openFramed begins a WebSocket on a connection.
func openFramed(t testing.TB, nc net.Conn, path string) net.Conn {
	t.Helper()
	nc, err := openWebSocket(t.Context(), nc, path)
	if err != nil {
		t.Fatal(err)
	}
	return nc
}

// openWebSocket does the opening handshake on nc, which it closes in vain.
func openWebSocket(ctx context.Context, nc net.Conn, path string) (net.Conn, error) {
	to := func(context.Context, string, string) (net.Conn, error) { return nc, nil }
	client := &http.Client{Transport: &http.Transport{DialContext: to}}
	ws, _, err := websocket.Dial(ctx, "ws://gateway"+path, &websocket.DialOptions{HTTPClient: client, Subprotocols: []string{"mqtt"}})
	if err != nil {
		nc.Close()
		return nil, err
	}
	ws.SetReadLimit(mostMessage)
	return &framed{Conn: websocket.NetConn(context.Background(), ws, websocket.MessageBinary), ws: ws, sock: nc}, nil
}

// framed is a WebSocket of a test. It closes as a client that is cut off does.
type framed struct {
	net.Conn
	ws   *websocket.Conn
	sock net.Conn
}

func (f *framed) Close() error { return f.ws.CloseNow() }

// socketOf returns what a connection goes through in the end.
func socketOf(nc net.Conn) net.Conn {
	switch nc := nc.(type) {
	case *framed:
		return socketOf(nc.sock)
	case *tls.Conn:
		return nc.NetConn()
	}
	return nc
}

// readLittle makes the receive buffer of a peer small.
func (p *peer) readLittle(bytes int) {
	p.t.Helper()
	small, ok := socketOf(p.nc).(interface{ SetReadBuffer(int) error })
	if !ok {
		p.t.Fatalf("%T has no buffer", p.nc)
	}
	if err := small.SetReadBuffer(bytes); err != nil {
		p.t.Fatal(err)
	}
}

// TestOverEach has what TCP clients are promised for each kind of listener.
func TestOverEach(t *testing.T) {
	overEach(t, func(t *testing.T, over func(*Config)) {
		b := startBroker(t, Options{}, over)
		s, silent := connect(t, b, "s"), connect(t, b, "silent", keepAlive(1), willOf("will", "silent", 1, false, 0))
		s.subscribe(sub{filter: "#", qos: 2})
		p := connect(t, b, "p", resume(), expiry(100), willOf("will", "p", 1, false, 0))
		for qos := range byte(3) {
			for _, size := range []int{0, 100, mostMessage - 20, mostMessage, 200_000} {
				payload := strings.Repeat("x", size)
				p.publish("t", payload, qos)
				s.message("t", payload)
			}
		}
		if got := silent.ended(); got != 0x8d {
			t.Errorf("keep alive: got reason %#x, want 0x8d", got)
		}
		s.message("will", "silent")
		p.subscribe(sub{filter: "q", qos: 1})
		again := connect(t, b, "p", resume(), expiry(100))
		if got := p.ended(); got != 0x8e {
			t.Errorf("takeover: got reason %#x, want 0x8e", got)
		}
		s.message("will", "p")
		again.nc.Close() // as a cable that is pulled, and no will now
		until(t, "the end is seen", func() bool { return b.Stats().Connected == 1 })
		connect(t, b, "q").publish("q", "while away", 1)
		s.message("q", "while away")
		back := connect(t, b, "p", resume(), expiry(100))
		back.message("q", "while away")
		back.bye()
		until(t, "nobody is left behind", func() bool { return b.Stats().Connections == 2 })
	})
}
