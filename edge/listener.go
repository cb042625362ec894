package edge

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"

	"tidegate/edge/internal/certs"
	"tidegate/edge/internal/lan"
)

// listener is one address where devices connect.
type listener struct {
	log    *slog.Logger
	ln     net.Listener
	closed atomic.Bool
	terms  atomic.Pointer[terms] // stored under Broker.mu
	pace   pace

	// Guarded by Broker.mu.
	conns   int
	perAddr map[string]int
}

// terms are what a listener goes by. A reload gives it others; a connection
// keeps those it came in under.
type terms struct {
	cfg  ListenerConfig
	tls  *tls.Config // nil: plain
	path string      // of WebSockets; empty: MQTT is not in them

	proxies proxies // who must say for whom they come; none: clients come themselves
}

func newListener(cfg ListenerConfig, log *slog.Logger) (*listener, error) {
	t, err := newTerms(cfg, nil, log)
	if err != nil {
		return nil, err
	}
	l := &listener{log: log, perAddr: map[string]int{}}
	l.terms.Store(t)
	return l, nil
}

// newTerms reads the certificates, unless old, which may be nil, has them.
func newTerms(cfg ListenerConfig, old *terms, log *slog.Logger) (*terms, error) {
	t := &terms{cfg: cfg}
	if cfg.Protocol == overWebSocket {
		t.path = cmp.Or(cfg.Path, "/mqtt")
	}
	var err error
	if t.proxies, err = parseProxies(cfg.Proxies); err != nil {
		return nil, err // Check has found it before
	}
	switch {
	case cfg.Cert == "":
	case old != nil && old.cfg.Cert == cfg.Cert && old.cfg.Key == cfg.Key && old.cfg.ClientCA == cfg.ClientCA:
		t.tls = old.tls
	default:
		secure, err := certs.New(cfg.Cert, cfg.Key, cfg.ClientCA, log)
		if err != nil {
			return nil, fmt.Errorf("listener %s: %w", cfg.Bind, err)
		}
		t.tls = secure
	}
	return t, nil
}

func (l *listener) cfg() *ListenerConfig { return &l.terms.Load().cfg }

func (l *listener) bind() error {
	to := l.cfg().Bind
	if path, ok := socketPath(to); ok {
		ln, err := listenUnix(path, l.cfg())
		if err != nil {
			return fmt.Errorf("listen on %s: %w", to, err)
		}
		l.ln = ln
		return nil
	}
	ln, err := net.Listen("tcp", to)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("listen on %s: another program has this port; stop it (a Mosquitto, perhaps) or choose another bind: %w", to, err)
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("listen on %s: ports below 1024 need the right to bind them; choose one above or give CAP_NET_BIND_SERVICE: %w", to, err)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Errorf("listen on %s: this machine has no such address; use :port for every address: %w", to, err)
	case err != nil:
		return fmt.Errorf("listen on %s: %w", to, err)
	}
	l.ln = ln
	return nil
}

func (l *listener) close() {
	l.closed.Store(true)
	if l.ln != nil {
		l.ln.Close()
	}
}

// The pauses between attempts to accept while that fails: no descriptors left,
// most likely.
const (
	acceptPause    = 5 * time.Millisecond
	acceptPauseMax = time.Second
)

// accept takes connections until the listener is closed.
func (b *Broker) accept(ctx context.Context, l *listener) {
	pause := acceptPause
	for !l.closed.Load() {
		nc, err := l.ln.Accept()
		if err == nil {
			pause = acceptPause
			b.admit(ctx, l, nc)
			continue
		}
		if l.closed.Load() || errors.Is(err, net.ErrClosed) {
			return
		}
		b.stats.acceptErrors.Add(1)
		if pause == acceptPause {
			b.log.Warn("cannot accept connections", "endpoint", l.cfg().Bind, "err", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		pause = min(2*pause, acceptPauseMax)
	}
}

// admit starts the goroutine of a connection, unless a limit is reached.
func (b *Broker) admit(ctx context.Context, l *listener, nc net.Conn) {
	t := l.terms.Load()
	at := remote(nc)
	if t.tls != nil {
		nc = tls.Server(nc, t.tls)
	}
	c := newConn(b, nc, l, t)
	c.host, c.from = host(at), lan.Origin(at)
	if t.proxies.any() && !t.proxies.has(at) {
		b.stats.refusedConnections.Add(1)
		b.notice("connection refused, because it comes from none of the listener's proxies", c.host, "endpoint", t.cfg.Bind)
		c.hangUp()
		return
	}
	if !b.remember(c) {
		c.tooMany()
		c.hangUp()
		return
	}
	b.stats.connections.Add(1)
	b.readers.Go(func() { c.serve(ctx) })
}

func (c *conn) tooMany() {
	c.b.stats.refusedConnections.Add(1)
	c.b.notice("connection refused, because there are too many (edge.limits or the limits of its listener)", c.host, "endpoint", c.terms.cfg.Bind)
}

// remember counts c, unless a limit is reached. Where a proxy is before the
// client, its address is not known yet.
func (b *Broker) remember(c *conn) bool {
	l, own := c.listen, c.terms.cfg.Connections
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.conns) >= b.config().Limits.Connections || own > 0 && l.conns >= own || !c.terms.proxies.any() && !b.place(c) {
		return false
	}
	b.conns[c] = struct{}{}
	l.conns++
	return true
}

// place counts c at its address, unless a limit is reached. mu is held.
func (b *Broker) place(c *conn) bool {
	l, own := c.listen, c.terms.cfg.ConnectionsPerAddr
	if b.perAddr[c.from] >= b.config().Limits.ConnectionsPerAddr || own > 0 && l.perAddr[c.from] >= own {
		return false
	}
	b.perAddr[c.from]++
	l.perAddr[c.from]++
	c.placed = true
	return true
}

// forget takes c out of the counts.
func (b *Broker) forget(c *conn) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, counted := b.conns[c]; !counted {
		return
	}
	delete(b.conns, c)
	c.listen.conns--
	if c.placed {
		less(b.perAddr, c.from)
		less(c.listen.perAddr, c.from)
	}
}

func less(counts map[string]int, key string) {
	if counts[key]--; counts[key] <= 0 {
		delete(counts, key)
	}
}

// The limits of a connection are those of its listener, or of all.

func (c *conn) maxPacket() int {
	return int(cmp.Or(c.terms.cfg.MaxPacket, c.b.config().Limits.MaxPacket))
}

func (c *conn) connectTimeout() time.Duration {
	return cmp.Or(c.terms.cfg.ConnectTimeout, c.b.config().Limits.ConnectTimeout).Std()
}

// awaitTurn holds a CONNECT back while its listener has had enough of them. ctx
// ends when the client must have been let in.
func (c *conn) awaitTurn(ctx context.Context) error {
	end, _ := ctx.Deadline()
	now := time.Now()
	wait, ok := c.listen.pace.turn(now, c.terms.cfg.ConnectsPerSecond, end.Sub(now))
	if !ok {
		c.b.stats.refusedConnections.Add(1)
		c.b.notice("client refused, because too many come (connects-per-second)", c.host, "endpoint", c.terms.cfg.Bind)
		return packets.ErrConnectionRateExceeded
	}
	if wait == 0 {
		return nil
	}
	turn := time.NewTimer(wait)
	defer turn.Stop()
	select {
	case <-turn.C:
		return nil
	case <-ctx.Done():
		return packets.ErrServerUnavailable
	}
}
