package uplink

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"
)

// transfer is the way of a link to another endpoint: the connection there is
// open already, up to but not including MQTT.
type transfer struct {
	set  *settings
	from string // URL of the endpoint that the link leaves
	to   endpoint
	conn net.Conn
	done chan error // one result, nil: the link is there. Has room
}

// greetWithin is how long the new endpoint may take for its CONNACK; then the
// link goes back.
const greetWithin = time.Second

var (
	errReturning = errors.New("the link goes to another endpoint")
	errStayed    = errors.New("the link stayed")
	errInFlight  = fmt.Errorf("%w: what was in flight was not acknowledged within drain-timeout", errStayed)
	errElsewhere = fmt.Errorf("%w: its connection ended meanwhile", errStayed)
)

// drop gives a transfer up. t may be nil.
func (t *transfer) drop(why error) {
	if t != nil {
		t.conn.Close()
		t.done <- why
	}
}

// handOver asks the link to go over to t, and waits until it has or has not.
func (l *link) handOver(ctx context.Context, t *transfer) error {
	l.leaving.Store(t)
	l.notify()
	timer := time.NewTimer(t.set.cfg.DrainTimeout.Std() + greetWithin + time.Second)
	defer timer.Stop()
	select {
	case err := <-t.done:
		return err
	case <-ctx.Done():
	case <-timer.C: // the link is lost, and looks for an endpoint by itself
	}
	if l.leaving.CompareAndSwap(t, nil) {
		t.drop(errElsewhere)
	}
	return <-t.done
}

// asked says whether the link is to leave the connection that it has.
func (l *link) asked() bool {
	t := l.leaving.Load()
	if t != nil && t.from != l.last {
		l.stay(errElsewhere)
		return false
	}
	return t != nil
}

// stay tells who waits that the link does not leave now.
func (l *link) stay(why error) {
	l.leaving.Swap(nil).drop(why)
	l.set(Connected, "")
}

// takeOver makes the connection of t the link's. Nil: it did not come about,
// and reach begins where the link was.
func (l *link) takeOver(ctx context.Context, t *transfer) (*client, endpoint) {
	if t == nil {
		return nil, endpoint{}
	}
	if l.up.settings.Load() != t.set {
		t.drop(fmt.Errorf("%w: %w", errStayed, errRolled))
		return nil, endpoint{}
	}
	timer := time.AfterFunc(offlineAfter, l.sayOffline)
	defer timer.Stop()
	l.up.occupy(l, t.set, func(e int) bool { return t.set.endpoints[e].url == t.to.url })
	l.set(Connecting, "on the way back to "+t.to.url)
	c, err := l.greet(ctx, t.set, t.conn, min(greetWithin, t.set.cfg.ConnectTimeout.Std()))
	if err != nil {
		l.troubleAt(t.to).failed(time.Now(), t.set.cfg.ReconnectMax.Std())
		l.back = t.from
		l.fail("", err)
	}
	t.done <- err
	return c, t.to
}

// forgive lets every endpoint be tried at once.
func (l *link) forgive(tried []bool) {
	clear(tried)
	for _, t := range l.trouble {
		t.until = time.Time{}
	}
}

// greet makes an MQTT connection of nc, which it closes when it fails.
func (l *link) greet(ctx context.Context, set *settings, nc net.Conn, within time.Duration) (*client, error) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	l.edition = set.edition
	h := &health{link: l, nudge: make(chan struct{}, 1)}
	cp := l.role.connect(set.cfg)
	cp.ClientID = l.id
	return connect(ctx, nc, set.cfg, cp, l.role, within, h)
}
