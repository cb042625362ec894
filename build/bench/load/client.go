package load

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// Client says how one client connects; Publishers and Subscribers contain it.
// The zero value of every field but Addrs is usable.
type Client struct {
	Addrs      []string // "host:port", tried in turn, from the one that worked last; the next after a loss
	Version    byte     // MQTT311 or MQTT5, which is the default
	ID         string   // client id; of a Fleet the prefix, to which the number of the publisher is added
	User       string
	Password   string
	KeepAlive  time.Duration // whole seconds; 0 for none: then a silent network is not noticed
	Persistent bool          // clean start false, and a session that outlives the connection
	Expiry     time.Duration // of a persistent MQTT 5 session; one hour by default
	ReceiveMax uint16        // how many unacknowledged messages a subscriber allows (MQTT 5); 0 for no limit
	Retry      time.Duration // between attempts to connect; 100 ms by default

	// Dial opens the connection in place of TCP: TLS, a faulty network.
	Dial func(ctx context.Context, addr string) (net.Conn, error)
}

func (c *Client) version() byte {
	if c.Version == MQTT311 {
		return MQTT311
	}
	return MQTT5
}

func (c *Client) expiry() uint32 {
	if c.Expiry > 0 {
		return uint32(c.Expiry.Seconds())
	}
	return 3600
}

// attempt is the deadline of one attempt to connect.
const attempt = 10 * time.Second

// Refused is the error of a CONNACK with a return or reason code that is not
// success.
type Refused struct{ Code byte }

func (r Refused) Error() string { return fmt.Sprintf("connection refused with code %#02x", r.Code) }

// conn is one connection after its CONNACK.
type conn struct {
	nc         net.Conn
	version    byte
	in         []byte // in[head:tail] is read and not parsed
	head, tail int
	out        []byte        // to be written at the next flush
	present    bool          // the broker had our session
	receiveMax int           // the broker's Receive Maximum
	timeout    time.Duration // of a write; 0 for none
}

// dialer goes round the addresses of a client.
type dialer struct {
	Client
	id string
	at int // index of the address to try next
}

// connect tries address after address until one accepts or ctx ends. The error
// of the last attempt comes with ctx's.
func (d *dialer) connect(ctx context.Context) (*conn, error) {
	if len(d.Addrs) == 0 {
		return nil, errors.New("no address to connect to")
	}
	retry := d.Retry
	if retry <= 0 {
		retry = 100 * time.Millisecond
	}
	for tried := 1; ; tried++ {
		c, err := d.try(ctx, d.Addrs[d.at%len(d.Addrs)])
		if err == nil {
			return c, nil
		}
		d.at++
		pause := retry
		if tried%len(d.Addrs) != 0 {
			pause = 0
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("connect %s: %w: %w", d.id, ctx.Err(), err)
		case <-time.After(pause):
		}
	}
}

func (d *dialer) try(ctx context.Context, addr string) (*conn, error) {
	ctx, cancel := context.WithTimeout(ctx, attempt)
	defer cancel()
	dial := d.Dial
	if dial == nil {
		dial = func(ctx context.Context, addr string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", addr)
		}
	}
	nc, err := dial(ctx, addr)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { nc.Close() })
	c := &conn{nc: nc, version: d.version(), in: make([]byte, 4096)}
	err = c.handshake(&d.Client, d.id)
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		nc.Close()
		return nil, fmt.Errorf("%s: %w", addr, err)
	}
	return c, nil
}

func (c *conn) handshake(client *Client, id string) error {
	c.out = appendConnect(c.out, client, id)
	if err := c.flush(); err != nil {
		return err
	}
	var p packet
	if err := c.next(&p); err != nil {
		return err
	}
	if p.kind != connack {
		return fmt.Errorf("packet of type %d in place of CONNACK", p.kind)
	}
	if p.reason != 0 {
		return Refused{p.reason}
	}
	c.present, c.receiveMax, c.timeout = p.present, 65535, client.KeepAlive
	d := decoder{b: p.props, ok: true}
	for len(d.b) > 0 {
		if id, value, _, _ := d.property(); id == propReceiveMax {
			c.receiveMax = int(value)
		}
	}
	if !d.ok {
		return errMalformed
	}
	return nil
}

// next waits for one packet.
func (c *conn) next(p *packet) error {
	for {
		ok, err := c.parsed(p)
		if ok || err != nil {
			return err
		}
		if err := c.read(); err != nil {
			return err
		}
	}
}

// parsed takes the next packet that is already read; false when there is none
// that is complete.
func (c *conn) parsed(p *packet) (bool, error) {
	size, err := parse(c.in[c.head:c.tail], c.version, p)
	if errors.Is(err, errIncomplete) {
		c.room(size)
		return false, nil
	}
	if err != nil {
		return false, err
	}
	c.head += size
	return true, nil
}

// bufferMax is the largest read buffer, but for a packet that is larger.
const bufferMax = 128 << 10

// room makes place behind what is read for a packet of size bytes, and more
// when the last read filled the buffer.
func (c *conn) room(size int) {
	full := c.tail == len(c.in)
	rest := copy(c.in, c.in[c.head:c.tail])
	c.head, c.tail = 0, rest
	want := len(c.in)
	if full && want < bufferMax {
		want = min(4*want, bufferMax)
	}
	if want = max(want, size); want > len(c.in) {
		c.in = append(make([]byte, 0, want), c.in[:rest]...)[:want]
	}
}

// read waits for more bytes: one system call.
func (c *conn) read() error {
	n, err := c.nc.Read(c.in[c.tail:])
	c.tail += n
	if n > 0 {
		return nil
	}
	if err == nil {
		err = io.ErrNoProgress
	}
	return err
}

// flush writes what is ready: one system call.
func (c *conn) flush() error {
	if len(c.out) == 0 {
		return nil
	}
	if c.timeout > 0 {
		c.nc.SetWriteDeadline(time.Now().Add(c.timeout))
	}
	_, err := c.nc.Write(c.out)
	c.out = c.out[:0]
	return err
}

// goodbye sends DISCONNECT and closes.
func (c *conn) goodbye() error {
	c.out = append(c.out, disconnect<<4, 0)
	return errors.Join(c.flush(), c.nc.Close())
}

// Ping connects once, trying again until ctx ends, and leaves: the broker
// accepts clients.
func Ping(ctx context.Context, client Client) error {
	d := dialer{Client: client, id: client.ID}
	c, err := d.connect(ctx)
	if err != nil {
		return err
	}
	return c.goodbye()
}
