package uplink

import "time"

// denial is that the cloud does not let this client speak on its status topic:
// it refused a CONNECT for the will, or a statement. Somebody may set its
// permissions right, so it is asked again, less and less often: for a statement
// on the connection that is there, for the will with the next CONNECT.
type denial struct {
	again time.Time     // when it is asked again; zero when it is, or was not denied
	spell time.Duration // the last pause
	words string        // what the link shows of it
}

const longestDenial = time.Hour

// enter notes one more, the first of which is to be followed by a pause of
// least.
func (d *denial) enter(now time.Time, least time.Duration) {
	d.spell = min(max(2*d.spell, least), longestDenial)
	d.again = now.Add(d.spell)
}

// lasts says whether it is too early to ask.
func (d *denial) lasts(now time.Time) bool { return now.Before(d.again) }

// left returns how long it is until it is asked again, and whether it will be.
func (d *denial) left(now time.Time) (left time.Duration, denied bool) {
	return d.again.Sub(now), !d.again.IsZero()
}

// patience is the pause after a cloud's first no, as for a link.
func (p *presence) patience() time.Duration {
	_, l := p.up.downward()
	if l == nil {
		return longestDenial
	}
	return declinedFactor * l.config().ReconnectMax.Std()
}

// content takes back what explain or complain said, if that is still shown.
func (l *link) content(words string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cause == words {
		l.cause, l.fault = "", ""
	}
}
