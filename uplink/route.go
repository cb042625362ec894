package uplink

import (
	"strings"
	"sync"
	"sync/atomic"

	"tidegate/internal/topic"
	"tidegate/uplink/spool"
)

// remap takes a prefix off a topic and puts another in front.
type remap struct{ strip, add string }

// topic returns the new name of t, false when t lacks the prefix (as "home"
// does, which "home/#" matches and "home/" does not begin) or the new name
// would be empty or too long.
func (r remap) topic(t string) (string, bool) {
	rest, ok := strings.CutPrefix(t, r.strip)
	if !ok || len(rest)+len(r.add) > 65535 || len(rest)+len(r.add) == 0 {
		return "", false
	}
	if r.add == "" {
		return rest, true
	}
	return r.add + rest, true
}

// filter returns where what filter matches goes to.
func (r remap) filter(f string) string { return r.add + strings.TrimPrefix(f, r.strip) }

// classes are the words of the configuration.
var classes = map[string]spool.Class{"": spool.Normal, "urgent": spool.Urgent, "normal": spool.Normal, "bulk": spool.Bulk}

type upRoute struct {
	filter string
	remap
	qos   byte
	clear bool
	class spool.Class
	count *atomic.Int64 // messages
	cloud string        // the filter of what it carries, in the cloud
}

type downRoute struct {
	filter string
	remap
	qos   byte
	clear bool
	count *atomic.Int64
}

// target is where one local topic goes. A nil route: nowhere.
type target struct {
	route *upRoute
	topic string // in the cloud
	link  int
}

// routes is the compiled form of the configuration's routes and a cache of
// what they say about recent topics.
type routes struct {
	up    []*upRoute
	down  []*downRoute
	links int
	cache cache
}

// newRoutes keeps the counters of those routes of old whose filter stayed.
func newRoutes(c Config, old *routes) *routes {
	r := &routes{links: c.Links}
	counts := map[string]*atomic.Int64{}
	if old != nil {
		for _, u := range old.up {
			counts["up "+u.filter] = u.count
		}
		for _, d := range old.down {
			counts["down "+d.filter] = d.count
		}
	}
	count := func(key string) *atomic.Int64 {
		if counts[key] == nil {
			counts[key] = new(atomic.Int64)
		}
		return counts[key]
	}
	for _, u := range c.Up {
		r.up = append(r.up, &upRoute{u.Filter, remap{u.Strip, u.Add}, capQoS(u.QoS), u.Retain == "clear", classes[u.Class], count("up " + u.Filter), remap{u.Strip, u.Add}.filter(u.Filter)})
	}
	for _, d := range c.Down {
		r.down = append(r.down, &downRoute{d.Filter, remap{d.Strip, d.Add}, capQoS(d.QoS), d.Retain == "clear", count("down " + d.Filter)})
	}
	return r
}

// classes counts those that routes use.
func (r *routes) classes() int {
	used := map[spool.Class]bool{}
	for _, u := range r.up {
		used[u.class] = true
	}
	return len(used)
}

func capQoS(q *int) byte {
	if q != nil && *q == 0 {
		return 0
	}
	return 1
}

// find returns where the local topic t goes: by the first route that matches.
func (r *routes) find(t string) target {
	if got, ok := r.cache.get(t); ok {
		return got
	}
	got := r.search(t)
	r.cache.put(t, got)
	return got
}

func (r *routes) search(t string) target {
	for _, u := range r.up {
		if !topic.Match(u.filter, t) {
			continue
		}
		if name, ok := u.topic(t); ok {
			return target{u, name, linkOf(name, r.links)}
		}
	}
	return target{}
}

// fromCloud returns the first down route that matches the cloud topic t, and
// the local name; nil when there is none.
func (r *routes) fromCloud(t string) (*downRoute, string) {
	for _, d := range r.down {
		if !topic.Match(d.filter, t) {
			continue
		}
		if name, ok := d.topic(t); ok {
			return d, name
		}
	}
	return nil, ""
}

// linkOf returns the up link that the cloud topic t belongs to, by FNV-1a: the
// same after a restart, or order would end with each.
func linkOf(t string, links int) int {
	h := uint64(14695981039346656037)
	for i := range len(t) {
		h = (h ^ uint64(t[i])) * 1099511628211
	}
	return int((h ^ h>>32) % uint64(links))
}

// overlap says whether some topic matches both filters.
func overlap(a, b string) bool {
	if a != "" && b != "" && (a[0] == '$') != (b[0] == '$') && (wild(a) || wild(b)) {
		return false // [MQTT-4.7.2-1]
	}
	for {
		al, arest, amore := strings.Cut(a, "/")
		bl, brest, bmore := strings.Cut(b, "/")
		if al == "#" || bl == "#" {
			return true
		}
		if al != "+" && bl != "+" && al != bl {
			return false
		}
		switch {
		case !amore && !bmore:
			return true
		case !amore:
			return brest == "#"
		case !bmore:
			return arest == "#"
		}
		a, b = arest, brest
	}
}

func wild(filter string) bool { return filter[0] == '+' || filter[0] == '#' }

const (
	cacheTopics = 4096 // in each of the two generations
	cacheLength = 256  // bytes; longer topics are looked up each time
)

// cache remembers targets in two generations: when the young one is full it
// becomes the old one, and what is still used moves on. So it is bounded, and
// a flood of new topics costs no scan.
type cache struct {
	mu         sync.RWMutex
	young, old map[string]target
}

func (c *cache) get(t string) (target, bool) {
	c.mu.RLock()
	got, ok := c.young[t]
	if ok {
		c.mu.RUnlock()
		return got, true
	}
	got, ok = c.old[t]
	c.mu.RUnlock()
	if ok {
		c.put(t, got)
	}
	return got, ok
}

func (c *cache) put(t string, to target) {
	if len(t) > cacheLength {
		return
	}
	c.mu.Lock()
	if len(c.young) >= cacheTopics || c.young == nil {
		c.old, c.young = c.young, make(map[string]target)
	}
	c.young[strings.Clone(t)] = to // t may be a part of a whole packet
	c.mu.Unlock()
}
