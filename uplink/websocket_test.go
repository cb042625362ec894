package uplink

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/eclipse/paho.golang/packets"

	"tidegate/internal/conf"
)

// webListener accepts WebSockets on another listener.
type webListener struct {
	net.Listener
	server *http.Server
	conns  chan net.Conn
	gone   chan struct{}
	once   sync.Once
	pings  sync.WaitGroup
	pongs  atomic.Int64 // answered pings
	mu     sync.Mutex   // guards what follows
	asked  []*http.Request
}

// webCloud makes a cloud speak WebSocket at one path, in frames that end
// anywhere.
func webCloud(t testing.TB, c *cloud, path string) *webListener {
	w := &webListener{Listener: c.ln, conns: make(chan net.Conn), gone: make(chan struct{})}
	mux := http.NewServeMux()
	mux.HandleFunc(path, w.upgrade)
	w.server = &http.Server{Handler: mux}
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.server.Serve(w.Listener)
	}()
	c.ln = w
	t.Cleanup(func() { w.Close(); <-done; w.pings.Wait() })
	return w
}

func (w *webListener) upgrade(rw http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	w.asked = append(w.asked, r)
	w.mu.Unlock()
	ws, err := websocket.Accept(rw, r, &websocket.AcceptOptions{Subprotocols: []string{"mqtt"}})
	if err != nil {
		return
	}
	c := &shredded{Conn: websocket.NetConn(context.Background(), ws, websocket.MessageBinary), ws: ws, gone: make(chan struct{})}
	select {
	case w.conns <- c:
		w.pings.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
			defer cancel()
			if ws.Ping(ctx) == nil {
				w.pongs.Add(1)
			}
		})
		<-c.gone
	case <-w.gone:
		c.Close()
	}
}

func (w *webListener) Accept() (net.Conn, error) {
	select {
	case c := <-w.conns:
		return c, nil
	case <-w.gone:
		return nil, net.ErrClosed
	}
}

func (w *webListener) Close() error {
	w.once.Do(func() { close(w.gone) })
	return w.server.Close()
}

// shredded sends what is written in frames of any size, empty ones too, and
// in messages of several frames, with pings between.
type shredded struct {
	net.Conn
	ws   *websocket.Conn
	once sync.Once
	gone chan struct{}
}

func (s *shredded) Write(p []byte) (int, error) {
	for rest := p; ; {
		m, err := s.ws.Writer(context.Background(), websocket.MessageBinary)
		if err != nil {
			return 0, err
		}
		for range rand.IntN(3) {
			n := rand.IntN(min(len(rest), 5) + 1)
			if _, err := m.Write(rest[:n]); err != nil {
				return 0, err
			}
			rest = rest[n:]
		}
		if err := m.Close(); err != nil {
			return 0, err
		}
		if len(rest) == 0 {
			return len(p), nil
		}
	}
}

func (s *shredded) Close() error {
	defer s.once.Do(func() { close(s.gone) })
	return s.ws.CloseNow()
}

// overWebSocket is the URL of a cloud behind a webListener.
func overWebSocket(c *cloud, path string) string {
	return "ws" + strings.TrimPrefix(c.url(), "mqtt") + path
}

func TestWebSocket(t *testing.T) {
	for _, path := range []string{"", "/", "/broker/mqtt%20x"} {
		t.Run(path, func(t *testing.T) {
			c := newCloud(t)
			at := "/mqtt"
			if len(path) > 1 {
				at = "/broker/mqtt x"
			}
			w := webCloud(t, c, strings.ReplaceAll(at, " ", "%20"))
			var down connection
			c.after = func(s *served) {
				if s.id == "gw-d0" {
					down.set(s)
				}
			}
			c.publish = func(s *served, p *packets.Publish) {
				s.ack(p.PacketID, 0)
				if d := down.get(); p.PacketID <= 100 {
					d.publishDown(p.PacketID, "down/x", strings.Repeat("y", int(p.PacketID)*50), nil)
				}
			}
			c.start()
			cfg := calm(quick(overWebSocket(c, path)))
			cfg.Down = []Down{{Filter: "down/#"}}
			home := edge{settle: true}
			u, stop := begin(t, cfg, home.options())
			eventually(t, "the down link is up", func() bool { return down.get() != nil && state(u, 1).State == Connected })
			var done counter
			for i := range 300 {
				u.Send(message("a", fmt.Sprint(i)), Ticket{Owner: &done})
			}
			u.Send(message("a", "300 "+strings.Repeat("x", 200_000)), Ticket{Owner: &done})
			eventually(t, "all are acknowledged", func() bool { return state(u, 0).Acked == 301 })
			eventually(t, "what went down is at home", func() bool { return home.count() == 100 })
			eventually(t, "both links have answered a ping", func() bool { return w.pongs.Load() == 2 })
			stop()
			if n := inOrder(t, c.got(), 301); n != 0 {
				t.Errorf("got %d duplicates, want none", n)
			}
			w.mu.Lock()
			defer w.mu.Unlock()
			r := w.asked[0]
			if got := r.Header.Get("Sec-WebSocket-Protocol"); got != "mqtt" || r.URL.Path != at || r.Host != w.Addr().String() {
				t.Errorf("got subprotocol %q, path %q, host %q, want mqtt, %q, %v", got, r.URL.Path, r.Host, at, w.Addr())
			}
		})
	}
}

// Over TLS with the cloud's own authority, both ways; nobody without it.
func TestWebSocketOverTLS(t *testing.T) {
	p := newPKI(t)
	p.new("gateway")
	c := newCloud(t)
	url := "wss" + strings.TrimPrefix(p.secure(c), "mqtts") + "/mqtt"
	webCloud(t, c, "/mqtt")
	home := edge{settle: true}
	cfg := p.client("gateway", url)
	cfg.Down = []Down{{Filter: "down/#"}}
	u, to, stop := downLink(t, c, cfg, home.options())
	const messages = 50
	var done counter
	for i := range messages {
		u.Send(message("a", fmt.Sprint(i)), Ticket{Owner: &done})
		to.get().publishDown(uint16(i+1), "down/x", strings.Repeat("y", i*400), nil)
	}
	eventually(t, "all are acknowledged, both ways", func() bool {
		_, _, acked, _ := c.count()
		return state(u, 0).Acked == messages && acked == messages
	})
	if s := state(u, 0); s.Endpoint != strings.TrimSuffix(url, "/mqtt") && s.Endpoint != url {
		t.Errorf("got endpoint %q, want %q", s.Endpoint, url)
	}
	stop()
	if n := inOrder(t, c.got(), messages); n != 0 {
		t.Errorf("got %d duplicates, want none", n)
	}
	for i, m := range home.got {
		if len(m.Payload) != i*400 {
			t.Fatalf("got %d bytes as command %d, want %d", len(m.Payload), i, i*400)
		}
	}
	strange := calm(quick(url))
	v, _ := begin(t, strange, Options{})
	eventually(t, "a stranger's certificate is named", func() bool { return state(v, 0).Fault == FaultUntrusted })
}

// A broker of the field takes the frames as they are.
func TestWebSocketToMosquitto(t *testing.T) {
	m := startMosquitto(t)
	m.kill()
	conf, err := os.ReadFile(m.conf)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	// 2.0.11 wants another listener beside one for WebSockets.
	if err := os.WriteFile(m.conf, fmt.Appendf(conf, "listener %s 127.0.0.1\nprotocol websockets\n", port), 0o600); err != nil {
		t.Fatal(err)
	}
	m.start()
	cfg := calm(quick("ws://" + ln.Addr().String() + "/mqtt"))
	cfg.Up, cfg.Down = []Up{{Filter: "a", Add: "up/"}}, []Down{{Filter: "up/#", Add: "home/"}}
	cfg.LoopGuard = false
	home := edge{settle: true}
	u, _ := begin(t, cfg, home.options())
	eventuallyUp(t, u, 1)
	var done counter
	const messages = 8 // this broker takes some ten a second over WebSocket
	for i := range messages {
		u.Send(message("a", strings.Repeat("x", i*6000)), Ticket{Owner: &done})
	}
	eventually(t, "all went up and came down", func() bool { return state(u, 0).Acked == messages && home.count() == messages })
	home.mu.Lock()
	defer home.mu.Unlock()
	for i, got := range home.got {
		if len(got.Payload) != i*6000 {
			t.Fatalf("got %d bytes as message %d, want %d", len(got.Payload), i, i*6000)
		}
	}
	if s := state(u, 0); s.Reconnects != 0 || s.Resent != 0 {
		t.Errorf("got %+v, want no reconnect", s)
	}
}

// A WebSocket link sees the socket below: how far the bytes got, and deadlines.
func TestWebSocketShowsItsSocket(t *testing.T) {
	c := newCloud(t)
	webCloud(t, c, "/mqtt")
	c.start()
	e, err := parseEndpoint(overWebSocket(c, ""))
	if err != nil {
		t.Fatal(err)
	}
	set := &settings{cfg: DefaultConfig(), way: Config{Proxy: noProxy}.way(), now: time.Now}
	nc, err := set.dial(t.Context(), e)
	if err != nil {
		t.Fatal(err)
	}
	w := newWire(nc, nil, 1000)
	defer w.cut(errStopping)
	before := w.progress().reached
	if before == 0 {
		t.Error("the kernel tells nothing of the handshake's bytes")
	}
	if err := w.send(pingreq); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the ping has reached the other side", func() bool { p := w.progress(); return p.reached > before && !p.more && p.reached == p.end })
	w.SetReadDeadline(time.Now().Add(time.Millisecond))
	for err == nil { // until the PINGRESP is read
		_, err = w.Conn.Read(make([]byte, 10))
	}
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got %v from a read past its deadline, want a timeout", err)
	}
}

// A node that goes silent under a WebSocket is found and left.
func TestSilentNodeUnderWebSocket(t *testing.T) {
	a, b := newCloud(t), newCloud(t)
	webCloud(t, a, "/mqtt")
	a.start()
	webCloud(t, b, "/mqtt")
	b.start()
	r := newRelay(t, a.ln.Addr().String())
	cfg := quick("ws://"+r.addr(), overWebSocket(b, ""))
	u, _ := beginAt(t, cfg, 0)
	var done counter
	u.Send(message("a", "0"), Ticket{Owner: &done})
	eventually(t, "the first is acknowledged", func() bool { return state(u, 0).Acked == 1 })
	r.stall(true)
	u.Send(message("a", "1"), Ticket{Owner: &done})
	eventually(t, "the second goes through the other node", func() bool { s := state(u, 0); return s.Acked == 2 && s.Endpoint == cfg.Endpoints[1] })
}

func TestRefusedWebSocket(t *testing.T) {
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		want   string
	}{
		"not found":     {http.NotFound, "look at the path /mqtt"},
		"a web page":    {func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "hello") }, "200 OK; look at the path"},
		"moved":         {http.RedirectHandler("http://elsewhere.example.com/", http.StatusFound).ServeHTTP, "302 Found"},
		"forbidden":     {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(403) }, "403 Forbidden; whoever"},
		"nobody behind": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) }, "no node behind the load balancer"},
		"text": {func(w http.ResponseWriter, r *http.Request) {
			if ws, err := websocket.Accept(w, r, nil); err == nil {
				ws.Write(context.Background(), websocket.MessageText, []byte("hello"))
				ws.Read(context.Background())
			}
		}, "frame of text"},
		"closed with words": {func(w http.ResponseWriter, r *http.Request) {
			if ws, err := websocket.Accept(w, r, nil); err == nil {
				ws.Close(websocket.StatusPolicyViolation, "not you")
			}
		}, "1008 not you"},
	} {
		t.Run(name, func(t *testing.T) {
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			server, done := &http.Server{Handler: c.answer}, make(chan struct{})
			go func() { defer close(done); server.Serve(ln) }()
			t.Cleanup(func() { server.Close(); <-done })
			cfg := quick("ws://" + ln.Addr().String())
			cfg.ReconnectMax = conf.Duration(100 * time.Millisecond)
			u, stop := begin(t, cfg, Options{})
			eventually(t, "the cause is in words", func() bool { return strings.Contains(state(u, 0).Cause, c.want) })
			stop()
		})
	}
}
