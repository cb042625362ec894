package uplink

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/eclipse/paho.golang/paho"
	"github.com/eclipse/paho.golang/paho/log"

	"tidegate/internal/topic"
)

// visitor is the plane of a probe's connection: one message is under way at a
// time, so a slot is enough. What comes beside that is dropped.
type visitor struct {
	acks  chan visitAck
	heard chan visitMessage
}

type visitAck struct {
	id     uint16
	reason byte
}

type visitMessage struct{ topic, payload string }

func newVisitor() *visitor {
	return &visitor{acks: make(chan visitAck, 16), heard: make(chan visitMessage, 16)}
}

func (v *visitor) puback(id uint16, reason byte) error {
	select {
	case v.acks <- visitAck{id, reason}:
	default:
	}
	return nil
}

// publish acknowledges nothing: with single-client the commands that come are
// the gateway's, and stay in its session.
func (v *visitor) publish(first byte, body []byte) error {
	m, err := parsePublish(first, body)
	if err != nil {
		return err
	}
	select {
	case v.heard <- visitMessage{string(m.topic), string(m.payload)}:
	default:
	}
	return nil
}

func (v *visitor) idle() int           { return 0 }
func (v *visitor) begin(*wire, limits) {}

// still is a pinger that does not ping: a probe is over before that matters.
type still struct{}

func (still) Run(ctx context.Context, _ net.Conn, _ uint16) error { <-ctx.Done(); return nil }
func (still) PacketSent()                                         {}
func (still) PacketReceived()                                     {}
func (still) PingResp()                                           {}
func (still) SetDebug(log.Logger)                                 {}

// visit is a probe's MQTT connection.
type visit struct {
	*probe
	got *visitor
	e   endpoint
	c   *client
	id  uint16 // of the last PUBLISH
}

// converse speaks MQTT over nc, which it closes.
func (p *probe) converse(ctx context.Context, e endpoint, nc net.Conn) {
	p.begin(e.url, "connect")
	cfg, seen := p.set.cfg, &firstBytes{Conn: nc}
	v := &visit{probe: p, got: newVisitor(), e: e}
	cp := p.hello()
	w := newWire(seen, v.got, int(cfg.MaxPacket))
	within := cfg.ConnectTimeout.Std()
	cctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	c, ca, err := hello(cctx, w, cfg, cp, v.got, within, still{})
	if err != nil {
		p.failed(p.saidInstead(ctx, e, seen, err))
		return
	}
	v.c = c
	defer v.leave()
	words := "accepted, MQTT 5, as client " + cp.ClientID
	if cfg.User != "" {
		words += fmt.Sprintf(" and user %q", cfg.User)
	}
	if cfg.SingleClient {
		words += "; a running gateway was disconnected, and connects again"
	}
	p.ok(words)
	v.limits(ca)
	if !v.subscribe(ctx) {
		return
	}
	if v.canary(ctx) {
		v.routes(ctx)
	}
}

// leave says DISCONNECT and waits for the connection's goroutines.
func (v *visit) leave() {
	_ = v.c.Disconnect(&paho.Disconnect{})
	v.c.wire.cut(errStopping)
	<-v.c.Done()
}

// hello is the CONNECT. With single-client the session is the gateway's: it is
// neither cleared nor shortened.
func (p *probe) hello() *paho.Connect {
	cfg := p.set.cfg
	receive, packet, expiry := uint16(cfg.DownInFlight), uint32(cfg.MaxPacket), uint32(0)
	cp := &paho.Connect{ClientID: cfg.ProbeID(p.opt.Gateway), CleanStart: true}
	if cfg.SingleClient {
		cp.CleanStart = false
		expiry = (&downward{}).expiry(cfg)
	}
	cp.Properties = &paho.ConnectProperties{ReceiveMaximum: &receive, MaximumPacketSize: &packet, SessionExpiryInterval: &expiry, RequestProblemInfo: true}
	return cp
}

// limits tells what the cloud said in its CONNACK.
func (v *visit) limits(ca *paho.Connack) {
	v.next("limits")
	cfg, l := v.set.cfg, v.c.limits
	words := []string{fmt.Sprintf("%d messages in flight (in-flight is %d)", l.receive, cfg.InFlight)}
	if l.packet > 0 {
		words = append(words, fmt.Sprintf("packets of up to %d bytes: what is larger goes to the dead letters", l.packet))
	}
	if ca.Properties != nil && ca.Properties.ServerKeepAlive != nil {
		words = append(words, fmt.Sprintf("keepalive %d s", *ca.Properties.ServerKeepAlive))
	}
	wild := slices.ContainsFunc(cfg.Down, func(d Down) bool { return strings.ContainsAny(d.Filter, "+#") })
	switch {
	case !l.wildcards && wild:
		v.step.Fault = FaultSubscription
		v.end(StepFailed, "subscriptions with + and # are not allowed there, and a down route has one", "write the down routes without + and #, or allow them there")
	case l.qos == 0:
		v.warn("", strings.Join(append(words, "QoS 0 only"), "; "), "allow QoS 1 there: without acknowledgements what is on its way when a connection breaks is lost")
	case !l.retain && cfg.Status:
		v.warn("", strings.Join(append(words, "nothing is retained"), "; "), "allow retained messages there, or set status = false: who looks later does not see whether the gateway lives")
	default:
		v.ok(strings.Join(words, "; "))
	}
}

// next begins a step of this connection.
func (v *visit) next(name string) { v.begin(v.e.url, name) }

// subscribe asks for what the down routes ask for. False: the connection ended.
func (v *visit) subscribe(ctx context.Context) bool {
	r := newRoutes(v.set.cfg, nil)
	sub := &paho.Subscribe{}
	for _, d := range r.down {
		same := func(s paho.SubscribeOptions) bool { return s.Topic == d.filter }
		if !slices.ContainsFunc(sub.Subscriptions, same) && (v.c.limits.wildcards || !strings.ContainsAny(d.filter, "+#")) {
			sub.Subscriptions = append(sub.Subscriptions, paho.SubscribeOptions{Topic: d.filter, QoS: d.qos, RetainHandling: 2, RetainAsPublished: true})
		}
	}
	if len(sub.Subscriptions) == 0 {
		return true
	}
	v.next("subscribe")
	refused, err := v.ask(ctx, sub)
	switch {
	case err != nil:
		v.ended(err, "right after a SUBSCRIBE to "+sub.Subscriptions[0].Topic)
		return false
	case len(refused) > 0:
		v.failed(fault(FaultSubscription, errors.New("the cloud refuses to subscribe to "+strings.Join(refused, ", "))))
	default:
		var filters []string
		for _, s := range sub.Subscriptions {
			filters = append(filters, s.Topic)
		}
		v.ok(strings.Join(filters, ", "))
	}
	return true
}

// ask subscribes and returns what was refused.
func (v *visit) ask(ctx context.Context, sub *paho.Subscribe) (refused []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, v.set.cfg.ConnectTimeout.Std())
	defer cancel()
	ack, err := v.c.Subscribe(ctx, sub)
	if ack == nil {
		return nil, err
	}
	for i, reason := range ack.Reasons {
		if reason >= 0x80 && i < len(sub.Subscriptions) {
			refused = append(refused, fmt.Sprintf("%s (%s)", sub.Subscriptions[i].Topic, reasonWords(reason)))
		}
	}
	return refused, nil
}

// canary sends a message to itself. False: the connection ended.
func (v *visit) canary(ctx context.Context) bool {
	own := v.set.own.canary
	if own == "" {
		return true
	}
	v.next("canary")
	name, payload := own+"test", rand.Text()
	refused, err := v.ask(ctx, &paho.Subscribe{Subscriptions: []paho.SubscribeOptions{{Topic: name, QoS: 1}}})
	if err != nil {
		v.ended(err, "right after a SUBSCRIBE to "+name)
		return false
	}
	do := fmt.Sprintf("let this client publish and subscribe below %s, or set canary = false; without it a node that takes messages and passes none on is not found", strings.TrimSuffix(own, "/"))
	if len(refused) > 0 {
		v.warn(FaultSubscription, "the cloud does not let the gateway hear "+refused[0], do)
		return true
	}
	if err := v.c.wire.send(appendOwn(nil, 0x30, name, 0, expiring, []byte(payload))); err != nil {
		v.ended(err, "right after a message to "+name)
		return false
	}
	switch err := v.hears(ctx, visitMessage{name, payload}); {
	case err == nil:
		v.ok("a message to " + name + " came back")
		return true
	case errors.Is(err, context.DeadlineExceeded):
		v.warn(FaultNotRouting, "a message to "+name+" did not come back", do)
		return true
	default:
		v.ended(err, "right after a message to "+name)
		return false
	}
}

// hears waits for a message.
func (v *visit) hears(ctx context.Context, want visitMessage) error {
	ctx, cancel := context.WithTimeout(ctx, v.set.cfg.CanaryEvery.Std())
	defer cancel()
	for {
		select {
		case m := <-v.got.heard:
			if m == want {
				return nil
			}
		case <-v.c.Done():
			return errLost
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// expiring are the properties of a probe's messages: they are gone after ten
// seconds.
var expiring = binary.BigEndian.AppendUint32([]byte{propExpiry}, 10)

// harmless is the last level of what is published below an up route.
const harmless = "tidegate-test"

// mostRoutes bounds the up routes that are tried.
const mostRoutes = 16

// routes publishes below each up route.
func (v *visit) routes(ctx context.Context) {
	if v.opt.NoPublish {
		v.next("publish")
		v.end(StepSkipped, "not asked for", "")
		return
	}
	r := newRoutes(v.set.cfg, nil)
	tried := 0
	for _, route := range r.up {
		name := harmlessTopic(route.cloud)
		if name == "" || tried == mostRoutes {
			continue
		}
		tried++
		v.next("publish")
		if !v.publishTo(ctx, name, route.qos) {
			return
		}
	}
	if tried == 0 && len(r.up) > 0 {
		v.next("publish")
		v.end(StepSkipped, "every up route names one topic: a test message there would be taken for a device's", "")
	}
}

// harmlessTopic is a topic that filter matches and no device uses, "" when
// there is none.
func harmlessTopic(filter string) string {
	if !strings.ContainsAny(filter, "+#") {
		return ""
	}
	name := strings.NewReplacer("+", harmless, "#", harmless).Replace(filter)
	if !topic.ValidName(name) || strings.HasPrefix(name, "$") {
		return ""
	}
	return name
}

// publishTo sends one message as the route would. False: the connection ended.
func (v *visit) publishTo(ctx context.Context, name string, qos byte) bool {
	qos = min(qos, v.c.limits.qos)
	payload := fmt.Appendf(nil, "test of the gateway %s at %s", v.opt.Gateway, v.opt.now().UTC().Format(time.RFC3339))
	v.id++
	if err := v.c.wire.send(appendOwn(nil, 0x30|qos<<1, name, v.id, expiring, payload)); err != nil {
		v.ended(err, "when it was sent a message for "+name)
		return false
	}
	if qos == 0 {
		v.ok(name + ", sent at QoS 0, which nobody acknowledges")
		return true
	}
	within := min(v.set.cfg.ConnectTimeout, v.set.cfg.Patience).Std()
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	for {
		select {
		case a := <-v.got.acks:
			if a.id == v.id {
				v.acknowledged(name, a.reason)
				return true
			}
		case <-v.c.Done():
			v.ended(errLost, "right after a message to "+name)
			return false
		case <-ctx.Done():
			v.failed(fault(FaultLate, fmt.Errorf("a message to %s was not acknowledged within %v", name, within)))
			return true
		}
	}
}

func (v *visit) acknowledged(name string, reason byte) {
	switch {
	case reason == 0x10:
		v.ok(name + ", acknowledged; nobody is subscribed to it there")
	case reason < 0x80:
		v.ok(name + ", acknowledged")
	case reason == 0x87:
		v.step.Fault = FaultNotAuthorized
		v.end(StepFailed, fmt.Sprintf("the cloud does not let this client publish to %s (0x87)", name), "allow it in the cloud's permissions, or change strip and add of the route: what the cloud refuses stays with the gateway")
	default:
		v.step.Fault = FaultDeclined
		v.end(StepFailed, fmt.Sprintf("the cloud refuses a message to %s: %s", name, reasonWords(reason)), remedies[FaultBusy])
	}
}

// ended reports that the cloud ended the connection.
func (v *visit) ended(err error, when string) {
	if errors.Is(err, context.DeadlineExceeded) {
		v.failed(fault(FaultLate, fmt.Errorf("no answer in time, %s", when)))
		return
	}
	select {
	case <-v.c.Done():
	case <-time.After(v.set.cfg.ConnectTimeout.Std()):
		v.c.wire.cut(err)
		<-v.c.Done()
	}
	why := lossFault(v.c.wire.end)
	if faultOf(why) == FaultClosed {
		v.step.Fault = FaultNotAuthorized
		v.end(StepFailed, fmt.Sprintf("the cloud closed the connection %s, without a word: so some clouds (AWS IoT) refuse what a client is not allowed", when), remedies[FaultNotAuthorized])
		return
	}
	v.failed(fmt.Errorf("%s: %w", when, why))
}
