package edge

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
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

// frameOf is a frame as a client sends it.
func frameOf(first byte, payload []byte) []byte {
	b := []byte{first}
	switch n := len(payload); {
	case n < 126:
		b = append(b, 0x80|byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, 0x80|126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 0x80|127), uint64(n))
	}
	mask := [4]byte{1, 0xff, 3, 0x80}
	b = append(b, mask[:]...)
	for i, c := range payload {
		b = append(b, c^mask[i%4])
	}
	return b
}

// TestUnframe sends messages of all sizes, in fragments, with control frames
// between them, in reads of all sizes.
func TestUnframe(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		var sent, want []byte
		var pings, pongs [][]byte
		for range 20 {
			payload := bytes.Repeat([]byte{byte(r.Uint32()), byte(r.Uint32()), 3}, []int{0, 1, 40, 42, 43, 22000}[r.IntN(6)])
			want = append(want, payload...)
			for op := byte(opBinary); ; op = opContinue {
				n := r.IntN(len(payload) + 1)
				if n == len(payload) {
					sent = append(sent, frameOf(0x80|op, payload)...)
					break
				}
				sent, payload = append(sent, frameOf(op, payload[:n])...), payload[n:]
				if r.IntN(3) == 0 {
					ping := bytes.Repeat([]byte{'p'}, r.IntN(126))
					pings = append(pings, ping)
					sent = append(append(sent, frameOf(0x80|opPing, ping)...), frameOf(0x80|opPong, []byte("unasked"))...)
				}
			}
		}
		var w webSocket
		var got []byte
		for len(sent) > 0 {
			n := min(len(sent), 1+r.IntN(1<<r.IntN(16)))
			part := bytes.Clone(sent[:n])
			got = append(got, part[:w.unframe(part, func(p []byte) { pongs = append(pongs, bytes.Clone(p)) })]...)
			sent = sent[n:]
		}
		if w.err != nil || !bytes.Equal(got, want) || !slices.EqualFunc(pings, pongs, bytes.Equal) {
			t.Fatalf("seed %d: got %d bytes, %d pings, %v, want %d bytes, %d pings", seed, len(got), len(pongs), w.err, len(want), len(pings))
		}
	}
}

// TestBadFrames breaks RFC 6455 in every way that a client can.
func TestBadFrames(t *testing.T) {
	whole := func(op byte, payload string) string { return string(frameOf(0x80|op, []byte(payload))) }
	part := func(op byte, payload string) string { return string(frameOf(op, []byte(payload))) }
	for name, c := range map[string]struct {
		sent string
		want error
	}{
		"not masked":               {"\x82\x01x", statusProtocol},
		"empty, not masked":        {"\x82\x00", statusProtocol},
		"text":                     {whole(opText, "hello"), statusUnsupported},
		"a fragment of text":       {part(opText, "hello"), statusUnsupported},
		"reserved bit 1":           {"\xc2\x81\x00\x00\x00\x00x", statusProtocol},
		"reserved bit 3":           {"\x92\x81\x00\x00\x00\x00x", statusProtocol},
		"reserved opcode":          {whole(3, ""), statusProtocol},
		"reserved control opcode":  {whole(0xb, ""), statusProtocol},
		"continuation of nothing":  {whole(opContinue, "x"), statusProtocol},
		"continuation of a whole":  {whole(opBinary, "x") + whole(opContinue, "x"), statusProtocol},
		"message within another":   {part(opBinary, "x") + whole(opBinary, "x"), statusProtocol},
		"text within another":      {part(opBinary, "x") + whole(opText, "x"), statusProtocol},
		"fragment of a ping":       {part(opPing, "x"), statusProtocol},
		"long ping":                {whole(opPing, strings.Repeat("x", 126)), statusProtocol},
		"length with the top bit":  {"\x82\xff\x80\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00", statusProtocol},
		"close":                    {whole(opClose, ""), errClosed},
		"close with a reason":      {whole(opClose, "\x03\xe8bye"), errClosed},
		"close of half a status":   {whole(opClose, "\x03"), statusProtocol},
		"close by 1005":            {whole(opClose, "\x03\xed"), statusProtocol},
		"close by 999":             {whole(opClose, "\x03\xe7"), statusProtocol},
		"close by 5000":            {whole(opClose, "\x13\x88"), statusProtocol},
		"close by 4000":            {whole(opClose, "\x0f\xa0"), errClosed},
		"close for a wrong reason": {whole(opClose, "\x03\xe8\xff"), statusInvalid},
	} {
		for size := range 3 {
			var w webSocket
			for left := []byte(c.sent); len(left) > 0; {
				n := len(left)
				if size > 0 {
					n = min(size, n)
				}
				w.unframe(left[:n], func([]byte) {})
				left = left[n:]
			}
			if w.err != c.want {
				t.Errorf("%s: got %v, want %v", name, w.err, c.want)
			}
		}
	}
	var w webSocket
	huge := []byte("\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00x")
	if n := w.unframe(huge, nil); n != 1 || w.err != nil || huge[0] != 'x' {
		t.Errorf("a huge frame: got %d bytes, %v", n, w.err)
	}
}

// readFrames undoes seal.
func readFrames(t testing.TB, b []byte) (data []byte, ops []byte) {
	for len(b) > 0 {
		n, head := int(b[1]), 2
		if n == 126 {
			n, head = int(binary.BigEndian.Uint16(b[2:])), 4
		}
		if b[0]&0xf0 != 0x80 || n > mostMessage || head+n > len(b) {
			t.Fatalf("frame % x of %d bytes", b[:head], n)
		}
		if ops = append(ops, b[0]&15); b[0]&15 == opBinary {
			data = append(data, b[head:head+n]...)
		}
		b = b[head+n:]
	}
	return data, ops
}

func TestSeal(t *testing.T) {
	for _, n := range []int{0, 1, 125, 126, 127, mostMessage - 1, mostMessage, mostMessage + 1, mostMessage + 126, 3 * mostMessage, 3*mostMessage + 5} {
		w := webSocket{open: true}
		var want, b []byte
		for i := range n {
			want = append(want, byte(i), byte(i>>8))
		}
		b = append(b, want[:n]...)
		b = w.put(b, opPong, []byte("pong"))
		b = append(b, want[n:]...)
		b = w.put(b, opClose, []byte{3, 232})
		w.open = false
		b = w.take(append(b, "too late"...))
		got, ops := readFrames(t, b)
		if !bytes.Equal(got, want) || ops[len(ops)-1] != opClose || !slices.Contains(ops, opPong) || w.sealed != 0 {
			t.Errorf("%d bytes twice: got %d bytes in frames %d", n, len(got), ops)
		}
	}
}

// TestSealCutsAtPackets: one message for each packet, several for a long one.
func TestSealCutsAtPackets(t *testing.T) {
	w := webSocket{open: true}
	var b []byte
	var want []int
	for _, n := range []int{0, 10, 124, 200, 3 * mostMessage, 1} {
		packet := encode(t, publishPacket("t", strings.Repeat("x", n), 0, 0))
		b = append(b, packet...)
		for part := range slices.Chunk(packet, mostMessage) {
			want = append(want, len(part))
		}
	}
	var got []int
	for b = w.take(b); len(b) > 0; {
		n, head := int(b[1]), 2
		if n == 126 {
			n, head = int(binary.BigEndian.Uint16(b[2:])), 4
		}
		got, b = append(got, n), b[head+n:]
	}
	if !slices.Equal(got, want) {
		t.Errorf("got messages of %d bytes, want %d", got, want)
	}
}

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

// FuzzUnframe holds the reader of frames against itself: however the bytes are
// cut into reads, the result is the same.
func FuzzUnframe(f *testing.F) {
	f.Add(slices.Concat(frameOf(opBinary, []byte("hello")), frameOf(0x80|opPing, []byte("x")), frameOf(0x80|opContinue, make([]byte, 300))), byte(3))
	f.Add(frameOf(0x80|opClose, []byte("\x03\xe8bye")), byte(1))
	f.Add(frameOf(0x80|opBinary, make([]byte, 70_000)), byte(200))
	f.Fuzz(func(t *testing.T, sent []byte, size byte) {
		read := func(size int) (got, pings []byte, w webSocket) {
			for part := range slices.Chunk(bytes.Clone(sent), size) {
				before := len(part)
				n := w.unframe(part, func(p []byte) {
					if len(p) > 125 {
						t.Fatal("a long ping")
					}
					pings = append(append(pings, '|'), p...)
				})
				if n < 0 || n > before {
					t.Fatalf("%d bytes of %d", n, before)
				}
				got = append(got, part[:n]...)
			}
			return got, pings, w
		}
		all, pings, w := read(max(len(sent), 1))
		some, alike, v := read(int(size) + 1)
		if w.err != v.err || w.reply != v.reply || !bytes.Equal(pings, alike) || !bytes.Equal(all, some) {
			t.Fatalf("got %q %q %v, in pieces %q %q %v", all, pings, w.err, some, alike, v.err)
		}
	})
}

// FuzzSeal appends, seals and takes in any order.
func FuzzSeal(f *testing.F) {
	f.Add([]byte{10, 0xf0, 200, 0xf1, 3, 0xf2, 0xe0, 0xe0})
	f.Fuzz(func(t *testing.T, steps []byte) {
		w := webSocket{open: true}
		var buf, sent, want []byte
		for i, step := range steps[:min(len(steps), 200)] {
			switch {
			case step == 0xf0:
				buf = w.put(buf, opPong, []byte{byte(i)})
			case step == 0xf1:
				buf = w.seal(buf)
			case step == 0xf2:
				sent, buf = append(sent, w.take(buf)...), nil
			default:
				n := int(step)
				if step >= 0xe0 {
					n = mostMessage - 0xe0 + int(step)
				}
				data := bytes.Repeat([]byte{byte(i)}, n)
				buf, want = append(buf, data...), append(want, data...)
			}
		}
		sent = append(sent, w.take(buf)...)
		if got, _ := readFrames(t, sent); !bytes.Equal(got, want) {
			t.Fatalf("got %d bytes, want %d", len(got), len(want))
		}
	})
}
