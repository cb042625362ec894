package edge

import (
	"cmp"
	"errors"
	"io"
	"os"
	"runtime/debug"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"
)

// linger is how long a connection that ends in good order may take to get the
// last bytes out.
const linger = 100 * time.Millisecond

// takeOver ends c because its client id has come again [MQTT-3.1.4-3]. What
// the client had sent before, perhaps a DISCONNECT, still counts: the reader
// gets a moment to finish with it.
func (c *conn) takeOver() {
	c.taken.Store(true)
	if half, ok := c.sock.(interface{ CloseRead() error }); ok && half.CloseRead() == nil {
		moment := time.NewTimer(linger)
		defer moment.Stop()
		select {
		case <-c.done:
			return
		case <-moment.C:
		}
	}
	c.goodbye(packets.ErrSessionTakenOver.Code)
	c.close()
	<-c.done
}

// goodbye tells an MQTT 5 client why it is disconnected, and waits a moment for
// what is still to be written.
func (c *conn) goodbye(reason byte) { c.goodbyeAs(reason, statusOf(reason)) }

func (c *conn) goodbyeAs(reason byte, s status) {
	if c.v5 && c.joined.Load() {
		c.send([]byte{packets.Disconnect << 4, 1, reason})
	}
	c.signOff(s)
	c.flushOut(time.Now().Add(linger))
}

// flushOut is flush, but waits until end for what could not be written at once.
func (c *conn) flushOut(end time.Time) {
	c.flush()
	for ; time.Now().Before(end); time.Sleep(time.Millisecond) {
		c.mu.Lock()
		empty := c.closed || c.pending() == 0
		c.mu.Unlock()
		if empty {
			return
		}
	}
}

// leave says goodbye, as the end of the reader has it. With nil the client has
// said it.
func (c *conn) leave(err error) {
	c.settleBatch()
	var code packets.Code
	var frame status
	switch {
	case err == nil:
		return
	case c.taken.Load() && !errors.As(err, &code):
		c.goodbye(packets.ErrSessionTakenOver.Code)
		return
	case errors.Is(err, io.EOF):
		return
	case errors.Is(err, errRefused):
		c.signOff(statusPolicy)
		c.flushOut(time.Now().Add(linger))
	case errors.As(err, &code):
		c.b.log.Debug("client broke the protocol", "client", c.name(), "err", err)
		c.b.stats.malformed.Add(1)
		c.goodbye(code.Code)
	case errors.As(err, &frame):
		c.b.log.Debug("client broke WebSocket", "client", c.name(), "err", err)
		c.b.stats.malformed.Add(1)
		c.goodbyeAs(packets.ErrProtocolViolation.Code, frame)
	case errors.Is(err, os.ErrDeadlineExceeded):
		c.b.stats.timeouts.Add(1)
		c.goodbye(packets.ErrKeepAliveTimeout.Code)
	default:
		return
	}
	c.shutdown()
}

// shutdown lets the client read what was written last: closing a socket that
// still has something to be read would take that away.
func (c *conn) shutdown() {
	c.nc.SetDeadline(time.Now().Add(linger))
	if half, ok := c.nc.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil {
		var waste [512]byte
		for range 2048 {
			if _, err := c.nc.Read(waste[:]); err != nil {
				return
			}
		}
	}
}

// hangUp closes the socket at once. TLS would say goodbye first, and wait for
// it, if it were asked.
func (c *conn) hangUp() { c.sock.Close() }

// finish ends the connection's goroutine: the session lets go of it, the will
// is seen to, and whoever waits to take the client id over goes on.
func (c *conn) finish() {
	c.caught(recover())
	if c.sess != nil {
		// Before the client can see the end and count on its session.
		c.guard(func() { c.b.detach(c) })
	}
	c.finishFrames()
	c.close()
	c.settleBatch()
	c.in.release()
	c.in.repay()
	c.b.memory.charge(-c.owed)
	close(c.done)
	c.b.forget(c)
}

// finishFrames ends a WebSocket in good order, after its session has let go: the
// client may see the end from here on. It has a moment to answer.
func (c *conn) finishFrames() {
	if c.ws == nil || !c.signOff(cmp.Or(c.ws.reply, statusNormal)) {
		return
	}
	c.flushOut(time.Now().Add(linger))
	c.shutdown()
}

// guard calls f and survives its panic.
func (c *conn) guard(f func()) {
	defer func() { c.caught(recover()) }()
	f()
}

// caught reports a panic, if there was one.
func (c *conn) caught(p any) {
	if p == nil {
		return
	}
	c.b.stats.panics.Add(1)
	c.b.log.Error("connection failed", "client", c.name(), "err", p, "stack", string(debug.Stack()))
}

// detach takes c from its session, and ends that or lets it wait for the
// client.
func (b *Broker) detach(c *conn) {
	s := c.sess
	now := time.Now()
	s.mu.Lock()
	s.conn.Store(nil)
	waiters := s.abandon()
	may := c.grant.Load()
	ends := s.expiry == 0 || s.dead
	w := c.will
	if w != nil {
		w.grant = may
	}
	stopping, waits := b.isStopping(), false
	switch {
	case w == nil:
	case stopping: // it is published after the restart, unless the client is back
		w.due, w.shut, waits = now.Add(min(w.delay, s.expiry)), true, !s.dead
		s.leaveWill(w)
		w = nil
	case !ends && w.delay > 0:
		w.due = now.Add(min(w.delay, s.expiry))
		s.leaveWill(w)
		w = nil
	}
	var left []inheritance
	if !ends && !c.taken.Load() && !stopping {
		left = s.handOver()
	}
	s.until = now.Add(s.expiry)
	s.leftAt.Store(b.departures.Add(1))
	s.mu.Unlock()
	if stopping {
		waiters = nil // the session ends with the process: who sent the message keeps it
	}
	for _, wait := range waiters {
		wait.done()
	}
	b.passOn(left)
	if w != nil {
		b.publishWill(c.batch(), w, s)
	}
	if ends && waits {
		return // keeper takes the will
	}
	if ends {
		b.endSession(s)
	} else {
		b.away(s)
		if c.cut.Load() || c.grant.Load() != may { // a reload came
			b.reviewAway(s)
		}
	}
}

// name is how a connection is called in logs.
func (c *conn) name() string {
	if c.sess != nil {
		return c.sess.id
	}
	return c.host
}

// batch returns what the reader collects until it reads again.
func (c *conn) batch() *batch {
	if c.now == nil {
		c.now = newBatch(c.b)
	}
	return c.now
}

// settleBatch writes out what the packets read so far have brought about, for
// others and for c itself, and waits for those that are too full.
func (c *conn) settleBatch() {
	var accepted int64
	if bt := c.now; bt != nil {
		c.now = nil
		accepted = bt.received
		bt.settle(c)
	}
	c.flushHaving(accepted)
}
