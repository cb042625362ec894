package edge

import (
	"io"
	"sync"
	"syscall"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"

	"tidegate/internal/rawio"
)

// readSize is what one read from a connection takes at most, in bytes.
const readSize = 16 << 10

// tlsReadSize is the same for TLS, which has a buffer of its own.
const tlsReadSize = 4 << 10

var readBuffers = sync.Pool{New: func() any { return new([readSize]byte) }}

// frames cuts what a client sends into packets. While nothing is there to be
// read it holds no buffer (over TLS, a small one).
type frames struct {
	c    *conn
	pool *[readSize]byte // where buf comes from; nil: buf is our own
	buf  []byte
	r, w int // what of buf is still to be read

	get     func(fd uintptr) bool // made once
	n       int
	err     error
	idle    bool      // the last read has brought no MQTT
	granted time.Time // when the read deadline was last set
	held    int64     // bytes charged for: a long body, or a buffer with half a packet
}

func (f *frames) init(c *conn) {
	f.c, f.get = c, f.readOnce
	if c.raw == nil {
		f.buf = make([]byte, tlsReadSize)
	}
}

// next returns the first byte of the next packet and what follows its
// Remaining Length. body is valid until the next call, unless own says that it
// is the caller's to keep. A packet longer than limit in all ends in
// ErrPacketTooLarge before any of its body is read.
func (f *frames) next(limit int) (first byte, body []byte, own bool, err error) {
	var n, used int
	if f.held > 0 {
		f.repay()
	}
	for {
		head := f.buf[f.r:f.w]
		if len(head) >= 2 {
			if n, used = varint(head[1:]); used > 0 {
				first = head[0]
				break
			}
			if len(head) >= 5 {
				return 0, nil, false, packets.ErrMalformedVariableByteInteger
			}
		}
		if err := f.fill(); err != nil {
			return 0, nil, false, err
		}
	}
	if 1+used+n > limit {
		return first, nil, false, packets.ErrPacketTooLarge
	}
	f.r += 1 + used
	if n > len(f.buf)-8 {
		body, err = f.long(n)
		return first, body, true, err
	}
	for f.w-f.r < n {
		if err := f.fill(); err != nil {
			return 0, nil, false, err
		}
	}
	body = f.buf[f.r : f.r+n : f.r+n]
	f.r += n
	return first, body, false, nil
}

// peek waits for the first byte of the next packet and returns it.
func (f *frames) peek() (byte, error) {
	for f.r == f.w {
		if err := f.fill(); err != nil {
			return 0, err
		}
	}
	return f.buf[f.r], nil
}

// long reads a body that does not fit into the buffer. Memory grows with what
// has arrived, not with what was announced.
func (f *frames) long(n int) ([]byte, error) {
	var body []byte
	for {
		part := min(n-len(body), f.w-f.r)
		if len(body)+part > cap(body) {
			grown := min(n, max(4*readSize, 2*cap(body)))
			if !f.c.b.take(int64(grown - cap(body))) {
				return nil, packets.ErrQuotaExceeded
			}
			f.held += int64(grown - cap(body))
			body = append(make([]byte, 0, grown), body...)
		}
		body = append(body, f.buf[f.r:f.r+part]...)
		f.r += part
		if len(body) == n {
			return body, nil
		}
		if err := f.fill(); err != nil {
			return nil, err
		}
	}
}

// fill reads once more, after everything that this connection's packets have
// brought about was written out.
func (f *frames) fill() error {
	f.c.settleBatch()
	f.c.unclog()
	if f.r == f.w {
		f.r, f.w = 0, 0
		f.release()
	} else if f.r > 0 {
		f.w = copy(f.buf, f.buf[f.r:f.w])
		f.r = 0
	}
	if !f.idle {
		f.extend()
	}
	if f.c.ws != nil {
		return f.fillFramed()
	}
	n, err := f.read()
	f.w += n
	return err
}

// fillFramed is the end of fill for a WebSocket. Frames without MQTT in them do
// not keep a client alive.
func (f *frames) fillFramed() error {
	ws := f.c.ws
	if ws.err != nil {
		return ws.err
	}
	n, err := f.read()
	n = ws.unframe(f.buf[f.w:f.w+n], f.c.pong)
	f.w += n
	f.idle = n == 0
	return err
}

// preload takes what was read before, at most tlsReadSize bytes.
func (f *frames) preload(p []byte) error {
	if len(p) == 0 {
		return nil
	}
	f.take()
	f.w = f.c.ws.unframe(f.buf[:copy(f.buf, p)], f.c.pong)
	return nil
}

// read reads once: at least one byte, or an error.
func (f *frames) read() (int, error) {
	if f.c.raw == nil {
		n, err := f.c.nc.Read(f.buf[f.w:])
		if n > 0 {
			err = nil
		}
		return n, err
	}
	f.n, f.err = 0, nil
	if err := f.c.raw.Read(f.get); err != nil {
		return 0, err
	}
	if f.n == 0 && f.err == nil {
		return 0, io.EOF
	}
	return f.n, f.err
}

// extend moves the read deadline on. It is set anew only when it has become
// noticeably old, and later than asked by that much.
func (f *frames) extend() {
	k := f.c.keepAlive
	if k == 0 {
		return
	}
	now := time.Now()
	if now.Sub(f.granted) < k/8 {
		return
	}
	f.granted = now
	f.c.nc.SetReadDeadline(now.Add(k + k/8))
}

// readOnce is called by the runtime when something may be there; only then is
// a buffer taken.
func (f *frames) readOnce(fd uintptr) bool {
	f.take()
	for {
		n, err := rawio.Read(fd, f.buf[f.w:])
		switch err {
		case 0:
			f.n = n
			return true
		case syscall.EINTR:
			continue
		case syscall.EAGAIN:
			if f.w == 0 {
				f.release()
			} else if f.held == 0 && f.pool != nil {
				if !f.c.b.take(readSize) {
					f.err = packets.ErrQuotaExceeded
					return true
				}
				f.held = readSize
			}
			return false
		}
		f.err = err
		return true
	}
}

// take gets a buffer, unless there is one.
func (f *frames) take() {
	if f.buf == nil {
		f.pool = readBuffers.Get().(*[readSize]byte)
		f.buf = f.pool[:]
	}
}

// repay gives back what a packet was charged for.
func (f *frames) repay() {
	f.c.b.memory.charge(-f.held)
	f.held = 0
}

// release gives the buffer back; it is empty.
func (f *frames) release() {
	if f.pool != nil {
		readBuffers.Put(f.pool)
		f.pool, f.buf = nil, nil
	}
}
