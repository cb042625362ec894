package edge

import (
	"encoding/binary"
	"fmt"
	"io"
	"slices"
	"unicode/utf8"

	"github.com/mochi-mqtt/server/v2/packets"
)

// The opcodes of WebSocket frames [RFC 6455, 5.2].
const (
	opContinue = 0x0
	opText     = 0x1
	opBinary   = 0x2
	opClose    = 0x8
	opPing     = 0x9
	opPong     = 0xa
)

// status is why a WebSocket ends, as the close frame says it [RFC 6455, 7.4.1].
// As an error it is something that the client has done wrong.
type status uint16

const (
	statusNormal      status = 1000
	statusGoingAway   status = 1001
	statusProtocol    status = 1002
	statusUnsupported status = 1003 // a text frame [MQTT-6.0.0-1]
	statusInvalid     status = 1007 // text that is not UTF-8
	statusPolicy      status = 1008
	statusTooBig      status = 1009
)

func (s status) Error() string { return fmt.Sprintf("WebSocket status %d", uint16(s)) }

// errClosed ends a reader whose client has closed the WebSocket. What MQTT says
// of a lost connection holds, unless a DISCONNECT came before.
var errClosed = fmt.Errorf("WebSocket closed: %w", io.EOF)

// webSocket is the framing of a connection [RFC 6455, 5]: MQTT's bytes are in
// binary messages, whose limits mean nothing [MQTT-6.0.0-2]. It holds no buffer:
// what is read is unmasked where it lies, and what is written gets its headers
// when a writer takes it.
type webSocket struct {
	// The reader's alone.
	head    [14]byte // of the frame that is being read
	have    int      // bytes of it
	inside  bool     // the header is whole, and its payload is being read
	message bool     // a message of several frames is not at its end
	left    int64    // bytes of the payload
	at      int      // in the mask
	control []byte   // payload of a ping or close frame so far
	err     error    // all that comes after is not read
	reply   status   // to the client's close frame

	// Guarded by conn.mu.
	open   bool // the handshake is over, and no close frame was appended
	sealed int  // bytes of conn.buf that are frames already
}

// unframe takes bytes as they came and leaves MQTT's in their place; it returns
// how many these are. pong is called with the payload of each ping, which is
// valid only then. err is set when the WebSocket has ended.
func (w *webSocket) unframe(p []byte, pong func([]byte)) (n int) {
	in := p
	for w.err == nil {
		if !w.inside {
			if in = w.header(in); !w.inside {
				return n
			}
		}
		part := in[:min(int64(len(in)), w.left)]
		in = in[len(part):]
		w.unmask(part)
		w.left -= int64(len(part))
		if w.op() < opClose {
			n += copy(p[n:], part)
		} else {
			w.control = append(w.control, part...)
		}
		if w.left > 0 {
			return n
		}
		w.inside, w.have = false, 0
		if w.op() >= opClose {
			w.err = w.controlled(pong)
			w.control = nil
		}
	}
	return n
}

func (w *webSocket) op() byte { return w.head[0] & 15 }

// header reads more of a frame's header and returns what is behind it.
func (w *webSocket) header(in []byte) []byte {
	for !w.inside && w.err == nil {
		need := w.headerSize()
		k := copy(w.head[w.have:need], in)
		w.have, in = w.have+k, in[k:]
		switch {
		case w.have < need:
			return in
		case need == 2:
			w.err = w.judge()
		default:
			w.begin()
		}
	}
	return in
}

// headerSize returns how long the header is as far as is known: first 2.
func (w *webSocket) headerSize() int {
	if w.have < 2 {
		return 2
	}
	switch w.head[1] & 127 {
	case 126:
		return 8
	case 127:
		return 14
	}
	return 6
}

// judge looks at the first two bytes of a header.
func (w *webSocket) judge() error {
	op, fin, masked, length := w.op(), w.head[0]&0x80 != 0, w.head[1]&0x80 != 0, w.head[1]&127
	switch {
	case w.head[0]&0x70 != 0, !masked: // no extension was agreed on
		return statusProtocol
	case op == opText && !w.message:
		return statusUnsupported
	case op == opBinary && !w.message, op == opContinue && w.message:
		w.message = !fin
		return nil
	case op >= opClose && op <= opPong && fin && length < 126:
		return nil
	}
	return statusProtocol
}

// begin reads the length at the end of a header.
func (w *webSocket) begin() {
	switch n := w.head[1] & 127; n {
	case 126:
		w.left = int64(binary.BigEndian.Uint16(w.head[2:]))
	case 127:
		w.left = int64(binary.BigEndian.Uint64(w.head[2:]))
		if w.left < 0 {
			w.err = statusProtocol
			return
		}
	default:
		w.left = int64(n)
	}
	w.inside, w.at = true, 0
}

// unmask takes the mask, the last four bytes of the header, off a part of the
// payload.
func (w *webSocket) unmask(p []byte) {
	mask := w.head[w.have-4 : w.have]
	for ; len(p) > 0 && w.at%4 != 0; w.at++ {
		p[0] ^= mask[w.at%4]
		p = p[1:]
	}
	four := uint64(binary.LittleEndian.Uint32(mask))
	for eight := four<<32 | four; len(p) >= 8; p = p[8:] {
		binary.LittleEndian.PutUint64(p, binary.LittleEndian.Uint64(p)^eight)
	}
	for i := range p {
		p[i] ^= mask[i%4]
	}
	w.at = (w.at + len(p)) % 4
}

// controlled obeys a control frame.
func (w *webSocket) controlled(pong func([]byte)) error {
	switch w.op() {
	case opPing:
		pong(w.control)
		return nil
	case opPong:
		return nil
	}
	w.reply = statusNormal
	if len(w.control) == 0 {
		return errClosed
	}
	if len(w.control) < 2 {
		return statusProtocol
	}
	w.reply = status(binary.BigEndian.Uint16(w.control))
	switch s := w.reply; {
	case s < 1000, s > 4999, s >= 1004 && s <= 1006, s >= 1015 && s < 3000:
		return statusProtocol
	case !utf8.Valid(w.control[2:]):
		return statusInvalid
	}
	return errClosed
}

// mostMessage is how much is sent in one message, in bytes: clients may have
// limits for these too, and MQTT does not tell them.
const mostMessage = 16 << 10

// seal puts what was appended to b since the last time into frames: each packet
// into a message of its own, or several when it is long. Paho C does not look at
// a second packet in a message before more comes from the network.
func (w *webSocket) seal(b []byte) []byte {
	if !w.open && len(b) > w.sealed {
		return b[:w.sealed] // nothing is said after a close frame
	}
	begin, n, heads := w.sealed, len(b), 0
	for at := begin; at < n; {
		size := packetSize(b[at:])
		heads += size / mostMessage * headSize(mostMessage)
		if rest := size % mostMessage; rest > 0 {
			heads += headSize(rest)
		}
		at += size
	}
	b = slices.Grow(b, heads)[:n+heads]
	from, to := begin+heads, begin
	copy(b[from:], b[begin:n])
	for from < len(b) { // as far ahead of to as there are heads to come
		for left := packetSize(b[from:]); left > 0; {
			part := min(left, mostMessage)
			to += putHead(b[to:], opBinary, part)
			to += copy(b[to:], b[from:from+part])
			from, left = from+part, left-part
		}
	}
	w.sealed = len(b)
	return b
}

// packetSize returns the size of the MQTT packet that b begins with.
func packetSize(b []byte) int {
	if n, used := varint(b[1:]); used > 0 && 1+used+n <= len(b) {
		return 1 + used + n
	}
	return len(b)
}

// headSize returns the size of the header before n bytes, at most 65535.
func headSize(n int) int {
	if n < 126 {
		return 2
	}
	return 4
}

func putHead(b []byte, op byte, n int) int {
	b[0] = 0x80 | op
	if n < 126 {
		b[1] = byte(n)
		return 2
	}
	b[1] = 126
	binary.BigEndian.PutUint16(b[2:], uint16(n))
	return 4
}

// take is seal for a writer that takes all of b.
func (w *webSocket) take(b []byte) []byte {
	b = w.seal(b)
	w.sealed = 0
	return b
}

// put appends a control frame.
func (w *webSocket) put(b []byte, op byte, payload []byte) []byte {
	b = append(w.seal(b), 0x80|op, byte(len(payload)))
	b = append(b, payload...)
	w.sealed = len(b)
	return b
}

// control appends a control frame for the caller to flush. After one that closes
// nothing is sent any more.
func (c *conn) control(op byte, payload []byte) (first bool) {
	if c.ws == nil || !c.begin() {
		return false
	}
	was := len(c.buf.b)
	if c.ws.open {
		c.buf.b = c.ws.put(c.buf.b, op, payload)
		c.ws.open = op != opClose
	}
	first, _ = c.end(was)
	return first
}

// pong answers a ping. The answers that a client does not read count as all
// others do.
func (c *conn) pong(payload []byte) { c.batch().mark(c, c.control(opPong, payload)) }

// signOff appends a close frame. It returns false when there was one before, or
// the connection is closed.
func (c *conn) signOff(s status) bool {
	if c.ws == nil {
		return false
	}
	c.mu.Lock()
	open := c.ws.open
	c.mu.Unlock()
	c.control(opClose, binary.BigEndian.AppendUint16(nil, uint16(s)))
	return open
}

// statusOf says of a reason code of MQTT what a close frame can.
func statusOf(reason byte) status {
	switch {
	case reason < 0x80:
		return statusNormal
	case reason == packets.ErrServerShuttingDown.Code:
		return statusGoingAway
	case reason == packets.ErrPacketTooLarge.Code:
		return statusTooBig
	}
	return statusPolicy
}
