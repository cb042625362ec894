package uplink

import (
	"context"
	"fmt"
	"math"
	"time"
)

// occupy picks an allowed endpoint for l, of those first in priority where the
// fewest other links are, and notes that l is there. -1 when none is allowed.
func (u *Uplink) occupy(l *link, set *settings, allowed func(int) bool) int {
	u.mu.Lock()
	defer u.mu.Unlock()
	load := make([]int, len(set.endpoints))
	for _, o := range u.links {
		if o != l && o.place >= 0 && o.place < len(load) {
			load[o.place]++
		}
	}
	e := pick(set.orders[l.index], load, set.first(allowed))
	if e >= 0 {
		l.mu.Lock()
		l.place, l.at = e, set.endpoints[e].url
		l.mu.Unlock()
	}
	return e
}

// rates returns what weighted placement needs, nil for others. Endpoints share
// the links with those of their priority.
func (s *settings) rates() []float64 {
	if s.cfg.Placement != Weighted {
		return nil
	}
	links := s.cfg.Links
	if len(s.cfg.Down) > 0 && !s.cfg.SingleClient {
		links++
	}
	all := make([]float64, len(s.endpoints))
	group := map[int][]int{}
	for i, e := range s.endpoints {
		group[e.priority] = append(group[e.priority], i)
	}
	for _, members := range group {
		weights := make([]int, len(members))
		for k, i := range members {
			weights[k] = s.weight(s.endpoints[i])
		}
		for k, rate := range rates(weights, links) {
			all[members[k]] = rate
		}
	}
	return all
}

// weight is what the SRV record says, else the configuration.
func (s *settings) weight(e endpoint) int {
	switch {
	case e.weight > 0:
		return e.weight
	case e.entry < len(s.cfg.Weights):
		return s.cfg.Weights[e.entry]
	}
	return 1
}

// first narrows what is allowed to the endpoints of the lowest priority among
// them [RFC 2782].
func (s *settings) first(allowed func(int) bool) func(int) bool {
	lowest := math.MaxInt
	for i, e := range s.endpoints {
		if e.priority < lowest && allowed(i) {
			lowest = e.priority
		}
	}
	return func(i int) bool { return s.endpoints[i].priority == lowest && allowed(i) }
}

// suspect makes the other links on endpoint e look whether it lives.
func (u *Uplink) suspect(l *link, e endpoint) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, o := range u.links {
		if o == l {
			continue
		}
		o.mu.Lock()
		if o.health != nil && o.at == e.url {
			o.health.look()
		}
		o.mu.Unlock()
	}
}

// encourage ends the pauses of the links that have no connection: l has one, so
// the cloud is back, and as long as all can choose they sit apart.
func (u *Uplink) encourage(l *link) {
	for _, o := range u.links {
		o.mu.Lock()
		away := o != l && o.retire == nil
		o.mu.Unlock()
		if !away {
			continue
		}
		o.hope.Store(true)
		select {
		case o.wake <- struct{}{}:
		default:
		}
	}
}

// allLate says whether other links have messages in flight elsewhere, and all
// of them are late. A link on the same endpoint says nothing about the others.
func (u *Uplink) allLate(l *link) bool {
	here, some := l.whereabouts(), false
	for _, o := range u.links {
		if o == l || o.whereabouts() == here {
			continue
		}
		if _, n := o.role.oldest(); n > 0 {
			if !o.late.Load() {
				return false
			}
			some = true
		}
	}
	return some
}

func (l *link) whereabouts() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.at
}

// move installs settings with other endpoints, credentials or limits. The
// links go over to them one by one.
func (u *Uplink) move(set *settings) {
	u.mu.Lock()
	u.expand(set) // DNS may have answered since set was read
	set.edition = u.settings.Load().edition + 1
	u.install(set)
	u.mu.Unlock()
	u.wantRoll(errRolled)
}

// wantRoll asks for the links to connect anew. Those that are away try at once:
// what the cloud refused may be right now.
func (u *Uplink) wantRoll(why error) {
	u.encourage(nil)
	select {
	case u.rolls <- why:
	default:
	}
}

// install makes set the settings. A link keeps its place if that is still in
// the list; one whose endpoint vanished stays connected, at none of the list.
// It holds u.mu.
func (u *Uplink) install(set *settings) {
	u.settings.Store(set)
	u.home.forget(set)
	select {
	case u.files <- struct{}{}:
	default:
	}
	for _, l := range u.links {
		l.mu.Lock()
		l.place = set.index(l.at)
		l.mu.Unlock()
		select {
		case l.wake <- struct{}{}: // out of a pause between tries
		default:
		}
	}
}

// roll makes the links connect anew, one after the other, when wantRoll asks.
func (u *Uplink) roll(ctx context.Context) {
	for {
		var why error
		select {
		case <-ctx.Done():
			return
		case why = <-u.rolls:
		}
		for i, l := range u.links {
			if l.rollTo(ctx, why) || why != errRenewed || i == len(u.links)-1 {
				continue
			}
			u.log.Warn("a link does not connect with the new certificates; the others keep their connections", "link", l.id, "err", l.stats().Cause)
			if !u.waitFor(ctx, l) {
				break
			}
		}
	}
}

// waitFor returns whether l has a connection again; false when ctx ends or
// there is another reason to roll.
func (u *Uplink) waitFor(ctx context.Context, l *link) bool {
	for ctx.Err() == nil && len(u.rolls) == 0 {
		l.mu.Lock()
		up := l.retire != nil
		l.mu.Unlock()
		if up {
			return true
		}
		sleep(ctx, 100*time.Millisecond, nil)
	}
	return false
}

// rollTo ends the link's connection after its in-flight messages, and waits
// for the next one; it returns whether that came. A link without a connection
// takes the new settings by itself.
func (l *link) rollTo(ctx context.Context, why error) bool {
	select {
	case l.up.turn <- struct{}{}:
		defer func() { <-l.up.turn }()
	case <-ctx.Done():
		return false
	}
	l.mu.Lock()
	before, retire := l.attempts, l.retire
	l.mu.Unlock()
	if retire == nil {
		return true
	}
	retire(why)
	c := l.config()
	most := c.DrainTimeout.Std() + c.ConnectTimeout.Std() + time.Second
	for until := time.Now().Add(most); time.Now().Before(until) && ctx.Err() == nil; {
		l.mu.Lock()
		now := l.attempts
		l.mu.Unlock()
		if now > before {
			return true
		}
		sleep(ctx, 20*time.Millisecond, nil)
	}
	return false
}

// sameConnection says whether a and b differ in nothing that a connection is
// made with.
func sameConnection(a, b Config) bool {
	a.Up, a.Down, b.Up, b.Down = nil, nil, nil, nil
	a.Spool, b.Spool = Config{}.Spool, Config{}.Spool
	a.StableAfter, b.StableAfter = 0, 0
	return fmt.Sprintf("%+v", a) == fmt.Sprintf("%+v", b)
}

func (u *Uplink) settledNow() {
	if u.opt.Settled != nil {
		u.opt.Settled()
	}
}
