package uplink

import (
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/eclipse/paho.golang/packets"
	"golang.org/x/sys/unix"
)

// plane is the side of a link that carries messages. Its methods are called
// by the one goroutine that reads the connection.
type plane interface {
	puback(id uint16, reason byte) error
	publish(first byte, body []byte) error // body is valid during the call
	idle() (awaited int)                   // what was received is dealt with, the reader is about to wait; PUBACKs to come
}

// wire is a connection shared by paho, which sees the control packets, and a
// plane, which sees PUBLISH and PUBACK before paho would. It frames what comes
// in, so that nothing larger than max is ever stored and no packet that the
// control plane does not expect reaches it.
//
// paho locks it around each packet; what is written meanwhile leaves in one
// piece at Unlock.
type wire struct {
	net.Conn
	plane plane
	max   int         // bytes of an incoming packet
	open  atomic.Bool // CONNACK was good: messages may come

	in   []byte // in[r:w] is read and not consumed
	r, w int
	pass int   // bytes of the present packet that paho has yet to read
	now  int64 // when the last read returned; the reader's, as what follows
	part bool  // a packet has begun to come and is not whole
	seen atomic.Int64
	sent atomic.Int64 // times of the last read and write, in ns since base

	begun atomic.Int64 // when that packet did, on the clock; 0: there is none
	size  atomic.Int64 // of that packet, in bytes; what is known of it

	socket *socket // below TLS and the like; nil: this is no network

	base time.Time
	mu   sync.Mutex // guards out and writes
	out  []byte
	werr error

	endOnce sync.Once
	end     error // why it ended; set once
}

// mostControl bounds a packet that is parsed whole, property by property, in
// bytes: room for a reason and a Server Reference of the greatest length.
const mostControl = 192 << 10

func newWire(c net.Conn, p plane, limit int) *wire {
	w := &wire{Conn: c, plane: p, max: limit, in: make([]byte, 4096), socket: below(c), base: time.Now()}
	if w.socket != nil {
		w.socket.rest = w.rest
	}
	return w
}

// clock is the time since the connection was made, in nanoseconds.
func (c *wire) clock() int64 { return int64(time.Since(c.base)) }

// Read gives paho control packets and the plane the others.
func (c *wire) Read(p []byte) (int, error) {
	for c.pass == 0 {
		if err := c.next(); err != nil {
			c.fail(err)
			return 0, err
		}
	}
	if c.r == c.w {
		if err := c.fill(); err != nil {
			c.fail(err)
			return 0, err
		}
	}
	n := copy(p, c.in[c.r:min(c.w, c.r+c.pass)])
	c.r += n
	if c.pass -= n; c.pass == 0 {
		c.whole()
	}
	return n, nil
}

// waits notes that a packet of n bytes, as far as is known, is not whole yet.
func (c *wire) waits(n int) {
	c.size.Store(int64(n))
	if !c.part {
		c.part = true
		c.begun.Store(max(c.now, 1))
	}
}

// whole notes that it is.
func (c *wire) whole() {
	if c.part {
		c.part = false
		c.begun.Store(0)
	}
}

// next deals with the packet that begins at in[r], or reads more.
func (c *wire) next() error {
	have := c.in[c.r:c.w]
	if len(have) == 0 {
		return c.fill()
	}
	n, l, err := varint(have[1:])
	if err == errShort {
		c.waits(len(have))
		return c.fill()
	}
	if err != nil {
		return err
	}
	total := 1 + l + n
	if total > c.max {
		return fmt.Errorf("the cloud sent a packet of %d bytes, more than the %d announced", total, c.max)
	}
	switch kind := have[0] >> 4; kind {
	case packets.PUBACK, packets.PUBLISH:
		if len(have) < total {
			c.reserve(total)
			c.waits(total)
			return c.fill()
		}
		c.r += total
		c.whole()
		return c.message(have[0], have[1+l:total])
	case packets.CONNACK, packets.SUBACK, packets.UNSUBACK, packets.PINGRESP, packets.DISCONNECT:
		if total > mostControl {
			return fmt.Errorf("the cloud sent a packet of type %d with %d bytes, more than anybody needs", kind, total)
		}
		if c.pass = total; len(have) < total {
			c.waits(total)
		}
		return nil
	default:
		return fmt.Errorf("the cloud sent a packet of type %d, which a client never gets from a server or did not ask for", kind)
	}
}

func (c *wire) message(first byte, body []byte) error {
	if !c.open.Load() {
		return fmt.Errorf("the cloud sent a message before its CONNACK")
	}
	if first>>4 == packets.PUBLISH {
		return c.plane.publish(first, body)
	}
	if len(body) < 2 || first != packets.PUBACK<<4 {
		return fmt.Errorf("malformed PUBACK")
	}
	reason := byte(0)
	if len(body) > 2 {
		reason = body[2]
	}
	return c.plane.puback(uint16(body[0])<<8|uint16(body[1]), reason)
}

// rest is called before the reader may wait. It returns how many PUBACKs are
// to come.
func (c *wire) rest() (awaited int) {
	if !c.open.Load() {
		return 0
	}
	return c.plane.idle()
}

// fill waits for more bytes.
func (c *wire) fill() error {
	if c.socket == nil {
		c.rest()
	}
	switch {
	case c.r == c.w:
		if c.r, c.w = 0, 0; len(c.in) > 64<<10 {
			c.in = make([]byte, 4096)
		}
	case c.w == len(c.in):
		c.reserve(c.w - c.r + 1)
	}
	n, err := c.Conn.Read(c.in[c.w:])
	c.w += n
	c.now = c.clock()
	c.seen.Store(c.now)
	if n > 0 {
		return nil
	}
	if err == nil {
		err = io.ErrNoProgress
	}
	return err
}

// reserve makes room for a packet of n bytes at in[r].
func (c *wire) reserve(n int) {
	if len(c.in)-c.r >= n {
		return
	}
	to := c.in
	if len(to) < n {
		to = make([]byte, min(max(n, 2*len(to)), max(n, c.max)))
	}
	c.w = copy(to, c.in[c.r:c.w])
	c.r, c.in = 0, to
}

// Lock begins a packet of paho's.
func (c *wire) Lock() { c.mu.Lock() }

// Write appends to the packet that Lock began.
func (c *wire) Write(p []byte) (int, error) {
	if c.werr != nil {
		return 0, c.werr
	}
	c.out = append(c.out, p...)
	return len(p), nil
}

// Unlock sends the packet.
func (c *wire) Unlock() {
	if len(c.out) > 0 {
		c.write(c.out)
		c.out = c.out[:0]
	}
	c.mu.Unlock()
}

// send writes whole packets.
func (c *wire) send(b []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.write(b)
}

// trySend writes whole packets unless another write is stuck. It says whether
// it did.
func (c *wire) trySend(b []byte) bool {
	if !c.mu.TryLock() {
		return false
	}
	defer c.mu.Unlock()
	return c.write(b) == nil
}

// write holds mu.
func (c *wire) write(b []byte) error {
	if c.werr != nil {
		return c.werr
	}
	_, c.werr = c.Conn.Write(b)
	c.sent.Store(c.clock())
	return c.werr
}

// progress is how far what was written has come.
type progress struct {
	reached uint64 // bytes that the other side's kernel has taken
	end     uint64 // what reached will be when it has taken all that is written now
	more    bool   // it has not
	lost    bool   // the kernel has sent some again and again, in vain
}

// progress returns zeros when the kernel does not say.
func (c *wire) progress() (p progress) {
	c.kernel(func(fd uintptr) {
		info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
		if err != nil {
			return
		}
		p.reached, p.more = info.Bytes_acked, info.Unacked > 0 || info.Notsent_bytes > 0
		p.end = info.Bytes_sent - info.Bytes_retrans + uint64(info.Notsent_bytes) + 1 // the SYN is counted in Bytes_acked
		p.lost = info.Unacked > 0 && info.Retransmits > 0                             // not so when the other side's buffers are full
	})
	return p
}

// below returns the socket under TLS, a WebSocket and the like.
func below(c net.Conn) *socket {
	for {
		switch n := c.(type) {
		case *socket:
			return n
		case interface{ NetConn() net.Conn }:
			c = n.NetConn()
		default:
			return nil
		}
	}
}

const ackEvery = 3 * time.Millisecond // while nothing is sent and PUBACKs are awaited

// ackNow makes the kernel acknowledge what came. Left alone it waits 40 ms for
// something to send along, and a broker without TCP_NODELAY, which Mosquitto is
// by default, waits for that before it sends the rest of its PUBACKs.
func (c *wire) ackNow() {
	c.kernel(func(fd uintptr) { unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_QUICKACK, 1) })
}

// kernel calls do with the socket's descriptor, if there is one.
func (c *wire) kernel(do func(fd uintptr)) {
	if c.socket != nil {
		c.socket.raw.Control(do)
	}
}

// fail remembers the first reason why the connection ended.
func (c *wire) fail(err error) {
	if err == io.EOF {
		err = errClosed
	}
	c.endOnce.Do(func() { c.end = err })
}

var errClosed = errors.New("the cloud closed the connection")

// cut ends the connection for a reason of ours.
func (c *wire) cut(why error) {
	c.fail(why)
	c.Conn.Close()
}
