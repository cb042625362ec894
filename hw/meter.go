package hw

import (
	"context"
	"errors"
	"path/filepath"
	"strconv"
	"time"

	"tidegate/hw/internal/line"
)

// meter counts the pulses of a water, gas or electricity meter.
type meter struct {
	InputConfig
	*wired
	open   lineOpener
	budget line.Budget
	from   chan reckoning // of the one before a reload; nil: nobody
	heir   chan reckoning // to the one after it; nil: nobody

	reckoning
	saveFails bool
}

// reckoning is what a meter leaves to one with the same configuration.
type reckoning struct {
	line  *line.Pulses // nil while it is not there
	store *line.Store  // nil: the count is in memory only
	meter *line.Meter

	next     time.Time // message
	sent     float64   // total and rate of the last message
	sentRate float64
	sentAt   time.Time // zero when there was none since the line was opened
}

// countersDir is the folder of the meters' files in the gateway's directory.
const countersDir = "counters"

func newMeter(c InputConfig, w *wired, open lineOpener) *meter {
	m := &meter{InputConfig: c, wired: w, open: open, budget: line.Budget{Every: c.SaveEvery.Std(), Pulses: c.SavePulses}}
	if w.opt.Dir != "" {
		m.store = open.store(filepath.Join(w.opt.Dir, countersDir), c.Name)
	}
	return m
}

func (m *meter) addStats(all *Stats) { all.Input = append(all.Input, m.snapshot()) }

// run counts, and saves when it ends.
func (m *meter) run(ctx context.Context) error {
	select {
	case m.reckoning = <-m.from:
	default:
		m.load()
	}
	err := m.keep(ctx, m.pulses)
	if m.stays.Load() {
		m.heir <- m.reckoning
		return err
	}
	m.save(time.Now())
	if m.line != nil { // left by the one before, and never used
		err = errors.Join(err, m.line.Close())
	}
	return err
}

// load takes up the count where it was saved last.
func (m *meter) load() {
	var rec line.Record
	if m.store == nil {
		m.log.Warn("the count will not outlive this process: there is no folder for it")
	} else {
		var found bool
		var err error
		rec, found, err = m.store.Load()
		switch {
		case err != nil && found:
			m.log.Error("counter file damaged; the one before is used, and what was counted since is lost", "err", err)
		case err != nil:
			m.log.Error("counter file damaged; the count begins anew: set the meter's reading with start", "err", err)
		}
		if err != nil {
			m.count(func(s *LineStats) { s.Errors++ })
		}
	}
	m.meter = line.NewMeter(rec, m.Start, m.PerPulse, time.Now())
	if m.meter.Unsaved() { // a new meter, or one that was set: not to be lost in the first hour
		m.save(time.Now())
	}
}

// pulses counts until the line fails or ctx ends.
func (m *meter) pulses(ctx context.Context) (err error) {
	if err := m.reopen(); err != nil {
		return err
	}
	defer func() {
		if ctx.Err() == nil || !m.stays.Load() {
			err = errors.Join(err, m.line.Close())
			m.line = nil
		}
	}()
	for {
		now := time.Now()
		if !now.Before(m.next) {
			m.report(now)
		}
		wait := m.next.Sub(now)
		if m.store != nil {
			if m.meter.SaveIn(m.budget, now) == 0 {
				m.save(now)
			}
			wait = min(wait, m.meter.SaveIn(m.budget, now))
		}
		n, late, err := m.line.Wait(ctx, wait)
		m.meter.Add(n)
		if n > 0 {
			m.count(func(s *LineStats) { s.Changes, s.Late = s.Changes+int64(n), s.Late+int64(late) })
		}
		if err != nil {
			return err
		}
	}
}

// reopen opens the line, unless the one before has left it: what came meanwhile
// is in there.
func (m *meter) reopen() error {
	if m.line != nil {
		m.goesOn()
		return nil
	}
	l, err := m.open.pulses(m.InputConfig)
	if err != nil {
		return err
	}
	m.line, m.sentAt, m.next = l, time.Time{}, time.Now()
	m.online()
	return nil
}

// report publishes the reading when it or the rate has changed, or after
// at-least of silence.
func (m *meter) report(now time.Time) {
	for !m.next.After(now) {
		m.next = m.next.Add(m.Every.Std())
	}
	total, rate := m.meter.Total(), m.meter.Rate(now)
	if !m.sentAt.IsZero() && total == m.sent && rate == m.sentRate && now.Sub(m.sentAt) < m.AtLeast.Std() {
		return
	}
	m.sent, m.sentRate, m.sentAt = total, rate, now
	text := [2]string{
		strconv.FormatFloat(total, 'f', m.meter.Decimals(), 64),
		strconv.FormatFloat(rate, 'f', -1, 64),
	}
	if m.Payload == "json" {
		m.send(m.topicOf(""), "json", m.object(field{"total", text[0]}, field{"rate", text[1]}), true)
		return
	}
	m.send(m.topicOf("total"), "plain", []byte(text[0]), true)
	m.send(m.topicOf("rate"), "plain", []byte(text[1]), true)
}

// save writes the count, and says once when it cannot.
func (m *meter) save(now time.Time) {
	if m.store == nil || !m.meter.Unsaved() {
		return
	}
	err := m.meter.Save(m.store, now)
	if m.opt.Spend != nil {
		m.opt.Spend(line.SaveCost)
	}
	if err != nil {
		m.count(func(s *LineStats) { s.Errors++ })
	}
	if err != nil && !m.saveFails {
		m.log.Error("count is not saved", "err", err)
	} else if err == nil && m.saveFails {
		m.log.Info("count is saved again")
	}
	m.saveFails = err != nil
}
