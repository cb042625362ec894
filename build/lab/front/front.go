// Package front puts a server of the lab's own in front of a node: one that
// speaks TLS, that cuts connections, and that drains, sending its clients to
// another server as a node does that is taken out of service [MQTT 5, 4.13].
// No broker at hand does the last.
package front

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// Config says where and for whom.
type Config struct {
	Addr   string // host:port to listen on
	Target string // host:port of the node, plain MQTT
	TLS    *tls.Config
}

// Front forwards to one node.
type Front struct {
	cfg      Config
	listener net.Listener
	work     sync.WaitGroup

	mu     sync.Mutex // guards what follows
	guests map[*guest]struct{}
	closed bool
	away   *notice // while draining
}

// notice is where clients are sent, and with which reason code.
type notice struct {
	code      byte
	reference string
}

// guest is one client's connection and the one made for it to the node.
type guest struct {
	client, node net.Conn

	mu        sync.Mutex // held while a packet is written to the client
	gone      bool
	dismissed bool // by DISCONNECT: let the client close
}

// Start listens.
func Start(cfg Config) (*Front, error) {
	l, err := net.Listen("tcp4", cfg.Addr)
	if err != nil {
		return nil, fmt.Errorf("start a front: %w", err)
	}
	f := &Front{cfg: cfg, listener: l, guests: map[*guest]struct{}{}}
	f.work.Go(f.accept)
	return f, nil
}

// Addr returns the "host:port" to dial.
func (f *Front) Addr() string { return f.listener.Addr().String() }

// Close cuts everything and returns when all that was started has ended.
func (f *Front) Close() error {
	f.mu.Lock()
	f.closed = true
	f.mu.Unlock()
	err := f.listener.Close()
	f.Cut()
	f.work.Wait()
	return err
}

// Cut resets every connection and returns how many there were.
func (f *Front) Cut() int { return f.CutIf(func(net.Conn) bool { return true }) }

// CutIf resets the connections of some clients.
func (f *Front) CutIf(of func(client net.Conn) bool) (n int) {
	for _, g := range f.all() {
		if of(g.client) {
			g.reset()
			n++
		}
	}
	return n
}

// Open returns how many clients are connected.
func (f *Front) Open() int { return len(f.all()) }

func (f *Front) all() (guests []*guest) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for g := range f.guests {
		guests = append(guests, g)
	}
	return guests
}

// Drain sends every client away with a DISCONNECT, and every one that comes
// with a CONNACK, until Admit. The code is 0x9C, Use another server, or 0x9D,
// Server moved; reference is the Server Reference.
func (f *Front) Drain(code byte, reference string) {
	away := &notice{code, reference}
	f.mu.Lock()
	f.away = away
	f.mu.Unlock()
	for _, g := range f.all() {
		g.dismiss(away)
	}
}

// Admit ends a Drain.
func (f *Front) Admit() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.away = nil
}

func (f *Front) accept() {
	for {
		client, err := f.listener.Accept()
		if err != nil {
			return // closed
		}
		f.work.Go(func() { f.serve(client) })
	}
}

// patience is for TLS, for a CONNECT, and for the node to be reached.
const patience = 5 * time.Second

func (f *Front) serve(client net.Conn) {
	g := &guest{client: client}
	away, ok := f.enter(g)
	if !ok {
		client.Close()
		return
	}
	defer f.leave(g)
	if f.cfg.TLS != nil {
		secure := tls.Server(client, f.cfg.TLS)
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		err := secure.HandshakeContext(ctx)
		cancel()
		if err != nil {
			client.Close()
			return
		}
		g.mu.Lock()
		g.client = secure
		g.mu.Unlock()
	}
	if away != nil {
		away.refuse(g.client)
		return
	}
	node, err := net.DialTimeout("tcp4", f.cfg.Target, patience)
	if err != nil || !g.attach(node) {
		g.reset()
		return
	}
	var both sync.WaitGroup
	both.Go(func() { g.up() })
	both.Go(func() { g.down() })
	both.Wait()
	g.client.Close()
	g.node.Close()
}

func (f *Front) enter(g *guest) (away *notice, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return nil, false
	}
	f.guests[g] = struct{}{}
	return f.away, true
}

func (f *Front) leave(g *guest) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.guests, g)
}

// attach takes the node's connection; false when the guest is gone.
func (g *guest) attach(node net.Conn) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.gone {
		node.Close()
		return false
	}
	g.node = node
	return true
}

// up carries what the client sends.
func (g *guest) up() {
	_, _ = io.Copy(g.node, g.client)
	g.mu.Lock()
	dismissed := g.dismissed
	g.mu.Unlock()
	if dismissed { // to close with bytes unread would be a reset
		_, _ = io.Copy(io.Discard, g.client)
		return
	}
	if tcp, ok := g.node.(*net.TCPConn); ok {
		_ = tcp.CloseWrite()
	}
}

// down carries what the node sends, packet by packet, so that one of our own
// can go in between.
func (g *guest) down() {
	defer g.reset()
	from := bufio.NewReaderSize(g.node, 64<<10)
	var packet []byte
	for {
		var err error
		if packet, err = read(from, packet[:0]); err != nil {
			return
		}
		g.mu.Lock()
		if !g.gone {
			_, err = g.client.Write(packet)
		}
		g.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// read appends one MQTT packet [MQTT 5, 2.1].
func read(r *bufio.Reader, b []byte) ([]byte, error) {
	kind, err := r.ReadByte()
	if err != nil {
		return b, err
	}
	length, err := binary.ReadUvarint(r) // the same form, of four bytes at most
	if err != nil {
		return b, err
	}
	if length >= 1<<28 {
		return b, errors.New("no MQTT")
	}
	b = binary.AppendUvarint(append(b, kind), length)
	head := len(b)
	b = append(b, make([]byte, length)...)
	_, err = io.ReadFull(r, b[head:])
	return b, err
}

// reset ends both connections with RST.
func (g *guest) reset() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.dismissed {
		return
	}
	g.gone = true
	for _, c := range []net.Conn{g.client, g.node} {
		if c == nil {
			continue
		}
		if secure, ok := c.(*tls.Conn); ok {
			c = secure.NetConn()
		}
		if tcp, ok := c.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
		c.Close()
	}
}

// dismiss sends the client away. What it has sent and the node has not
// acknowledged yet stays unacknowledged.
func (g *guest) dismiss(n *notice) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.gone || g.node == nil {
		return
	}
	g.gone, g.dismissed = true, true
	body := n.properties([]byte{n.code})
	g.client.SetWriteDeadline(time.Now().Add(time.Second))
	_, _ = g.client.Write(append(binary.AppendUvarint([]byte{0xE0}, uint64(len(body))), body...))
	g.node.Close()
	g.client.SetDeadline(time.Now().Add(time.Second)) // for the client to close
}

// refuse answers a CONNECT.
func (n *notice) refuse(client net.Conn) {
	defer client.Close()
	client.SetDeadline(time.Now().Add(patience))
	if _, err := read(bufio.NewReader(client), nil); err != nil {
		return
	}
	body := n.properties([]byte{0, n.code})
	_, _ = client.Write(append(binary.AppendUvarint([]byte{0x20}, uint64(len(body))), body...))
}

// properties appends the Server Reference, when there is one [MQTT 5, 3.14.2.2.5].
func (n *notice) properties(b []byte) []byte {
	if n.reference == "" {
		return append(b, 0)
	}
	props := binary.BigEndian.AppendUint16([]byte{0x1C}, uint16(len(n.reference)))
	props = append(props, n.reference...)
	return append(binary.AppendUvarint(b, uint64(len(props))), props...)
}
