package hw

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"tidegate/hw/internal/chip"
)

// State says whether a sensor gives readings.
type State string

// The states of a sensor. From each of the other two the first good reading
// leads to online.
const (
	Starting State = "starting" // not read yet
	Online   State = "online"
	Offline  State = "offline" // dead, with a cause; tried again and again
)

// mostFailures in a row make a sensor dead. The last try before that is with
// the chip opened anew, for one that was pulled for a moment.
const mostFailures = 3

// sensor is one configured sensor: its chip while that is open, its turn, its
// state. Its bus's goroutine owns it, but for what mu guards.
type sensor struct {
	SensorConfig
	of     chip.Kind
	bus    string // its one name
	open   opener
	report *report
	window *window // nil when each reading is published

	chip     chip.Sensor // nil while it is not open
	wire     io.Closer   // of the chip; may be nil
	behind   *lane       // where a call of this sensor is stuck; nil
	raw      []float64
	average  []float64
	discard  int  // readings still to be thrown away
	failures int  // in a row
	anew     bool // the chip is opened anew before the next reading

	state    State
	begin    time.Time // of the grid of turns
	turn     time.Time // the one to serve next
	due      time.Time // when to read next: the turn, or a retry
	lastRead time.Time

	// A reload hands it over.
	stays  atomic.Bool // the next Hardware wants it as it is
	left   atomic.Bool // nobody reads it now
	before *sensor     // the same one, of the last Hardware

	mu    sync.Mutex // guards stats
	stats SensorStats

	read, reopen, halt func() error // bound once, so that a turn allocates nothing
}

func newSensor(c SensorConfig, k chip.Kind, open opener, opt Options) *sensor {
	c = c.timed(k)
	s := &sensor{
		SensorConfig: c, of: k, bus: c.busName(k), open: open, report: newReport(c, k, opt), state: Starting,
		raw: make([]float64, len(k.Quantities)), average: make([]float64, len(k.Quantities)),
	}
	s.stats = SensorStats{Name: c.Name, Kind: c.Kind, Bus: s.bus, State: Starting}
	if c.Sample != 0 {
		s.window = newWindow(c.Average, len(k.Quantities), int(c.Every/c.Sample))
	}
	s.read, s.reopen, s.halt = s.readChip, s.openChip, s.closeChip
	return s
}

// limit is how long one call may take before it counts as stuck: four times
// what the kind states, and at least what a busy Pi may need.
func (s *sensor) limit() time.Duration { return max(4*s.of.Takes, 2*time.Second) }

// every is the time between two turns.
func (s *sensor) every() time.Duration {
	if s.window != nil {
		return s.Sample.Std()
	}
	return s.Every.Std()
}

// openChip runs in the caller's goroutine, like readChip and closeChip.
func (s *sensor) openChip() error {
	w, wire, err := s.open(s.SensorConfig, s.of)
	if err != nil {
		return err
	}
	s.wire = wire
	hold(wire)
	c, err := s.of.Open(w)
	release(wire)
	if err != nil {
		return errors.Join(fmt.Errorf("open the chip: %w", err), s.closeWire())
	}
	s.chip, s.discard = c, s.of.Discard
	return nil
}

func (s *sensor) readChip() error {
	for i := range s.raw {
		s.raw[i] = math.NaN()
	}
	hold(s.wire)
	err := s.chip.Read(s.raw)
	release(s.wire)
	if err != nil {
		return err
	}
	return s.inRange()
}

// inRange finds values that the chip cannot have measured.
func (s *sensor) inRange() error {
	for i, v := range s.raw {
		if q := &s.of.Quantities[i]; v < q.Low || v > q.High {
			return fmt.Errorf("%s of %v %s is outside %v to %v", q.Name, v, q.Unit, q.Low, q.High)
		}
	}
	return nil
}

// closeChip leaves nothing open, whatever fails, even if a driver panics.
func (s *sensor) closeChip() (err error) {
	defer func() { err = errors.Join(err, s.closeWire()) }()
	c := s.chip
	s.chip = nil
	if c == nil {
		return nil
	}
	return c.Halt()
}

func (s *sensor) closeWire() error {
	w := s.wire
	s.wire = nil
	if w == nil {
		return nil
	}
	return w.Close()
}

// attempt takes one reading, with whatever must come before it.
func (s *sensor) attempt(ctx context.Context, calls *caller) error {
	if s.behind != nil {
		if !s.behind.returned() {
			return errStuck // one goroutine is enough
		}
		s.behind = nil
	}
	if s.anew {
		// It may have been pulled and have lost its settings. What it says to
		// a halt is of no use.
		if err := s.through(ctx, calls, s.halt); s.behind != nil {
			return err
		}
		s.anew = false
	}
	if s.chip == nil {
		if err := s.through(ctx, calls, s.reopen); err != nil {
			s.anew = true // a panic may have left something open
			return err
		}
	}
	s.lastRead = time.Now()
	return s.through(ctx, calls, s.read)
}

// through makes a call that may never return.
func (s *sensor) through(ctx context.Context, calls *caller, f func() error) (err error) {
	s.behind, err = calls.call(ctx, s.limit(), f)
	return err
}

// served returns the turn that the last reading was for, the newest of the grid
// when it began, and the next one. What came too late for its turn leaves that
// out; it does not shift the grid.
func (s *sensor) served() (turn, next time.Time) {
	every := s.every()
	if late := s.lastRead.Sub(s.turn); late > 0 {
		s.turn = s.turn.Add(late / every * every)
	}
	turn = s.turn
	s.turn = turn.Add(every)
	return turn, s.turn
}

// publish gives the reading of a turn to the report, or adds it to the average
// that is published when the next turn is in another interval.
func (s *sensor) publish(turn, next time.Time) {
	if s.window == nil {
		s.report.take(s.raw, turn)
		return
	}
	s.window.add(s.raw)
	every := s.Every.Std()
	if turn.Sub(s.begin)/every != next.Sub(s.begin)/every {
		s.window.end(s.average)
		s.report.take(s.average, turn)
	}
}

// forget begins anew after an absence.
func (s *sensor) forget() {
	s.report.forget()
	if s.window != nil {
		s.window.clear()
	}
}
