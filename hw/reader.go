package hw

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"tidegate/hw/internal/bus"
)

// reader is the goroutine of one bus. It reads the sensors on it, the one that
// is due first before the others.
type reader struct {
	bus      string
	log      *slog.Logger
	announce func(topic, payload string)

	mu      sync.Mutex // guards the list; only run changes it
	sensors []*sensor

	calls   *caller
	missing string // why the bus cannot be had, as last said in the log
}

func (r *reader) run(ctx context.Context) error {
	r.calls = newCaller()
	defer r.calls.end()
	r.resume()
	begin := time.Now()
	for _, s := range r.sensors {
		if s.begin.IsZero() {
			s.begin, s.turn, s.due = begin, begin, begin
		}
	}
	wait := time.NewTimer(0)
	defer wait.Stop()
	for {
		s := r.next()
		wait.Reset(time.Until(s.due))
		select {
		case <-ctx.Done():
			r.halt()
			return nil
		case <-wait.C:
			if ctx.Err() == nil { // each call more takes its time
				r.serve(ctx, s)
			}
		}
	}
}

// next is the sensor that is due first.
func (r *reader) next() *sensor {
	first := r.sensors[0]
	for _, s := range r.sensors[1:] {
		if s.due.Before(first.due) {
			first = s
		}
	}
	return first
}

// serve reads a sensor and decides when it is read again: at its next turn, or
// sooner when it failed or threw this reading away.
//
// Between two readings is what the kind demands. A turn may come a twentieth of
// that early: without the allowance every delay of a sensor that is read as
// often as it can be would shift all later readings.
func (r *reader) serve(ctx context.Context, s *sensor) {
	err := s.attempt(ctx, r.calls)
	least := s.of.Every
	switch {
	case err != nil && ctx.Err() != nil: // of no use to anybody
		return
	case err != nil:
		r.failed(s, err)
		s.due = time.Now().Add(retry(s.failures))
	case s.discard > 0:
		s.discard--
		s.due = s.lastRead
	default:
		r.good(s)
		s.due, least = s.turn, least-least/20
	}
	if soonest := s.lastRead.Add(least); s.due.Before(soonest) {
		s.due = soonest
	}
}

// retry is the time from a failure, of so many in a row, to the next try.
func retry(failures int) time.Duration {
	const most = time.Minute
	return min(time.Second<<min(max(failures-1, 0), 10), most)
}

// good publishes a reading, after the word that the sensor is back.
func (r *reader) good(s *sensor) {
	s.failures = 0
	if s.state != Online {
		r.missing = ""
		s.forget()
		r.change(s, Online, nil)
	}
	s.count(func(st *SensorStats) { st.Readings++ })
	s.publish(s.served())
}

// failed counts; a sensor that was online has a few tries, unless it is stuck.
func (r *reader) failed(s *sensor, err error) {
	s.failures++
	s.count(func(st *SensorStats) { st.Errors++ })
	if s.state == Online && s.failures < mostFailures && !errors.Is(err, errStuck) {
		s.anew = s.anew || s.failures == mostFailures-1
		return
	}
	s.anew = true
	if s.state != Offline {
		r.change(s, Offline, err)
	}
	s.count(func(st *SensorStats) { st.Cause = err.Error() })
}

// change says once, to everybody, that a sensor is in another state.
func (r *reader) change(s *sensor, to State, cause error) {
	s.state = to
	s.count(func(st *SensorStats) { st.State, st.Cause = to, "" })
	r.announce(s.availability(), string(to))
	if to == Online {
		r.log.Info("sensor is online", "sensor", s.Name, "kind", s.Kind)
		return
	}
	var missing *bus.Error
	if errors.As(cause, &missing) { // said once for all sensors of the bus
		if r.missing == missing.Error() {
			return
		}
		r.missing = missing.Error()
	}
	r.log.Warn("sensor is offline", "sensor", s.Name, "kind", s.Kind, "err", cause)
}

// halting bounds the end of one bus, with one more call.
const halting = 3 * time.Second

// halt leaves the chips asleep. A call that is still stuck is left behind: no
// program can end it, and the kernel does when the process ends.
func (r *reader) halt() {
	ctx, cancel := context.WithTimeout(context.Background(), halting)
	defer cancel()
	var ends []*sensor
	for _, s := range r.sensors {
		if s.stays.Load() {
			s.left.Store(true)
			continue
		}
		ends = append(ends, s)
		if s.state != Offline {
			r.announce(s.availability(), string(Offline))
		}
	}
	for _, s := range ends {
		switch {
		case ctx.Err() != nil:
			r.log.Warn("sensors are left as they are", "err", errStuck)
			return
		case s.behind != nil && !s.behind.returned():
			r.log.Warn("a call is left behind", "sensor", s.Name, "err", errStuck)
		case s.chip != nil:
			if err := s.through(ctx, r.calls, s.halt); err != nil && s.state == Online {
				r.log.Warn("sensor does not halt", "sensor", s.Name, "err", err)
			}
		}
	}
}

// count changes what is told of the sensor.
func (s *sensor) count(f func(*SensorStats)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(&s.stats)
}

func (r *reader) addStats(all *Stats) {
	for _, s := range r.all() {
		s.mu.Lock()
		one := s.stats
		s.mu.Unlock()
		all.Sensors++
		all.Readings += one.Readings
		all.Errors += one.Errors
		all.Sensor = append(all.Sensor, one)
	}
}
