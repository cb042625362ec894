package uplink

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"tidegate/internal/topic"
	"tidegate/uplink/spool"
)

// What the cloud refuses must not hold up the rest, and a mistake in its
// permissions must not empty the spool into the dead letters:
//
//	refused for good  -> dead letters            \  pause-after of a route
//	refused for now   -> the topic waits, tries   > in a row, of whichever kind:
//	                     again, longer each time /  the route is paused
//
//	open -> paused --pause over--> one message may try --acknowledged--> open
//	          ^                          |
//	          +-- longer ---- refused ---+
//
// What waits is held back in the spool, in order; other routes go on.

const (
	firstPause = time.Second // of a route; doubles to pause-for
	mostHeld   = 64          // topics of a link that wait each on its own; a further one pauses its route
)

// gates knows which up routes the cloud refuses. All links share it.
type gates struct {
	routes func() *routes
	wake   func()        // has every link look again
	some   atomic.Bool   // a route has a row, or is paused
	turn   atomic.Uint64 // counts changes of what is held back

	mu sync.Mutex // guards what follows
	of map[string]*gate
}

// gate is the state of one up route.
type gate struct {
	row    int   // refusals without an acknowledgement in between
	total  int64 // refusals
	topics int   // that wait each on its own
	cause  string

	paused bool
	since  time.Time
	pause  time.Duration
	until  time.Time // then one message may try
	trying bool      // it may
	probe  messageID // it is on its way; zero: none
}

// messageID tells messages apart for ever; entries are used again.
type messageID struct{ epoch, seq uint64 }

func idOf(e *spool.Entry) messageID { return messageID{e.Epoch, e.Seq} }

func (m messageID) before(o messageID) bool {
	return m.epoch < o.epoch || m.epoch == o.epoch && m.seq < o.seq
}

// at returns the gate of a message. The caller holds g.mu.
func (g *gates) at(e *spool.Entry) (*gate, string) {
	filter := g.routes().ofCloud(e.Class, e.Msg.Topic)
	if g.of == nil {
		g.of = map[string]*gate{}
	}
	if g.of[filter] == nil {
		g.of[filter] = &gate{}
	}
	return g.of[filter], filter
}

// changed makes the links look at what is held back.
func (g *gates) changed() {
	g.turn.Add(1)
	g.wake()
}

// good notes an acknowledgement. It says of which route a pause ended by it, ""
// for none.
func (g *gates) good(e *spool.Entry) (resumed string, paused time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	at, filter := g.at(e)
	at.row = 0
	for f, o := range g.of { // its route may have another name since a reload
		if o.probe == idOf(e) {
			at, filter = o, f
		}
	}
	some := false
	for _, o := range g.of {
		some = some || o != at && (o.row > 0 || o.paused)
	}
	g.some.Store(some)
	if !at.paused {
		return "", 0
	}
	paused = time.Since(at.since)
	*at = gate{total: at.total, topics: at.topics}
	g.changed()
	return filter, paused
}

// fate is what becomes of a refused message.
type fate int

const (
	bury fate = iota // to the dead letters
	wait             // with its topic
	put              // in the spool: its route is paused
)

// bad notes a refusal, and decides. It says of which route a pause began by
// it, "" for none. What a topic that waits already gets is no news of its
// route.
func (g *gates) bad(e *spool.Entry, reason byte, waits bool, c Config, now time.Time) (f fate, paused string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	at, filter := g.at(e)
	at.total++
	if !waits {
		at.row++
	}
	at.cause = refusedFor(reason)
	g.some.Store(true)
	probe := at.probe == idOf(e)
	switch {
	case probe && reason != 0x87 && !retry(reason):
		f = bury // it is the message, not a permission: the next one may fare better
	case probe:
		f = wait
	case at.paused:
		f = put
	case retry(reason):
		f = wait
	}
	switch {
	case probe:
		at.stop(now, c.PauseFor.Std())
		g.changed()
	case !at.paused && !waits && at.row >= c.PauseAfter:
		at.paused, at.since, at.pause = true, now, 0
		at.stop(now, c.PauseFor.Std())
		g.changed()
		paused = filter
	}
	return f, paused
}

// full pauses the route of a message for which there is no room to wait alone.
func (g *gates) full(e *spool.Entry, c Config, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if at, _ := g.at(e); !at.paused {
		at.paused, at.since, at.pause = true, now, 0
		at.stop(now, c.PauseFor.Std())
		g.changed()
	}
}

// stop begins a pause, twice as long as the one before.
func (at *gate) stop(now time.Time, most time.Duration) {
	at.pause = min(max(2*at.pause, firstPause), most)
	at.until, at.trying, at.probe = now.Add(jitter(at.pause)), false, messageID{}
}

// may says whether e may be sent: always, or because its route lets one try,
// which is e from now on.
func (g *gates) may(e *spool.Entry, answered bool) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	at, _ := g.at(e)
	if !at.paused || at.probe == idOf(e) {
		return true
	}
	if !at.trying || at.probe != (messageID{}) {
		return false
	}
	if answered {
		at.probe = idOf(e)
		g.changed()
	}
	return true
}

// next lets those routes try whose pause is over, and returns when to call it
// again; 0 for not at all.
func (g *gates) next(now time.Time) (again time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, at := range g.of {
		if !at.paused || at.trying {
			continue
		}
		if left := at.until.Sub(now); left > 0 {
			again = sooner(again, left)
			continue
		}
		at.trying = true
		g.changed()
	}
	return again
}

// held returns the filters of the routes that are held back.
func (g *gates) held() map[string]bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	var out map[string]bool
	for filter, at := range g.of {
		if at.paused && (!at.trying || at.probe != (messageID{})) {
			if out == nil {
				out = map[string]bool{}
			}
			out[filter] = true
		}
	}
	return out
}

// hold counts a topic of e's route that waits on its own. It returns the route's
// filter.
func (g *gates) hold(e *spool.Entry) string {
	g.mu.Lock()
	defer g.mu.Unlock()
	at, filter := g.at(e)
	at.topics++
	return filter
}

// release counts it no more.
func (g *gates) release(filter string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if at := g.of[filter]; at != nil {
		at.topics--
	}
}

// paused says whether a route is.
func (g *gates) paused(filter string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	at := g.of[filter]
	return at != nil && at.paused
}

// stats fills in what is known of a route.
func (g *gates) stats(s *RouteStats) {
	g.mu.Lock()
	defer g.mu.Unlock()
	at := g.of[s.Filter]
	if at == nil {
		return
	}
	s.Refusals, s.Row, s.Paused, s.Held = at.total, at.row, at.paused, at.topics
	if at.paused {
		s.Since = at.since
	}
	if at.paused || at.topics > 0 {
		s.Cause = at.cause
	}
}

// refusedFor puts a PUBACK's reason into words [MQTT 5, 3.4.2.1].
func refusedFor(reason byte) string {
	words := pubackReasons[reason]
	if words == "" {
		words = "the cloud refuses the messages"
	}
	return fmt.Sprintf("%s (0x%02X)", words, reason)
}

var pubackReasons = map[byte]string{
	0x80: "the cloud refuses the messages without saying why",
	0x83: "the cloud cannot take the messages now",
	0x87: "the cloud does not authorize the messages; look at its permissions",
	0x90: "the cloud does not accept the topic name",
	0x95: "the messages are larger than the cloud takes",
	0x97: "the cloud's quota is exceeded",
	0x99: "the cloud does not accept the payload's format",
}

// ofCloud returns the filter of the up route that carries a cloud topic of a
// class, "" for none. A message keeps its cloud topic only, and a reload may
// have changed its class.
func (r *routes) ofCloud(c spool.Class, name string) string {
	other := ""
	for _, u := range r.up {
		if other != "" && u.class != c || !topic.Match(u.cloud, name) {
			continue
		}
		if u.class == c {
			return u.filter
		}
		other = u.filter
	}
	return other
}
