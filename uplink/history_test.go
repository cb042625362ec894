package uplink

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// What became of a link can be read afterwards, in its order, however short it
// was.
func TestEventsTellWhatHappened(t *testing.T) {
	c := newCloud(t).start()
	cfg := quick(c.url())
	cfg.Links = 1
	u, stop := begin(t, cfg, Options{})
	eventually(t, "the link is up", func() bool { return state(u, 0).State == Connected })
	c.cut()
	kinds := func() (all []EventKind) {
		for _, e := range u.Events() {
			if e.Link == u.links[0].id {
				all = append(all, e.Kind)
			}
		}
		return all
	}
	eventually(t, "the link is up again", func() bool { return slices.Contains(kinds()[1:], EventUp) })
	stop()
	got := slices.DeleteFunc(kinds(), func(k EventKind) bool { return k == EventFault })
	if want := []EventKind{EventUp, EventDown, EventUp, EventStop}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	for _, e := range u.Events() {
		if e.At.IsZero() || e.Kind == EventDown && (e.Fault != FaultClosed || e.From != c.url() || e.Cause == "") || e.Kind == EventUp && e.To != c.url() {
			t.Errorf("got %+v", e)
		}
	}
}

func TestEventsAreBounded(t *testing.T) {
	u := &Uplink{}
	for i := range mostEvents + 10 {
		u.history.add(Event{Kind: EventFault, Route: fmt.Sprint(i), Cause: strings.Repeat("ä", 1000)})
	}
	got := u.Events()
	if len(got) != mostEvents || got[0].Route != "10" || got[mostEvents-1].Route != fmt.Sprint(mostEvents+9) {
		t.Errorf("got %d events, %s to %s", len(got), got[0].Route, got[len(got)-1].Route)
	}
	if n := len(got[0].Cause); n > mostCause+4 {
		t.Errorf("got a cause of %d bytes", n)
	}
}
