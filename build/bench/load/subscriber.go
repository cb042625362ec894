package load

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Filter is one subscription.
type Filter struct {
	Topic string
	QoS   byte
}

// SubscriberConfig describes a Subscriber. Without Filters it is an idle
// client.
type SubscriberConfig struct {
	Client
	Filters  []Filter
	Consumer *Consumer // account in which every message is entered; may be nil

	// OnMessage sees every message after it was entered, in the order of the
	// connection. Nothing is read or acknowledged while it runs. May be nil.
	OnMessage func(m *Message)
}

// Message is a message as a Subscriber received it. It is valid until OnMessage
// returns; what is kept must be copied.
type Message struct {
	Topic   []byte
	Payload []byte
	QoS     byte
	Dup     bool
	Retain  bool
	At      time.Duration // by the ledger's clock; 0 without a Consumer
	Arrival Arrival       // what the Consumer made of it; Foreign without one
	props   []byte
}

// UserProperty returns the first user property with that key.
func (m *Message) UserProperty(key string) (value string, ok bool) {
	d := decoder{b: m.props, ok: true}
	for len(d.b) > 0 {
		if id, _, k, v := d.property(); id == propUser && string(k) == key {
			return string(v), true
		}
	}
	return "", false
}

// GatewayID is the identity that a gateway gave a message.
type GatewayID struct {
	Gateway    string
	Epoch, Seq uint64
}

// GatewayID returns what the user property `tidegate-id` says, which is
// "<gateway>/<epoch>/<seq>"; false when there is none or it is not of that form.
func (m *Message) GatewayID() (id GatewayID, ok bool) {
	value, ok := m.UserProperty("tidegate-id")
	if !ok {
		return id, false
	}
	rest, seq, ok := cutLast(value)
	gateway, epoch, found := cutLast(rest)
	if !ok || !found {
		return id, false
	}
	e, errEpoch := strconv.ParseUint(epoch, 10, 64)
	s, errSeq := strconv.ParseUint(seq, 10, 64)
	return GatewayID{gateway, e, s}, errors.Join(errEpoch, errSeq) == nil
}

func cutLast(s string) (before, after string, ok bool) {
	i := strings.LastIndexByte(s, '/')
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+1:], true
}

// Subscriber receives and acknowledges messages, and connects again when it
// loses its connection.
type Subscriber struct {
	cfg      SubscriberConfig
	ready    chan struct{}
	once     sync.Once
	connects atomic.Int64
	received atomic.Int64
	message  Message // handed to OnMessage, again and again
}

// NewSubscriber returns a subscriber that does nothing until Run.
func NewSubscriber(cfg SubscriberConfig) *Subscriber {
	return &Subscriber{cfg: cfg, ready: make(chan struct{})}
}

// Ready is closed when the subscriptions are acknowledged for the first time.
func (s *Subscriber) Ready() <-chan struct{} { return s.ready }

// Connects returns how often the subscriber was accepted by a broker.
func (s *Subscriber) Connects() int64 { return s.connects.Load() }

// Received returns how many messages came, all copies counted.
func (s *Subscriber) Received() int64 { return s.received.Load() }

// Run connects, subscribes and receives until ctx ends, which is not an error.
// A lost connection is not an error either; a refused subscription is.
func (s *Subscriber) Run(ctx context.Context) error {
	d := dialer{Client: s.cfg.Client, id: s.cfg.ID}
	known := map[uint16]bool{} // QoS 2 messages received and not yet released
	for {
		c, err := d.connect(ctx)
		if ctx.Err() != nil {
			if c != nil {
				c.nc.Close()
			}
			return nil
		}
		if err != nil {
			return fmt.Errorf("subscriber: %w", err)
		}
		s.connects.Add(1)
		if !c.present {
			clear(known)
		}
		err = s.receive(ctx, c, known)
		c.nc.Close()
		if refused := (Refused{}); errors.As(err, &refused) {
			return fmt.Errorf("subscriber %s: %w", d.id, err)
		}
		d.at++
	}
}

func (s *Subscriber) receive(ctx context.Context, c *conn, known map[uint16]bool) error {
	stop := context.AfterFunc(ctx, func() { c.nc.SetDeadline(time.Now()) })
	defer stop()
	if len(s.cfg.Filters) > 0 {
		c.out = appendSubscribe(c.out, c.version, 1, s.cfg.Filters)
	} else {
		s.once.Do(func() { close(s.ready) })
	}
	var p packet
	for {
		var now time.Duration
		if s.cfg.Consumer != nil {
			now = s.cfg.Consumer.ledger.Now()
		}
		for {
			ok, err := c.parsed(&p)
			if err != nil {
				return err
			}
			if !ok {
				break
			}
			if err := s.take(c, &p, known, now); err != nil {
				return err
			}
		}
		if err := c.flush(); err != nil {
			return err
		}
		if err := s.wait(ctx, c); err != nil {
			if ctx.Err() != nil {
				c.nc.SetDeadline(time.Now().Add(time.Second))
				return c.goodbye()
			}
			return err
		}
	}
}

// wait reads; with a keepalive it sends a ping when half of it was quiet, and
// gives up when the other half was too.
func (s *Subscriber) wait(ctx context.Context, c *conn) error {
	if s.cfg.KeepAlive <= 0 {
		return c.read()
	}
	for pinged := false; ; pinged = true {
		c.nc.SetReadDeadline(time.Now().Add(s.cfg.KeepAlive / 2))
		if ctx.Err() != nil {
			return ctx.Err()
		}
		err := c.read()
		if pinged || !errors.Is(err, os.ErrDeadlineExceeded) || ctx.Err() != nil {
			return err
		}
		c.out = append(c.out, pingreq<<4, 0)
		if err := c.flush(); err != nil {
			return err
		}
	}
}

// take handles one packet.
func (s *Subscriber) take(c *conn, p *packet, known map[uint16]bool, now time.Duration) error {
	switch p.kind {
	case publish:
		switch p.qos() {
		case 1:
			c.out = appendAck(c.out, puback, p.id)
		case 2:
			c.out = appendAck(c.out, pubrec, p.id)
			if known[p.id] {
				return nil
			}
			known[p.id] = true
		}
		s.deliver(p, now)
	case pubrel:
		delete(known, p.id)
		c.out = appendAck(c.out, pubcomp, p.id)
	case suback:
		if p.reason >= 0x80 {
			return Refused{p.reason}
		}
		s.once.Do(func() { close(s.ready) })
	case disconnect:
		return fmt.Errorf("disconnected by the broker with reason %#02x", p.reason)
	}
	return nil
}

func (s *Subscriber) deliver(p *packet, now time.Duration) {
	s.received.Add(1)
	arrival := Foreign
	if s.cfg.Consumer != nil {
		arrival = s.cfg.Consumer.Receive(p.payload, now)
	}
	if s.cfg.OnMessage == nil {
		return
	}
	s.message = Message{
		Topic: p.topic, Payload: p.payload, QoS: p.qos(), Dup: p.dup(), Retain: p.flags&1 != 0,
		At: now, Arrival: arrival, props: p.props,
	}
	s.cfg.OnMessage(&s.message)
}
