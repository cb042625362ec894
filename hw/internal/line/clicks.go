package line

import "time"

// Click is what somebody did with a button.
type Click string

// The clicks.
const (
	NoClick Click = ""
	Press   Click = "press"  // pressed and let go
	Double  Click = "double" // twice in a short time
	Long    Click = "long"   // held down
)

// Clicks tells them apart. Times are of one monotonic clock.
//
//	up --down--> down --held for Long--> long, told at once; its end says nothing
//	              |
//	              +--let go--> waits for Double --nothing--> press
//	                             +--down--> double
type Clicks struct {
	Long   time.Duration // how long a press is long; 0: none is
	Double time.Duration // how soon after the first the second press comes; 0: none does, and a press is told when it is let go

	state byte
	since time.Duration
}

const (
	idle    = iota
	down    // pressed, told nothing yet
	waiting // let go, perhaps once more
	told    // pressed, nothing more to tell
)

// Change takes notice of the button going down or up.
func (c *Clicks) Change(pressed bool, at time.Duration) Click {
	before := c.Tick(at)
	switch {
	case pressed && c.state == waiting:
		c.state = told
		return Double
	case pressed:
		c.state, c.since = down, at
	case c.state == down && c.Double > 0:
		c.state, c.since = waiting, at
	case c.state == down:
		c.state = idle
		return Press
	default:
		c.state = idle
	}
	return before
}

// Tick says what has become of the button by the time now.
func (c *Clicks) Tick(now time.Duration) Click {
	switch {
	case c.state == down && c.Long > 0 && now-c.since >= c.Long:
		c.state = told
		return Long
	case c.state == waiting && now-c.since >= c.Double:
		c.state = idle
		return Press
	}
	return NoClick
}

// Due is when Tick has something to say, unless a change comes before.
func (c *Clicks) Due() (at time.Duration, due bool) {
	switch c.state {
	case down:
		return c.since + c.Long, c.Long > 0
	case waiting:
		return c.since + c.Double, true
	}
	return 0, false
}
