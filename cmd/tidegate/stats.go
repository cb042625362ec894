package main

import (
	"fmt"
	"os"
	"runtime"

	"tidegate/cmd/tidegate/internal/card"
	"tidegate/edge"
	"tidegate/hw"
	"tidegate/uplink"
)

// stats is one line of the status socket.
type stats struct {
	Version   string                  `json:"version"`
	Gateway   string                  `json:"gateway"`
	Epoch     uint64                  `json:"epoch"`
	PID       int                     `json:"pid"`
	Uptime    float64                 `json:"uptime"` // seconds
	RSS       int64                   `json:"rss"`    // bytes
	Routines  int                     `json:"goroutines"`
	Listeners []string                `json:"listeners"`
	Wear      wearStats               `json:"wear"`
	Card      card.Stats              `json:"card"`
	Edge      edge.Stats              `json:"edge"`
	Uplinks   map[string]uplink.Stats `json:"uplinks"`
	HW        hw.Stats                `json:"hw"`
}

// wearStats says what the card was given since the start.
type wearStats struct {
	Written int64   `json:"written"` // bytes
	Commits int64   `json:"commits"`
	Left    float64 `json:"left"` // of the budget, 0 to 1
}

func (g *gateway) stats() any {
	n := g.numbers()
	s := stats{
		Version: n.Version, Gateway: n.Gateway, Epoch: n.Epoch, PID: os.Getpid(), Uptime: n.Uptime.Seconds(),
		RSS: residentBytes(), Routines: runtime.NumGoroutine(), Wear: wearStats(n.Wear), Card: n.Card,
		Edge: n.Edge, Uplinks: map[string]uplink.Stats{}, HW: n.HW,
	}
	for _, a := range g.broker.Addrs() {
		s.Listeners = append(s.Listeners, a.String())
	}
	for _, u := range n.Uplinks {
		s.Uplinks[u.Name] = u.Stats
	}
	return s
}

// residentBytes is what the process has in RAM, or 0 when the kernel does not
// say.
func residentBytes() int64 {
	data, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	var size, resident int64
	if _, err := fmt.Sscan(string(data), &size, &resident); err != nil {
		return 0
	}
	return resident * int64(os.Getpagesize())
}
