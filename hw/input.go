package hw

import (
	"context"
	"errors"
	"time"

	"tidegate/hw/internal/line"
)

// input is a contact, a motion detector, a button or any line that is on or
// off: the part that watches it.
type input struct {
	InputConfig
	*wired
	open lineOpener
	from chan *line.Input // of the one before a reload; nil: nobody
	heir chan *line.Input // to the one after it; nil: nobody
}

// opened is the line that the one before has left, or a new one.
func (in *input) opened() (*line.Input, error) {
	select {
	case l := <-in.from:
		in.goesOn()
		return l, nil
	default:
	}
	l, err := in.open.input(in.InputConfig)
	if err == nil {
		in.online()
	}
	return l, err
}

// leave closes the line, or hands it on when it is well.
func (in *input) leave(ctx context.Context, l *line.Input) error {
	if in.stays.Load() && ctx.Err() != nil {
		in.heir <- l
		return nil
	}
	return l.Close()
}

func (in *input) run(ctx context.Context) error {
	use := in.states
	if in.Kind == "button" {
		use = in.clicks
	}
	err := in.keep(ctx, use)
	select {
	case l := <-in.from: // nobody has used it yet
		err = errors.Join(err, in.leave(ctx, l))
	default:
	}
	return err
}

func (in *input) addStats(all *Stats) { all.Input = append(all.Input, in.snapshot()) }

// states publishes the state when the line is opened, when it changes, and
// after at-least of silence, when it is also read again: whatever became of an
// edge, the state is right then.
func (in *input) states(ctx context.Context) (err error) {
	l, err := in.opened()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.leave(ctx, l)) }()
	for {
		in.sendState(l.State())
		changed, _, err := l.Wait(ctx, in.AtLeast.Std())
		if err != nil {
			return err
		}
		if !changed {
			if changed, err = l.Check(); err != nil {
				return err
			}
		}
		if changed {
			in.count(func(s *LineStats) { s.Changes++ })
		}
	}
}

func (in *input) sendState(on bool) {
	word := onOff(on)
	if in.Payload == "json" {
		in.send(in.topicOf(""), "json", in.object(quoted("state", word)), true)
		return
	}
	in.send(in.topicOf(""), "plain", []byte(word), true)
}

func onOff(on bool) string {
	if on {
		return "ON"
	}
	return "OFF"
}

// clicks publishes what somebody does with a button. These are events: nobody
// who comes later shall see them.
func (in *input) clicks(ctx context.Context) (err error) {
	l, err := in.opened()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.leave(ctx, l)) }()
	c := line.Clicks{Long: in.Long.Std(), Double: in.Double.Std()}
	for {
		wait := time.Hour
		if due, ok := c.Due(); ok {
			wait = max(due-l.Now(), 0)
		}
		changed, at, err := l.Wait(ctx, wait)
		if err != nil {
			return err
		}
		if changed {
			in.clicked(c.Change(l.State(), at))
		} else {
			in.clicked(c.Tick(l.Now()))
		}
	}
}

func (in *input) clicked(what line.Click) {
	if what == line.NoClick {
		return
	}
	in.count(func(s *LineStats) { s.Changes++ })
	if in.Payload == "json" {
		in.send(in.topicOf(""), "json", in.object(quoted("event_type", string(what))), false)
		return
	}
	in.send(in.topicOf(""), "plain", []byte(what), false)
}
