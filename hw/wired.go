package hw

import (
	"cmp"
	"context"
	"encoding/json"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"tidegate/hw/internal/line"
)

// LineStats is what is known of one input or actuator.
type LineStats struct {
	Name     string `json:"name"`
	Kind     string `json:"kind"`
	Line     string `json:"line"`
	State    State  `json:"state"`
	Cause    string `json:"cause,omitempty"` // why it is offline
	Changes  int64  `json:"changes"`         // of the state; clicks of a button, pulses of a meter
	Late     int64  `json:"late"`            // pulses that came faster than they were read; they are counted
	Commands int64  `json:"commands"`
	Refused  int64  `json:"refused"` // commands
	Errors   int64  `json:"errors"`  // of the line, or of a meter's file
}

// lineOpener opens what inputs and actuators are wired to.
type lineOpener interface {
	input(InputConfig) (*line.Input, error)
	pulses(InputConfig) (*line.Pulses, error)
	output(ActuatorConfig, line.State) (output, error)
	store(dir, name string) *line.Store
}

// output is an opened relay, valve or dimmer.
type output interface {
	Set(line.State) error
	Check() error // says that the output is no longer there
	Close() error
}

// addLines makes a part for each input and actuator, and what hears commands.
func (h *Hardware) addLines(cfg Config, open lineOpener) {
	for _, c := range cfg.Input {
		c = c.withDefaults()
		w := h.newWired(c.Name, c.Kind, c.Line, c.availability())
		if inputKinds[c.Kind].meter() {
			h.parts = append(h.parts, newMeter(c, w, open))
		} else {
			h.parts = append(h.parts, &input{InputConfig: c, wired: w, open: open})
		}
	}
	var all []*actuator
	for _, c := range cfg.Actuator {
		c = c.withDefaults()
		w := h.newWired(c.Name, c.Kind, cmp.Or(c.Line+c.PWM, c.Kind), c.topicOf("availability"))
		a := newActuator(c, w, open)
		h.parts, all = append(h.parts, a), append(all, a)
	}
	if len(all) > 0 && h.opt.Watch != nil {
		h.ears = newHearing(all, h.opt)
	}
}

func (h *Hardware) newWired(name, kind, place, availability string) *wired {
	return &wired{
		opt: h.opt, announce: h.announce, presence: availability,
		log:   h.opt.Log.With("name", name, "kind", kind, "line", place),
		stats: LineStats{Name: name, Kind: kind, Line: place, State: Starting},
	}
}

// wired is what inputs and actuators have in common: a line that can be missing
// and comes back, and what is told of it.
type wired struct {
	opt      Options
	announce func(topic, word string)
	presence string // topic of "online" and "offline"
	log      *slog.Logger
	failures int         // to open the line, in a row
	stays    atomic.Bool // after a reload: an heir goes on with the line

	mu    sync.Mutex // guards stats
	stats LineStats
}

// count changes what is told of the line.
func (w *wired) count(f func(*LineStats)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f(&w.stats)
}

func (w *wired) snapshot() LineStats {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.stats
}

// online says once that the line is there.
func (w *wired) online() {
	w.goesOn()
	w.announce(w.presence, string(Online))
	w.log.Info("line is online")
}

// goesOn notes that the line is there, as it was before a reload.
func (w *wired) goesOn() {
	w.failures = 0
	w.count(func(s *LineStats) { s.State, s.Cause = Online, "" })
}

// offline says once that it is not, and returns how long to wait before it is
// tried again.
func (w *wired) offline(err error) time.Duration {
	w.failures++
	was := w.snapshot()
	w.count(func(s *LineStats) {
		s.State, s.Cause = Offline, err.Error()
		s.Errors++
	})
	if was.State != Offline {
		w.announce(w.presence, string(Offline))
		w.log.Warn("line is offline", "err", err)
	}
	return min(retry(w.failures), lineRetry)
}

// lineRetry is the longest time between two tries to open a line or a PWM
// channel: a relay may be on that must be off. A try disturbs no bus.
const lineRetry = 5 * time.Second

// gone says that nobody looks at the line any more.
func (w *wired) gone() {
	if w.snapshot().State == Online {
		w.announce(w.presence, string(Offline))
	}
}

// keep calls use, which opens the line, and again whenever it fails, until ctx
// ends.
func (w *wired) keep(ctx context.Context, use func(context.Context) error) error {
	wait := time.NewTimer(0)
	defer wait.Stop()
	for {
		select {
		case <-ctx.Done():
			if !w.stays.Load() {
				w.gone()
			}
			return nil
		case <-wait.C:
		}
		if err := use(ctx); err != nil && ctx.Err() == nil {
			wait.Reset(w.offline(err))
		}
	}
}

// send publishes a text.
func (w *wired) send(topic, payload string, text []byte, retain bool) {
	w.opt.Submit(&Message{
		Topic: topic, Payload: text, Properties: properties(contentType(payload)),
		Accepted: time.Now(), QoS: 1, Retain: retain,
	})
}

// field is one member of a JSON object, its value written as JSON.
type field struct{ name, value string }

func quoted(name, value string) field {
	b, err := json.Marshal(value)
	if err != nil { // not of a string
		b = []byte("null")
	}
	return field{name, string(b)}
}

// object writes fields and, while somebody knows it, the time.
func (w *wired) object(fields ...field) []byte {
	b := []byte{'{'}
	for i, f := range fields {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(strconv.AppendQuote(b, f.name), ':')
		b = append(b, f.value...)
	}
	if now, known := w.opt.Clock(); known {
		b = append(b, `,"time":"`...)
		b = now.UTC().AppendFormat(b, "2006-01-02T15:04:05.000Z07:00")
		b = append(b, '"')
	}
	return append(b, '}')
}

// kernelLines opens the kernel's lines and PWM channels.
type kernelLines struct{}

func (kernelLines) input(c InputConfig) (*line.Input, error) {
	return line.Chips{}.OpenInput(c.Line, c.setup())
}

func (kernelLines) pulses(c InputConfig) (*line.Pulses, error) {
	return line.Chips{}.OpenPulses(c.Line, c.setup(), c.Edge == "falling")
}

func (kernelLines) output(c ActuatorConfig, s line.State) (output, error) {
	if c.Kind == simulatedKind {
		return nowhere{}, nil
	}
	if c.Kind == "dimmer" {
		p, err := line.PWMs{}.Open(c.PWM, c.Frequency, duty(s), c.ActiveLow)
		return dimmed{p}, err
	}
	l, err := line.Chips{}.Open(c.Line, line.Setup{Output: true, On: s.On, ActiveLow: c.ActiveLow})
	return switched{l}, err
}

func (kernelLines) store(dir, name string) *line.Store { return line.NewStore(dir, name) }

// switched is an output that is on or off.
type switched struct{ *line.Line }

func (s switched) Set(to line.State) error { return s.Line.Set(to.On) }

func (s switched) Check() error {
	_, err := s.Line.Value()
	return err
}

// dimmed is one with a brightness.
type dimmed struct{ *line.PWM }

func (d dimmed) Set(to line.State) error { return d.PWM.Set(duty(to)) }

// nowhere is an output without hardware.
type nowhere struct{}

func (nowhere) Set(line.State) error { return nil }
func (nowhere) Check() error         { return nil }
func (nowhere) Close() error         { return nil }

func duty(s line.State) float64 {
	if !s.On {
		return 0
	}
	return float64(s.Brightness) / 255
}
