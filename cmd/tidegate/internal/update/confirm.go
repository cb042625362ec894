package update

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"tidegate/internal/formats"
	"tidegate/internal/slots"
)

// Patience is how long new software is watched.
type Patience struct {
	Healthy  time.Duration // without interruption, before it is confirmed
	Deadline time.Duration // for that; the machine starts anew afterwards
}

// DefaultPatience fits a Pi that boots in a minute and an uplink that needs a
// few more.
func DefaultPatience() Patience { return Patience{3 * time.Minute, 15 * time.Minute} }

// Confirm marks the running slot as good.
func (s System) Confirm() error {
	booted, err := s.Booted()
	if err != nil {
		return err
	}
	if err := s.good(booted); err != nil {
		return err
	}
	return s.change(func(r *Record) {
		r.Slots[booted] = Software{s.Version, formats.Ours().String()}
		if r.Update.Into == booted { // even one that failed by the record: RAUC went on without its client
			r.Update.Phase, r.Update.At, r.Update.Error = Confirmed, time.Now().UTC(), ""
		}
	})
}

// good gives a slot its full number of tries and makes it the first.
func (s System) good(booted slots.Slot) error {
	return slots.Change(s.Boot, func(state *slots.State) {
		*state.Of(booted), state.First = slots.Mark{Left: slots.Tries, Good: true}, booted
	})
}

// Watch does at each start what the slots need. Software that was confirmed
// before gets its tries back at once. New software is watched until it was
// healthy for a time, and confirmed; if it does not get there, Watch restarts
// the machine, and after the last try U-Boot starts the other slot. That is
// only done where there is another slot that was good.
func (s System) Watch(ctx context.Context, p Patience, log *slog.Logger) error {
	booted, err := s.Booted()
	if err != nil {
		return err
	}
	state, err := slots.Read(s.Boot)
	if err != nil {
		return err
	}
	if state.Of(booted).Good {
		return s.settle(booted, state, log)
	}
	// A record that cannot be kept, on a data partition that is full or damaged,
	// must not leave the machine on trial for ever.
	r, unkept := s.Read()
	unkept = errors.Join(unkept, s.change(func(r *Record) {
		if r.Update.Into == booted && !r.Update.Phase.over() {
			r.Update.Phase, r.Update.At = Trial, time.Now().UTC()
		}
	}))
	if unkept != nil {
		log.Error("the record of the update cannot be kept", "err", unkept)
	}
	log.Info("on trial", "slot", booted, "version", s.Version, "left", state.Of(booted).Left, "healthy", p.Healthy, "deadline", p.Deadline)
	why := s.await(ctx, probation{need: p.Healthy, required: r.Update.Uplinks}, p.Deadline)
	switch {
	case ctx.Err() != nil: // the machine is being switched off: the try is spent, and nothing is decided
		return nil
	case why == nil && s.leaving(booted):
		log.Warn("healthy, but a rollback was asked for: not confirmed", "slot", booted, "version", s.Version)
		return nil
	case why == nil:
		log.Info("confirmed", "slot", booted, "version", s.Version)
		return s.Confirm()
	case !state.Of(booted.Other()).Good:
		log.Error("not healthy, and the other slot holds nothing better", "slot", booted, "err", why)
		return why
	}
	err = s.change(func(r *Record) { r.Update.Error = why.Error() })
	log.Error("not healthy: starting anew", "slot", booted, "left", state.Of(booted).Left, "err", why)
	return errors.Join(err, s.Restart(ctx))
}

// leaving says that the next start is to be the other slot's.
func (s System) leaving(booted slots.Slot) bool {
	state, err := slots.Read(s.Boot)
	return err == nil && state.First != booted
}

// settle gives a good slot its tries back, and notes what became of an update
// that ended in this start.
func (s System) settle(booted slots.Slot, was slots.State, log *slog.Logger) error {
	other := *was.Of(booted.Other())
	waiting := was.First != booted && other.Left == slots.Tries // for a start that was not made yet
	err := slots.Change(s.Boot, func(state *slots.State) {
		state.Of(booted).Left = slots.Tries
		if !waiting {
			state.First = booted
			if !other.Good {
				*state.Of(booted.Other()) = slots.Mark{}
			}
		}
	})
	if err != nil {
		return err
	}
	if was.First != booted && other.Good && !waiting {
		log.Error("the other slot, which was good, did not start: this is the version before it", "slot", booted, "version", s.Version)
	}
	return s.change(func(r *Record) {
		r.Slots[booted] = Software{s.Version, formats.Ours().String()}
		u := &r.Update
		switch {
		case u.Phase.over():
		case s.busy(): // this service was started again in the middle of an update
		case u.Into == booted:
			u.Phase, u.At, u.Error = Confirmed, time.Now().UTC(), ""
		case u.Phase == Downloading || u.Phase == Installing:
			u.Phase, u.At, u.Error = Failed, time.Now().UTC(), "the machine was restarted in the middle of it"
		case !waiting:
			why := cmp.Or(u.Error, "it did not come up")
			u.Phase, u.At, u.Error = Returned, time.Now().UTC(), why
			log.Error("an update did not get well: this is the version before it again", "version", u.Version, "slot", booted, "err", why)
		}
	})
}

// await returns nil once the gateway was healthy for long enough, else what was
// wrong last when the deadline has passed.
func (s System) await(ctx context.Context, p probation, deadline time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	enough := false
	for {
		err := watch(ctx, s.Status, func(l line) bool {
			enough = p.see(time.Now(), l, nil)
			return !enough
		})
		if enough {
			return nil
		}
		if ctx.Err() != nil {
			if p.why == nil {
				p.why = fmt.Errorf("not healthy for %v in %v", p.need, deadline)
			}
			return p.why
		}
		p.see(time.Now(), line{}, err)
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
}
