package uplink

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"github.com/eclipse/paho.golang/paho"

	"tidegate/uplink/spool"
)

const writeSize = 48 << 10 // bytes after which what is encoded is written

var (
	errStopping = errors.New("the gateway stops")
	errLost     = errors.New("connection lost")
)

// upward publishes what the spool has for one link. The link's goroutine
// encodes and writes; the reader of the connection takes the PUBACKs.
type upward struct {
	link *link
	win  window

	form   form
	packet int // the cloud's Maximum Packet Size, 0 for none
	meter  *meter

	queue []*spool.Entry // taken, not sent; queue[head:]
	head  int
	loose []*spool.Entry // QoS 0, encoded and not yet written
	buf   []byte
	held  holds

	goodbye func() // waits until the link's other direction is ready to leave; may be nil

	shared bool // by classes: the spool may keep room for an urgent one

	wantRoom atomic.Bool
	draining atomic.Bool

	wire    *wire // the reader's, as what follows
	trip    rtt
	settled bool

	sent, acked, resent, refused, retried, unknown atomic.Int64
}

func (u *upward) connect(c Config) *paho.Connect {
	receive, packet := uint16(16), uint32(c.MaxPacket)
	return &paho.Connect{CleanStart: true, Properties: &paho.ConnectProperties{ReceiveMaximum: &receive, MaximumPacketSize: &packet, RequestProblemInfo: true}}
}

func (u *upward) begin(w *wire, l limits) {
	c := u.link.config()
	u.wire = w
	u.trip.seed(time.Duration(w.clock() - w.sent.Load()))
	u.shareTrip()
	u.win.reset(min(c.InFlight, l.receive), int(c.InFlightBytes))
	u.form = form{qos: l.qos, retain: l.retain}
	if c.LoopGuard {
		u.form.gateway = u.link.up.gateway
	}
	u.packet, u.meter = l.packet, u.link.up.settings.Load().meter
	u.shared = u.link.up.routes.Load().classes() > 1
	if u.shared {
		u.link.up.spool.Window(u.link.index, u.win.max)
	}
	if l.qos == 0 {
		u.link.log.Warn("the cloud takes QoS 0 only: nothing it gets is acknowledged")
	}
}

func (u *upward) online(up bool) { u.link.up.spool.Online(u.link.index, up) }

func (u *upward) oldest() (int64, int) { return u.win.oldest() }

// serve sends until the connection ends, or ctx does: then it waits for what
// is in flight, says DISCONNECT and leaves.
func (u *upward) serve(ctx context.Context, c *client) error {
	defer u.takeBack()
	drain := u.link.config().DrainTimeout.Std()
	defer context.AfterFunc(ctx, func() { // a write may be stuck
		sleep(context.Background(), drain+time.Second, c.Done())
		c.wire.cut(errStopping)
	})()
	for {
		select {
		case <-c.Done():
			return u.link.end(c, errLost)
		case <-ctx.Done():
			u.drain(context.Background(), c, drain)
			if u.goodbye != nil {
				u.goodbye()
			}
			u.link.farewell(c)
			return errStopping
		default:
		}
		if u.link.asked() && u.leave(ctx, c) {
			return errReturning
		}
		if err := u.step(ctx, c); err != nil {
			return u.link.hear(c, err)
		}
	}
}

// step sends what there is room for, or waits.
func (u *upward) step(ctx context.Context, c *client) error {
	u.link.signal.Store(false)
	again := u.sort()
	room, bytes := u.win.room()
	if u.meter != nil && room > 0 {
		if wait := u.meter.wait(); wait > 0 {
			sleep(ctx, wait, c.Done())
			return nil
		}
		bytes = min(bytes, u.meter.piece)
	}
	if room > 0 && u.head == len(u.queue) {
		u.queue, u.head = u.link.up.spool.Take(u.link.index, u.queue[:0], room, bytes), 0
	}
	if room > 0 && u.head < len(u.queue) {
		return u.send(c, room, bytes)
	}
	u.wantRoom.Store(room == 0 || u.shared)
	if now, _ := u.win.room(); room == 0 && now > 0 {
		return nil
	}
	u.link.park(ctx, c.Done(), again)
	u.wantRoom.Store(false)
	return nil
}

// send encodes and writes what the queue has, within the room.
func (u *upward) send(c *client, room, bytes int) error {
	w := c.wire
	now := w.clock()
	asks := !u.quiet()
	defer u.guard()
	for first := true; u.head < len(u.queue) && room > 0 && (bytes > 0 || first); first = false {
		e := u.queue[u.head]
		_, expires := e.ExpiryLeft()
		size := u.form.size(e, expires).total
		u.queue[u.head] = nil
		u.head++
		if asks && !u.may(e) {
			u.held.back = append(u.held.back, e)
			continue
		}
		if u.packet > 0 && size > u.packet || size > 268_435_460 {
			u.dispose(e, 0x95, time.Now())
			asks = true
			continue
		}
		id := uint16(0)
		if min(e.Msg.QoS, u.form.qos) > 0 {
			id = u.win.add(e, size, now)
			room--
			bytes -= size
		} else {
			u.loose = append(u.loose, e)
		}
		u.buf = u.form.appendPublish(u.buf, e, id)
		u.sent.Add(1)
		if len(u.buf) >= writeSize {
			if err := u.write(w); err != nil {
				return err
			}
		}
	}
	return u.write(w)
}

// write sends the buffer. QoS 0 is done with that.
func (u *upward) write(w *wire) error {
	if len(u.buf) == 0 {
		return nil
	}
	err := w.send(u.buf)
	if u.buf = u.buf[:0]; cap(u.buf) > 4*writeSize {
		u.buf = nil
	}
	if err != nil || len(u.loose) == 0 {
		return err
	}
	for i, e := range u.loose {
		if h := u.held.topics[e.Msg.Topic]; h != nil && h.id == idOf(e) {
			u.release(e.Msg.Topic) // nobody will answer
		}
		u.link.up.spool.Ack(e)
		u.loose[i] = nil
	}
	u.loose = u.loose[:0]
	u.link.up.settledNow()
	return nil
}

// takeBack puts what is in flight in front of the queue, in the order of
// sending. No PUBACK may come any more.
func (u *upward) takeBack() {
	back := u.win.rewind(nil)
	if len(u.loose) > 0 { // QoS 0 was sent in between; ids tell the order within a topic
		back = append(back, u.loose...)
		slices.SortStableFunc(back, func(a, b *spool.Entry) int {
			return cmp.Or(cmp.Compare(a.Epoch, b.Epoch), cmp.Compare(a.Seq, b.Seq))
		})
	}
	u.resent.Add(int64(len(back)))
	u.queue, u.head = append(back, u.queue[u.head:]...), 0
	u.loose, u.buf = u.loose[:0], u.buf[:0]
}

// leave says DISCONNECT when everything in flight is acknowledged. False: it is
// not, and the link stays.
func (u *upward) leave(ctx context.Context, c *client) bool {
	if !u.drain(ctx, c, u.link.config().DrainTimeout.Std()) {
		u.link.stay(errInFlight)
		return false
	}
	if u.goodbye != nil {
		u.goodbye()
	}
	u.link.farewell(c)
	return true
}

func (u *upward) mayReturn(Config) bool { return true }

// drain waits for the PUBACKs of what is in flight, in bounded time. It says
// whether all have come.
func (u *upward) drain(ctx context.Context, c *client, most time.Duration) bool {
	u.link.set(Draining, "")
	u.draining.Store(true)
	defer u.draining.Store(false)
	for until := time.Now().Add(most); ; {
		count := u.win.waiting()
		left := time.Until(until)
		if count == 0 || left <= 0 || ctx.Err() != nil {
			return count == 0
		}
		select {
		case <-c.Done():
			return false
		default:
			c.wire.ackNow()
			u.link.park(ctx, c.Done(), min(left, ackEvery))
		}
	}
}

// puback takes an acknowledgement [MQTT 5, 3.4].
func (u *upward) puback(id uint16, reason byte) error {
	e, sent := u.win.answered(id, reason >= 0x80 && retry(reason))
	if e == nil {
		u.unknown.Add(1)
		return nil
	}
	u.settled = true
	switch {
	case reason < 0x80:
		u.acked.Add(1)
		u.trip.add(time.Duration(u.wire.now - sent))
		u.good(e)
		u.link.up.spool.Ack(e)
	default:
		if retry(reason) {
			u.retried.Add(1)
		}
		u.held.answered(answer{e: e, reason: reason})
	}
	return nil
}

// retry says whether a PUBACK's reason may be another one later.
func retry(reason byte) bool {
	switch reason {
	case 0x87, 0x90, 0x95, 0x99:
		return false
	}
	return reason >= 0x80
}

func (u *upward) publish(byte, []byte) error {
	return errors.New("the cloud sent a message on a link without subscriptions")
}

// idle ends a batch of PUBACKs.
func (u *upward) idle() (awaited int) {
	awaited = u.win.waiting()
	if !u.settled {
		return awaited
	}
	u.settled = false
	u.shareTrip()
	u.link.up.settledNow()
	if u.held.news.Load() {
		u.link.notify()
		return awaited
	}
	if !u.wantRoom.Load() && !u.draining.Load() {
		return awaited
	}
	if room, _ := u.win.room(); room > 0 || awaited == 0 {
		u.link.notify()
	}
	return awaited
}

// shareTrip shows the reader's round trip to health.
func (u *upward) shareTrip() {
	u.link.mean.Store(int64(u.trip.mean))
	u.link.dev.Store(int64(u.trip.dev))
	u.link.tripAt.Store(int64(u.wire.base.Sub(u.link.born)) + u.wire.now)
}
