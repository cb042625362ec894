package edge

import (
	"crypto/tls"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// conn is one connection of a client. Bytes for it are appended to a buffer;
// whoever appended the first of them flushes when it has nothing more to do.
type conn struct {
	b      *Broker
	nc     net.Conn
	sock   net.Conn        // what nc goes through: itself, unless TLS is in between
	raw    syscall.RawConn // of sock; nil: bytes must go through nc
	ws     *webSocket      // nil: MQTT is not in frames
	listen *listener
	terms  *terms        // of the listener when the connection came
	host   string        // where the client is, for logs: an address without its port
	from   string        // the same for limits: its origin
	placed bool          // is counted there; guarded by Broker.mu
	gone   chan struct{} // closed when the connection is closed
	done   chan struct{} // closed when its reader has ended and its session let go of it

	// Set while attaching, before anybody else knows the connection.
	sess      *session
	gen       uint32 // tells the connections of one session apart
	v5        bool
	protocol  byte          // level in the CONNECT: 3, 4 or 5
	came      time.Time     // when it joined its session
	most      int32         // QoS 1 and 2 messages that may be unacknowledged: a Receive Maximum holds as long as the connection
	maxOut    int           // largest packet the client takes; 0: any
	short     *aliases      // of topics sent; what it points to is guarded by mu; nil: the client takes none
	keepAlive time.Duration // longest silence allowed; 0: any

	// The reader's alone.
	in      frames
	now     *batch // what the packets read so far have made ready; nil: nothing
	last    *route // of the last PUBLISH
	allowed bool   // whether that was permitted
	judge   *grant // by which
	aliases []string
	owed    int64 // bytes charged for the will and the aliases

	will *will // nil: none; once joined, the reader writes it, and others read it, under the session's mu

	mu      sync.Mutex    // guards what follows; taken after a session's mu
	buf     *buffer       // appended and not yet taken by a writer; may be nil
	bufHeld int           // bytes of buf that are charged for
	out     int           // bytes a writer has taken and not yet written
	writing bool          // somebody writes, and looks again before leaving
	closed  bool          //
	said    int64         // packets other than PUBLISH, not in Stats yet
	bytes   int64         // of them
	taught  int64         // messages accepted from the client until the reader last flushed
	told    int64         // messages sent to it
	starved bool          // the session has more that did not fit
	since   time.Time     // when the kernel, which holds a writer up, last took something; zero: it holds none up
	stalled bool          // a publisher waited in vain; until the next progress nobody waits
	drained chan struct{} // closed when below the low-water mark; nil: nobody waits

	// Of whoever has set writing.
	wbuf  *buffer
	wHeld int // bytes of wbuf that are charged for; guarded by mu
	woff  int
	werr  error
	try   func(fd uintptr) bool // made once: a closure per write would be an allocation
	push  func(fd uintptr) bool

	grant   atomic.Pointer[grant] // set while attaching; a reload replaces it
	joined  atomic.Bool           // has its session, and CONNACK is on its way
	taken   atomic.Bool           // its client id has come again
	cut     atomic.Bool           // by a reload, since it may not be here any more
	listed  atomic.Bool           // is in Broker.dirty
	unacked atomic.Int32          // QoS 1 and 2 messages received and not acknowledged
	lost    atomic.Int64          // messages that could not be sent to it
	room    chan struct{}         // told when unacked went down
}

func newConn(b *Broker, nc net.Conn, l *listener, t *terms) *conn {
	c := &conn{b: b, nc: nc, sock: nc, listen: l, terms: t, gone: make(chan struct{}), done: make(chan struct{}), room: make(chan struct{}, 1)}
	if secure, ok := nc.(*tls.Conn); ok {
		c.sock = secure.NetConn()
	} else if plain, ok := nc.(syscall.Conn); ok {
		if raw, err := plain.SyscallConn(); err == nil {
			c.raw = raw
		}
	}
	if t.path != "" {
		c.ws = &webSocket{}
	}
	c.try, c.push = c.tryWrite, c.pushWrite
	c.in.init(c)
	return c
}

// buffer is a reusable piece of memory. Idle connections have none.
type buffer struct{ b []byte }

// maxKeptBuffer bounds what goes back to a pool, in bytes.
const maxKeptBuffer = 64 << 10

var buffers = sync.Pool{New: func() any { return &buffer{b: make([]byte, 0, 2048)} }}

func (b *buffer) release() {
	if cap(b.b) <= maxKeptBuffer {
		b.b = b.b[:0]
		buffers.Put(b)
	}
}

// begin locks c for appending to c.buf. It says no, and leaves c unlocked,
// when the connection is closed.
func (c *conn) begin() bool {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return false
	}
	if c.buf == nil {
		c.buf = buffers.Get().(*buffer)
	}
	return true
}

// end unlocks c after an append. first says that the caller must see to the
// flush; over that it should wait until the target has drained.
func (c *conn) end(was int) (first, over bool) {
	first = was == 0 && len(c.buf.b) > 0 && !c.writing
	c.weigh()
	over = !c.stalled && c.pending() > c.b.highWater()
	c.mu.Unlock()
	return first, over
}

// pending returns the bytes that wait to be written. mu is held.
func (c *conn) pending() int {
	n := c.out
	if c.buf != nil {
		n += len(c.buf.b)
	}
	return n
}

// send appends p for the caller to flush. It returns false when closed.
func (c *conn) send(p []byte) (first bool) {
	if !c.begin() {
		return false
	}
	was := len(c.buf.b)
	c.buf.b = append(c.buf.b, p...)
	c.said++
	c.bytes += int64(len(p))
	first, _ = c.end(was)
	return first
}

// ack appends a PUBACK, PUBREC, PUBREL or PUBCOMP.
func (c *conn) ack(kind byte, id uint16, reason byte) (first bool) {
	if !c.begin() {
		return false
	}
	was := len(c.buf.b)
	c.buf.b = appendAck(c.buf.b, kind, id, reason, c.v5)
	c.said++
	c.bytes += int64(len(c.buf.b) - was)
	first, _ = c.end(was)
	return first
}

// tellSaid puts what c has said into Stats.
func (c *conn) tellSaid() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.addSaid()
}

// addSaid is tellSaid; mu is held.
func (c *conn) addSaid() {
	if c.said > 0 {
		c.b.stats.said.Add(c.said)
		c.b.stats.saidBytes.Add(c.bytes)
		c.said, c.bytes = 0, 0
	}
}

// progress notes that the client takes something. mu is held.
func (c *conn) progress() {
	c.stalled = false
	if c.drained != nil && c.below() {
		close(c.drained)
		c.drained = nil
	}
}

// below says whether publishers may go on. mu is held.
func (c *conn) below() bool {
	n := c.pending()
	return n <= c.b.highWater()/2 && (n <= lightBuffer || !c.b.crammed())
}

// close ends the connection; whoever waits for it goes on.
func (c *conn) close() {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return
	}
	c.closed = true
	c.addSaid()
	if c.buf != nil {
		c.buf.release()
		c.buf = nil
		c.lighten(&c.bufHeld)
	}
	if c.drained != nil {
		close(c.drained)
		c.drained = nil
	}
	c.mu.Unlock()
	close(c.gone)
	c.hangUp()
}

// wait pauses a publisher until c has drained, or is closed, or makes no
// progress; or until the publisher's own connection is closed (from may be
// nil) or the broker stops.
func (c *conn) wait(from <-chan struct{}) {
	c.mu.Lock()
	if c.closed || c.stalled || c.below() {
		c.mu.Unlock()
		return
	}
	if c.drained == nil {
		c.drained = make(chan struct{})
	}
	drained := c.drained
	c.mu.Unlock()
	if !c.pause(drained, from) {
		c.mu.Lock()
		c.stalled = true
		c.mu.Unlock()
	}
}

// crowdPoll is how often a publisher that waits for a session's queue looks.
const crowdPoll = 5 * time.Millisecond

// waitQueue is wait for the queue of c's session, which the client's
// acknowledgements let go down: served is how many there were at the time since.
func (c *conn) waitQueue(from <-chan struct{}, served uint32, since time.Time) {
	s := c.sess
	if !s.crowded() || s.stuck.Load() {
		return
	}
	c.b.stats.pauses.Add(1)
	tick := time.NewTicker(crowdPoll)
	defer tick.Stop()
	for s.crowded() {
		select {
		case <-c.gone:
			return
		case <-from:
			return
		case <-c.b.stopping:
			return
		case <-tick.C:
		}
		if now := s.served.Load(); now != served {
			served, since = now, time.Now()
		} else if time.Since(since) > c.b.config().Limits.StallAfter.Std() {
			s.stuck.Store(true)
			return
		}
	}
}

// unclog waits until the client has read most of its answers: what others send
// it is bounded elsewhere, these only by not reading what asks for more.
func (c *conn) unclog() {
	c.mu.Lock()
	if c.closed || c.pending() <= 2*slack*c.b.highWater() {
		c.mu.Unlock()
		return
	}
	if c.drained == nil {
		c.drained = make(chan struct{})
	}
	drained := c.drained
	c.mu.Unlock()
	select {
	case <-drained:
	case <-c.gone:
	}
}

// pause waits for ready. It returns false when c made no progress for a while.
func (c *conn) pause(ready, from <-chan struct{}) bool {
	c.b.stats.pauses.Add(1)
	begin := time.Now()
	timer := time.NewTimer(c.leeway(begin))
	defer timer.Stop()
	for {
		select {
		case <-ready:
			return true
		case <-c.gone:
			return true
		case <-from:
			return true
		case <-c.b.stopping:
			return true
		case <-timer.C:
		}
		left := c.leeway(begin)
		if left <= 0 {
			return false
		}
		timer.Reset(left)
	}
}

// leeway returns for how much longer c may make no progress; that counts from
// the last time it made some, or else from begin.
func (c *conn) leeway(begin time.Time) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.since.IsZero() {
		begin = c.since
	}
	return c.b.config().Limits.StallAfter.Std() - time.Since(begin)
}
