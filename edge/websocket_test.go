package edge

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/mochi-mqtt/server/v2/packets"

	"tidegate/internal/conf"
)

// webPeer speaks in frames.
type webPeer struct {
	t  *testing.T
	nc net.Conn
	in *bufio.Reader
}

// openWeb does the handshake by hand. more are lines of the request.
func openWeb(t *testing.T, b *Broker, more string) (*webPeer, *http.Response) {
	t.Helper()
	w := &webPeer{t: t, nc: dialRaw(t, b, 0)}
	t.Cleanup(func() { w.nc.Close() })
	w.nc.SetDeadline(time.Now().Add(patience))
	w.in = bufio.NewReader(w.nc)
	io.WriteString(w.nc, more)
	res, err := http.ReadResponse(w.in, nil)
	if err != nil {
		t.Fatalf("%v after %q", err, more)
	}
	return w, res
}

const plainRequest = "GET /mqtt HTTP/1.1\r\nHost: 192.168.1.5:8083\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n" +
	"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: foo, mqtt\r\n\r\n"

// frame returns the next frame of the broker.
func (w *webPeer) frame() (op byte, payload []byte, err error) {
	var head [2]byte
	if _, err := io.ReadFull(w.in, head[:]); err != nil {
		return 0, nil, err
	}
	n := int(head[1])
	if n == 126 {
		var more [2]byte
		if _, err := io.ReadFull(w.in, more[:]); err != nil {
			return 0, nil, err
		}
		n = int(binary.BigEndian.Uint16(more[:]))
	}
	payload = make([]byte, n)
	_, err = io.ReadFull(w.in, payload)
	return head[0] & 15, payload, err
}

// want expects a frame.
func (w *webPeer) want(op byte, payload string) {
	w.t.Helper()
	got, body, err := w.frame()
	if err != nil || got != op || string(body) != payload {
		w.t.Fatalf("got frame %d %q, %v, want %d %q", got, short(body), err, op, payload)
	}
}

func overWeb(c *Config) { c.Listeners[0].Protocol = overWebSocket }

func TestUpgrade(t *testing.T) {
	b := startBroker(t, Options{}, overWeb, func(c *Config) { c.Listeners[0].Origins = []string{"https://panel.example.com", "null"} })
	for _, c := range []struct {
		name, old, new string
		want           int
	}{
		{"right", "", "", 101},
		{"MQTT 3.1's name", "foo, mqtt", "mqttv3.1", 101},
		{"a query", "/mqtt ", "/mqtt?x=1 ", 101},
		{"another path", "/mqtt ", "/ ", 404},
		{"a page", "Upgrade: WebSocket\r\n", "", 426},
		{"no Connection", "keep-alive, Upgrade", "keep-alive", 426},
		{"a POST", "GET", "POST", 426},
		{"a body", "\r\n\r\n", "\r\nContent-Length: 5\r\n\r\n", 426},
		{"HTTP/1.0", "HTTP/1.1", "HTTP/1.0", 426},
		{"old version", "Version: 13", "Version: 8", 426},
		{"no key", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", "", 400},
		{"short key", "dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25j", 400},
		{"no protocol", "Sec-WebSocket-Protocol: foo, mqtt\r\n", "", 400},
		{"other protocol", "foo, mqtt", "wamp", 400},
		{"not HTTP", "GET /mqtt HTTP/1.1", "\x10\x0c\x00\x04MQTT", 400},
		{"too long", "\r\n\r\n", "\r\nX: " + strings.Repeat("x", upgradeLimit) + "\r\n\r\n", 431},
		{"own page", "Host", "Origin: http://192.168.1.5:8080\r\nHost", 101},
		{"listed page", "Host", "Origin: https://panel.example.com\r\nHost", 101},
		{"listed page, without TLS", "Host", "Origin: http://panel.example.com\r\nHost", 403},
		{"a file", "Host", "Origin: null\r\nHost", 101},
		{"a stranger's page", "Host", "Origin: https://evil.example\r\nHost", 403},
		{"a stranger's name for us", "Host: 192.168.1.5", "Origin: http://evil.example\r\nHost: evil.example", 403},
	} {
		request := strings.Replace(plainRequest, c.old, c.new, 1)
		if _, res := openWeb(t, b, request); res.StatusCode != c.want {
			t.Errorf("%s: got %s, want %d", c.name, res.Status, c.want)
		} else if c.want == 101 && (res.Header.Get("Sec-WebSocket-Accept") != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" || !strings.HasPrefix(res.Header.Get("Sec-WebSocket-Protocol"), "mqtt")) {
			t.Errorf("%s: got %v", c.name, res.Header)
		} else if c.want == 426 && res.Header.Get("Sec-WebSocket-Version") != "13" {
			t.Errorf("%s: got no version", c.name)
		}
	}
}

// TestOrigins asks for pages that a browser in the home may show.
func TestOrigins(t *testing.T) {
	for _, c := range []struct {
		origin, host string
		listed       []string
		want         bool
	}{
		{"", "tidegate.local", nil, true}, // no browser
		{"http://tidegate.local", "tidegate.local:8083", nil, true},
		{"https://TIDEGATE.local:8443", "tidegate.local.:8083", nil, false},
		{"https://TIDEGATE.local:8443", "tidegate.local:8083", nil, true},
		{"http://tidegate:1880", "tidegate", nil, true},
		{"http://localhost:3000", "localhost:8083", nil, true},
		{"http://[fe80::1]:3000", "[fe80::1]:8083", nil, true},
		{"http://192.168.1.5", "192.168.1.6", nil, false},
		{"http://tidegate.fritz.box", "tidegate.fritz.box", nil, false}, // box is a domain of the internet
		{"http://tidegate.fritz.box", "tidegate.fritz.box", []string{"http://tidegate.fritz.box"}, true},
		{"http://evil.local.example.com", "evil.local.example.com", nil, false},
		{"null", "192.168.1.5", nil, false},
		{"file://", "", nil, false},
		{"file://192.168.1.5", "192.168.1.5", nil, false},
		{"chrome-extension://abc", "abc", nil, false},
		{"http://evil.example", "192.168.1.5", []string{"*"}, true},
		{"http://192.168.1.5@evil.example", "192.168.1.5", nil, false},
		{"%", "%", nil, false},
	} {
		if got := (&terms{cfg: ListenerConfig{Origins: c.listed}}).welcomes(c.origin, c.host); got != c.want {
			t.Errorf("page of %q, gateway called %q, listed %q: got %v", c.origin, c.host, c.listed, got)
		}
	}
}

// TestWebSocketFraming has packets in pieces, several in one message, pings
// between them, and what the client sends before it has the answer.
func TestWebSocketFraming(t *testing.T) {
	b := startBroker(t, Options{}, overWeb)
	hello := encode(t, connectPacket("c", version(4)))
	w, res := openWeb(t, b, plainRequest+string(frameOf(0x80|opBinary, hello[:5]))+string(frameOf(0x80|opBinary, hello[5:])))
	if res.StatusCode != 101 {
		t.Fatal(res.Status)
	}
	w.want(opBinary, "\x20\x02\x00\x00")
	send := func(frames ...[]byte) { w.nc.Write(bytes.Join(frames, nil)) }
	ping := []byte{0xc0, 0}
	send(frameOf(opBinary, ping[:1]), frameOf(0x80|opPing, []byte("a")))
	w.want(opPong, "a")
	send(frameOf(opContinue, nil), frameOf(0x80|opContinue, ping[1:]))
	w.want(opBinary, "\xd0\x00")
	send(frameOf(0x80|opPing, nil), frameOf(0x80|opBinary, slices.Concat(ping, ping, ping[:1])), frameOf(0x80|opPing, []byte("b")), frameOf(0x80|opBinary, ping[1:]))
	var answers, pongs []byte
	for len(answers) < 6 {
		op, body, err := w.frame()
		switch {
		case err != nil:
			t.Fatal(err)
		case op == opPong:
			pongs = append(append(pongs, '|'), body...)
		default:
			answers = append(answers, body...)
		}
	}
	if string(answers) != "\xd0\x00\xd0\x00\xd0\x00" || string(pongs) != "||b" {
		t.Fatalf("got % x and pongs %q", answers, pongs)
	}

	s := connect(t, b, "s")
	s.subscribe(sub{filter: "t"})
	large := publishPacket("t", strings.Repeat("x", 100_000), 0, 0)
	large.ProtocolVersion = 4
	for part := range slices.Chunk(encode(t, large), 1000) {
		send(frameOf(0x80|opBinary, part))
	}
	s.message("t", strings.Repeat("x", 100_000))
	send(frameOf(0x80|opBinary, []byte{0xe0, 0})) // DISCONNECT
	w.want(opClose, "\x03\xe8")
	if _, err := w.in.ReadByte(); err != io.EOF {
		t.Errorf("after the close frame: %v", err)
	}
}

// TestWebSocketEnds has clients that end, or break, their WebSocket: the close
// frame says why, and the will is published unless DISCONNECT came.
func TestWebSocketEnds(t *testing.T) {
	b := startBroker(t, Options{}, overWeb, func(c *Config) { c.Limits.MaxPacket = 1000 })
	s := connect(t, b, "s")
	s.subscribe(sub{filter: "will"})
	for name, c := range map[string]struct {
		sent   []byte
		reason int // of a DISCONNECT; -1: none
		status status
	}{
		"close frame":      {frameOf(0x80|opClose, []byte("\x0f\xa1bye")), -1, 4001},
		"no status":        {frameOf(0x80|opClose, nil), -1, statusNormal},
		"text":             {frameOf(0x80|opText, []byte{0xc0, 0}), 0x82, statusUnsupported}, // [MQTT-6.0.0-1]
		"not masked":       {[]byte{0x82, 2, 0xc0, 0}, 0x82, statusProtocol},
		"malformed packet": {frameOf(0x80|opBinary, []byte{0xc0, 1, 0}), 0x81, statusPolicy},
		"large packet":     {frameOf(0x80|opBinary, []byte{0x30, 0xff, 0xff, 0xff, 0x7f}), 0x95, statusTooBig},
	} {
		w, _ := openWeb(t, b, plainRequest)
		w.nc.Write(frameOf(0x80|opBinary, encode(t, connectPacket("c", willOf("will", name, 0, false, 0)))))
		if op, _, err := w.frame(); op != opBinary || err != nil {
			t.Fatalf("%s: frame %d, %v", name, op, err)
		}
		w.nc.Write(c.sent)
		if c.reason >= 0 {
			w.want(opBinary, string([]byte{packets.Disconnect << 4, 1, byte(c.reason)}))
		}
		w.want(opClose, string(binary.BigEndian.AppendUint16(nil, uint16(c.status))))
		if _, err := w.in.ReadByte(); err != io.EOF {
			t.Errorf("%s: after the close frame: %v", name, err)
		}
		s.message("will", name)
	}
}

// TestWebSocketPingsAreNoKeepAlive: only MQTT keeps a client alive.
func TestWebSocketPingsAreNoKeepAlive(t *testing.T) {
	b := startBroker(t, Options{}, overWeb)
	w, _ := openWeb(t, b, plainRequest)
	w.nc.Write(frameOf(0x80|opBinary, encode(t, connectPacket("c", keepAlive(1)))))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			if op, body, err := w.frame(); err != nil || op == opClose {
				return
			} else if op == opBinary && body[0] == packets.Disconnect<<4 && body[2] != 0x8d {
				t.Errorf("got reason %#x, want 0x8d", body[2])
			}
		}
	}()
	for tick := time.NewTicker(100 * time.Millisecond); ; <-tick.C {
		select {
		case <-ended:
			tick.Stop()
			if got := b.Stats().TimedOut; got != 1 {
				t.Errorf("timed out: got %d", got)
			}
			return
		default:
			w.nc.Write(frameOf(0x80|opPing, nil))
		}
	}
}

// TestWebSocketPingFlood has a client that sends pings and reads nothing.
func TestWebSocketPingFlood(t *testing.T) {
	b := startBroker(t, Options{}, overWeb, func(c *Config) {
		c.Limits.WriteTimeout = conf.Duration(2 * time.Second)
		c.Limits.WriteBuffer = 64 << 10
	})
	w, _ := openWeb(t, b, plainRequest)
	w.nc.(*net.TCPConn).SetReadBuffer(4 << 10)
	w.nc.Write(frameOf(0x80|opBinary, encode(t, connectPacket("c"))))
	flood := bytes.Repeat(frameOf(0x80|opPing, bytes.Repeat([]byte{'x'}, 125)), 500)
	for {
		if _, err := w.nc.Write(flood); err != nil {
			break
		}
	}
	until(t, "the client is cut", func() bool { return b.Stats().Cut == 1 })
}

// TestWebSocketClosesAtStop: a browser learns that the gateway has gone.
func TestWebSocketClosesAtStop(t *testing.T) {
	cfg := DefaultConfig()
	cfg.Listeners[0] = ListenerConfig{Bind: "127.0.0.1:0", Anonymous: true, Protocol: overWebSocket, Path: "/other"}
	b, err := New(cfg, Options{})
	if err == nil {
		err = b.Listen()
	}
	if err != nil {
		t.Fatal(err)
	}
	stop := run(t, b)
	ws, _, err := websocket.Dial(t.Context(), fmt.Sprintf("ws://%s/other", b.Addrs()[0]), &websocket.DialOptions{Subprotocols: []string{"mqtt"}})
	if err != nil {
		t.Fatal(err)
	}
	defer ws.CloseNow()
	ws.Write(t.Context(), websocket.MessageBinary, encode(t, connectPacket("c", version(4))))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if _, ack, err := ws.Read(ctx); err != nil || string(ack) != "\x20\x02\x00\x00" {
		t.Fatalf("got % x, %v", ack, err)
	}
	ended := make(chan error, 1)
	go func() {
		_, _, err := ws.Read(ctx)
		ended <- err
	}()
	stop()
	var end websocket.CloseError
	if err := <-ended; !errors.As(err, &end) || end.Code != websocket.StatusGoingAway {
		t.Errorf("got %v, want status 1001", err)
	}
}
