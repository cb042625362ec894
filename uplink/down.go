package uplink

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/eclipse/paho.golang/paho"

	"tidegate/internal/topic"
)

// downward subscribes to the down routes and hands what comes to the edge. A
// message is acknowledged to the cloud when its ticket is settled, in the
// order in which the messages came [MQTT-4.6.0-2].
type downward struct {
	link *link

	subscribed *routes               // what this connection's session has
	box        atomic.Pointer[inbox] // of the present connection
	dirty      bool                  // the edge got something since the last idle; the reader's

	received, acked, looped, unrouted atomic.Int64
}

const downWindow = 256 // messages at most that wait for the edge

var errTooMany = errors.New("the cloud sent more messages than the Receive Maximum announced")

func (d *downward) connect(c Config) *paho.Connect {
	receive, packet, expiry := d.window(c), uint32(c.MaxPacket), uint32(0)
	if c.Cluster {
		expiry = uint32(min(c.SessionExpiry.Std()/time.Second, 1<<32-1))
	}
	return &paho.Connect{CleanStart: false, Properties: &paho.ConnectProperties{
		ReceiveMaximum: &receive, MaximumPacketSize: &packet, SessionExpiryInterval: &expiry, RequestProblemInfo: true,
	}}
}

func (d *downward) window(c Config) uint16 { return uint16(min(c.InFlight, downWindow)) }

func (d *downward) begin(w *wire, _ limits) {
	d.box.Store(newInbox(d, w, int(d.window(d.link.config()))))
	d.subscribed = nil
}

func (d *downward) online(bool) {}

func (d *downward) oldest() (int64, int) { return 0, 0 }

// serve subscribes and sends acknowledgements until the connection or ctx ends.
func (d *downward) serve(ctx context.Context, c *client) error {
	box := d.box.Load()
	for {
		if now := d.link.up.routes.Load(); now != d.subscribed {
			if err := d.subscribe(ctx, c, now); err != nil && ctx.Err() == nil {
				return d.link.end(c, err)
			}
			d.subscribed = now
		}
		d.link.park(ctx, c.Done(), 0)
		if err := box.flush(false); err != nil {
			return d.link.end(c, err)
		}
		select {
		case <-c.Done():
			return d.link.end(c, errLost)
		case <-ctx.Done():
			d.link.set(Draining, "")
			d.link.farewell(c)
			return errStopping
		default:
		}
	}
}

// subscribe makes the session's subscriptions those of r. It always sends
// SUBSCRIBE: a session that outlived this process may have others. Retained
// messages come only for what is new.
func (d *downward) subscribe(ctx context.Context, c *client, r *routes) error {
	sub, wanted := &paho.Subscribe{}, map[string]bool{}
	for _, route := range r.down {
		if !wanted[route.filter] {
			sub.Subscriptions = append(sub.Subscriptions, paho.SubscribeOptions{Topic: route.filter, QoS: route.qos, RetainHandling: 1, RetainAsPublished: true})
		}
		wanted[route.filter] = true
	}
	if d.subscribed != nil {
		var old []string
		for _, route := range d.subscribed.down {
			if !wanted[route.filter] {
				old = append(old, route.filter)
			}
		}
		if len(old) > 0 {
			if _, err := c.Unsubscribe(ctx, &paho.Unsubscribe{Topics: old}); err != nil {
				return fmt.Errorf("unsubscribe: %w", err)
			}
		}
	}
	if len(sub.Subscriptions) == 0 {
		return nil
	}
	ack, err := c.Subscribe(ctx, sub)
	if ack == nil {
		return fmt.Errorf("subscribe: %w", err)
	}
	var refused []string
	for i, reason := range ack.Reasons {
		if reason >= 0x80 && i < len(sub.Subscriptions) {
			refused = append(refused, fmt.Sprintf("%s (0x%02X)", sub.Subscriptions[i].Topic, reason))
		}
	}
	if len(refused) > 0 {
		err := fault(FaultSubscription, errors.New("the cloud refuses to subscribe to "+strings.Join(refused, ", ")))
		d.link.complain(err)
		d.link.log.Warn("subscription refused", "err", err)
	}
	return nil
}

func (d *downward) puback(uint16, byte) error {
	return errors.New("the cloud acknowledged a message on a link that sends none")
}

// publish takes a message from the cloud [MQTT 5, 3.3].
func (d *downward) publish(first byte, body []byte) error {
	p, err := parsePublish(first, body)
	if err != nil {
		return err
	}
	if p.qos > 1 {
		return errors.New("the cloud sent QoS 2 on a subscription of QoS 1")
	}
	d.received.Add(1)
	var t Ticket
	if p.qos == 1 {
		box := d.box.Load()
		pos, ok := box.arrive(p.id)
		if !ok {
			return errTooMany
		}
		t = Ticket{Owner: box, ID: pos}
	}
	m, err := d.message(p)
	if err != nil {
		return err
	}
	if m == nil {
		if t.Owner != nil {
			t.Owner.Settle(t.ID, 0)
		}
		return nil
	}
	d.dirty = true
	d.link.up.opt.Deliver(m, t)
	return nil
}

// message makes the edge's message of p. Nil: it stays here.
func (d *downward) message(p inbound) (*Message, error) {
	u := d.link.up
	if u.settings.Load().cfg.LoopGuard && own(p.properties, u.gateway) {
		d.looped.Add(1)
		return nil, nil
	}
	name := string(p.topic)
	if !topic.ValidName(name) {
		return nil, errMalformed
	}
	route, local := u.routes.Load().fromCloud(name)
	if route == nil {
		d.unrouted.Add(1)
		return nil, nil
	}
	body := make([]byte, 0, len(p.properties)+len(p.payload))
	properties, expiry, err := passOn(body, p.properties)
	if err != nil {
		return nil, err
	}
	payload := append(properties, p.payload...)[len(properties):]
	route.count.Add(1)
	return &Message{
		Topic: local, Payload: payload, Properties: properties[:len(properties):len(properties)],
		Accepted: time.Now(), Expiry: expiry, QoS: p.qos, Retain: p.retain && !route.clear,
	}, nil
}

// idle sends the acknowledgements that are ready and ends the edge's batch.
func (d *downward) idle() {
	if d.dirty {
		d.dirty = false
		d.link.up.settledNow()
	}
	d.box.Load().flush(true) // an error shows in the next read
}

// inbox orders the acknowledgements of one connection. It owns the tickets of
// the messages that came over it; those that are settled later are forgotten,
// the cloud sends the messages again.
type inbox struct {
	down *downward
	wire *wire

	mu         sync.Mutex // guards what follows
	ring       []arrival  // a power of two
	head, tail uint64     // positions of messages not acknowledged
	limit      int
	out        []byte // PUBACKs to write
	reading    bool   // the reader is at work, and will flush before it waits
}

type arrival struct {
	id     uint16
	reason byte
	done   bool
}

func newInbox(d *downward, w *wire, limit int) *inbox {
	n := 1
	for n < limit {
		n *= 2
	}
	return &inbox{down: d, wire: w, ring: make([]arrival, n), limit: limit}
}

// arrive notes a message of QoS 1, false when there are too many.
func (b *inbox) arrive(id uint16) (pos uint64, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if int(b.tail-b.head) >= b.limit {
		return 0, false
	}
	pos = b.tail
	b.tail++
	b.ring[pos&uint64(len(b.ring)-1)] = arrival{id: id}
	b.reading = true
	return pos, true
}

// waiting returns how many messages are not acknowledged.
func (b *inbox) waiting() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return int(b.tail - b.head)
}

// Settle makes the acknowledgement of one message ready; from any goroutine.
func (b *inbox) Settle(pos uint64, reason byte) {
	b.mu.Lock()
	if pos < b.head || pos >= b.tail {
		b.mu.Unlock()
		return
	}
	a := &b.ring[pos&uint64(len(b.ring)-1)]
	a.done, a.reason = true, reason
	ready := 0
	for b.head < b.tail {
		a := b.ring[b.head&uint64(len(b.ring)-1)]
		if !a.done {
			break
		}
		b.head++
		ready++
		if a.reason == 0 {
			b.out = append(b.out, 0x40, 2)
			b.out = binary.BigEndian.AppendUint16(b.out, a.id)
		} else {
			b.out = append(b.out, 0x40, 3)
			b.out = binary.BigEndian.AppendUint16(b.out, a.id)
			b.out = append(b.out, a.reason)
		}
	}
	wake := ready > 0 && !b.reading
	b.mu.Unlock()
	b.down.acked.Add(int64(ready))
	if wake {
		b.down.link.notify()
	}
}

// flush writes what is ready. The wire's lock is taken first, so that two
// flushes cannot overtake each other.
func (b *inbox) flush(reader bool) error {
	b.wire.mu.Lock()
	defer b.wire.mu.Unlock()
	b.mu.Lock()
	if reader {
		b.reading = false
	}
	out := b.out
	b.out = nil
	b.mu.Unlock()
	if len(out) == 0 {
		return nil
	}
	return b.wire.write(out)
}
