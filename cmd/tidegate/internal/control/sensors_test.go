package control

import (
	"context"
	"testing"
	"time"

	"tidegate/edge"
	"tidegate/hw"
)

// An actuator that says its state once, just when the API begins to listen, is
// known: what is retained is read after nothing more can be missed.
func TestNoStateIsMissedAtTheStart(t *testing.T) {
	var said *edge.Message // retained; written and read by the one who hears
	s := senses{
		places: func() []hw.Place {
			return []hw.Place{{Name: "fan", Measures: []hw.Measure{{Field: "state", JSON: true, Topic: "fan/state", Text: true}}, Command: "fan/set"}}
		},
		hear: func(ctx context.Context, _ []string, f func(*edge.Message, int64)) {
			said = &edge.Message{Topic: "fan/state", Payload: []byte(`{"state":"OFF"}`), Retain: true}
			f(nil, 0)
			<-ctx.Done()
		},
		retained: func(_ string, f func(*edge.Message) bool) {
			if said != nil {
				f(said)
			}
		},
	}
	s.follow(t.Context())
	defer s.rest()
	state := func() string {
		var out Status
		s.show(&out, &hw.Stats{})
		return out.Actuators[0].State
	}
	for end := time.Now().Add(patient); state() != "OFF"; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("got state %q, want OFF", state())
		}
	}
}
