package hw

import (
	"slices"
	"testing"
	"testing/synctest"
)

// A simulated actuator obeys as a relay does, needs no hardware, and says that
// it is none.
func TestSimulatedActuator(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorks(t, newBench(), Config{})
		w.addLines(Config{Actuator: []ActuatorConfig{{Kind: "simulated", Name: "fan"}}}, kernelLines{})
		stop := w.begin(t)
		defer stop()
		for _, c := range []string{"ON", "TOGGLE"} {
			w.send("simulated/fan/set", c)
			synctest.Wait()
		}
		if got, want := w.said("simulated/fan/state"), []string{
			`{"state":"OFF","cause":"start","simulated":true}`, `{"state":"ON","cause":"command","simulated":true}`,
			`{"state":"OFF","cause":"command","simulated":true}`,
		}; !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
	for _, c := range []ActuatorConfig{{Line: "GPIO17"}, {PWM: "pwmchip0:0"}, {Frequency: 50}} {
		c.Kind, c.Name = "simulated", "fan"
		if got := c.check(); len(got) != 1 {
			t.Errorf("%+v: got %v, want one problem", c, got)
		}
	}
}
