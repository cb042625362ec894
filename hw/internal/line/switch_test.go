package line

import (
	"testing"
	"time"
)

var (
	on  = State{On: true}
	off = State{}
)

func TestSwitchKeepsItsTimes(t *testing.T) {
	begin := time.Now()
	now := begin
	s := NewSwitch(Rules{FailSafe: off, FailSafeAfter: 10 * time.Minute, MinOn: 2 * time.Minute, MinOff: time.Minute}, off, now)
	step := func(after time.Duration) { now = now.Add(after) }
	check := func(what string, want State, cause Cause) {
		t.Helper()
		if got, why := s.State(); got != want || why != cause {
			t.Errorf("%s: got %v by %s, want %v by %s", what, got, why, want, cause)
		}
	}
	check("at the start", off, ByStart)

	step(20 * time.Second)
	if wait, changed := s.Command(on, now); wait != 40*time.Second || changed {
		t.Errorf("on 20 s after the start: got wait %v, changed %v, want 40 s", wait, changed)
	}
	check("too early", off, ByStart)
	if s.Tick(now.Add(39 * time.Second)) {
		t.Error("it switched too early")
	}
	// The last command wins: off is what it is, so nothing waits.
	step(time.Second)
	s.Command(off, now)
	if _, _, waits := s.Pending(); waits || s.Tick(begin.Add(time.Minute)) {
		t.Error("a command that was taken back was done")
	}
	check("taken back", off, ByCommand)

	step(time.Second)
	s.Command(on, now)
	if want, at, ok := s.Pending(); !ok || want != on || !at.Equal(begin.Add(time.Minute)) || s.Next() != on {
		t.Errorf("pending: got %v at %v, %v", want, at.Sub(begin), ok)
	}
	if due, ok := s.Due(); !ok || !due.Equal(begin.Add(time.Minute)) {
		t.Errorf("due: got %v, %v", due.Sub(begin), ok)
	}
	now = begin.Add(time.Minute)
	if !s.Tick(now) {
		t.Error("the command that waited was not done")
	}
	check("after min-off", on, ByCommand)

	step(5 * time.Minute)
	if wait, changed := s.Command(off, now); wait != 0 || !changed {
		t.Errorf("off after min-on: got wait %v, changed %v", wait, changed)
	}
	check("off", off, ByCommand)
}

func TestSilenceLeadsToFailSafe(t *testing.T) {
	begin := time.Now()
	rules := Rules{FailSafe: on, FailSafeAfter: time.Minute, MinOff: time.Hour}
	s := NewSwitch(rules, off, begin)

	// Each command renews, also one that changes nothing and one that waits.
	s.Command(off, begin.Add(50*time.Second))
	s.Command(on, begin.Add(100*time.Second))
	if due, ok := s.Due(); !ok || !due.Equal(begin.Add(160*time.Second)) {
		t.Errorf("due: got %v, %v, want 160 s", due.Sub(begin), ok)
	}
	if s.Tick(begin.Add(159 * time.Second)) {
		t.Error("it was silent for less than a minute")
	}
	// The fail-safe state does not wait for min-off.
	if !s.Tick(begin.Add(160 * time.Second)) {
		t.Error("it did not switch")
	}
	if got, why := s.State(); got != on || why != ByFailSafe {
		t.Errorf("got %v by %s, want on by fail-safe", got, why)
	}
	if _, _, waits := s.Pending(); waits {
		t.Error("a command still waits after the fail-safe state was taken")
	}
	if _, ok := s.Due(); ok {
		t.Error("silence comes twice")
	}
	s.Command(off, begin.Add(200*time.Second))
	if due, ok := s.Due(); !ok || !due.Equal(begin.Add(260*time.Second)) {
		t.Errorf("renewed: got %v, %v", due.Sub(begin), ok)
	}

	// A state that is the fail-safe one already: the cause says so, nothing moves.
	same := NewSwitch(Rules{FailSafe: off, FailSafeAfter: time.Minute}, off, begin)
	if same.Tick(begin.Add(time.Minute)) {
		t.Error("it switched to what it was")
	}
	if _, why := same.State(); why != ByFailSafe {
		t.Errorf("got cause %s", why)
	}
}

func TestBrightnessDoesNotWait(t *testing.T) {
	begin := time.Now()
	s := NewSwitch(Rules{MinOn: time.Hour, MinOff: time.Hour}, State{On: true, Brightness: 255}, begin)
	if wait, changed := s.Command(State{On: true, Brightness: 10}, begin); wait != 0 || !changed {
		t.Errorf("got wait %v, changed %v", wait, changed)
	}
	if wait, _ := s.Command(off, begin.Add(time.Minute)); wait != 59*time.Minute {
		t.Errorf("the time began anew with the brightness: wait %v", wait)
	}
	s.Stop(begin.Add(2 * time.Minute))
	if got, why := s.State(); got != off || why != ByStop {
		t.Errorf("got %v by %s", got, why)
	}
	if _, ok := s.Due(); ok {
		t.Error("something is due after the stop")
	}
}
