package line

import (
	"slices"
	"testing"
	"time"
)

const ms = time.Millisecond

func TestDebouncerWantsStatesThatStand(t *testing.T) {
	type edge struct {
		at     time.Duration
		active bool
	}
	for _, c := range []struct {
		name  string
		hold  time.Duration
		edges []edge
		want  []time.Duration // of changes, on and off in turns
	}{
		{"clean", 20 * ms, []edge{{100 * ms, true}, {300 * ms, false}}, []time.Duration{100 * ms, 300 * ms}},
		{"bouncing both ways", 20 * ms, []edge{{100 * ms, true}, {101 * ms, false}, {103 * ms, true}, {300 * ms, false}, {302 * ms, true}, {303 * ms, false}},
			[]time.Duration{103 * ms, 303 * ms}},
		{"a spike", 20 * ms, []edge{{100 * ms, true}, {119 * ms, false}}, nil},
		{"just long enough", 20 * ms, []edge{{100 * ms, true}, {120 * ms, false}}, []time.Duration{100 * ms, 120 * ms}},
		{"none", 0, []edge{{100 * ms, true}, {100 * ms, false}, {101 * ms, true}}, []time.Duration{100 * ms, 100 * ms, 101 * ms}},
		{"the same level twice, for an edge was lost", 20 * ms, []edge{{100 * ms, true}, {110 * ms, true}}, []time.Duration{100 * ms}},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := Debouncer{Hold: c.hold}
			var got []time.Duration
			want := true
			note := func(changed bool) {
				if !changed {
					return
				}
				if d.stable != want {
					t.Errorf("change %d is to %v", len(got), d.stable)
				}
				want = !want
				got = append(got, d.changed)
			}
			for _, e := range c.edges {
				note(d.Edge(e.active, e.at))
			}
			if due, waiting := d.Due(); waiting {
				note(d.Settle(due - 1))
				note(d.Settle(due))
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

func TestClicks(t *testing.T) {
	// Changes in turns, down first; a click is due after each where Due says so.
	for _, c := range []struct {
		name    string
		clicks  Clicks
		changes []time.Duration
		want    []Click
		at      []time.Duration
	}{
		{"press", Clicks{Long: time.Second, Double: 400 * ms}, []time.Duration{0, 100 * ms}, []Click{Press}, []time.Duration{500 * ms}},
		{"double", Clicks{Long: time.Second, Double: 400 * ms}, []time.Duration{0, 100 * ms, 300 * ms, 400 * ms}, []Click{Double}, []time.Duration{300 * ms}},
		{"two presses", Clicks{Long: time.Second, Double: 400 * ms}, []time.Duration{0, 100 * ms, 500 * ms, 600 * ms}, []Click{Press, Press}, []time.Duration{500 * ms, 1000 * ms}},
		{"long", Clicks{Long: time.Second, Double: 400 * ms}, []time.Duration{0, 3 * time.Second}, []Click{Long}, []time.Duration{time.Second}},
		{"press without double", Clicks{Long: time.Second}, []time.Duration{0, 100 * ms}, []Click{Press}, []time.Duration{100 * ms}},
		{"hold without long", Clicks{}, []time.Duration{0, 10 * time.Second}, []Click{Press}, []time.Duration{10 * time.Second}},
		{"thrice", Clicks{Long: time.Second, Double: 400 * ms}, []time.Duration{0, 50 * ms, 100 * ms, 150 * ms, 200 * ms, 250 * ms}, []Click{Double, Press}, []time.Duration{100 * ms, 650 * ms}},
	} {
		for _, late := range []bool{false, true} { // with Tick in time, and without it
			var got []Click
			var at []time.Duration
			note := func(k Click, when time.Duration) {
				if k != NoClick {
					got, at = append(got, k), append(at, when)
				}
			}
			run := c.clicks
			for i, when := range c.changes {
				if due, ok := run.Due(); ok && due <= when && !late {
					note(run.Tick(due-1), due-1)
					note(run.Tick(due), due)
				}
				note(run.Change(i%2 == 0, when), when)
			}
			if due, ok := run.Due(); ok {
				note(run.Tick(due), due)
			}
			if _, ok := run.Due(); ok {
				t.Errorf("%s: something is due for ever", c.name)
			}
			if !slices.Equal(got, c.want) || !late && !slices.Equal(at, c.at) {
				t.Errorf("%s (late %v): got %v at %v, want %v at %v", c.name, late, got, at, c.want, c.at)
			}
		}
	}
}
