package uplink

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/eclipse/paho.golang/paho"

	"tidegate/internal/topic"
)

// downward subscribes to the down routes and hands what comes to the edge. A
// message is acknowledged to the cloud when its ticket is settled, in the
// order in which the messages came [MQTT-4.6.0-2].
type downward struct {
	link  *link
	bell  *bell // of the goroutine that works
	alone bool  // nothing else goes over the link: a write is a few acknowledgements, and does not get stuck

	subscribed *routes               // what this connection's session has
	kept       bool                  // the cloud has a session of ours
	keeps      *uint32               // the shorter session-expiry that the cloud gave last, in seconds; nil: none
	box        atomic.Pointer[inbox] // of the present connection
	dirty      bool                  // the edge got something since the last idle; the reader's
	early      early
	stopping   atomic.Bool // the edge takes no more

	received, acked, looped, unrouted, resumed, missed, excess atomic.Int64
}

func newDownward(l *link, b *bell) *downward {
	d := &downward{link: l, bell: b, alone: b == &l.bell}
	d.early.wanted = l.up.opt.Wanted
	return d
}

var errTooMany = errors.New("the cloud sent more unacknowledged messages than there are packet ids")

// exceeded notes a message beyond the Receive Maximum.
func (d *downward) exceeded(first bool) {
	d.excess.Add(1)
	if first {
		d.link.log.Warn("the cloud sends more than the Receive Maximum announced (Mosquitto 2.0.11 does); down-in-flight does not bound what comes")
	}
}

func (d *downward) connect(c Config) *paho.Connect {
	receive, packet, expiry := d.window(c), uint32(c.MaxPacket), d.expiry(c)
	cp := &paho.Connect{CleanStart: false, Properties: &paho.ConnectProperties{
		ReceiveMaximum: &receive, MaximumPacketSize: &packet, SessionExpiryInterval: &expiry, RequestProblemInfo: true,
	}}
	d.link.up.presence.will(cp, c)
	return cp
}

func (d *downward) window(c Config) uint16 { return uint16(c.DownInFlight) }

func (d *downward) begin(w *wire, l limits) {
	d.link.up.presence.begin(l)
	c := d.link.config()
	box := newInbox(d, w, int(d.window(c)))
	d.box.Store(box)
	if d.stopping.Load() {
		box.hold()
	}
	d.early.begin(c.WaitForDevices.Std())
	d.subscribed = nil
	switch {
	case l.present:
		d.resumed.Add(1)
	case d.kept && c.Cluster:
		d.missed.Add(1)
		d.link.log.Warn("the session was not there: commands sent while the link was away are lost; if the endpoints are separate brokers, set cluster = false")
	}
	d.kept = false
	d.shortened(c, l)
}

// expiry is what to ask for, in seconds.
func (d *downward) expiry(c Config) uint32 {
	if !c.Cluster {
		return 0
	}
	return uint32(min(c.SessionExpiry.Std()/time.Second, 1<<32-1))
}

// shortened says, once for each value, that the cloud keeps commands for less
// long than it was asked to [MQTT 5, 3.2.2.3.2].
func (d *downward) shortened(c Config, l limits) {
	if l.expiry == nil || *l.expiry >= d.expiry(c) {
		d.keeps = nil
		return
	}
	if d.keeps == nil || *d.keeps != *l.expiry {
		d.link.log.Warn("the cloud forgets commands for a gateway that is away earlier than session-expiry asks", "after", time.Duration(*l.expiry)*time.Second)
	}
	d.keeps = l.expiry
}

func (d *downward) online(bool) {}

func (d *downward) oldest() (int64, int) { return 0, 0 }

// serve works until the connection ends, or ctx does: then it lets the edge
// finish what it has, says DISCONNECT and leaves.
func (d *downward) serve(ctx context.Context, c *client) error {
	err := d.work(ctx, c, func() bool { return d.link.asked() && d.leave(c) })
	if err == errReturning {
		return err
	}
	if err != nil {
		return d.link.end(c, err)
	}
	d.link.set(Draining, "")
	d.drain(c, d.link.config().DrainTimeout.Std())
	d.link.up.presence.leave(ctx, c, d)
	d.link.farewell(c)
	return errStopping
}

// work subscribes and sends acknowledgements. It returns nil when ctx ends,
// errReturning when leave says that the link has left, otherwise why the
// connection must end or has ended.
func (d *downward) work(ctx context.Context, c *client, leave func() bool) error {
	box := d.box.Load()
	for {
		if now := d.link.up.routes.Load(); now != d.subscribed {
			if err := d.subscribe(ctx, c, now); err != nil && ctx.Err() == nil {
				return err
			}
			if err := d.link.up.subscribeOwn(ctx, c, now); err != nil && ctx.Err() == nil {
				return err
			}
			d.subscribed, d.kept = now, true
		}
		again, err := d.link.up.presence.tend(c.wire, time.Now())
		if err != nil {
			return err
		}
		d.bell.park(ctx, c.Done(), sooner(again, d.handEarly(box)))
		if err := box.flush(); err != nil {
			return err
		}
		if leave() {
			return errReturning
		}
		select {
		case <-c.Done():
			return errLost
		case <-ctx.Done():
			return nil
		default:
		}
	}
}

// sooner returns the shorter of two times; 0 is for ever.
func sooner(a, b time.Duration) time.Duration {
	if a == 0 || b == 0 {
		return max(a, b)
	}
	return min(a, b)
}

// drain takes nothing more, and waits in bounded time for what the edge has, so
// that the cloud need not send it again. After a stop the edge has ended.
func (d *downward) drain(c *client, most time.Duration) {
	box := d.box.Load()
	box.hold()
	for until := time.Now().Add(most); ; {
		left := time.Until(until)
		if box.flush() != nil || box.handed() == 0 || left <= 0 || d.stopping.Load() {
			return
		}
		select {
		case <-c.Done():
			return
		default:
			d.bell.park(context.Background(), c.Done(), left)
		}
	}
}

// stop takes nothing more for good, and waits until the edge has settled what
// it has, or ctx ends.
func (d *downward) stop(ctx context.Context) {
	d.stopping.Store(true)
	box := d.box.Load()
	if box == nil {
		return
	}
	box.hold()
	for box.handed() > 0 && ctx.Err() == nil {
		sleep(ctx, 2*time.Millisecond, nil)
	}
}

// leave says DISCONNECT when the edge has settled what it has. What comes
// meanwhile is kept from it: the session has it, and sends it where the link
// goes. False: the edge takes too long, and the link stays.
func (d *downward) leave(c *client) bool {
	d.link.set(Draining, "")
	d.drain(c, d.link.config().DrainTimeout.Std())
	if box := d.box.Load(); box.handed() > 0 && box.release() {
		d.link.stay(errInFlight)
		return false
	}
	d.link.farewell(c)
	return true
}

// mayReturn is true in a cluster: separate brokers keep nothing for a link that
// is on its way.
func (d *downward) mayReturn(c Config) bool { return c.Cluster }

// subscribe makes the session's subscriptions those of r. It always sends
// SUBSCRIBE: a session that outlived this process may have others. Retained
// messages come only for what is new.
func (d *downward) subscribe(ctx context.Context, c *client, r *routes) error {
	sub, wanted := &paho.Subscribe{}, map[string]bool{}
	var refused []string
	for _, route := range r.down {
		if !c.limits.wildcards && strings.ContainsAny(route.filter, "+#") {
			refused = append(refused, route.filter+" (no wildcards there)")
			continue
		}
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
	if len(sub.Subscriptions) > 0 {
		ack, err := c.Subscribe(ctx, sub)
		if ack == nil {
			return fmt.Errorf("subscribe: %w", err)
		}
		for i, reason := range ack.Reasons {
			if reason >= 0x80 && i < len(sub.Subscriptions) {
				refused = append(refused, fmt.Sprintf("%s (0x%02X)", sub.Subscriptions[i].Topic, reason))
			}
		}
	}
	if len(refused) > 0 {
		err := fault(FaultSubscription, errors.New("the cloud refuses to subscribe to "+strings.Join(refused, ", ")))
		d.link.complain(err)
		d.link.log.Warn("subscription refused", "err", err)
	}
	return nil
}

func (d *downward) puback(id uint16, reason byte) error {
	if id >= statusID {
		d.link.up.presence.acked(id, reason)
		return nil
	}
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
	if d.link.up.hear(p) {
		if p.qos > 0 { // over the subscription of a route
			box := d.box.Load()
			pos, ok := box.arrive(p.id)
			if !ok {
				return errTooMany
			}
			box.Settle(pos, 0)
		}
		return nil
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
	if t.Owner == nil || !d.early.keep(m, t, d.bell) {
		d.hand(m, t)
	}
	return nil
}

// hand gives a message to the edge, unless the link is about to leave: then it
// stays with the cloud.
func (d *downward) hand(m *Message, t Ticket) {
	if box, ok := t.Owner.(*inbox); ok && !box.hand(t.ID) {
		return
	}
	d.dirty = true
	d.link.up.opt.Deliver(m, t)
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
func (d *downward) idle() (awaited int) {
	if d.dirty {
		d.dirty = false
		d.link.up.settledNow()
	}
	d.box.Load().rest()
	return 0
}
