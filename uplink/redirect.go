package uplink

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

const (
	hopLimit       = 3 // redirections in a row; then the link goes back to its list
	mostReferences = 8 // that are looked at in one Server Reference
)

// redirection is a node's wish that the link use another server: reason 0x9C
// for some time, 0x9D for good, in CONNACK or DISCONNECT [MQTT 5, 4.13].
type redirection struct {
	moved     bool   // for good
	reference string // host[:port], several apart by spaces; "" for none
	text      string
}

func (r *redirection) Error() string { return r.text }

// redirecting marks the error of a CONNACK or DISCONNECT if its reason is one
// of the two.
func redirecting(reason byte, reference string, err error) error {
	if reason != 0x9C && reason != 0x9D {
		return err
	}
	return fault(FaultRedirected, &redirection{reason == 0x9D, reference, err.Error()})
}

var (
	errNoReference = errors.New("no server is named")
	errHops        = fmt.Errorf("%d redirections in a row", hopLimit)
	errCircle      = errors.New("it names only servers that have sent the link away")
	errHome        = fault(FaultMoving, errors.New("the redirection's time is over"))
)

// notAllowed says where the link was sent and did not go.
type notAllowed struct{ reference string }

func (n *notAllowed) Error() string {
	return fmt.Sprintf("it names %.200q, which is no host of endpoints or redirect-to, or lacks TLS", n.reference)
}

// detour is a link's way along redirections. The zero detour is at its
// beginning.
type detour struct {
	hops    int
	senders []string // host:port of those that sent the link away
	next    []endpoint
	there   bool          // the link is where it led
	life    time.Duration // of the stay there; 0 for no end
}

// obey plans where to go after from has sent the link away, or says why that
// cannot be. life is redirect-for.
func (d *detour) obey(r *redirection, from endpoint, may func(host string) bool, life time.Duration) error {
	d.hops++
	d.next, d.there = nil, false
	d.senders = append(d.senders, from.host)
	if strings.TrimSpace(r.reference) == "" {
		return errNoReference
	}
	if d.hops > hopLimit {
		return errHops
	}
	var refused error
	for i, text := range strings.Fields(r.reference) {
		if i == mostReferences {
			break
		}
		e, err := refer(text, from)
		switch {
		case err != nil || !may(e.name):
			if refused == nil {
				refused = &notAllowed{text}
			}
		case slices.Contains(d.senders, e.host):
			if refused == nil {
				refused = errCircle
			}
		default:
			d.next = append(d.next, e)
		}
	}
	if len(d.next) == 0 {
		return refused
	}
	if d.life = life; r.moved {
		d.life = 0
	}
	return nil
}

// end forgets the way: the link goes back to its list.
func (d *detour) end() { *d = detour{} }

// pop returns where to go next.
func (d *detour) pop() (to endpoint, ok bool) {
	if len(d.next) == 0 {
		return endpoint{}, false
	}
	to, d.next = d.next[0], d.next[1:]
	return to, true
}

// listed returns the endpoint of the list that to is, by an address that DNS
// gave, or to itself.
func (d *detour) listed(set *settings, to endpoint) endpoint {
	_, port, _ := net.SplitHostPort(to.host)
	for _, e := range set.endpoints {
		_, p, _ := net.SplitHostPort(e.host)
		if e.name == to.name && p == port && e.tls == to.tls && e.path == to.path && !slices.Contains(d.senders, e.host) {
			return e
		}
	}
	return to
}

// stay has retire called when the link has been where the way led for long
// enough, unless cancel is called before.
func (d *detour) stay(retire context.CancelCauseFunc) (cancel func()) {
	if !d.there || d.life == 0 {
		return func() {}
	}
	t := time.AfterFunc(d.life, func() { retire(errHome) })
	return func() { t.Stop() }
}

// refer reads one server of a Server Reference, host, host:port or a URL. It is
// reached the way that from is, and never with less than that: what came over
// TLS does not lead out of it.
func refer(text string, from endpoint) (endpoint, error) {
	base, _, _ := strings.Cut(from.url, " ") // without the address
	home, err := url.Parse(base)
	if err != nil {
		return endpoint{}, err
	}
	to := &url.URL{Scheme: strings.TrimSuffix(home.Scheme, "+srv"), Host: text, Path: home.Path}
	if strings.Contains(text, "://") {
		if to, err = url.Parse(text); err != nil {
			return endpoint{}, err
		}
	}
	if ip, err := netip.ParseAddr(text); err == nil && ip.Is6() { // without the brackets that it should have
		to.Host = net.JoinHostPort(text, "")
		to.Host = strings.TrimSuffix(to.Host, ":")
	}
	e, err := parseEndpoint(to.String())
	switch {
	case err != nil:
		return endpoint{}, err
	case from.tls && !e.tls:
		return endpoint{}, errors.New("it lacks TLS")
	case !hostName(e.name):
		return endpoint{}, errors.New("it is not the name of a host")
	}
	return e, nil
}

func hostName(s string) bool {
	if _, err := netip.ParseAddr(s); err == nil {
		return true
	}
	return s != "" && len(s) <= 253 && !strings.ContainsFunc(s, func(r rune) bool { return !nameRune(r) })
}

// mayRedirect says whether a node may send links to host: one of the hosts of
// endpoints, or of redirect-to.
func (c Config) mayRedirect(host string) bool {
	for _, text := range c.Endpoints {
		if u, err := url.Parse(text); err == nil && sameHost(u.Hostname(), host) {
			return true
		}
	}
	return slices.ContainsFunc(c.RedirectTo, func(pattern string) bool { return matchHost(pattern, host) })
}

func sameHost(a, b string) bool {
	return strings.EqualFold(strings.TrimSuffix(a, "."), strings.TrimSuffix(b, "."))
}

// matchHost compares host with a name or address, "*.domain" for the names
// below a domain, or a network such as 10.0.0.0/8 for addresses.
func matchHost(pattern, host string) bool {
	if net, err := netip.ParsePrefix(pattern); err == nil {
		ip, err := netip.ParseAddr(host)
		return err == nil && net.Contains(ip.Unmap().WithZone(""))
	}
	if domain, ok := strings.CutPrefix(pattern, "*."); ok {
		host = strings.ToLower(strings.TrimSuffix(host, "."))
		below, ok := strings.CutSuffix(host, "."+strings.ToLower(domain))
		return ok && below != ""
	}
	return sameHost(pattern, host)
}

// referTo counts what became of a link's redirections.
type referTo struct {
	redirects atomic.Int64 // followed
	astray    atomic.Int64 // not followed: no reference, not allowed, too many, or not reached
	sent      atomic.Bool  // the link is where a redirection led it
	warned    time.Time    // when the last one of those was logged
}

const warnAgain = 10 * time.Minute // a node that sends links astray is in the log, but does not fill it

// divert plans what err, from endpoint e, asks for if it is a redirection. The
// endpoint is avoided for a while whether or not there is another place to go.
func (l *link) divert(e endpoint, err error) {
	var r *redirection
	l.detour.there = false
	l.sent.Store(false)
	if !errors.As(err, &r) {
		return
	}
	set := l.up.settings.Load()
	life := set.cfg.RedirectFor.Std()
	if set.index(e.url) >= 0 {
		until := time.Now().Add(life)
		l.troubleAt(e).avoid = until
		l.up.home.sentAway(e.url, until)
	}
	why := l.detour.obey(r, e, set.cfg.mayRedirect, life)
	if why == nil {
		return
	}
	l.detour.end()
	l.astray.Add(1)
	why = fault(FaultRedirected, fmt.Errorf("%w; the link goes back to the list: %w", err, why))
	l.fail("", why)
	if time.Since(l.warned) < warnAgain {
		return
	}
	l.warned = time.Now()
	l.log.Info("redirection not followed", "endpoint", e.url, "err", why)
	var bad *notAllowed
	if errors.As(why, &bad) {
		l.log.Warn("a node sends the link to a server that is not allowed; if it should go there, add the host to redirect-to", "endpoint", e.url, "to", fmt.Sprintf("%.200q", bad.reference))
	}
}

// follow tries a server that the link was sent to. Nil: it was not reached, or
// sends the link on.
func (l *link) follow(ctx context.Context, set *settings, to endpoint) *client {
	to = l.detour.listed(set, to)
	l.up.settle(l, set, to)
	l.set(Connecting, "")
	c, err := l.try(ctx, set, to, min(set.cfg.ConnectTimeout.Std(), max(firstTry, 6*time.Duration(l.mean.Load()))))
	if err == nil {
		l.detour.there = true
		l.sent.Store(true)
		l.redirects.Add(1)
		l.log.Info("link follows a redirection", "endpoint", to.url)
		return c
	}
	if ctx.Err() != nil {
		return nil
	}
	l.fail("", err)
	var r *redirection
	if errors.As(err, &r) {
		l.divert(to, err)
		return nil
	}
	if len(l.detour.next) == 0 {
		l.detour.end()
	}
	l.astray.Add(1)
	l.log.Info("redirection leads nowhere", "endpoint", to.url, "err", err)
	return nil
}

// settle notes that l goes to an endpoint, of the list or not.
func (u *Uplink) settle(l *link, set *settings, to endpoint) {
	u.mu.Lock()
	defer u.mu.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.place, l.at = set.index(to.url), to.url
}

func (c Config) checkRedirect(p *problems) {
	for i, pattern := range c.RedirectTo {
		_, err := netip.ParsePrefix(pattern)
		if err != nil && !hostName(strings.TrimPrefix(pattern, "*.")) {
			p.add(fmt.Sprintf("redirect-to[%d]", i), quote(pattern), `a host, "*.domain" or a network such as "10.0.0.0/8", without port`, "a Server Reference that leads elsewhere is not followed")
		}
	}
	p.lasting("redirect-for", c.RedirectFor, time.Second, 30*24*time.Hour)
}
