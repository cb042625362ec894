package edge

import (
	"slices"
	"sync"
	"sync/atomic"

	"tidegate/internal/topic"
)

// route is where the messages of one topic go, worked out once and used until
// a subscription changes. It never changes.
type route struct {
	topic   string
	gen     uint64
	targets []target
	shared  []sharers
	watched []*watcher
	heard   []*watcher // by those who do not count
}

// target is one session and how it gets the messages of a topic.
type target struct {
	s       *session
	form    form
	own     *form // for what the session's own client published; nil: nothing, when noLocal
	noLocal bool
}

// sharers are the members of one shared subscription.
type sharers struct {
	members []*subscription
	turn    *atomic.Uint32
}

// routes is a bounded cache of them.
type routes struct {
	trie *trie

	mu      sync.RWMutex // guards what follows
	m       map[string]*route
	gen     uint64 // of those in m; older ones are of no use and hold on to sessions
	targets int    // of all in m
}

// The bounds of the cache. A topic that fell out is worked out again.
const (
	maxRoutes  = 4096
	maxTargets = 64 << 10
	maxCached  = 1 << 10 // bytes of a topic that is worth a place
)

// lookup returns the route of a topic, nil when the topic is not valid. memo
// is where the caller keeps the last one; it saves the look into the cache.
func (r *routes) lookup(name []byte, memo *route) *route {
	gen := r.trie.gen.Load()
	if memo != nil && memo.gen == gen && memo.topic == string(name) {
		return memo
	}
	r.mu.RLock()
	rt := r.m[string(name)]
	r.mu.RUnlock()
	if rt != nil && rt.gen == gen {
		return rt
	}
	var text string
	if rt != nil {
		text = rt.topic
	} else {
		text = string(name)
		if !topic.ValidName(text) {
			return nil
		}
	}
	rt = r.trie.route(text)
	r.mu.Lock()
	r.keep(rt)
	r.mu.Unlock()
	return rt
}

// keep puts rt into the cache, for which others may have to go. mu is held.
func (r *routes) keep(rt *route) {
	if r.gen < rt.gen {
		r.gen, r.targets = rt.gen, 0
		clear(r.m)
	}
	if r.gen > rt.gen || len(rt.targets) > maxTargets/8 || len(rt.topic) > maxCached {
		return
	}
	for name, other := range r.m {
		if len(r.m) < maxRoutes && r.targets+len(rt.targets) <= maxTargets {
			break
		}
		r.targets -= len(other.targets)
		delete(r.m, name)
	}
	if old := r.m[rt.topic]; old != nil {
		r.targets -= len(old.targets)
	}
	r.m[rt.topic] = rt
	r.targets += len(rt.targets)
}

// few is how many subscriptions a topic may match before they are sorted by
// session with a map, in place of looking at each other.
const few = 16

// route works out where the messages of a topic go.
func (t *trie) route(name string) *route {
	t.mu.RLock()
	defer t.mu.RUnlock()
	rt := &route{topic: name, gen: t.gen.Load()}
	var room [few]*subscription
	found := room[:0]
	t.match(name, func(n *node) {
		for _, sub := range n.subs {
			found = append(found, sub)
		}
		for _, g := range n.groups {
			rt.shared = append(rt.shared, sharers{g.members, g.turn})
		}
	})
	rt.targets = targetsOf(found)
	rt.watched, rt.heard = t.watching(name)
	return rt
}

// targetsOf makes one target for each session in found, which it shuffles.
func targetsOf(found []*subscription) []target {
	targets := make([]target, 0, len(found))
	if len(found) > few {
		bySession := make(map[*session][]*subscription, len(found))
		for i, sub := range found {
			if have := bySession[sub.s]; have != nil {
				bySession[sub.s] = append(have, sub)
			} else {
				bySession[sub.s] = found[i : i+1 : i+1]
			}
		}
		for s, subs := range bySession {
			targets = append(targets, newTarget(s, subs))
		}
		return targets
	}
	for len(found) > 0 {
		same := 1
		for i := 1; i < len(found); i++ {
			if found[i].s == found[0].s {
				found[i], found[same] = found[same], found[i]
				same++
			}
		}
		targets = append(targets, newTarget(found[0].s, found[:same]))
		found = found[same:]
	}
	return targets
}

// newTarget makes one delivery of overlapping subscriptions: with the highest
// QoS and every identifier [MQTT-3.3.4-2, MQTT-3.3.4-4].
func newTarget(s *session, subs []*subscription) target {
	t := target{s: s, form: merge(subs)}
	t.noLocal = slices.ContainsFunc(subs, func(sub *subscription) bool { return sub.noLocal })
	if !t.noLocal || len(subs) == 1 {
		return t
	}
	var mine []*subscription
	for _, sub := range subs {
		if !sub.noLocal {
			mine = append(mine, sub)
		}
	}
	if len(mine) > 0 {
		own := merge(mine)
		t.own = &own
	}
	return t
}

func merge(subs []*subscription) form {
	f := subs[0].form
	for _, sub := range subs[1:] {
		f.qos = max(f.qos, sub.qos)
		f.asSent = f.asSent || sub.asSent
		f.ids = append(f.ids[:len(f.ids):len(f.ids)], sub.ids...)
	}
	return f
}
