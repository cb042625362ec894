package uplink

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/eclipse/paho.golang/paho"
)

// The states of a link.
const (
	Connecting = "connecting" // an endpoint is dialled
	Backoff    = "backoff"    // every endpoint failed; waiting for the next try
	Connected  = "up"
	Slow       = "slow"     // up; PUBACKs are late, pings are answered
	Draining   = "draining" // takes nothing more, waits for PUBACKs
	Stopped    = "stopped"
)

const (
	offlineAfter = 250 * time.Millisecond // without a connection, before the spool is told
	firstTry     = time.Second            // for each of several endpoints in the first round
)

// role is the direction of a link.
type role interface {
	plane
	beginner
	connect(Config) *paho.Connect
	serve(ctx context.Context, c *client) error // until the connection or ctx ends; it closes the connection
	oldest() (sent int64, count int)            // unanswered, on the connection's clock
	mayReturn(Config) bool                      // whether moving for a better place loses nothing
	online(bool)                                // whether the link has a connection
}

// beginner is told of a connection's CONNACK before anything else was read.
type beginner interface{ begin(w *wire, l limits) }

// link is one stable client identity. It moves between endpoints.
type link struct {
	up    *Uplink
	index int // among the uplink's links; the down link is the last
	id    string
	role  role
	log   *slog.Logger

	bell // of the link's goroutine

	factor    atomic.Int32 // of the ack deadline
	late      atomic.Bool
	mean, dev atomic.Int64 // round trip
	tripAt    atomic.Int64 // when it was last measured, in ns since born
	born      time.Time

	leaving atomic.Pointer[transfer] // where the link is asked to go; who takes it out finishes it

	trouble  map[string]*trouble // by URL of the endpoint; the link's goroutine's, as what follows
	last     string              // URL of the last connection's endpoint
	gone     time.Time           // since when there is no connection
	back     string              // URL of the endpoint to try before any other, "" for none
	returned bool                // the connection was made by a return
	hope     atomic.Bool         // another link has a connection again: every endpoint may be tried
	detour   detour
	noted    Fault     // the last that history knows of, while there is no connection
	adopted  *settings // the last ones
	edition  int       // of the settings that the connection was made with
	referTo

	sayMu sync.Mutex // orders what the role is told about being online
	said  bool
	have  bool // a connection

	mu       sync.Mutex // guards what follows
	state    string
	cause    string
	fault    Fault // the kind of cause
	faults   map[Fault]int64
	since    time.Time
	place    int    // endpoint, -1 for none; written with Uplink.mu held too
	at       string // its URL
	health   *health
	retire   context.CancelCauseFunc
	attempts int64 // connections made
	moves    int64 // to another endpoint than the last
	returns  int64 // of a link that was up, to where it belongs

	notReturned int64  // tries of that which came to nothing
	whyNot      string // the last one
}

var errRolled = errors.New("the configuration changed")

func newLink(u *Uplink, index int, id string) *link {
	l := &link{
		up: u, index: index, id: id, log: u.log.With("link", id), bell: newBell(), trouble: map[string]*trouble{}, place: -1,
		said: true, state: Stopped, since: time.Now(), born: time.Now(), faults: map[Fault]int64{},
	}
	l.factor.Store(1)
	return l
}

func (l *link) config() Config { return l.up.settings.Load().cfg }

// run keeps the link connected until ctx ends.
func (l *link) run(ctx context.Context) {
	defer l.set(Stopped, "")
	var over *transfer // where the link goes next, nil for anywhere
	defer func() { over.drop(errElsewhere) }()
	for ctx.Err() == nil {
		c, e := l.takeOver(ctx, over)
		over = nil
		if l.returned = c != nil; c == nil {
			c, e = l.reach(ctx)
		}
		if c == nil {
			return
		}
		began := time.Now()
		sctx, retire := context.WithCancelCause(ctx)
		l.connected(c, e, retire)
		if l.edition != l.up.settings.Load().edition { // changed while it connected: the roll passed it by
			retire(errRolled)
		}
		leave := l.detour.stay(retire)
		err := l.role.serve(sctx, c)
		leave()
		why := context.Cause(sctx)
		retire(nil)
		l.disconnected()
		if over = l.leaving.Swap(nil); err == errReturning {
			l.gone = time.Now()
			continue
		}
		over.drop(errElsewhere)
		over = nil
		if ctx.Err() != nil {
			l.noteDown(EventStop, e.url, time.Since(began), nil)
			return
		}
		if errors.Is(why, errRolled) || errors.Is(why, errHome) {
			l.noteDown(EventMove, e.url, time.Since(began), nil)
			l.last = ""
			l.detour.end()
			l.sent.Store(false)
			l.fail(Connecting, why)
			l.up.presence.note(why.Error())
			continue
		}
		if time.Since(began) > 6*stableSpell && !errors.Is(err, errStuck) {
			l.factor.Store(1)
		}
		l.lost(e, time.Since(began), err)
	}
}

func (l *link) lost(e endpoint, lasted time.Duration, err error) {
	err = lossFault(err)
	l.noteDown(EventDown, e.url, lasted, err)
	l.fail(Connecting, err)
	l.gone = time.Now()
	l.up.presence.note(l.id + " lost " + e.url + ": " + err.Error())
	l.log.Info("link lost", "endpoint", e.url, "fault", faultOf(err), "after", lasted.Round(time.Millisecond), "err", err)
	if l.up.settings.Load().index(e.url) >= 0 {
		l.troubleAt(e).lost(time.Now(), lasted, l.config().ReconnectMax.Std())
		l.up.home.lost(e.url, l.returned, lasted)
	}
	l.up.suspect(l, e)
	if lasted >= stableSpell {
		l.detour.end()
	}
	l.divert(e, err)
}

// reach tries endpoints until one takes the link. The first round goes through
// the list without a pause. It returns nil when ctx ends.
func (l *link) reach(ctx context.Context) (*client, endpoint) {
	timer := time.AfterFunc(offlineAfter, l.sayOffline)
	defer timer.Stop()
	var tried []bool
	var set *settings
	l.up.names.ask()
	for misses := 0; ctx.Err() == nil; {
		if now := l.up.settings.Load(); now != set {
			set, tried, misses = now, l.adopt(now), 0
		}
		if misses >= len(tried) && l.hope.Swap(false) {
			l.forgive(tried)
		}
		if to, ok := l.detour.pop(); ok {
			if c := l.follow(ctx, set, to); c != nil {
				return c, to
			}
			continue
		}
		e, wait := l.choose(set, tried)
		if e < 0 && l.hope.Swap(false) {
			l.forgive(tried)
			continue
		}
		if e < 0 {
			l.set(Backoff, "")
			sleep(ctx, wait, l.wake)
			continue
		}
		l.set(Connecting, "")
		within := set.cfg.ConnectTimeout.Std()
		if len(tried) > 1 && misses < len(tried) {
			within = min(within, max(firstTry, 6*time.Duration(l.mean.Load())))
		}
		to := set.endpoints[e]
		c, err := l.try(ctx, set, to, within)
		if err == nil {
			return c, to
		}
		if ctx.Err() != nil {
			return nil, endpoint{}
		}
		if err == errResolved {
			continue
		}
		tried[e] = true
		l.troubleAt(to).failed(time.Now(), pauseAfter(err, set.cfg.ReconnectMax.Std(), len(set.endpoints)))
		misses++
		l.up.home.failed(to.url)
		l.up.outages.missed(l, to.url, err, time.Now())
		l.fail("", err)
		l.noteAway(to.url, err)
		l.divert(to, err)
		if misses == len(tried) {
			l.sayOffline()
		}
	}
	return nil, endpoint{}
}

// adopt takes over a list of endpoints and returns which of them come last in
// the first round: the one that was just lost, and those that do not route.
func (l *link) adopt(set *settings) (tried []bool) {
	maps.DeleteFunc(l.trouble, func(url string, _ *trouble) bool {
		return !slices.ContainsFunc(set.endpoints, func(e endpoint) bool { return e.url == url })
	})
	if l.adopted != nil && l.adopted != set {
		l.detour.end()
	}
	l.adopted = set
	tried = make([]bool, len(set.endpoints))
	for i, e := range set.endpoints {
		tried[i] = (e.url == l.last || l.up.canary.shuns(e.url, time.Now())) && len(tried) > 1
	}
	return tried
}

func (l *link) troubleAt(e endpoint) *trouble {
	t := l.trouble[e.url]
	if t == nil {
		t = &trouble{}
		l.trouble[e.url] = t
	}
	return t
}

// choose returns the endpoint to try now, or -1 and how long to wait for one.
func (l *link) choose(set *settings, tried []bool) (e int, wait time.Duration) {
	all := true
	for _, t := range tried {
		all = all && t
	}
	if all {
		clear(tried)
		l.up.names.ask()
	}
	now := time.Now()
	if back := set.index(l.back); back >= 0 {
		l.back = ""
		return l.up.occupy(l, set, func(e int) bool { return e == back }), 0
	}
	ready := func(e int) bool { return !tried[e] && !l.troubleAt(set.endpoints[e]).until.After(now) }
	e = l.up.occupy(l, set, func(e int) bool { return ready(e) && !l.troubleAt(set.endpoints[e]).avoid.After(now) })
	if e < 0 {
		e = l.up.occupy(l, set, ready)
	}
	if e >= 0 {
		return e, 0
	}
	wait = time.Hour
	for i, e := range set.endpoints {
		if !tried[i] {
			wait = min(wait, l.troubleAt(e).until.Sub(now))
		}
	}
	return -1, max(wait, time.Millisecond)
}

// try makes one connection.
func (l *link) try(ctx context.Context, set *settings, e endpoint, within time.Duration) (*client, error) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	if e.lookup && set.index(e.url) >= 0 { // where a redirection leads is not in the list
		return nil, l.up.names.await(ctx, e)
	}
	nc, err := set.dial(ctx, e)
	if err != nil {
		return nil, err
	}
	return l.greet(ctx, set, nc, within)
}

func (l *link) connected(c *client, e endpoint, retire context.CancelCauseFunc) {
	l.mu.Lock()
	l.health, l.retire = c.health, retire
	l.attempts++
	word := "link up"
	switch {
	case l.returned:
		l.returns++
		word = "link returned"
	case l.last != "" && l.last != e.url:
		l.moves++
	}
	l.mu.Unlock()
	l.noteUp(e.url)
	l.last = e.url
	l.hope.Store(false)
	l.set(Connected, "")
	l.sayMu.Lock()
	l.have, l.said = true, true
	l.role.online(true)
	l.sayMu.Unlock()
	l.sayUp(word, e.url)
	l.up.encourage(l)
}

func (l *link) disconnected() {
	l.late.Store(false)
	l.mu.Lock()
	l.health, l.retire = nil, nil
	l.mu.Unlock()
	l.sayMu.Lock()
	l.have = false
	l.sayMu.Unlock()
	l.up.canary.lost(l)
	if _, d := l.up.downward(); d == l {
		l.up.presence.end()
	}
}

// sayOffline tells the role, once, unless there is a connection again.
func (l *link) sayOffline() {
	l.sayMu.Lock()
	defer l.sayMu.Unlock()
	if !l.have && l.said {
		l.said = false
		l.role.online(false)
	}
}

// set notes a state, "" for the present one, and a cause, "" to keep the last
// one while there is no connection.
func (l *link) set(state, cause string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if state != "" && state != l.state {
		l.state, l.since = state, time.Now()
		defer l.up.presence.ring()
	}
	if cause != "" || l.state == Connected || l.state == Stopped {
		l.cause, l.fault = cause, ""
	}
}

// fail notes a state, "" for the present one, and why it is not up.
func (l *link) fail(state string, err error) {
	l.set(state, err.Error())
	l.explain(err)
	if kind := faultOf(err); kind != FaultMoving {
		l.mu.Lock()
		l.faults[kind]++
		l.mu.Unlock()
	}
}

// explain shows why, without counting it.
func (l *link) explain(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cause, l.fault = err.Error(), faultOf(err)
}

// complain shows a fault that does not end the connection.
func (l *link) complain(err error) { l.fail("", err) }

func (l *link) setSlow(slow bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case slow && l.state == Connected:
		l.up.history.add(Event{Kind: EventSlow, Link: l.id, From: l.at, To: l.at, Fault: FaultLate})
		l.state, l.cause, l.fault, l.since = Slow, "acknowledgements are late, pings are answered", FaultLate, time.Now()
		l.faults[FaultLate]++
	case !slow && l.state == Slow:
		l.up.history.add(Event{Kind: EventRecover, Link: l.id, From: l.at, To: l.at, After: time.Since(l.since)})
		l.state, l.cause, l.fault, l.since = Connected, "", "", time.Now()
	}
}

// tripFresh is for how long a round trip tells how the line is, without another one.
const tripFresh = time.Minute

// shownTrip is the round trip for people: 0 when none was measured lately.
func (l *link) shownTrip() time.Duration {
	if time.Since(l.born)-time.Duration(l.tripAt.Load()) > tripFresh {
		return 0
	}
	return time.Duration(l.mean.Load())
}

func (l *link) roundTrip() rtt {
	return rtt{time.Duration(l.mean.Load()), time.Duration(l.dev.Load())}
}

// end closes the connection of c and waits for its goroutines. It returns why
// the connection ended.
func (l *link) end(c *client, why error) error {
	c.wire.cut(why)
	<-c.Done()
	return c.wire.end
}

// hear ends the connection after a write failed: not before what the cloud has
// sent was read, for a node that leaves in good order acknowledges, says why,
// and closes.
func (l *link) hear(c *client, why error) error {
	within := hearWithin
	if errors.Is(why, syscall.EPIPE) || errors.Is(why, syscall.ECONNRESET) {
		within = readOutWithin
	}
	t := time.NewTimer(within)
	defer t.Stop()
	select {
	case <-c.Done():
	case <-t.C:
	}
	return l.end(c, why)
}

const (
	hearWithin    = 250 * time.Millisecond
	readOutWithin = 5 * time.Second // the connection is over: the reader comes to its end by itself
)

// farewell sends DISCONNECT 0x00 and closes.
func (l *link) farewell(c *client) {
	c.wire.SetWriteDeadline(time.Now().Add(500 * time.Millisecond))
	c.Disconnect(&paho.Disconnect{})
	<-c.Done()
}

func sleep(ctx context.Context, d time.Duration, wake <-chan struct{}) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-wake:
	case <-t.C:
	}
}

// jitter spreads d over half to all of it.
func jitter(d time.Duration) time.Duration { return d/2 + rand.N(d/2+1) }
