package uplink

import (
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// canary finds nodes that accept messages and no longer route them to the
// others. At intervals a small message goes up each up link, at QoS 0 and with
// a short expiry, and comes back on the down link:
//
//	u0 -> node A --+
//	u1 -> node B --+-> node C -> d0
//
// A pair of nodes counts only after a canary came through it once. One that
// does not come twice in a row speaks against both nodes of its pair; who is to
// blame is told by the other pairs. The link there leaves, and the node is the
// last choice for a while.
type canary struct {
	up *Uplink

	sent, back, missing, blamed atomic.Int64

	mu      sync.Mutex // guards what follows
	armed   map[pairing]bool
	flights []flight // by up link; of the present round
	round   uint64
	down    perch // where d0 was when the round began
	taken   int64 // commands that d0 had received by then
	hears   bool  // d0 has subscribed, on its present connection
	consent []consent
	shunned map[string]*shunning
	unsure  bool // it was said
}

// pairing is a way from one node to another.
type pairing struct{ up, down string }

// perch is one connection of a link.
type perch struct {
	endpoint string
	attempt  int64
}

// flight is what is known of one up link's canaries.
type flight struct {
	from   perch
	out    bool // one is on its way
	came   bool // one came, this round
	misses int  // in a row
}

// shunning keeps links from a node that does not route.
type shunning struct {
	until time.Time
	spell time.Duration
}

const (
	shunLeast  = time.Minute
	shunMost   = 30 * time.Minute
	canaryMiss = 2 // in a row, to count

	canaryCrowd = 1000 // commands in a round
)

func newCanary(u *Uplink) *canary {
	return &canary{up: u, armed: map[pairing]bool{}, shunned: map[string]*shunning{}}
}

// sighting is what one up link's canaries say of the way from its node to the
// down link's.
type sighting struct {
	up     string // endpoint
	routes bool   // they come back; else they are missing
}

// blame returns the nodes that no longer route, given what is seen at the node
// down: those that alone explain it. Unsure: the way between two nodes is
// broken, and nothing tells which of them is.
func blame(down string, seen []sighting) (guilty []string, unsure bool) {
	broken, works := map[string]bool{}, map[string]bool{}
	for _, s := range seen {
		if s.routes {
			works[s.up] = true
		} else {
			broken[s.up] = true
		}
	}
	for node := range works {
		delete(broken, node) // one of two links on a node lost a message
	}
	self := broken[down]
	delete(broken, down)
	others := len(works)
	if works[down] {
		others-- // within the node: says nothing of the ways between nodes
	}
	switch {
	case len(broken) == 0 && !self:
		return nil, false
	case others > 0 && !self: // down hears other nodes: those it does not hear are to blame
		for node := range broken {
			guilty = append(guilty, node)
		}
		slices.Sort(guilty)
		return guilty, false
	case self && others == 0, len(broken) > 1: // down does not hear itself, or nobody
		return []string{down}, false
	}
	return nil, true
}

// fly sends canaries and judges them until ctx ends.
func (c *canary) fly(ctx context.Context) {
	for ctx.Err() == nil {
		sleep(ctx, c.up.settings.Load().cfg.CanaryEvery.Std(), nil)
		set := c.up.settings.Load()
		cfg := set.cfg
		if _, d := c.up.downward(); d == nil || !cfg.canaries() || len(set.endpoints) < 2 {
			continue
		}
		c.judge(time.Now())
		c.send(cfg, time.Now())
	}
}

// perched returns the connection of a link that is up and not slow.
func (l *link) perched() (p perch, w *wire) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.state != Connected || l.health == nil || l.late.Load() {
		return perch{}, nil
	}
	return perch{l.at, l.attempts}, l.health.wire
}

// send begins a round. No lock is held while it writes: that may block.
func (c *canary) send(cfg Config, now time.Time) {
	for _, p := range c.prepare(cfg, now) {
		if p.wire.trySend(p.message) {
			c.sent.Add(1)
			continue
		}
		c.mu.Lock()
		if p.link < len(c.flights) {
			c.flights[p.link].out = false
		}
		c.mu.Unlock()
	}
}

// parcel is a canary to send.
type parcel struct {
	link    int
	wire    *wire
	message []byte
}

// prepare notes the canaries of a round as on their way.
func (c *canary) prepare(cfg Config, now time.Time) (all []parcel) {
	role, d := c.up.downward()
	c.mu.Lock()
	defer c.mu.Unlock()
	down, w := d.perched()
	if w == nil || !c.hears {
		c.flights, c.down = nil, perch{}
		return nil
	}
	if down != c.down || len(c.flights) != cfg.Links {
		c.flights, c.down = make([]flight, cfg.Links), down
	}
	if c.consent == nil {
		c.consent = make([]consent, cfg.Links)
	}
	c.round++
	c.taken = role.received.Load()
	for i, l := range c.up.links[:cfg.Links] {
		f := &c.flights[i]
		from, w := l.perched()
		f.out, f.came = false, false
		if w == nil || !c.consent[i].given(now) {
			continue
		}
		if from != f.from {
			*f = flight{from: from}
		}
		f.out = true
		c.consent[i].ask(now)
		all = append(all, parcel{i, w, c.message(i, cfg)})
	}
	return all
}

// message is a canary of one link: about 60 bytes.
func (c *canary) message(link int, cfg Config) []byte {
	expiry := binary.BigEndian.AppendUint32([]byte{propExpiry}, uint32(max(cfg.CanaryEvery.Std()/time.Second, 1)))
	payload := fmt.Sprintf("%d/%d", c.up.opt.Epoch, c.round)
	return appendOwn(nil, 0x30, c.up.settings.Load().own.canary+"u"+strconv.Itoa(link), 0, expiry, []byte(payload))
}

// came takes a canary that came back, of this round or the one before.
func (c *canary) came(name string, payload []byte) {
	number, ok := strings.CutPrefix(name, "u")
	i, err := strconv.Atoi(number)
	epoch, round, cut := strings.Cut(string(payload), "/")
	if !ok || err != nil || !cut || epoch != strconv.FormatUint(c.up.opt.Epoch, 10) {
		return
	}
	n, err := strconv.ParseUint(round, 10, 64)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil || i < 0 || i >= len(c.flights) || n > c.round || n+2 < c.round {
		return
	}
	c.back.Add(1)
	c.consent[i].grant()
	f := &c.flights[i]
	f.misses, f.came = 0, true
	if n != c.round || !f.out {
		return
	}
	f.out = false
	if len(c.armed) > 4096 {
		clear(c.armed)
	}
	c.armed[pairing{f.from.endpoint, c.down.endpoint}] = true
}

// hearing notes that d0 has subscribed, or lost its connection.
func (c *canary) hearing(yes bool) {
	c.mu.Lock()
	c.hears = yes
	c.mu.Unlock()
}

// lost notes the end of a link's connection.
func (c *canary) lost(l *link) {
	if _, d := c.up.downward(); d == l {
		c.hearing(false)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if l.index < len(c.consent) && c.consent[l.index].lost(time.Now()) {
		c.up.log.Warn("the cloud ended several connections right after a canary: none for a while; let this client publish and subscribe there, or set canary = false",
			"topic", c.up.settings.Load().own.canary+"u"+strconv.Itoa(l.index), "for", c.consent[l.index].spell)
	}
}

// judge ends a round: it counts what did not come back, and has the links leave
// the node that is to blame.
func (c *canary) judge(now time.Time) {
	_, d := c.up.downward()
	seen, first := c.sightings(d)
	if first {
		d.look() // perhaps it is only the connection that the canaries come back on
	}
	down := d.whereabouts()
	guilty, unsure := blame(down, seen)
	for _, node := range guilty {
		c.expel(node, down, now)
	}
	c.mu.Lock()
	said := c.unsure
	c.unsure = unsure
	c.mu.Unlock()
	if unsure == said {
		return
	}
	if unsure {
		err := fault(FaultNotRouting, fmt.Errorf("canaries do not come through to %s, and nothing tells which node of the two does not route: the links stay", down))
		d.complain(err)
		d.log.Warn("canary missing", "err", err)
		return
	}
	d.pardon(FaultNotRouting)
}

// sightings returns what the last rounds say about links that are where they
// were. First: some canary is missing for the first time.
func (c *canary) sightings(d *link) (seen []sighting, first bool) {
	at, w := d.perched()
	role, _ := c.up.downward()
	c.mu.Lock()
	defer c.mu.Unlock()
	if w == nil || at != c.down || !c.hears || role.crowded(c.taken) {
		return nil, false
	}
	for i := range c.flights {
		f := &c.flights[i]
		armed := c.armed[pairing{f.from.endpoint, at.endpoint}]
		if now, w := c.up.links[i].perched(); w == nil || now != f.from || !armed {
			f.out, f.misses = false, 0
			continue
		}
		if f.out {
			c.missing.Add(1)
			if f.misses++; f.misses == 1 {
				first = true
			}
		}
		if f.came || f.misses >= canaryMiss {
			seen = append(seen, sighting{f.from.endpoint, f.came})
		}
	}
	return seen, first
}

// crowded says whether canaries may wait behind commands, in the session's queue
// in the cloud: that devices are slow to take, or that came in great number
// since so many. Then their absence says nothing.
func (d *downward) crowded(since int64) bool {
	box := d.box.Load()
	return box != nil && box.waiting() > 0 || d.received.Load()-since > canaryCrowd
}

// expel has the links leave a node, and makes it the last choice for a while,
// longer each time.
func (c *canary) expel(node, down string, now time.Time) {
	c.blamed.Add(1)
	c.mu.Lock()
	maps.DeleteFunc(c.shunned, func(_ string, s *shunning) bool { return now.Sub(s.until) > s.spell })
	s := c.shunned[node]
	if s == nil {
		s = &shunning{spell: shunLeast / 2}
		c.shunned[node] = s
	}
	s.spell = min(2*s.spell, shunMost)
	s.until = now.Add(s.spell)
	c.mu.Unlock()
	why := fault(FaultNotRouting, fmt.Errorf("canaries that go up here do not come out at %s, others do: the node takes messages and does not route them", down))
	if node == down {
		why = fault(FaultNotRouting, fmt.Errorf("canaries of several nodes do not come out here: the node is cut off from the others"))
	}
	for _, l := range c.up.links {
		if at, w := l.perched(); w != nil && at.endpoint == node {
			w.cut(why)
		}
	}
}

// shuns says whether a node did not route lately.
func (c *canary) shuns(endpoint string, now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.shunned[endpoint]
	return s != nil && s.until.After(now)
}

// look makes the link's health judge now, with a ping.
func (l *link) look() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.health != nil {
		l.health.look()
	}
}

// pardon takes back a complaint.
func (l *link) pardon(kind Fault) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fault == kind && l.state == Connected {
		l.cause, l.fault = "", ""
	}
}

func (c *canary) stats() CanaryStats {
	c.mu.Lock()
	defer c.mu.Unlock()
	return CanaryStats{Sent: c.sent.Load(), Back: c.back.Load(), Missing: c.missing.Load(), Blamed: c.blamed.Load(), Unsure: c.unsure}
}
