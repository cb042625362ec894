package edge

import (
	"math"
	"runtime"
	"sync"
	"time"
)

// batch is what one goroutine collects while it handles messages: connections
// to flush, those whose buffers are too full, and encodings to share.
type batch struct {
	b     *Broker
	dirty []*conn
	full  []*conn
	calls uint64 // counts messages, so that an encoding of an earlier one is not used
	share bool   // the message has several receivers
	fresh *node  // the message must still be the one retained here; nil: any
	forms [2 * 3 * 2]encoding

	flushed int64 // bytesOut at the last flush

	// For Stats, added up in settle.
	received, sent, bytesOut, payloadOut int64
	packetsIn, bytesIn, payloadIn        int64
}

// encoding is a PUBLISH ready to be copied, with packet id 0.
type encoding struct {
	call uint64
	b    []byte
	idAt int
}

var batches = sync.Pool{New: func() any { return new(batch) }}

func newBatch(b *Broker) *batch {
	bt := batches.Get().(*batch)
	bt.b = b
	return bt
}

// mark notes that c must be flushed, when first.
func (bt *batch) mark(c *conn, first bool) {
	if first {
		bt.dirty = append(bt.dirty, c)
	}
}

// slow notes that the sender should wait for c.
func (bt *batch) slow(c *conn) {
	for _, have := range bt.full {
		if have == c {
			return
		}
	}
	bt.full = append(bt.full, c)
}

// wide is from how many connections on the flushing is shared by several
// goroutines.
const wide = 64

// flush writes out what the batch has made ready.
func (bt *batch) flush() {
	list := bt.dirty
	if len(list) > wide {
		var others sync.WaitGroup
		part := len(list)/min(runtime.GOMAXPROCS(0), 4) + 1
		for len(list) > part {
			some := list[:part]
			list = list[part:]
			others.Go(func() { flushAll(some) })
		}
		flushAll(list)
		others.Wait()
	} else {
		flushAll(list)
	}
	clear(bt.dirty)
	bt.dirty = bt.dirty[:0]
	bt.flushed = bt.bytesOut
}

// heavy is how many bytes a batch makes ready before it flushes.
const heavy = 4 << 20

func flushAll(list []*conn) {
	for _, c := range list {
		c.flush()
	}
}

// settle ends the batch: it flushes, waits for those that are too full, and
// gives the batch back. from is closed when the sender must not wait any more.
func (bt *batch) settle(self *conn) {
	bt.flush()
	bt.b.stats.add(bt)
	if len(bt.full) > 0 {
		bt.await(self)
	}
	for i := range bt.forms {
		if cap(bt.forms[i].b) > maxKeptBuffer {
			bt.forms[i].b = nil
		}
	}
	bt.share, bt.fresh = false, nil // after a panic they may still be set
	batches.Put(bt)
}

// await waits for those that are too full. Their time runs for all of them at
// once: many that make no progress are waited for as long as one.
func (bt *batch) await(self *conn) {
	begin := time.Now()
	served := make([]uint32, 0, 8)
	for _, c := range bt.full {
		served = append(served, c.sess.served.Load())
	}
	var from <-chan struct{}
	if self != nil {
		from = self.gone
	}
	for i, c := range bt.full {
		c.wait(from)
		if c != self { // a reader takes the acknowledgements: it cannot wait for its own
			c.waitQueue(from, served[i], begin)
		}
	}
	clear(bt.full)
	bt.full = bt.full[:0]
}

// The results of transmit.
const (
	transmitted = iota
	noRoom      // try again when the connection has drained
	notSent     // and never will be
	outdated    // another message is retained now
)

// slack is how far above the high-water mark QoS 0 messages still go: a client
// that nobody waits for any more may only have had a hiccup.
const slack = 4

// transmit appends m for c as a PUBLISH with a packet id; id is 0 at QoS 0.
func (bt *batch) transmit(c *conn, m *Message, f *publishForm, id uint16, dup bool) int {
	if m.Expiry > 0 {
		f.expiry = left(m)
		if f.expiry == 0 && dup {
			f.expiry = 1 // what was begun is ended: the client may hold the packet id
		}
		if f.expiry == 0 {
			bt.b.stats.droppedExpired.Add(1)
			c.lost.Add(1)
			return notSent
		}
	}
	room := math.MaxInt
	if c.maxOut > 0 {
		n, _ := publishSize(m, f)
		if room = c.maxOut - (1 + varintSize(n) + n); room < 0 {
			bt.b.stats.droppedTooLarge.Add(1)
			c.lost.Add(1)
			return notSent
		}
	}
	var e *encoding
	if c.short == nil {
		e = bt.shared(m, f)
	}
	if !c.begin() {
		return transmitted // its reader is about to end; the session resumes from what it holds
	}
	if bt.fresh != nil && bt.fresh.retained.Load() != m {
		c.mu.Unlock()
		return outdated
	}
	high := bt.b.highWater()
	n := c.pending()
	tight := (n > lightBuffer && c.writing || len(m.Payload) > lightBuffer) && bt.b.crammed()
	if n > high || tight {
		if f.qos > 0 {
			c.starved = true
			idle := n == 0 // nobody will write, not even a writer that just refills the buffer
			c.mu.Unlock()
			if idle {
				bt.b.hungry.add(c.sess)
			}
			bt.slow(c)
			return noRoom
		}
		if n > slack*high || tight {
			c.mu.Unlock()
			bt.b.stats.droppedSlow.Add(1)
			c.lost.Add(1)
			return notSent
		}
	}
	if c.short != nil && len(m.Topic) > 3 && len(m.Topic) <= longAlias && room >= aliasCost {
		f.alias, f.bare = c.short.pick(m.Topic)
	}
	was := len(c.buf.b)
	var idAt int
	if e != nil {
		c.buf.b, idAt = append(c.buf.b, e.b...), e.idAt
	} else {
		c.buf.b, idAt = appendPublish(c.buf.b, m, f)
	}
	if id != 0 {
		c.buf.b[was+idAt], c.buf.b[was+idAt+1] = byte(id>>8), byte(id)
	}
	if dup {
		c.buf.b[was] |= 8
	}
	bt.sent++
	c.told++
	bt.bytesOut += int64(len(c.buf.b) - was)
	bt.payloadOut += int64(len(m.Payload))
	first, over := c.end(was)
	bt.mark(c, first)
	if over {
		bt.slow(c)
	}
	return transmitted
}

// shared returns the encoding of the current message in this form, nil when it
// is better made in place.
func (bt *batch) shared(m *Message, f *publishForm) *encoding {
	if !bt.share || len(f.ids) > 0 {
		return nil
	}
	i := int(f.qos) * 4
	if f.v5 {
		i += 2
	}
	if f.retain {
		i++
	}
	e := &bt.forms[i]
	if e.call != bt.calls {
		e.call = bt.calls
		e.b, e.idAt = appendPublish(e.b[:0], m, f)
	}
	return e
}

// left returns the rest of m's expiry in seconds, 0 when it has passed. Only
// monotonic time counts. m has an expiry.
func left(m *Message) uint32 {
	age := uint64(max(time.Since(m.Accepted), 0) / time.Second)
	if age >= uint64(m.Expiry) {
		return 0
	}
	return m.Expiry - uint32(age)
}
