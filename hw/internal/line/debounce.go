package line

import "time"

// Debouncer turns the edges of a line into states that stood for Hold. Times
// are of one monotonic clock.
type Debouncer struct {
	Hold    time.Duration
	stable  bool
	raw     bool
	since   time.Duration // raw is what it is
	changed time.Duration // stable is what it is
}

// Edge takes notice of a change of the line at a time, and says whether the
// state has changed: because what stood before the edge had stood long enough,
// or at once without Hold.
func (d *Debouncer) Edge(active bool, at time.Duration) (changed bool) {
	changed = d.Settle(at)
	if active != d.raw {
		d.raw, d.since = active, at
	}
	return d.Hold == 0 && d.Settle(at) || changed
}

// Settle says whether the state has changed by the time now, when there was no
// edge since the last one that Edge was told of.
func (d *Debouncer) Settle(now time.Duration) (changed bool) {
	if d.raw == d.stable || now-d.since < d.Hold {
		return false
	}
	d.stable, d.changed = d.raw, d.since
	return true
}

// Due is when Settle has something to say, unless an edge comes before.
func (d *Debouncer) Due() (at time.Duration, waiting bool) {
	return d.since + d.Hold, d.raw != d.stable
}
