package hw

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A line that fails is no reason for a boiler to stay on, or to come on later.
func TestBoilerWithABadLineGoesOff(t *testing.T) {
	for _, c := range []struct {
		name    string
		command string // while the line takes nothing
		brings  bool   // whether the line is on when it comes back
	}{
		{"off is remembered", "OFF", false},
		{"a refused toggle to off too", "TOGGLE", false},
		{"the rest changes nothing", "HOT", true},
	} {
		for _, gone := range []bool{false, true} { // before the command; else it is the command that fails
			synctest.Test(t, func(t *testing.T) {
				b := newBench()
				w := newWorks(t, b, relay())
				stop := w.begin(t)
				defer stop()
				w.send(set, "ON")
				synctest.Wait()
				lamp, broken := w.lamp("GPIO23"), errors.New("input/output error")
				b.change(func() { lamp.err, b.fail["GPIO23"] = broken, broken })
				if gone {
					time.Sleep(2 * time.Minute)
				}
				w.send(set, c.command)
				time.Sleep(5 * time.Minute)
				b.change(func() { lamp.err = nil; delete(b.fail, "GPIO23") })
				time.Sleep(2 * time.Minute)
				if got := lamp.now().On; got != c.brings || lamp.open != 1 {
					t.Errorf("%s, gone %v: on is %v, want %v", c.name, gone, got, c.brings)
				}
				if got := w.Stats().Actuator[0].Refused; got != 1 {
					t.Errorf("%s, gone %v: %d refused, want 1", c.name, gone, got)
				}
			})
		}
	}
	synctest.Test(t, func(t *testing.T) { // off, and refused to go on
		b := newBench()
		w := newWorks(t, b, relay())
		defer w.begin(t)()
		lamp := w.lamp("GPIO23")
		b.change(func() { lamp.err = errors.New("input/output error") })
		w.send(set, "ON")
		synctest.Wait()
		b.change(func() { lamp.err = nil })
		time.Sleep(5 * time.Minute)
		if lamp.now().On || w.Stats().Actuator[0].State != Online {
			t.Errorf("it came on after it was refused: %q", lamp.set)
		}
	})
}

// A stop is the last who can switch it off.
func TestStopSwitchesOffALineThatFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench()
		w := newWorks(t, b, relay(func(c *ActuatorConfig) { c.FailSafeAfter = every(time.Minute) }))
		stop := w.begin(t)
		w.send(set, "ON")
		synctest.Wait()
		lamp := w.lamp("GPIO23")
		b.change(func() { lamp.err, b.fail["GPIO23"] = errBusy, errBusy })
		time.Sleep(5*time.Minute + 10*time.Second) // between two tries
		b.change(func() { lamp.err = nil; delete(b.fail, "GPIO23") })
		if !lamp.now().On {
			t.Fatal("it is off already")
		}
		stop()
		if lamp.now().On || lamp.open != 0 {
			t.Errorf("after the stop: %+v", lamp)
		}
	})
}

// A command that comes while a reload is on its way is done after it.
func TestCommandDuringAReload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench()
		old := newWorks(t, b, relay())
		slow := &slowEnd{ended: make(chan struct{})}
		old.parts = append(old.parts, slow)
		stop := old.begin(t)
		old.send(set, "ON")
		synctest.Wait()
		w := newWorks(t, b, relay())
		w.Follow(old.Hardware)
		var stopped sync.WaitGroup
		stopped.Go(stop)
		synctest.Wait() // the relay has stopped, another part has not
		if old.deaf() {
			t.Error("nobody hears commands")
		}
		old.send(set, "OFF")
		synctest.Wait()
		close(slow.ended)
		stopped.Wait()
		defer w.begin(t)()
		if w.lamp("GPIO23").now().On {
			t.Error("the command is lost")
		}
	})
}

// slowEnd is a part that takes its time to end.
type slowEnd struct{ ended chan struct{} }

func (s *slowEnd) run(context.Context) error {
	<-s.ended
	return nil
}

func (s *slowEnd) addStats(*Stats) {}
