package uplink

import (
	"maps"
	"sync"
	"time"
)

// outages say once that an endpoint cannot be reached, and once that it can
// again; what happens in between is counted.
type outages struct {
	mu sync.Mutex
	of map[string]*outage // by endpoint
}

type outage struct {
	kinds  map[Fault]bool // that were logged
	links  map[*link]bool // that met it
	since  time.Time
	last   time.Time
	misses int
}

// forgotten is when a failure is news again, though nobody reached the
// endpoint since: perhaps nobody tried.
const forgotten = 10 * time.Minute

// mostOutages is when the forgotten ones are thrown away.
const mostOutages = 256

// missed notes a failed try. It logs what is new.
func (o *outages) missed(l *link, endpoint string, err error, now time.Time) {
	kind := faultOf(err)
	if o.note(l, endpoint, kind, now) {
		l.log.Info("endpoint not reached", "endpoint", endpoint, "fault", kind, "err", err)
	}
}

func (o *outages) note(l *link, endpoint string, kind Fault, now time.Time) (news bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.of == nil {
		o.of = map[string]*outage{}
	}
	out := o.of[endpoint]
	if out != nil && now.Sub(out.last) > forgotten {
		out = nil
	}
	if out == nil {
		if len(o.of) >= mostOutages { // addresses in DNS may come and go without end
			maps.DeleteFunc(o.of, func(_ string, old *outage) bool { return now.Sub(old.last) > forgotten })
		}
		out = &outage{since: now, kinds: map[Fault]bool{}, links: map[*link]bool{}}
		o.of[endpoint] = out
	}
	news = !out.kinds[kind]
	out.kinds[kind], out.last, out.links[l] = true, now, true
	out.misses++
	return news
}

// reached ends an outage when a link that met it is there again. It returns how
// many tries failed, and since when.
func (o *outages) reached(l *link, endpoint string) (misses int, since time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	out := o.of[endpoint]
	if out == nil || !out.links[l] {
		return 0, time.Time{}
	}
	delete(o.of, endpoint)
	return out.misses, out.since
}

// sayUp logs that the link has a connection, and after what pause.
func (l *link) sayUp(word, endpoint string) {
	args := []any{"endpoint", endpoint}
	if !l.gone.IsZero() {
		args = append(args, "after", time.Since(l.gone).Round(time.Millisecond))
		l.gone = time.Time{}
	}
	l.log.Info(word, args...)
	if misses, since := l.up.outages.reached(l, endpoint); misses > 0 {
		l.log.Info("endpoint reached again", "endpoint", endpoint, "missed", misses, "after", time.Since(since).Round(time.Millisecond))
	}
}
