package uplink

import (
	"net"
	"sync"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/packets"

	"tidegate/internal/conf"
)

// cloud is a scripted MQTT 5 server. Its fields are set before it is used.
type cloud struct {
	t       testing.TB
	ln      net.Listener
	connack func(n int, c *packets.Connect) *packets.Connack // of the n-th connection, from 0; nil result: say nothing
	publish func(s *served, p *packets.Publish)              // default: acknowledge
	ping    func(s *served)                                  // default: answer
	suback  func(s *served, a *packets.Suback)               // default: send it
	after   func(s *served)                                  // right after CONNACK

	connected func(s *served) // instead of CONNACK, when connack says nothing

	wg          sync.WaitGroup
	mu          sync.Mutex // guards what follows
	connects    []*packets.Connect
	published   []*packets.Publish
	subscribed  []*packets.Subscribe
	pubacks     []*packets.Puback
	unsubs      []string
	disconnects []byte
	open        []net.Conn
	live        []*served // those that connected, gone or not
}

// served is one connection of a cloud.
type served struct {
	*cloud
	n    int    // connections before
	id   string // of the client
	conn net.Conn
	wmu  sync.Mutex
	subs []string // filters; guarded by the cloud's mu
}

func newCloud(t testing.TB) *cloud {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return &cloud{t: t, ln: ln}
}

func (c *cloud) url() string { return "mqtt://" + c.ln.Addr().String() }

func (c *cloud) start() *cloud {
	c.wg.Go(func() {
		for n := 0; ; n++ {
			conn, err := c.ln.Accept()
			if err != nil {
				return
			}
			c.mu.Lock()
			c.open = append(c.open, conn)
			c.mu.Unlock()
			s := &served{cloud: c, n: n, conn: conn}
			c.mu.Lock()
			c.live = append(c.live, s)
			c.mu.Unlock()
			c.wg.Go(s.serve)
		}
	})
	c.t.Cleanup(c.stop)
	return c
}

func (c *cloud) stop() {
	c.ln.Close()
	c.cut()
	c.wg.Wait()
}

// cut closes every connection.
func (c *cloud) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, o := range c.open {
		o.Close()
	}
	c.open = nil
}

func (s *served) serve() {
	defer s.conn.Close()
	for {
		p, err := packets.ReadPacket(s.conn)
		if err != nil {
			return
		}
		s.mu.Lock()
		switch p := p.Content.(type) {
		case *packets.Connect:
			s.connects, s.id = append(s.connects, p), p.ClientID
		case *packets.Publish:
			s.published = append(s.published, p)
		case *packets.Subscribe:
			s.subscribed = append(s.subscribed, p)
			for _, o := range p.Subscriptions {
				s.subs = append(s.subs, o.Topic)
			}
		case *packets.Unsubscribe:
			s.unsubs = append(s.unsubs, p.Topics...)
		case *packets.Puback:
			s.pubacks = append(s.pubacks, p)
		case *packets.Disconnect:
			s.disconnects = append(s.disconnects, p.ReasonCode)
		}
		s.mu.Unlock()
		s.answer(p)
	}
}

func (s *served) answer(p *packets.ControlPacket) {
	switch p := p.Content.(type) {
	case *packets.Connect:
		ca := &packets.Connack{Properties: &packets.Properties{}}
		if s.connack != nil {
			if ca = s.connack(s.n, p); ca == nil {
				if s.connected != nil {
					s.connected(s)
				}
				return
			}
		}
		s.send(ca)
		if s.after != nil {
			s.after(s)
		}
	case *packets.Publish:
		if s.publish != nil {
			s.publish(s, p)
		} else {
			s.ack(p.PacketID, 0)
		}
	case *packets.Subscribe:
		a := &packets.Suback{PacketID: p.PacketID, Properties: &packets.Properties{}}
		for _, o := range p.Subscriptions {
			a.Reasons = append(a.Reasons, o.QoS)
		}
		if s.suback != nil {
			s.suback(s, a)
			return
		}
		s.send(a)
	case *packets.Unsubscribe:
		s.send(&packets.Unsuback{PacketID: p.PacketID, Reasons: make([]byte, len(p.Topics)), Properties: &packets.Properties{}})
	case *packets.Pingreq:
		if s.ping != nil {
			s.ping(s)
		} else {
			s.raw(0xD0, 0)
		}
	}
}

func (s *served) send(p packets.Packet) {
	s.wmu.Lock()
	defer s.wmu.Unlock()
	p.WriteTo(s.conn)
}

func (s *served) raw(b ...byte) {
	s.wmu.Lock()
	defer s.wmu.Unlock()
	s.conn.Write(b)
}

func (s *served) ack(id uint16, reason byte) {
	if id != 0 {
		s.send(&packets.Puback{PacketID: id, ReasonCode: reason, Properties: &packets.Properties{}})
	}
}

// got returns what was published so far.
func (c *cloud) got() []*packets.Publish {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]*packets.Publish(nil), c.published...)
}

func (c *cloud) count() (connects, published, pubacks, disconnects int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.connects), len(c.published), len(c.pubacks), len(c.disconnects)
}

// quick is a configuration for tests: impatient, everything goes up, and
// nothing that was not sent.
func quick(urls ...string) Config {
	c := DefaultConfig()
	c.Endpoints = urls
	c.Links = 1
	c.Up = []Up{{Filter: "#"}}
	c.ReconnectMax = c.AckTimeout / 5
	c.Status, c.Canary = false, false
	return c
}

// calm makes c wait longer than a busy machine may stall.
func calm(c Config) Config {
	c.AckTimeout, c.ConnectTimeout = conf.Duration(20*time.Second), conf.Duration(20*time.Second)
	return c
}

// begin makes and runs an uplink.
func begin(t testing.TB, cfg Config, opt Options) (u *Uplink, stop func()) {
	t.Helper()
	opt.Gateway, opt.Epoch, opt.Dir = "gw", 7, t.TempDir()
	u, err := New(cfg, opt)
	if err != nil {
		t.Fatal(err)
	}
	return u, run(t, u)
}

func message(topic, payload string) *Message {
	return &Message{Topic: topic, Payload: []byte(payload), QoS: 1, Accepted: time.Now()}
}

func state(u *Uplink, link int) LinkStats { return u.Stats().Links[link] }
