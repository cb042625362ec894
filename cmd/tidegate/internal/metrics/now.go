package metrics

import (
	"time"

	"tidegate/cmd/tidegate/internal/card"
	"tidegate/edge"
	"tidegate/hw"
	"tidegate/uplink"
)

// Now is everything that a scrape tells.
type Now struct {
	Version   string
	Gateway   string // its id
	Epoch     uint64
	Uptime    time.Duration
	Listeners int
	Wear      Wear
	Card      card.Stats
	Edge      edge.Stats
	Uplinks   []Uplink
	HW        hw.Stats
}

// Wear says what the card was given since the start.
type Wear struct {
	Written int64 // bytes
	Commits int64
	Left    float64 // of the budget, 0 to 1
}

// Uplink is the Stats of one uplink and what they are measured against.
type Uplink struct {
	uplink.Stats
	MaxDisk int64 // bytes that its spool may have on disk
}

// Flowing says whether the cloud acknowledges what is sent: every link that
// sends is connected, and no answer is late. A link that dies is found out
// within seconds while something is sent, and within its keep alive when not.
func (u Uplink) Flowing() bool {
	senders := 0
	for _, l := range u.Links {
		if l.Down {
			continue
		}
		if senders++; !l.Flows() {
			return false
		}
	}
	return senders > 0
}
