package edge

import (
	"errors"
	"syscall"
	"time"

	"tidegate/internal/rawio"
)

var errWriteTimeout = errors.New("the client takes nothing")

// flush writes what waits, without ever blocking: what the kernel does not
// take, and all that goes through TLS, is left to a goroutine that ends when
// it has drained the connection. Any goroutine may call it, without locks.
func (c *conn) flush() { c.flushHaving(0) }

// flushHaving is flush for the reader, which has accepted some messages since
// the last time: they are counted under the lock that flushing takes.
func (c *conn) flushHaving(accepted int64) {
	c.mu.Lock()
	c.taught += accepted
	for !c.writing && !c.closed && c.buf != nil && len(c.buf.b) > 0 {
		c.take()
		if c.raw == nil {
			c.since = time.Now()
			c.b.writers.Go(c.drain)
			break
		}
		c.mu.Unlock()
		err := c.raw.Write(c.try)
		c.mu.Lock()
		if err == nil {
			err = c.werr
		}
		if err != nil {
			c.fail(err)
			return
		}
		c.out = len(c.wbuf.b) - c.woff
		if c.woff > 0 {
			c.progress()
		}
		if c.out > 0 {
			c.since = time.Now()
			c.b.writers.Go(c.drain)
			break
		}
		c.rest()
	}
	c.mu.Unlock()
}

// take gives the buffer to the caller as the only writer. mu is held.
func (c *conn) take() {
	if c.ws != nil {
		c.buf.b = c.ws.take(c.buf.b)
		c.weigh()
	}
	c.wbuf, c.woff, c.werr = c.buf, 0, nil
	c.buf, c.out, c.writing = nil, len(c.wbuf.b), true
	c.wHeld, c.bufHeld = c.bufHeld, 0
}

// rest ends the caller's turn as the writer, after giving the session a chance
// to send what did not fit. mu is held, and let go for a moment.
func (c *conn) rest() {
	c.wbuf.release()
	c.wbuf, c.out = nil, 0
	c.lighten(&c.wHeld)
	if c.starved {
		c.starved = false
		c.mu.Unlock()
		c.sess.refill(c)
		c.mu.Lock()
		c.progress()
	}
	c.writing = false
}

// fail ends the connection after an error of writing. mu is held, and let go. The
// caller stays the writer for good: what is behind a packet that was cut off must
// not be sent.
func (c *conn) fail(err error) {
	c.lighten(&c.wHeld)
	c.mu.Unlock()
	if errors.Is(err, errWriteTimeout) {
		c.b.stats.cut.Add(1)
		c.b.log.Info("connection cut", "client", c.name(), "err", err)
	}
	c.close()
}

// tryWrite makes one attempt that cannot block.
func (c *conn) tryWrite(fd uintptr) bool {
	c.writeOnce(fd)
	return true
}

// pushWrite waits until the kernel takes something.
func (c *conn) pushWrite(fd uintptr) bool { return c.writeOnce(fd) }

func (c *conn) writeOnce(fd uintptr) bool {
	for {
		n, err := rawio.Write(fd, c.wbuf.b[c.woff:])
		switch err {
		case 0:
			c.woff += n
			return true
		case syscall.EINTR:
			continue
		case syscall.EAGAIN:
			return false
		}
		c.werr = err
		return true
	}
}

// tlsChunk is what is written at once through TLS, in bytes: one record.
const tlsChunk = 16 << 10

// drain writes all that waits, in its own goroutine, and cuts a client that
// takes nothing for the write timeout.
func (c *conn) drain() {
	timeout := c.b.config().Limits.WriteTimeout.Std()
	for {
		for c.woff < len(c.wbuf.b) {
			before := c.woff
			err := c.pushSome(timeout)
			c.mu.Lock()
			if err != nil {
				c.fail(err)
				return
			}
			c.out -= c.woff - before
			c.since = time.Now()
			c.progress()
			c.mu.Unlock()
		}
		c.mu.Lock()
		c.rest()
		if c.closed || c.buf == nil || len(c.buf.b) == 0 {
			c.since = time.Time{}
			c.nc.SetWriteDeadline(time.Time{}) // under mu, before the next writer sets its own
			c.mu.Unlock()
			return
		}
		c.take()
		c.mu.Unlock()
	}
}

// pushSome writes something and advances woff.
func (c *conn) pushSome(timeout time.Duration) error {
	err := c.nc.SetWriteDeadline(time.Now().Add(timeout))
	if err != nil {
		return err
	}
	if c.raw != nil {
		if err = c.raw.Write(c.push); err == nil {
			err = c.werr
		}
	} else {
		var n int
		n, err = c.nc.Write(c.wbuf.b[c.woff:min(len(c.wbuf.b), c.woff+tlsChunk)])
		c.woff += n
	}
	var late interface{ Timeout() bool }
	if errors.As(err, &late) && late.Timeout() {
		return errWriteTimeout
	}
	return err
}
