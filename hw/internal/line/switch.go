package line

import "time"

// State is what an output does. A relay has On only; a dimmer that is on has a
// brightness from 1 to 255.
type State struct {
	On         bool
	Brightness uint8
}

// Cause is why an output is in its state.
type Cause string

// The causes.
const (
	ByStart    Cause = "start"
	ByCommand  Cause = "command"
	ByFailSafe Cause = "fail-safe" // nobody commanded it for too long
	ByStop     Cause = "stop"
)

// Rules are the times that an output keeps.
type Rules struct {
	FailSafe      State
	FailSafeAfter time.Duration // after the last command; 0: never
	MinOn, MinOff time.Duration // between two switches; 0: any
}

// Switch decides when an output changes.
//
//	Command --allowed--> at once
//	   |                    ^
//	   +--too early--> pending, until MinOn or MinOff has passed
//	silence for FailSafeAfter --> FailSafe, at once
//
// The minimum times protect what is wired to the output from commands; the
// fail-safe state does not wait for them. They begin with the start too, because
// nobody knows how long the output had been in its state before.
type Switch struct {
	Rules
	state     State
	cause     Cause
	since     time.Time // of On as it is
	heard     time.Time // the last command, or the start
	pending   State
	isPending bool
	silent    bool // the fail-safe state holds until the next command
}

// NewSwitch starts in a state.
func NewSwitch(r Rules, initial State, now time.Time) *Switch {
	return &Switch{Rules: r, state: initial, cause: ByStart, since: now, heard: now}
}

// State is what the output shall do now.
func (s *Switch) State() (State, Cause) { return s.state, s.cause }

// Pending is the state that waits for its time, and the time.
func (s *Switch) Pending() (want State, at time.Time, ok bool) {
	return s.pending, s.since.Add(s.least()), s.isPending
}

// Next is what was asked for last: what is pending, or the state.
func (s *Switch) Next() State {
	if s.isPending {
		return s.pending
	}
	return s.state
}

// Command asks for a state. It returns how long that has to wait, and whether
// the output changes now. A later command takes the place of one that waits.
func (s *Switch) Command(want State, now time.Time) (wait time.Duration, changed bool) {
	s.heard, s.silent, s.isPending = now, false, false
	if want == s.state {
		s.cause = ByCommand
		return 0, false
	}
	if want.On != s.state.On {
		if wait = s.since.Add(s.least()).Sub(now); wait > 0 {
			s.pending, s.isPending = want, true
			return wait, false
		}
	}
	s.enter(want, ByCommand, now)
	return 0, true
}

// Tick does what is due by now, and says whether the output changes.
func (s *Switch) Tick(now time.Time) (changed bool) {
	if s.FailSafeAfter > 0 && !s.silent && !now.Before(s.heard.Add(s.FailSafeAfter)) {
		s.silent, s.isPending = true, false
		changed = s.state != s.FailSafe
		s.enter(s.FailSafe, ByFailSafe, now)
		return changed
	}
	if s.isPending && !now.Before(s.since.Add(s.least())) {
		s.isPending = false
		s.enter(s.pending, ByCommand, now)
		return true
	}
	return false
}

// Stop puts the output into its fail-safe state for good.
func (s *Switch) Stop(now time.Time) {
	s.isPending = false
	s.enter(s.FailSafe, ByStop, now)
}

// Due is when Tick has something to do.
func (s *Switch) Due() (at time.Time, due bool) {
	if s.FailSafeAfter > 0 && !s.silent {
		at, due = s.heard.Add(s.FailSafeAfter), true
	}
	if t := s.since.Add(s.least()); s.isPending && (!due || t.Before(at)) {
		at, due = t, true
	}
	return at, due
}

// least is how long the output stays as it is.
func (s *Switch) least() time.Duration {
	if s.state.On {
		return s.MinOn
	}
	return s.MinOff
}

func (s *Switch) enter(want State, why Cause, now time.Time) {
	if want.On != s.state.On {
		s.since = now
	}
	s.state, s.cause = want, why
}
