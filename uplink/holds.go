package uplink

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"tidegate/uplink/spool"
)

// holds is what one up link holds back of what the cloud refuses. All but the
// answers is for the link's own goroutine.
type holds struct {
	news atomic.Bool // there are answers

	mu      sync.Mutex // guards answers
	answers []answer

	topics map[string]*hold // that wait each on its own, by cloud topic
	names  map[string]bool  // theirs, as the spool was told last
	routes map[string]bool  // paused, by filter, as the spool was told last
	turn   uint64           // of gates, then
	of     *routes          // the configuration's, then
	stale  bool             // topics have changed since then
	waits  atomic.Bool      // there are topics: acknowledgements are of interest
	back   []*spool.Entry   // to be given back to the spool
}

// answer is one PUBACK that matters here.
type answer struct {
	e      *spool.Entry // refused; nil: acknowledged
	id     messageID
	topic  string // of the acknowledged one
	reason byte
}

// hold is a message that is refused for now. Later ones of its topic wait
// behind it.
type hold struct {
	e      *spool.Entry
	id     messageID
	pause  time.Duration
	until  time.Time
	trying bool   // it is sent again, or about to be
	told   bool   // in the log
	route  string // its filter
	shut   bool   // which was paused when last looked at
}

func (h *holds) answered(a answer) {
	h.mu.Lock()
	h.answers = append(h.answers, a)
	h.mu.Unlock()
	h.news.Store(true)
}

func (h *holds) take() []answer {
	if !h.news.Swap(false) {
		return nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	out := h.answers
	h.answers = nil
	return out
}

// quiet says that nothing is refused and nothing held back.
func (u *upward) quiet() bool {
	g := &u.link.up.gates
	return !u.held.news.Load() && len(u.held.topics) == 0 && u.held.turn == g.turn.Load() && !g.some.Load()
}

// sort deals with what the cloud refused, has those try again whose time has
// come, and tells the spool what is held back. It returns when it wants to be
// called again, 0 for when there is news.
func (u *upward) sort() (again time.Duration) {
	if u.quiet() {
		return 0
	}
	now := time.Now()
	for _, a := range u.held.take() {
		if a.e != nil {
			u.dispose(a.e, a.reason, now)
		} else if h := u.held.topics[a.topic]; h != nil && h.id == a.id {
			u.release(a.topic)
		}
	}
	for _, h := range u.held.topics {
		if h.trying {
			continue
		}
		if shut := u.link.up.gates.paused(h.route); h.shut && !shut {
			h.shut, h.until = false, now // the cloud takes the route's messages again
		} else {
			h.shut = shut
		}
		if left := h.until.Sub(now); left > 0 {
			again = sooner(again, left)
			continue
		}
		h.trying = true
		u.link.up.spool.Parked(h.e, false)
		u.queue = slices.Insert(u.queue, u.head, h.e)
	}
	if left := u.link.up.gates.next(now); left > 0 {
		again = sooner(again, left)
	}
	u.guard()
	return again
}

// good notes an acknowledgement where something is refused; the reader's.
func (u *upward) good(e *spool.Entry) {
	g := &u.link.up.gates
	if g.some.Load() {
		if resumed, paused := g.good(e); resumed != "" {
			u.link.up.history.add(Event{Kind: EventResume, Link: u.link.id, Route: resumed, After: paused})
			u.link.log.Info("the cloud takes a route's messages again", "route", resumed, "after", paused.Round(time.Second))
		}
	}
	if u.held.waits.Load() {
		u.held.answered(answer{id: idOf(e), topic: e.Msg.Topic})
	}
}

// dispose decides about a message that the cloud refused.
func (u *upward) dispose(e *spool.Entry, reason byte, now time.Time) {
	cfg := u.link.config()
	h := u.held.topics[e.Msg.Topic]
	f, paused := u.link.up.gates.bad(e, reason, h != nil, cfg, now)
	if paused != "" {
		u.link.up.history.add(Event{Kind: EventPause, Link: u.link.id, Route: paused, Cause: refusedFor(reason)})
		u.link.log.Warn("the cloud refuses a route's messages one after the other: the route is paused, its messages are kept; look at the cloud's permissions and quotas",
			"route", paused, "topic", e.Msg.Topic, "err", refusedFor(reason))
	}
	switch {
	case h != nil && h.id == idOf(e) && reason != 0x87 && !retry(reason):
		u.release(e.Msg.Topic)
		u.bury(e, reason)
	case h != nil && h.id == idOf(e):
		u.tell(h, reason)
		u.park(h, now, cfg.PauseFor.Std())
	case h != nil && !h.trying && idOf(e).before(h.id):
		u.link.up.spool.Parked(h.e, false)
		u.held.back = append(u.held.back, h.e)
		h.e, h.id = e, idOf(e)
		u.link.up.spool.Parked(e, true)
	case h != nil && (f != bury || retry(reason)):
		u.held.back = append(u.held.back, e)
	case f == bury:
		u.bury(e, reason)
	case f == wait && len(u.held.topics) < mostHeld:
		u.hold(e, now, cfg.PauseFor.Std())
	case f == wait:
		u.link.up.gates.full(e, cfg, now)
		u.held.back = append(u.held.back, e)
	default:
		u.held.back = append(u.held.back, e)
	}
}

func (u *upward) bury(e *spool.Entry, reason byte) {
	u.refused.Add(1)
	u.link.up.spool.Refuse(e, reason)
	u.link.up.settledNow()
}

// hold makes the topic of e wait, and e try again after a pause.
func (u *upward) hold(e *spool.Entry, now time.Time, most time.Duration) {
	if u.held.topics == nil {
		u.held.topics = map[string]*hold{}
	}
	h := &hold{e: e, id: idOf(e), route: u.link.up.gates.hold(e)}
	h.shut = u.link.up.gates.paused(h.route)
	if h.shut {
		h.pause = firstPause / 2
	}
	u.held.topics[e.Msg.Topic] = h
	u.held.stale = true
	u.held.waits.Store(true)
	u.park(h, now, most)
}

func (u *upward) park(h *hold, now time.Time, most time.Duration) {
	h.pause = min(max(2*h.pause, backoffBase), most)
	h.until, h.trying = now.Add(jitter(h.pause)), false
	u.link.up.spool.Parked(h.e, true)
}

// tell logs, once, a topic that is refused again and again.
func (u *upward) tell(h *hold, reason byte) {
	if !h.told && h.pause > 4*firstPause {
		h.told = true
		u.link.log.Warn("the cloud refuses a topic again and again: its messages are kept", "topic", h.e.Msg.Topic, "err", refusedFor(reason))
	}
}

// release lets a topic go.
func (u *upward) release(name string) {
	u.link.up.gates.release(u.held.topics[name].route)
	delete(u.held.topics, name)
	u.held.stale = true
	u.held.waits.Store(len(u.held.topics) > 0)
}

// guard tells the spool what is held back, if that has changed, then gives back
// what the link has of it.
func (u *upward) guard() {
	g := &u.link.up.gates
	of := u.link.up.routes.Load()
	some := len(u.held.names)+len(u.held.routes) > 0
	if turn := g.turn.Load(); turn != u.held.turn || u.held.stale || some && of != u.held.of {
		u.held.turn, u.held.stale = turn, false
		u.hand(of, g.held())
	}
	for _, e := range u.held.back {
		u.link.up.spool.Return(e)
	}
	clear(u.held.back)
	u.held.back = u.held.back[:0]
}

// hand gives the spool the rule by which it holds messages back.
func (u *upward) hand(of *routes, paused map[string]bool) {
	var names map[string]bool
	for name := range u.held.topics {
		if names == nil {
			names = map[string]bool{}
		}
		names[name] = true
	}
	var rule func(spool.Class, string) bool
	if len(names)+len(paused) > 0 {
		rule = func(c spool.Class, name string) bool {
			return names[name] || len(paused) > 0 && paused[of.ofCloud(c, name)]
		}
	}
	tell := u.link.up.spool.Release
	if of == u.held.of && within(u.held.names, names) && within(u.held.routes, paused) {
		tell = u.link.up.spool.Hold // more than before
	}
	u.held.of, u.held.names, u.held.routes = of, names, paused
	tell(u.link.index, rule)
}

// within says whether b has all of a.
func within(a, b map[string]bool) bool {
	for k := range a {
		if !b[k] {
			return false
		}
	}
	return true
}

// may says whether e, next in the queue, is sent. If not, it is to be given
// back.
func (u *upward) may(e *spool.Entry) bool {
	if h := u.held.topics[e.Msg.Topic]; h != nil {
		return h.id == idOf(e)
	}
	return u.link.up.gates.may(e, min(e.Msg.QoS, u.form.qos) > 0)
}
