package uplink

import (
	"maps"
	"time"

	"tidegate/uplink/spool"
)

// Stats are the numbers of one uplink. Counters run since the start.
type Stats struct {
	Name    string
	Links   []LinkStats // the down link, if there is one, is the last
	Routes  []RouteStats
	NoRoute int64 // messages that matched no up route and stayed at home
	Looped  int64 // messages that carried the gateway's own id: not sent up, not taken down
	Spool   spool.Stats
	Status  StatusStats
	Canary  CanaryStats
}

// StatusStats are the numbers of the status topic.
type StatusStats struct {
	Topic     string // "" for none
	Sent      int64  // statements
	Corrected int64  // of those, because another client or an old will had written there
	Fault     string // why the cloud gets none, in words
}

// CanaryStats are the numbers of the canaries.
type CanaryStats struct {
	Sent    int64
	Back    int64
	Missing int64 // of pairs of nodes between which one came through before
	Blamed  int64 // nodes that were left
	Unsure  bool  // one is missing, and nothing tells which node is to blame
}

// LinkStats are the numbers of one link.
type LinkStats struct {
	ID       string // client id
	Down     bool
	Endpoint string        // URL; "" when there is none
	State    string        // connecting, backoff, up, slow, draining, stopped
	Cause    string        // why it is not up, in words; "" when it is
	Fault    Fault         // the kind of cause
	Since    time.Time     // of the state
	RTT      time.Duration // smoothed, of PUBLISH to PUBACK; 0: none in the last minute

	InFlight   int   // sent up and unanswered; on the down link: received and not settled
	Sent       int64 // PUBLISH packets, repetitions too
	Acked      int64 // by the cloud; on the down link: to the cloud
	Received   int64 // from the cloud
	Resent     int64 // put back to be sent again, after a loss or a refusal
	Retried    int64 // refused for now by the cloud
	Refused    int64 // refused for good, or too large
	Unknown    int64 // PUBACKs for nothing in flight
	Unrouted   int64 // from the cloud, matching no down route
	Commands   int   // received from the cloud and not settled
	Taken      int64 // of those that were settled, acknowledged to the cloud
	Resumed    int64 // times that the cloud had kept the session of the down link
	Excess     int64 // messages beyond the Receive Maximum
	Missed     int64 // times that it had not: commands sent meanwhile are lost
	Reconnects int64 // connections after the first
	Failovers  int64 // of those, to another endpoint than before, because that one was lost
	Returns    int64 // of those, to the endpoint where the link belongs, once that was well again

	ReturnsFailed int64  // tries of a return that came to nothing
	ReturnCause   string // why the last of them did

	Redirects int64 // 0x9C and 0x9D that were followed
	Astray    int64 // those that were not: no reference, not allowed, too many in a row, or not reached

	Faults map[Fault]int64 // how often each kind was met: failed tries, lost connections, spells of slowness
}

// Flows says whether acknowledgements come on the link: one whose answers are
// late is connected for MQTT, and not for what depends on it. A link that moves
// to its own endpoint has its last acknowledgements still to come.
func (l *LinkStats) Flows() bool { return l.State == Connected || l.State == Draining }

// RouteStats are the numbers of one route.
type RouteStats struct {
	Down     bool
	Filter   string
	Messages int64
	Drops    []spool.DropStats // of an up route, by cause

	Refusals int64     // by the cloud, for good or for now; of an up route, as what follows
	Row      int       // of those, without an acknowledgement in between
	Paused   bool      // too many in a row: its messages are kept, and one tries now and then
	Since    time.Time // of the pause
	Held     int       // topics whose messages are kept because the cloud refuses them for now
	Cause    string    // of pause or holding back, in words
}

// Stats returns the present numbers.
func (u *Uplink) Stats() Stats {
	s := Stats{Name: u.settings.Load().cfg.Name, NoRoute: u.noRoute.Load(), Looped: u.looped.Load(), Spool: u.spool.Stats()}
	for _, l := range u.links {
		ls := l.stats()
		switch r := l.role.(type) {
		case *upward:
			r.stats(&ls)
		case *downward:
			r.stats(&ls)
			ls.Down, ls.InFlight, ls.Acked = true, ls.Commands, ls.Taken
			s.Looped += r.looped.Load()
		case *both:
			r.up.stats(&ls)
			r.down.stats(&ls)
			s.Looped += r.down.looped.Load()
		}
		s.Links = append(s.Links, ls)
	}
	s.Status, s.Canary = u.presence.stats(), u.canary.stats()
	r := u.routes.Load()
	for _, up := range r.up {
		rs := RouteStats{Filter: up.filter, Messages: up.count.Load(), Drops: dropsOf(up.filter, s.Spool.Drops)}
		u.gates.stats(&rs)
		s.Routes = append(s.Routes, rs)
	}
	for _, down := range r.down {
		s.Routes = append(s.Routes, RouteStats{Down: true, Filter: down.filter, Messages: down.count.Load()})
	}
	return s
}

func (u *upward) stats(s *LinkStats) {
	s.InFlight = u.win.waiting()
	s.Sent, s.Acked, s.Resent = u.sent.Load(), u.acked.Load(), u.resent.Load()
	s.Retried, s.Refused, s.Unknown = u.retried.Load(), u.refused.Load(), u.unknown.Load()
}

func (d *downward) stats(s *LinkStats) {
	s.Received, s.Taken, s.Unrouted = d.received.Load(), d.acked.Load(), d.unrouted.Load()
	s.Resumed, s.Missed, s.Excess = d.resumed.Load(), d.missed.Load(), d.excess.Load()
	if box := d.box.Load(); box != nil {
		s.Commands = box.waiting()
	}
}

func (l *link) stats() LinkStats {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := LinkStats{
		ID: l.id, State: l.state, Cause: l.cause, Fault: l.fault, Faults: maps.Clone(l.faults), Since: l.since, RTT: l.shownTrip(),
		Reconnects: max(l.attempts-1, 0), Failovers: l.moves,
		Returns: l.returns, ReturnsFailed: l.notReturned, ReturnCause: l.whyNot,
		Redirects: l.redirects.Load(), Astray: l.astray.Load(),
	}
	if l.state != Stopped {
		s.Endpoint = l.at
	}
	return s
}
