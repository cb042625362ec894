package uplink

import (
	"errors"
	"strings"
	"testing"
	"time"
)

// One line when an endpoint goes, one when it comes back, however many links
// try however often.
func TestOutageIsSaidOnce(t *testing.T) {
	var log lines
	u := &Uplink{log: log.logger()}
	a, b := newLink(u, 0, "u0"), newLink(u, 1, "u1")
	now := time.Now()
	refused, name := fault(FaultRefused, errors.New("r")), fault(FaultNoName, errors.New("n"))
	for i, s := range []struct {
		miss  error // nil: reached
		link  *link
		after time.Duration
		lines int // in all
	}{
		{refused, a, 0, 1},
		{refused, b, time.Second, 1},
		{refused, a, time.Second, 1},
		{name, a, time.Second, 2},
		{name, b, time.Second, 2},
		{name, a, 2 * forgotten, 3},
		{nil, b, time.Second, 4}, // "link up" only: this outage is not b's
		{nil, a, time.Second, 6}, // and the end of the outage
		{refused, a, time.Second, 7},
	} {
		now = now.Add(s.after)
		if s.miss != nil {
			u.outages.missed(s.link, "mqtt://x:1", s.miss, now)
		} else {
			s.link.sayUp("link up", "mqtt://x:1")
		}
		if got := strings.Count(log.String(), "\n"); got != s.lines {
			t.Errorf("step %d: got %d lines, want %d:\n%s", i, got, s.lines, log.String())
		}
	}
}
