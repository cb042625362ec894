package hw

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	"tidegate/hw/internal/line"
)

// actuator drives a relay, a valve or a dimmer. Its goroutine owns it, but for
// hear.
type actuator struct {
	ActuatorConfig
	*wired
	open          lineOpener
	commands      chan *Message
	commandTopics map[string]*actuator
	from          chan estate // of the one before a reload; nil: nobody
	heir          chan estate // to the one after it; nil: nobody

	estate
	try    time.Time // when the line is opened again; zero while it is open
	warned bool      // of retained commands
}

// estate is what an actuator leaves to one with the same configuration.
type estate struct {
	sw     *line.Switch
	out    output    // nil while the line is not there
	last   uint8     // brightness when it was on
	obeyed time.Time // when the last command that was done was accepted
}

// mostCommands is how many may wait for an actuator whose line is slow.
const mostCommands = 16

func newActuator(c ActuatorConfig, w *wired, open lineOpener) *actuator {
	return &actuator{ActuatorConfig: c, wired: w, open: open, commands: make(chan *Message, mostCommands)}
}

// inherit takes over what the one before has left.
func (a *actuator) inherit(now time.Time) {
	select {
	case a.estate = <-a.from:
	default: // nobody was there, or has not stopped in time
		a.estate = estate{sw: line.NewSwitch(a.rules(), a.stateOf(a.Initial), now), last: math.MaxUint8}
	}
}

func (a *actuator) addStats(all *Stats) { all.Actuator = append(all.Actuator, a.snapshot()) }

// hear takes a command from another goroutine and never blocks. Of too many the
// newest are kept: the last may be the OFF that counts.
func (a *actuator) hear(m *Message) {
	for {
		select {
		case a.commands <- m:
			return
		default:
		}
		select {
		case old := <-a.commands:
			a.refuse(old, fmt.Errorf("overtaken by %d newer commands", mostCommands))
		default:
		}
	}
}

// run keeps the output in the state that commands and times lead to.
func (a *actuator) run(ctx context.Context) error {
	now := time.Now()
	a.inherit(now)
	if a.out != nil {
		a.goesOn()
		a.tell()
	} else {
		a.try = now
		a.tick(now) // before the first command is looked at
	}
	due := time.NewTimer(a.wait(time.Now()))
	defer due.Stop()
	for {
		select {
		case <-ctx.Done():
			return a.end()
		case m := <-a.commands:
			a.command(m)
		case <-due.C:
			a.tick(time.Now())
		}
		due.Reset(a.wait(time.Now()))
	}
}

// checkEvery is how often an output is asked whether it is still there: nobody
// may command it for days.
const checkEvery = time.Minute

// wait is how long nothing is to be done but to hear.
func (a *actuator) wait(now time.Time) time.Duration {
	next := now.Add(checkEvery)
	if at, ok := a.sw.Due(); ok && at.Before(next) {
		next = at
	}
	if !a.try.IsZero() && a.try.Before(next) {
		next = a.try
	}
	return next.Sub(now)
}

// tick does what is due: it opens the line, or changes the state.
func (a *actuator) tick(now time.Time) {
	_, before := a.sw.State()
	changed := a.sw.Tick(now)
	_, cause := a.sw.State()
	if changed || cause != before {
		a.log.Info("actuator switches by itself", "state", a.word(), "cause", string(cause))
		a.apply(changed)
	}
	if a.out != nil {
		if err := a.out.Check(); err != nil {
			a.lost(err)
		}
		return
	}
	if !now.Before(a.try) {
		a.reopen(now)
	}
}

// reopen opens the line in the state that is wanted.
func (a *actuator) reopen(now time.Time) {
	want, _ := a.sw.State()
	out, err := a.open.output(a.ActuatorConfig, want)
	if err != nil {
		a.try = now.Add(a.offline(err))
		return
	}
	a.out, a.try = out, time.Time{}
	a.online()
	a.tell()
}

// apply gives the state to the line, when it changed, and tells of it, if the
// line is there.
func (a *actuator) apply(changed bool) {
	if a.out == nil {
		return
	}
	want, _ := a.sw.State()
	if changed {
		if err := a.out.Set(want); err != nil {
			a.lost(err)
			return
		}
		a.count(func(s *LineStats) { s.Changes++ })
	} else if err := a.out.Check(); err != nil {
		a.lost(err)
		return
	}
	a.tell()
}

// lost closes a line that does not take its state. It is opened again, in the
// state that is wanted then.
func (a *actuator) lost(err error) {
	if closeErr := a.out.Close(); closeErr != nil {
		a.log.Warn("line does not close", "err", closeErr)
	}
	a.out = nil
	a.try = time.Now().Add(a.offline(err))
}

// end leaves the output in the state that on-stop says, or to its heir.
func (a *actuator) end() error {
	if a.heir != nil {
		a.heir <- a.estate
		return nil
	}
	if a.OnStop == "fail-safe" {
		before, _ := a.sw.State()
		a.sw.Stop(time.Now())
		after, _ := a.sw.State()
		a.apply(before != after)
		if a.out == nil { // perhaps it can be had now: nobody switches it off later
			a.reopen(time.Now())
		}
	}
	if a.out == nil {
		return nil
	}
	a.gone()
	if err := a.out.Close(); err != nil {
		return fmt.Errorf("close actuator %s: %w", a.Name, err)
	}
	return nil
}

// command does what a message asks for, or answers why not.
func (a *actuator) command(m *Message) {
	if len(m.Payload) == 0 && m.Retain {
		return // somebody takes a retained command away
	}
	if m.Retain && !a.ObeyRetained {
		if !a.warned {
			a.log.Warn("retained command is ignored, since it may be old: publish it without retain, or set obey-retained", "command", clip(string(m.Payload)))
		}
		a.warned = true
		a.refuse(m, errors.New("retained commands are not obeyed"))
		return
	}
	if m.Retain && !m.Accepted.After(a.obeyed) {
		return // it is shown again after a reload, and was done or overtaken
	}
	o, err := parseOrder(a.Kind, m.Payload)
	if err != nil {
		a.refuse(m, err)
		return
	}
	want, before := o.of(a.Kind, a.sw.Next(), a.last), *a.sw
	wait, changed := a.sw.Command(want, time.Now())
	a.apply(changed)
	if a.out == nil && want != a.sw.FailSafe {
		*a.sw = before // a boiler that was refused does not come on later
		a.refuse(m, a.missing())
		return
	}
	if want.Brightness > 0 {
		a.last = want.Brightness
	}
	if m.Accepted.After(a.obeyed) {
		a.obeyed = m.Accepted
	}
	if a.out == nil {
		a.refuse(m, a.missing())
		return
	}
	a.count(func(s *LineStats) { s.Commands++ })
	switch {
	case wait > 0:
		a.answer(m, quoted("result", "delayed"), a.stateField(), field{"seconds", seconds(wait)})
	default:
		a.answer(m, quoted("result", "done"), a.stateField())
	}
}

// missing says why a command cannot be done, and what will be.
func (a *actuator) missing() error {
	return fmt.Errorf("the line is not there: %s; when it is back it will be %s", a.snapshot().Cause, a.wordOf(a.sw.Next()))
}

// refuse answers a command that is not done.
func (a *actuator) refuse(m *Message, why error) {
	a.count(func(s *LineStats) { s.Refused++ })
	said := quoted("command", clip(string(m.Payload)))
	a.send(a.topicOf("error"), "json", a.object(quoted("error", why.Error()), said), false)
	a.answer(m, quoted("result", "refused"), quoted("error", why.Error()))
}

// answer goes where the command says [MQTT 5, 4.10], if whoever sent it may
// publish there.
func (a *actuator) answer(m *Message, fields ...field) {
	r := replyOf(m.Properties)
	if !r.allowed(a.commandTopics) || m.From != "" && a.opt.MayPublish != nil && !a.opt.MayPublish(m.From, r.topic) {
		return
	}
	a.opt.Submit(&Message{
		Topic: r.topic, Payload: a.object(fields...), Properties: r.properties(),
		Accepted: time.Now(), QoS: 1,
	})
}

// tell publishes the state, retained.
func (a *actuator) tell() {
	now, cause := a.sw.State()
	if a.Payload == "plain" {
		text := a.word()
		if a.Kind == "dimmer" {
			text = strconv.Itoa(int(math.Round(duty(now) * 100)))
		}
		a.send(a.topicOf("state"), "plain", []byte(text), true)
		return
	}
	fields := []field{a.stateField()}
	if a.Kind == "dimmer" && now.On {
		fields = append(fields, field{"brightness", strconv.Itoa(int(now.Brightness))})
	}
	fields = append(fields, quoted("cause", string(cause)))
	if next, at, ok := a.sw.Pending(); ok {
		fields = append(fields, quoted("pending", a.wordOf(next)), field{"seconds", seconds(time.Until(at))})
	}
	if a.Kind == simulatedKind {
		fields = append(fields, field{simulatedKind, "true"})
	}
	a.send(a.topicOf("state"), "json", a.object(fields...), true)
}

func (a *actuator) stateField() field { return quoted("state", a.word()) }

func (a *actuator) word() string {
	s, _ := a.sw.State()
	return a.wordOf(s)
}

func (a *actuator) wordOf(s line.State) string {
	switch {
	case a.Kind != "valve":
		return onOff(s.On)
	case s.On:
		return "OPEN"
	}
	return "CLOSED"
}

func seconds(d time.Duration) string {
	return strconv.FormatFloat(math.Ceil(d.Seconds()*10)/10, 'f', -1, 64)
}
