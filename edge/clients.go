package edge

import (
	"cmp"
	"strings"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"

	"tidegate/internal/inorder"
)

// Client is one device as people see it: connected, or away with a session that
// waits for it.
type Client struct {
	ID   string
	User string // "" for an anonymous one

	Connected bool
	Since     time.Time // connected, or away, since then

	// Of the connection; zero while away.
	Address   string // without port; of a unix socket the user at its other end
	Listener  string // its bind address
	Protocol  string // "MQTT 5", "MQTT 3.1.1" or "MQTT 3.1"
	Transport string // "tcp", "tls", "unix", "websocket" or "secure websocket"
	Received  int64  // messages accepted from the client on this connection, some of the last moment missing
	Sent      int64  // messages sent to it on this connection

	Subscriptions int
	Queued        int   // messages that wait to be sent
	QueuedBytes   int64 // of them
}

// ClientDetail is what there is to know of one client.
type ClientDetail struct {
	Client

	Filters   []ClientFilter // by filter
	Will      *ClientWill    // nil: none
	KeepAlive time.Duration  // as granted; 0: any silence, and while away
	Expiry    time.Duration  // how long the session is kept without a client; 0: it ends with the connection
	InFlight  int            // messages sent and not acknowledged
	Dropped   int64          // messages that its queue or its connection had no room for; on this connection, those of QoS 0 too
}

// ClientFilter is one subscription.
type ClientFilter struct {
	Filter string // with "$share/group/"
	QoS    byte
}

// ClientWill is the message that is published when the client fails.
type ClientWill struct {
	Topic       string
	PayloadSize int // bytes
	QoS         byte
	Retain      bool
	Delay       time.Duration
}

// Clients returns all clients, by id, each as it is at one moment. It takes
// Broker.mu for a copy of the list only, so nobody waits for the whole of it.
func (b *Broker) Clients() []Client {
	list := b.sessions()
	all := make([]Client, 0, len(list))
	for _, s := range list {
		if c, ok := s.describe(); ok {
			all = append(all, c)
		}
	}
	inorder.Sort(all, func(a, b Client) int { return strings.Compare(a.ID, b.ID) })
	return all
}

// Client returns what there is to know of the client with an id; false when
// there is none.
func (b *Broker) Client(id string) (ClientDetail, bool) {
	s := b.sessionWith(id)
	if s == nil {
		return ClientDetail{}, false
	}
	return s.detail()
}

// Disconnect ends the connection of a client; an MQTT 5 client is told
// Administrative action (0x98). Its session stays for as long as it asked for,
// and its will is published. It returns false when no client with this id is
// connected.
func (b *Broker) Disconnect(id string) bool {
	s := b.sessionWith(id)
	if s == nil {
		return false
	}
	c := s.conn.Load()
	if c == nil {
		return false
	}
	b.log.Info("client disconnected by hand", "client", id)
	dismiss([]*conn{c}, packets.ErrAdministrativeAction.Code)
	return true
}

// sessions are all of them.
func (b *Broker) sessions() []*session {
	b.mu.Lock()
	defer b.mu.Unlock()
	list := make([]*session, 0, len(b.seats))
	for _, st := range b.seats {
		if st.sess != nil {
			list = append(list, st.sess)
		}
	}
	return list
}

func (b *Broker) sessionWith(id string) *session {
	b.mu.Lock()
	defer b.mu.Unlock()
	if st := b.seats[id]; st != nil {
		return st.sess
	}
	return nil
}

// describe returns false when the session has ended or nobody has joined it yet.
func (s *session) describe() (Client, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.describeLocked()
}

func (s *session) describeLocked() (Client, bool) {
	c := s.conn.Load()
	if s.dead || c == nil && s.until.IsZero() {
		return Client{}, false
	}
	what := Client{ID: s.id, User: s.user, Subscriptions: len(s.subs), Queued: s.out.waiting(), QueuedBytes: s.out.queued}
	if c == nil {
		what.Since = s.until.Add(-s.expiry)
		return what, true
	}
	c.describe(&what)
	return what, true
}

// describe adds what the connection knows. The session's mu is held.
func (c *conn) describe(what *Client) {
	what.Connected, what.Since = true, c.came
	what.Address, what.Listener = c.host, c.terms.cfg.Bind
	what.Protocol, what.Transport = protocols[c.protocol], c.terms.transport()
	c.mu.Lock()
	defer c.mu.Unlock()
	what.Received, what.Sent = c.taught, c.told
}

// protocols are the names of the levels in a CONNECT.
var protocols = map[byte]string{3: "MQTT 3.1", 4: "MQTT 3.1.1", 5: "MQTT 5"}

// transport says what carries MQTT on a listener.
func (t *terms) transport() string {
	_, socket := socketPath(t.cfg.Bind)
	switch {
	case t.path != "" && t.tls != nil:
		return "secure websocket"
	case t.path != "":
		return "websocket"
	case t.tls != nil:
		return "tls"
	case socket:
		return "unix"
	}
	return "tcp"
}

func (s *session) detail() (ClientDetail, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	what, ok := s.describeLocked()
	d := ClientDetail{Client: what, Filters: make([]ClientFilter, 0, len(s.subs)), Expiry: s.expiry, Dropped: s.lost}
	if !ok {
		return d, false
	}
	for filter, sub := range s.subs {
		d.Filters = append(d.Filters, ClientFilter{filter, sub.qos})
	}
	inorder.Sort(d.Filters, func(a, b ClientFilter) int { return cmp.Compare(a.Filter, b.Filter) })
	w := s.will
	if c := s.conn.Load(); c != nil {
		d.KeepAlive, d.InFlight = c.keepAlive*2/3, s.out.flying
		d.Dropped += c.lost.Load()
		w = c.will
	}
	if w != nil {
		d.Will = &ClientWill{Topic: w.msg.Topic, PayloadSize: len(w.msg.Payload), QoS: w.msg.QoS, Retain: w.msg.Retain, Delay: w.delay}
	}
	return d, true
}
