package uplink

import "time"

// consent keeps the gateway from insisting on what a cloud punishes. Some end
// the connection of a client that publishes where it may not, without a word;
// a link that did so at each connection would never be up. So: when a few
// connections in a row end soon after something was sent that the cloud never
// answered, it is not sent for a while, longer each time.
type consent struct {
	asked   time.Time // when it was last sent, unanswered
	granted bool      // it was answered once
	strikes int
	until   time.Time // not sent before
	spell   time.Duration
}

const (
	punishment = 5 * time.Second // a connection that ends so soon after is taken for one
	enough     = 4               // of them
	abstention = time.Minute     // the first; doubles to an hour
)

// given says whether it may be sent now.
func (c *consent) given(now time.Time) bool { return !now.Before(c.until) }

// ask notes that it is sent.
func (c *consent) ask(now time.Time) {
	if c.asked.IsZero() {
		c.asked = now
	}
}

// grant notes that the cloud answered.
func (c *consent) grant() { *c = consent{granted: true} }

// lost notes the end of a connection. It says whether that was one too many.
func (c *consent) lost(now time.Time) (over bool) {
	soon := !c.asked.IsZero() && now.Sub(c.asked) < punishment
	c.asked = time.Time{}
	if !soon || c.granted {
		return false
	}
	if c.strikes++; c.strikes < enough {
		return false
	}
	c.spell = min(max(2*c.spell, abstention), time.Hour)
	c.strikes, c.until = 0, now.Add(c.spell)
	return true
}
