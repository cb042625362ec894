package line

import (
	"math"
	"strconv"
	"strings"
	"time"
)

// Record is what outlives a restart of a meter.
type Record struct {
	Start    float64 // as configured when it was written; 0: not
	Base     float64 // the meter's reading when Count was 0
	PerPulse float64
	Count    uint64
}

// Meter turns pulses into a reading and a rate. Its total is exact: a base and
// a count, never a sum of fractions.
type Meter struct {
	rec      Record
	decimals int
	unsaved  uint64
	savedAt  time.Time
	changed  bool // other than by pulses

	since   uint64 // pulses since the last rate
	ratedAt time.Time
}

// NewMeter goes on from a record, the zero one for a new meter. Another start
// than the record's, unless it is 0, sets the reading; another per-pulse counts
// from here on.
func NewMeter(rec Record, start, perPulse float64, now time.Time) *Meter {
	m := &Meter{rec: rec, savedAt: now, ratedAt: now}
	next := Record{Start: start, Base: rec.total(), PerPulse: perPulse}
	switch {
	case start != 0 && start != rec.Start:
		next.Base = start
	case perPulse == rec.PerPulse:
		next.Base, next.Count = rec.Base, rec.Count
	}
	m.changed = next != rec
	m.rec = next
	m.decimals = max(decimals(perPulse), decimals(next.Base))
	return m
}

func (r Record) total() float64 { return r.Base + float64(r.Count)*r.PerPulse }

// decimals is how many digits a number has after its point, at most 6.
func decimals(v float64) int {
	_, fraction, _ := strings.Cut(strconv.FormatFloat(round(v, 6), 'f', -1, 64), ".")
	return len(fraction)
}

func round(v float64, digits int) float64 {
	p := math.Pow10(digits)
	return math.Round(v*p) / p
}

// Add counts pulses.
func (m *Meter) Add(pulses uint64) {
	m.rec.Count += pulses
	m.unsaved += pulses
	m.since += pulses
}

// Total is the reading, rounded to the digits of what one pulse stands for and
// of the start.
func (m *Meter) Total() float64 { return round(m.rec.total(), m.decimals) }

// Decimals is how many digits Total has after its point.
func (m *Meter) Decimals() int { return m.decimals }

// Rate is the total's growth per hour since the last call, or since the start.
func (m *Meter) Rate(now time.Time) float64 {
	hours := now.Sub(m.ratedAt).Hours()
	if hours <= 0 {
		return 0
	}
	rate := float64(m.since) * m.rec.PerPulse / hours
	m.since, m.ratedAt = 0, now
	return round(rate, min(m.decimals+3, 6))
}

// Budget is how often a meter may be saved: Every so often when it has moved,
// and sooner after Pulses (0: not sooner), but not before soonest has passed.
type Budget struct {
	Every  time.Duration
	Pulses uint64
}

// soonest is the least time between two saves for their pulses.
const soonest = time.Minute

// SaveIn is how long it is until it shall be saved, without more pulses: 0 when
// that is due, for ever when there is nothing to save.
func (m *Meter) SaveIn(b Budget, now time.Time) time.Duration {
	if !m.Unsaved() {
		return math.MaxInt64
	}
	wait := b.Every
	if b.Pulses > 0 && m.unsaved >= b.Pulses {
		wait = min(wait, soonest)
	}
	return max(wait-now.Sub(m.savedAt), 0)
}

// Unsaved says whether there is anything to save.
func (m *Meter) Unsaved() bool { return m.unsaved > 0 || m.changed }

// Save writes the record. One that could not be written is tried again when
// the next is due.
func (m *Meter) Save(s *Store, now time.Time) error {
	m.savedAt = now
	if err := s.Save(m.rec); err != nil {
		return err
	}
	m.unsaved, m.changed = 0, false
	return nil
}
