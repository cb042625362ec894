package edge

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync/atomic"
	"syscall"
	"time"
)

// listener is one address where devices connect.
type listener struct {
	cfg    ListenerConfig
	tls    *tls.Config // nil: plain TCP
	log    *slog.Logger
	ln     net.Listener
	closed atomic.Bool
}

func newListener(cfg ListenerConfig, log *slog.Logger) (*listener, error) {
	l := &listener{cfg: cfg, log: log}
	if cfg.Cert == "" {
		return l, nil
	}
	secure, err := newCerts(cfg.Cert, cfg.Key, cfg.ClientCA, log)
	if err != nil {
		return nil, fmt.Errorf("listener %s: %w", cfg.Bind, err)
	}
	l.tls = secure
	return l, nil
}

func (l *listener) bind() error {
	ln, err := net.Listen("tcp", l.cfg.Bind)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("listen on %s: another program has this port; stop it (a Mosquitto, perhaps) or choose another bind: %w", l.cfg.Bind, err)
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("listen on %s: ports below 1024 need the right to bind them; choose one above or give CAP_NET_BIND_SERVICE: %w", l.cfg.Bind, err)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Errorf("listen on %s: this machine has no such address; use :port for every address: %w", l.cfg.Bind, err)
	case err != nil:
		return fmt.Errorf("listen on %s: %w", l.cfg.Bind, err)
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
			b.log.Warn("cannot accept connections", "endpoint", l.cfg.Bind, "err", err)
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
	limits := &b.config().Limits
	from := host(nc.RemoteAddr())
	if l.tls != nil {
		nc = tls.Server(nc, l.tls)
	}
	c := newConn(b, nc, l)
	b.mu.Lock()
	full := len(b.conns) >= limits.Connections || b.perAddr[from] >= limits.ConnectionsPerAddr
	if !full {
		b.conns[c] = struct{}{}
		b.perAddr[from]++
	}
	b.mu.Unlock()
	if full {
		b.stats.refusedConnections.Add(1)
		b.notice("connection refused, because there are too many (edge.limits)", from)
		c.hangUp()
		return
	}
	b.stats.connections.Add(1)
	b.readers.Go(func() { c.serve(ctx) })
}

// forget takes c out of the counts.
func (b *Broker) forget(c *conn) {
	from := host(c.nc.RemoteAddr())
	b.mu.Lock()
	delete(b.conns, c)
	if b.perAddr[from]--; b.perAddr[from] <= 0 {
		delete(b.perAddr, from)
	}
	b.mu.Unlock()
}
