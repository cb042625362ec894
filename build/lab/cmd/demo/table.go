package main

import (
	"fmt"
	"strings"
	"time"
)

// sample is what the table shows of one second.
type sample struct {
	at                         time.Duration
	published, acked, received uint64
	links                      []linkState
	ram, disk                  int64 // messages spooled
	up                         bool  // the gateway answered
}

type linkState struct {
	id, endpoint, state string
	inFlight            int
}

// table prints rows under a heading that is repeated after every headline.
type table struct {
	last    sample
	heading bool
}

func (t *table) say(at time.Duration, line string) {
	fmt.Printf("\n%5.1fs  %s\n", at.Seconds(), line)
	t.heading = false
}

func (t *table) row(s sample) {
	if !t.heading {
		fmt.Printf("%7s %8s %8s %8s  %9s %9s %7s  %s\n", "", "sent/s", "acked/s", "cloud/s", "RAM", "disk", "drain", "links: endpoint, state, in flight")
		t.heading = true
	}
	span := (s.at - t.last.at).Seconds()
	rate := func(now, before uint64) float64 { return float64(now-before) / span }
	fmt.Printf("%6.1fs %8.0f %8.0f %8.0f  ", s.at.Seconds(), rate(s.published, t.last.published), rate(s.acked, t.last.acked), rate(s.received, t.last.received))
	if s.up {
		fmt.Printf("%9d %9d %7s  %s\n", s.ram, s.disk, drainText(s, t.last), linksText(s.links))
	} else {
		fmt.Printf("%9s %9s %7s  %s\n", "-", "-", "-", "the gateway is not running")
	}
	t.last = s
}

// drainText is the time until the spool is empty at the pace of the last
// second: "-" when it is empty, "..." when it does not shrink.
func drainText(now, before sample) string {
	left := now.ram + now.disk
	shrunk := before.ram + before.disk - left
	switch {
	case now.disk == 0:
		return "-"
	case !before.up || shrunk <= 0:
		return "..."
	}
	span := now.at - before.at
	return (span * time.Duration(left) / time.Duration(shrunk)).Round(100 * time.Millisecond).String()
}

func linksText(links []linkState) string {
	var out []string
	for _, l := range links {
		out = append(out, fmt.Sprintf("%s: %s %s %d", l.id, l.endpoint, l.state, l.inFlight))
	}
	return strings.Join(out, "   ")
}
