package conformance

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// patience is how long a test waits for what must happen.
const patience = time.Minute

// exam is one test at one version.
type exam struct {
	*testing.T
	v5     bool
	name   string // in client ids and topics, so that the tests do not meet
	target string // the address of the broker
}

// topic returns a topic or filter of this test's own.
func (x *exam) topic(rest string) string { return x.name + "/" + rest }

// id returns a client id of this test's own.
func (x *exam) id(s string) string { return x.name + s }

// version is the protocol version as CONNECT has it.
func (x *exam) version() byte {
	if x.v5 {
		return 5
	}
	return 4
}

// client is one connection to the broker.
type client struct {
	x       *exam
	nc      net.Conn
	r       *bufio.Reader
	v5      bool
	most    int // Maximum Packet Size; 0: any
	aliases map[int]string
	lastID  int
}

// dial opens a connection.
func (x *exam) dial() *client {
	x.Helper()
	return x.dialAt(x.target)
}

// dialAt opens a connection to another broker than the one for all tests.
func (x *exam) dialAt(address string) *client {
	x.Helper()
	nc, err := open(x.Context(), address)
	if err != nil {
		x.Fatal(err)
	}
	x.Cleanup(func() { nc.Close() })
	return &client{x: x, nc: nc, r: bufio.NewReader(nc), v5: x.v5, aliases: map[int]string{}, lastID: 100}
}

// open connects to host:port, or in a WebSocket to ws://host:port/path.
func open(ctx context.Context, address string) (net.Conn, error) {
	if !strings.HasPrefix(address, "ws:") {
		return net.DialTimeout("tcp", address, patience)
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	ws, _, err := websocket.Dial(ctx, address, &websocket.DialOptions{Subprotocols: []string{"mqtt"}})
	if err != nil {
		return nil, err
	}
	ws.SetReadLimit(-1)
	return &framed{websocket.NetConn(context.Background(), ws, websocket.MessageBinary), ws}, nil
}

// framed ends as a TCP connection does.
type framed struct {
	net.Conn
	ws *websocket.Conn
}

func (f *framed) Read(p []byte) (int, error) {
	n, err := f.Conn.Read(p)
	if websocket.CloseStatus(err) >= 0 {
		err = io.EOF
	}
	return n, err
}

func (f *framed) Close() error { return f.ws.CloseNow() }

// hello is a CONNECT. Its zero value has Clean Start and no keep alive.
type hello struct {
	id       string
	keep     bool   // Clean Start 0; before MQTT 5 the session stays, too
	alive    int    // seconds
	props    []byte // MQTT 5 only
	will     *pub   // its props without Will Delay
	delay    int    // Will Delay Interval in seconds
	user     *string
	password *string
	flags    byte // added to the flags
	protocol string
	version  byte
	extra    []byte // added at the end
}

// bytes encodes it for the exam's version.
func (h hello) bytes(x *exam) []byte {
	if h.protocol == "" {
		h.protocol = "MQTT"
	}
	if h.version == 0 {
		h.version = x.version()
	}
	flags := h.flags
	if !h.keep {
		flags |= 2
	}
	rest := str(h.id)
	if w := h.will; w != nil {
		flags |= 4 | w.qos<<3
		if w.retain {
			flags |= 32
		}
		if x.v5 {
			list := w.props
			if h.delay > 0 {
				list = cat(list, num(willDelay, h.delay))
			}
			rest = cat(rest, varint(len(list)), list)
		}
		rest = cat(rest, str(w.topic), str(w.payload))
	}
	if h.user != nil {
		flags |= 128
		rest = cat(rest, str(*h.user))
	}
	if h.password != nil {
		flags |= 64
		rest = cat(rest, str(*h.password))
	}
	head := cat(str(h.protocol), []byte{h.version, flags}, u16(h.alive))
	if x.v5 {
		head = cat(head, varint(len(h.props)), h.props)
	}
	return frame(connect<<4, head, rest, h.extra)
}

// connect opens a connection and expects to be accepted.
func (x *exam) connect(h hello) (*client, *packet) {
	x.Helper()
	c := x.dial()
	c.send(h.bytes(x))
	ack := c.want(connack)
	if ack.reason != 0 {
		x.Fatalf("refused: %v", ack)
	}
	return c, ack
}

// client connects with a clean session of its own name.
func (x *exam) client(name string) *client {
	x.Helper()
	c, _ := x.connect(hello{id: x.id(name)})
	return c
}

// session connects to a session that stays.
func (x *exam) session(name string, props ...[]byte) (*client, *packet) {
	x.Helper()
	return x.connect(hello{id: x.id(name), keep: true, props: cat(num(sessionExpiry, 300), cat(props...))})
}

func (c *client) send(b []byte) {
	c.x.Helper()
	c.nc.SetWriteDeadline(time.Now().Add(patience))
	if _, err := c.nc.Write(b); err != nil {
		c.x.Fatalf("write: %v", err)
	}
}

// read returns the next packet. Whatever is wrong with it fails the test.
func (c *client) read() (*packet, error) {
	c.x.Helper()
	c.nc.SetReadDeadline(time.Now().Add(patience))
	first, err := c.r.ReadByte()
	if err != nil {
		return nil, err
	}
	head := []byte{first}
	n := 0
	for i := range 4 {
		b, err := c.r.ReadByte()
		if err != nil {
			return nil, err
		}
		head = append(head, b)
		n |= int(b&127) << (7 * i)
		if b < 128 {
			if b == 0 && i > 0 {
				c.x.Fatal("Remaining Length longer than need be [MQTT-1.5.5-1]")
			}
			break
		}
	}
	body := make([]byte, n)
	if _, err := io.ReadFull(c.r, body); err != nil {
		return nil, err
	}
	p, err := parse(first, body, c.v5)
	if err != nil {
		c.x.Fatalf("%v in % x % x", err, head, body[:min(len(body), 60)])
	}
	if p.size = len(head) + n; c.most > 0 && p.size > c.most {
		c.x.Fatalf("%v of %d bytes, at most %d are allowed [MQTT-3.1.2-24]", p, p.size, c.most)
	}
	c.unalias(p)
	return p, nil
}

// unalias puts in the topic that an alias stands for.
func (c *client) unalias(p *packet) {
	c.x.Helper()
	if p.kind != publish {
		return
	}
	if alias := p.num(topicAlias); alias > 0 && p.topic != "" {
		c.aliases[alias] = p.topic
	} else if alias > 0 {
		p.topic = c.aliases[alias]
	}
	if p.topic == "" {
		c.x.Fatalf("no topic in %v", p)
	}
}

// want expects a packet of this type next.
func (c *client) want(kind byte) *packet {
	c.x.Helper()
	p, err := c.read()
	if err != nil {
		c.x.Fatalf("got %v, want %s", err, names[kind])
	}
	if p.kind != kind {
		c.x.Fatalf("got %v, want %s", p, names[kind])
	}
	return p
}

// closed expects the end of the connection. Before it an MQTT 5 client gets a
// DISCONNECT, or a CONNACK that refuses, with one of these reasons: from other
// brokers than the edge broker perhaps, since they need not say why. Nobody has
// to when 0 is among them.
func (c *client) closed(reasons ...byte) {
	c.x.Helper()
	told := false
	defer func() {
		if !told && c.v5 && len(reasons) > 0 && !slices.Contains(reasons, 0) && *broker == "" && !c.x.Failed() {
			c.x.Errorf("closed without a word, want one of %#x", reasons)
		}
	}()
	for {
		p, err := c.read()
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			c.x.Fatal("the connection is still open")
		case err != nil:
			return
		case told:
			c.x.Fatalf("got %v after the last packet [MQTT-3.14.4-1]", p)
		case p.kind == connack && p.reason != 0 && !p.present, p.kind == disconnect:
			told = true
			if c.v5 && !slices.Contains(reasons, p.reason) {
				c.x.Fatalf("got %v, want one of %#x", p, reasons)
			}
		case p.kind == connack:
			c.x.Fatalf("accepted: %v", p)
		}
	}
}

// nothing expects that the broker has nothing for this client.
func (c *client) nothing() {
	c.x.Helper()
	c.send([]byte{pingreq << 4, 0})
	c.want(pingresp)
}
