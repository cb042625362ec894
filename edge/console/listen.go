package console

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"tidegate/edge/internal/lan"
)

// Bounds of connections: an HTTP/1.1 browser takes six. Of those that are idle the
// oldest makes room for a new one.
const (
	mostConns     = 64
	mostOfAddress = 32
	mostStrangers = 4 // that are being told why they may not come
)

// Bounds of a request.
const (
	headerTime  = 10 * time.Second
	bodyTime    = 30 * time.Second
	writeTime   = 30 * time.Second // for each piece of an answer
	idleTime    = 2 * time.Minute
	mostHeader  = 16 << 10
	mostBody    = 2 << 20
	shutdown    = 2 * time.Second
	acceptPause = 100 * time.Millisecond
)

// serve answers until ctx ends.
func (c *Console) serve(ctx context.Context, ln net.Listener) {
	g := &gate{
		ln: ln, networks: c.networks, log: c.log, secure: c.tls != nil, from: map[string]int{}, idle: map[*conn]time.Time{}, strangers: make(chan struct{}, mostStrangers),
		plain: newQueue(ln.Addr()), tls: newQueue(ln.Addr()),
	}
	var servers []*http.Server
	var wg sync.WaitGroup
	begin := func(h http.Handler, serve func(*http.Server) error) {
		s := &http.Server{
			Handler: h, ReadHeaderTimeout: headerTime, IdleTimeout: idleTime, MaxHeaderBytes: mostHeader, TLSConfig: c.tls.Clone(), // a server changes it
			HTTP2:       &http.HTTP2Config{MaxConcurrentStreams: 32, MaxReceiveBufferPerConnection: 256 << 10, MaxReceiveBufferPerStream: 128 << 10},
			BaseContext: func(net.Listener) context.Context { return ctx }, ConnState: g.note,
			ErrorLog: slog.NewLogLogger(c.log.Handler(), slog.LevelDebug),
		}
		servers = append(servers, s)
		wg.Go(func() { _ = serve(s) }) // ends with ErrServerClosed only
	}
	if c.tls == nil {
		begin(c.handler(), func(s *http.Server) error { return s.Serve(g.plain) })
	} else {
		begin(c.handler(), func(s *http.Server) error { return s.ServeTLS(g.tls, "", "") })
		begin(c.guard(http.HandlerFunc(toHTTPS)), func(s *http.Server) error { return s.Serve(g.plain) })
	}
	wg.Go(func() { g.accept(ctx) })
	<-ctx.Done()
	ln.Close()
	g.sniffing.Wait()
	late, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdown)
	defer cancel()
	for _, s := range servers {
		wg.Go(func() {
			if s.Shutdown(late) != nil {
				s.Close()
			}
		})
	}
	wg.Wait()
}

// gate lets connections in, and sorts them by whether they begin with TLS.
type gate struct {
	ln         net.Listener
	networks   *networks
	log        *slog.Logger
	secure     bool // TLS is spoken
	plain, tls *queue
	sniffing   sync.WaitGroup
	strangers  chan struct{}
	told       time.Time // when a stranger was last logged

	mu    sync.Mutex // guards what follows
	conns int
	from  map[string]int // connections by lan.Origin
	idle  map[*conn]time.Time
}

func (g *gate) accept(ctx context.Context) {
	for ctx.Err() == nil {
		nc, err := g.ln.Accept()
		switch {
		case err == nil:
			g.admit(nc)
		case errors.Is(err, net.ErrClosed):
			return
		default: // no descriptors left, most likely
			select {
			case <-ctx.Done():
			case <-time.After(acceptPause):
			}
		}
	}
}

func (g *gate) admit(nc net.Conn) {
	if !g.networks.allow(nc.RemoteAddr()) {
		g.sendAway(nc)
		return
	}
	c := &conn{Conn: nc, gate: g, from: lan.Origin(nc.RemoteAddr())}
	if !g.count(c) {
		nc.Close()
		return
	}
	if !g.secure {
		g.plain.put(c)
		return
	}
	g.sniffing.Go(func() { g.sort(c) })
}

// sort looks at the first byte: that of a TLS handshake is 22 [RFC 8446, 5.1].
func (g *gate) sort(c *conn) {
	c.SetReadDeadline(time.Now().Add(headerTime))
	var first [1]byte
	if _, err := c.Conn.Read(first[:]); err != nil {
		c.Close()
		return
	}
	c.SetReadDeadline(time.Time{})
	c.first = first[:]
	if first[0] == 22 {
		g.tls.put(c)
	} else {
		g.plain.put(c)
	}
}

const awayText = "Your address is not in the networks that may see this page.\nThe key allow of the section [console] in the gateway's configuration lists them.\n"

const awayAnswer = "HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Type: text/plain; charset=utf-8\r\nX-Content-Type-Options: nosniff\r\n\r\n" + awayText

// sendAway tells somebody from another network why, if that costs little.
func (g *gate) sendAway(nc net.Conn) {
	if now := time.Now(); now.Sub(g.told) > time.Minute {
		g.told = now
		g.log.Info("console: somebody from a network that is not in allow", "endpoint", nc.RemoteAddr().String())
	}
	select {
	case g.strangers <- struct{}{}:
		g.sniffing.Go(func() {
			defer func() { nc.Close(); <-g.strangers }()
			if g.secure {
				return
			}
			nc.SetDeadline(time.Now().Add(time.Second))
			var request [2048]byte
			nc.Read(request[:])
			nc.Write([]byte(awayAnswer))
		})
	default:
		nc.Close()
	}
}

// count takes a connection in; not when there are too many, and none of them is idle.
func (g *gate) count(c *conn) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	alone := g.from[c.from] >= mostOfAddress
	if alone || g.conns >= mostConns {
		var oldest *conn
		for o, since := range g.idle {
			if (!alone || o.from == c.from) && (oldest == nil || since.Before(g.idle[oldest])) {
				oldest = o
			}
		}
		if oldest == nil {
			return false
		}
		g.forget(oldest)
		oldest.Conn.Close() // its server notices
	}
	g.conns++
	g.from[c.from]++
	return true
}

// forget is for who has g.mu.
func (g *gate) forget(c *conn) {
	if c.forgotten {
		return
	}
	c.forgotten = true
	delete(g.idle, c)
	g.conns--
	if g.from[c.from]--; g.from[c.from] == 0 {
		delete(g.from, c.from)
	}
}

// note hears from a server what becomes of a connection.
func (g *gate) note(nc net.Conn, is http.ConnState) {
	if t, ok := nc.(*tls.Conn); ok {
		nc = t.NetConn()
	}
	c := nc.(*conn)
	g.mu.Lock()
	defer g.mu.Unlock()
	if is == http.StateIdle && !c.forgotten {
		g.idle[c] = time.Now()
	} else {
		delete(g.idle, c)
	}
}

// conn is a connection that is counted, with a byte that was read already.
type conn struct {
	net.Conn
	gate      *gate
	from      string
	first     []byte
	forgotten bool // no longer counted; guarded by gate.mu
}

func (c *conn) Read(b []byte) (int, error) {
	if len(c.first) == 0 {
		return c.Conn.Read(b)
	}
	n := copy(b, c.first)
	c.first = c.first[n:]
	return n, nil
}

func (c *conn) Close() error {
	err := c.Conn.Close()
	c.gate.mu.Lock()
	defer c.gate.mu.Unlock()
	c.gate.forget(c)
	return err
}

// queue is a listener whose connections are put in.
type queue struct {
	addr  net.Addr
	conns chan net.Conn
	ended chan struct{}
	once  sync.Once
}

func newQueue(addr net.Addr) *queue {
	return &queue{addr: addr, conns: make(chan net.Conn), ended: make(chan struct{})}
}

func (q *queue) put(c net.Conn) {
	select {
	case q.conns <- c:
	case <-q.ended:
		c.Close()
	}
}

func (q *queue) Accept() (net.Conn, error) {
	select {
	case c := <-q.conns:
		return c, nil
	case <-q.ended:
		return nil, net.ErrClosed
	}
}

func (q *queue) Close() error   { q.once.Do(func() { close(q.ended) }); return nil }
func (q *queue) Addr() net.Addr { return q.addr }
