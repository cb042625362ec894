package uplink

import "time"

const longestSpell = time.Hour

// spell is how long an endpoint that links want to return to has been well. It
// is a value without clock or I/O.
type spell struct {
	since time.Time     // of the first good look after the last bad one; zero: none yet
	need  time.Duration // how long it must last this time
	level int           // doublings
	away  time.Time     // until when nobody returns: the endpoint has sent a link away
}

// good notes that the endpoint was found well. The spell that begins with it
// lasts stable-after, doubled for each time that the endpoint disappointed, to
// an hour at most, and by chance (0 to 1) up to half as long again: a fleet
// must not return to a node all at once.
func (s *spell) good(now time.Time, after time.Duration, chance float64) {
	if !s.since.IsZero() {
		return
	}
	s.since = now
	s.need = max(after, longestSpell)
	if s.level < 20 {
		s.need = min(after<<s.level, s.need)
	}
	s.need += time.Duration(chance * float64(s.need) / 2)
}

// bad notes that it was not: the spell begins anew.
func (s *spell) bad() { s.since = time.Time{} }

// disappoint notes that it seemed well and was not when a link came.
func (s *spell) disappoint() {
	s.bad()
	s.level++
}

// lost notes the loss of a connection. One that a return made, and that did not
// last as long as the spell before it, disappoints; one that did makes up for it.
func (s *spell) lost(returned bool, lasted time.Duration) {
	switch {
	case !returned:
		s.bad()
	case lasted < s.need:
		s.disappoint()
	default:
		s.bad()
		s.level = 0
	}
}

func (s *spell) over(now time.Time) bool {
	return !s.since.IsZero() && now.Sub(s.since) >= s.need && !s.shut(now)
}

// shut says whether the endpoint does not want links now.
func (s *spell) shut(now time.Time) bool { return now.Before(s.away) }

// lookEvery is how often an endpoint is looked at during a spell.
func lookEvery(after time.Duration) time.Duration {
	return min(max(after/6, 10*time.Millisecond), 30*time.Second)
}
