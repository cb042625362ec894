package uplink

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"tidegate/internal/rawio"
)

// socket is the TCP connection of a link, below TLS and the like. It knows when
// its reader is about to wait, and lets a run of PUBACKs come in before it
// wakes it.
//
// A broker writes each PUBACK in a segment of its own; woken for each, both
// sides spend more on waking than on the messages. While many are awaited and
// come quickly the kernel holds the socket unreadable until a run is there
// (SO_RCVLOWAT, socket(7)): as many as are expected within gatherTime, but no
// more than a quarter of those awaited, so that the cloud always has something
// to go on with. What comes alone, because the cloud fell silent or says
// something else, waits for twice that time at most. The end of the connection
// is seen at once. Setting it wakes a waiting reader since Linux 4.18; before
// that a late PUBACK waits for the next one.
type socket struct {
	*net.TCPConn
	raw  syscall.RawConn
	rest func() (awaited int) // before each read: the PUBACKs still to come; nil: nobody asks

	least atomic.Int32 // bytes that make it readable
	late  *time.Timer  // makes it readable for one; nil before it was needed
	begun time.Time    // when the reader had what it has
	bytes float64      // of a read, on average
	gap   float64      // ns from one to the next, on average

	in, out ioCall
	mu      sync.Mutex // guards out
	lowat   func(fd uintptr)
}

// ioCall is one call of Read or Write.
type ioCall struct {
	do  func(fd uintptr) bool // kept, so that a call does not allocate
	p   []byte
	n   int
	err error
}

const (
	gatherTime  = 1500 * time.Microsecond
	gatherLeast = 16  // bytes: four PUBACKs; for fewer it is not worth a system call
	gatherMost  = 128 // bytes
	ackSize     = 4   // bytes of a PUBACK without a reason [MQTT 5, 3.4.2.1]
)

func newSocket(c *net.TCPConn) (*socket, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return nil, err
	}
	s := &socket{TCPConn: c, raw: raw}
	s.least.Store(1)
	s.in.do = func(fd uintptr) bool { return s.in.once(fd, rawio.Read) }
	s.out.do = func(fd uintptr) bool {
		for len(s.out.p) > 0 && s.out.err == nil {
			before := s.out.n
			if !s.out.once(fd, rawio.Write) {
				return false
			}
			s.out.p = s.out.p[s.out.n-before:]
		}
		return true
	}
	s.lowat = func(fd uintptr) {
		unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVLOWAT, int(s.least.Load()))
	}
	return s, nil
}

// once makes one system call. It says whether that did something.
func (t *ioCall) once(fd uintptr, call func(uintptr, []byte) (int, syscall.Errno)) bool {
	for {
		n, errno := call(fd, t.p)
		switch errno {
		case 0:
			t.n += n
			return true
		case syscall.EINTR:
		case syscall.EAGAIN:
			return false
		default:
			t.err = errno
			return true
		}
	}
}

// Read is called by one goroutine at a time.
func (s *socket) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if s.rest != nil {
		s.expect(s.rest())
	}
	s.in.p, s.in.n, s.in.err = p, 0, nil
	err := s.raw.Read(s.in.do)
	s.in.p = nil
	if err == nil {
		err = s.in.err
	}
	if err != nil {
		return 0, s.failed("read", err)
	}
	if s.in.n == 0 {
		return 0, io.EOF
	}
	if s.rest != nil {
		s.count(s.in.n)
	}
	return s.in.n, nil
}

// Write writes all of p.
func (s *socket) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.out.p, s.out.n, s.out.err = p, 0, nil
	err := s.raw.Write(s.out.do)
	s.out.p = nil
	if err == nil {
		err = s.out.err
	}
	if err != nil {
		err = s.failed("write", err)
	}
	return s.out.n, err
}

// failed says what the net package's own connection would.
func (s *socket) failed(op string, err error) error {
	var inner *net.OpError
	if errors.As(err, &inner) { // "raw-read"
		err = inner.Err
	} else {
		err = os.NewSyscallError(op, err)
	}
	return &net.OpError{Op: op, Net: "tcp", Source: s.LocalAddr(), Addr: s.RemoteAddr(), Err: err}
}

// count notes a read.
func (s *socket) count(n int) {
	now := time.Now()
	gap := min(now.Sub(s.begun), 10*gatherTime)
	s.begun = now
	s.bytes += (float64(n) - s.bytes) / 8
	s.gap += (float64(gap) - s.gap) / 8
}

// expect says how much makes the socket readable.
func (s *socket) expect(awaited int) {
	least := gatherBytes(awaited, s.bytes*float64(gatherTime)/max(s.gap, 1))
	if least != s.least.Load() {
		s.least.Store(least)
		s.raw.Control(s.lowat)
	}
	if least == 1 {
		return
	}
	if s.late == nil {
		s.late = time.AfterFunc(2*gatherTime, s.enough)
	} else {
		s.late.Reset(2 * gatherTime)
	}
}

// enough makes the socket readable for anything until the next read.
func (s *socket) enough() {
	s.least.Store(1)
	s.raw.Control(s.lowat)
}

// gatherBytes says how many bytes to wait for when so many PUBACKs are awaited
// and so many bytes come soon: a power of two, so that it seldom changes.
func gatherBytes(awaited int, soon float64) int32 {
	most := min(soon, float64(awaited*ackSize/4), gatherMost)
	if most < gatherLeast {
		return 1
	}
	least := int32(gatherLeast)
	for float64(2*least) <= most {
		least *= 2
	}
	return least
}
