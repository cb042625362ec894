package line

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// Source is an opened input. Line is one.
type Source interface {
	Value() (active bool, err error)
	Wait(ctx context.Context, most time.Duration, all []Edge) (int, error)
	Now() time.Duration
	Close() error
}

// pollEvery is how often a line is read that gives no edges: those of an I/O
// expander without an interrupt line.
const pollEvery = 10 * time.Millisecond

// Input is a debounced input: the states that it reports stood for the
// debounce time.
type Input struct {
	source   Source
	debounce Debouncer
	edges    [64]Edge
	next     []Edge // of edges, not yet looked at
}

// OpenInput opens an input that reports every change. The kernel debounces
// where it can; where its driver cannot, Input does; and a line without
// interrupts is read every 10 ms.
func (c Chips) OpenInput(name string, s Setup) (*Input, error) {
	s.Output, s.Edges = false, BothEdges
	hold := s.Debounce
	l, err := c.Open(name, s)
	if err == nil {
		return NewInput(l, 0)
	}
	if s.Debounce > 0 && refusesDebounce(err) {
		s.Debounce = 0
		if l, err = c.Open(name, s); err == nil {
			return NewInput(l, hold)
		}
	}
	if errors.Is(err, unix.ENXIO) {
		s.Debounce, s.Edges = 0, NoEdges
		if l, err = c.Open(name, s); err == nil {
			return NewInput(&polled{Source: l}, hold)
		}
	}
	return nil, err
}

// refusesDebounce says whether a request may have failed for its debouncing.
func refusesDebounce(err error) bool {
	return errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENXIO) || errors.Is(err, unix.EOPNOTSUPP)
}

// NewInput reads the state of a source and debounces what follows by hold. It
// closes the source when that cannot be read.
func NewInput(s Source, hold time.Duration) (*Input, error) {
	active, err := s.Value()
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return &Input{source: s, debounce: Debouncer{Hold: hold, stable: active, raw: active}}, nil
}

// State is what stands now.
func (in *Input) State() bool { return in.debounce.stable }

// Close gives the line back.
func (in *Input) Close() error { return in.source.Close() }

// Wait returns when the state has changed, or most has passed. At is when the
// change began, by the clock of Now.
func (in *Input) Wait(ctx context.Context, most time.Duration) (changed bool, at time.Duration, err error) {
	end := in.source.Now() + most
	for {
		for len(in.next) > 0 {
			e := in.next[0]
			in.next = in.next[1:]
			if in.debounce.Edge(e.Active, e.At) {
				return true, in.debounce.changed, nil
			}
		}
		now := in.source.Now()
		if in.debounce.Settle(now) {
			return true, in.debounce.changed, nil
		}
		until := end
		if due, waiting := in.debounce.Due(); waiting {
			until = min(end, due)
		}
		if now >= end {
			return false, 0, nil
		}
		n, err := in.source.Wait(ctx, until-now, in.edges[:])
		if err != nil {
			return false, 0, err
		}
		in.next = in.edges[:n]
	}
}

// Check reads the line and says whether it differs from the state, which would
// mean that an edge was missed; the state is then the one that was read.
func (in *Input) Check() (differs bool, err error) {
	active, err := in.source.Value()
	if err != nil || len(in.next) > 0 || active == in.debounce.raw {
		return false, err
	}
	now := in.source.Now()
	return in.debounce.Edge(active, now), nil
}

// Now is the time by the clock of the changes.
func (in *Input) Now() time.Duration { return in.source.Now() }

// polled makes edges of a line that gives none.
type polled struct {
	Source
	last bool // as somebody was told
}

func (p *polled) Value() (active bool, err error) {
	active, err = p.Source.Value()
	p.last = active
	return active, err
}

func (p *polled) Wait(ctx context.Context, most time.Duration, all []Edge) (int, error) {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for end := time.Now().Add(most); ; {
		was := p.last
		active, err := p.Value()
		switch {
		case err != nil:
			return 0, err
		case active != was:
			all[0] = Edge{At: p.Now(), Active: active}
			return 1, nil
		case !time.Now().Before(end):
			return 0, nil
		}
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-tick.C:
		}
	}
}

// OpenPulses opens an input that counts one of its edges, each of which the
// kernel numbers, so that the count is exact however late it is read. It needs
// a line with interrupts. With a debounce time the kernel must be able to
// debounce.
func (c Chips) OpenPulses(name string, s Setup, falling bool) (*Pulses, error) {
	s.Output, s.Edges = false, Rising
	if falling {
		s.Edges = Falling
	}
	l, err := c.Open(name, s)
	switch {
	case errors.Is(err, unix.ENXIO):
		return nil, fmt.Errorf("%w: the line gives no interrupts, so that no pulses can be counted on it", err)
	case err != nil && s.Debounce > 0 && refusesDebounce(err):
		return nil, fmt.Errorf("%w: the kernel may be unable to debounce this line by %v", err, s.Debounce)
	case err != nil:
		return nil, err
	}
	return NewPulses(l), nil
}

// Pulses counts the edges of a source.
type Pulses struct {
	source Source
	edges  [64]Edge
}

// NewPulses counts on a source that gives one edge for each pulse.
func NewPulses(s Source) *Pulses { return &Pulses{source: s} }

// Wait returns when there are pulses, or most has passed. late is how many of
// the pulses the kernel has kept only the number of.
func (p *Pulses) Wait(ctx context.Context, most time.Duration) (pulses, late uint64, err error) {
	n, err := p.source.Wait(ctx, most, p.edges[:])
	for _, e := range p.edges[:n] {
		pulses += 1 + uint64(e.Lost)
		late += uint64(e.Lost)
	}
	return pulses, late, err
}

// Close gives the line back.
func (p *Pulses) Close() error { return p.source.Close() }
