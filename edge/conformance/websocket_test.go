package conformance

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"github.com/coder/websocket"
)

// webSocket opens a WebSocket to the broker. Where a broker has none there is
// nothing to test.
func (x *exam) webSocket(protocols ...string) *websocket.Conn {
	x.Helper()
	for _, at := range append([]string{x.target}, targets...) {
		if !strings.HasPrefix(at, "ws:") {
			continue
		}
		ws, _, err := websocket.Dial(x.Context(), at, &websocket.DialOptions{Subprotocols: protocols})
		if err != nil {
			x.Fatal(err)
		}
		x.Cleanup(func() { ws.CloseNow() })
		return ws
	}
	x.Skip("-broker has no WebSockets")
	return nil
}

// pingrespBytes is a whole PINGRESP.
var pingrespBytes = []byte{pingresp << 4, 0}

var webSocketChecks = []check{
	{"6.0.0-4", "45", "the subprotocol of a WebSocket", func(x *exam) {
		for _, offer := range [][]string{{"mqtt"}, {"other", "mqtt"}, {"mqtt", "other"}} {
			want(x, "the subprotocol", x.webSocket(offer...).Subprotocol(), "mqtt")
		}
	}},
	{"6.0.0-1", "45", "binary frames", func(x *exam) {
		ws := x.webSocket("mqtt")
		if err := ws.Write(x.Context(), websocket.MessageBinary, hello{id: x.id("binary")}.bytes(x)); err != nil {
			x.Fatal(err)
		}
		kind, b, err := ws.Read(x.Context())
		if err != nil || kind != websocket.MessageBinary || b[0] != connack<<4 {
			x.Fatalf("got %v, % x, %v, want a CONNACK in a binary frame", kind, b, err)
		}
		ws = x.webSocket("mqtt")
		if err := ws.Write(x.Context(), websocket.MessageText, hello{id: x.id("text")}.bytes(x)); err != nil {
			x.Fatal(err)
		}
		if _, b, err := ws.Read(x.Context()); err == nil {
			x.Fatalf("got % x, want the end after a text frame", b)
		}
	}},
	{"6.0.0-2", "45", "packets across frames", func(x *exam) {
		ws := x.webSocket("mqtt")
		all := cat(hello{id: x.id("c")}.bytes(x), []byte{pingreq << 4, 0}, []byte{pingreq << 4, 0})
		for _, part := range [][]byte{all[:1], all[1:3], {}, all[3 : len(all)-3], all[len(all)-3:]} {
			if err := ws.Write(x.Context(), websocket.MessageBinary, part); err != nil {
				x.Fatal(err)
			}
		}
		got := make([]byte, 0, 200)
		in := websocket.NetConn(x.Context(), ws, websocket.MessageBinary)
		for !bytes.HasSuffix(got, cat(pingrespBytes, pingrespBytes)) {
			more := make([]byte, 1)
			if _, err := io.ReadFull(in, more); err != nil {
				x.Fatalf("after % x: %v", got, err)
			}
			got = append(got, more...)
		}
	}},
}

// smallChecks look for reason strings and user properties that make an answer
// larger than its client takes.
var smallChecks = []check{
	{"3.2.2-19 3.2.2-20 3.4.2-2 3.4.2-3 3.5.2-2 3.5.2-3 3.6.2-2 3.6.2-3 3.7.2-2 3.7.2-3 3.9.2-1 3.9.2-2 3.11.2-1 3.11.2-2 3.14.2-3 3.14.2-4", "5", "what failed is told within the Maximum Packet Size", func(x *exam) {
		small := num(maximumPacketSize, 40)
		c := x.dial()
		c.most = 40
		c.send(hello{id: x.id("refused"), props: cat(small, text(authMethod, "none that there is"))}.bytes(x))
		c.want(connack)
		c, ack := x.connect(hello{id: x.id("small"), props: small})
		if ack.size > 40 {
			x.Fatalf("%v of %d bytes", ack, ack.size)
		}
		c.most = 40
		c.wantID(puback, c.start(pub{topic: "$SYS/not/allowed", payload: "x", qos: 1}))
		if id := c.start(pub{topic: "$SYS/not/allowed", payload: "x", qos: 2}); c.wantID(pubrec, id).reason < 0x80 {
			c.ack(pubrel, id)
			c.wantID(pubcomp, id)
		}
		c.ack(pubrel, 700)
		c.wantID(pubcomp, 700)
		c.ack(pubrec, 701)
		c.wantID(pubrel, 701)
		c.subscribe(filter{"a#", 1})
		c.unsubscribe(x.topic("nothing"))
		c.send([]byte{publish<<4 | 6, 1, 0})
		for {
			if _, err := c.read(); err != nil {
				return
			}
		}
	}},
}

// TestWebSocketTarget says that the checks above have something to look at.
func TestWebSocketTarget(t *testing.T) {
	if *broker == "" && len(targets) < 2 {
		t.Fatal("no WebSocket among the targets")
	}
}
