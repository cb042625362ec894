package hw

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"

	"tidegate/hw/internal/line"
	"tidegate/internal/topic"
)

// hearing hears the commands of all actuators.
type hearing struct {
	watch  func(ctx context.Context, filters []string, f func(*Message))
	topics []string
	at     map[string]*actuator
}

func newHearing(all []*actuator, opt Options) *hearing {
	h := &hearing{watch: opt.Watch, at: map[string]*actuator{}}
	for _, a := range all {
		t := a.topicOf("set")
		h.topics, h.at[t] = append(h.topics, t), a
		a.commandTopics = h.at
	}
	return h
}

func (h *hearing) run(ctx context.Context) {
	h.watch(ctx, h.topics, func(m *Message) {
		if a := h.at[m.Topic]; a != nil {
			a.hear(m)
		}
	})
}

// order is what a command asks for.
type order struct {
	toggle     bool
	on         bool
	brightness int // 0 to 255; -1: not said
}

// mostCommand bounds a command, in bytes.
const mostCommand = 1024

// parseOrder reads a command for a kind of actuator:
//
//	ON, OFF, TOGGLE         in any case; of a valve also OPEN, CLOSE, CLOSED
//	{"state":"ON"}
//	0 to 100                of a dimmer, in percent
//	{"brightness":128}      of a dimmer, 0 to 255, also with "state"; "transition" is allowed and without effect
func parseOrder(kind string, payload []byte) (order, error) {
	if len(payload) > mostCommand {
		return order{}, fmt.Errorf("a command of %d bytes: at most %d are read", len(payload), mostCommand)
	}
	text := strings.TrimSpace(string(payload))
	if strings.HasPrefix(text, "{") {
		return parseObject(kind, text)
	}
	if o, ok := parseWord(kind, text); ok {
		return o, nil
	}
	if kind == "dimmer" {
		percent, err := strconv.ParseFloat(text, 64)
		if err != nil || !(percent >= 0 && percent <= 100) {
			return order{}, fmt.Errorf("%q is none of ON, OFF, TOGGLE and 0 to 100 percent", clip(text))
		}
		level := int(math.Round(percent * 255 / 100))
		if percent > 0 {
			level = max(level, 1)
		}
		return order{on: level > 0, brightness: level}, nil
	}
	if kind == "valve" {
		return order{}, fmt.Errorf("%q is none of OPEN, CLOSE and TOGGLE", clip(text))
	}
	return order{}, fmt.Errorf("%q is none of ON, OFF and TOGGLE", clip(text))
}

func parseWord(kind, text string) (o order, ok bool) {
	o.brightness = -1
	switch word := strings.ToUpper(text); {
	case word == "ON", word == "OPEN" && kind == "valve":
		o.on = true
	case word == "OFF", (word == "CLOSE" || word == "CLOSED") && kind == "valve":
	case word == "TOGGLE":
		o.toggle = true
	default:
		return o, false
	}
	return o, true
}

func parseObject(kind, text string) (order, error) {
	var v struct {
		State      *string  `json:"state"`
		Brightness *float64 `json:"brightness"`
		Transition *float64 `json:"transition"`
	}
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&v); err != nil {
		return order{}, fmt.Errorf("%q is not a command: %w", clip(text), err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return order{}, fmt.Errorf("%q is more than one command", clip(text))
	}
	if v.State == nil && v.Brightness == nil {
		return order{}, fmt.Errorf("%q has no state", clip(text))
	}
	if kind != "dimmer" && (v.Brightness != nil || v.Transition != nil) {
		return order{}, fmt.Errorf("a %s is on or off, without brightness", kind)
	}
	o := order{on: true, brightness: -1}
	if v.State != nil {
		var ok bool
		if o, ok = parseWord(kind, *v.State); !ok {
			return order{}, fmt.Errorf("the state %q is not known", clip(*v.State))
		}
	}
	if v.Brightness == nil {
		return o, nil
	}
	b := *v.Brightness
	switch {
	case !(b >= 0 && b <= 255):
		return order{}, fmt.Errorf("the brightness %v is not from 0 to 255", b)
	case o.toggle:
		return order{}, errors.New("TOGGLE takes no brightness")
	case v.State == nil:
		o.on = b > 0
	case o.on && b == 0:
		return order{}, errors.New("ON with brightness 0 is neither on nor off")
	}
	if o.on {
		o.brightness = int(max(math.Round(b), 1))
	}
	return o, nil
}

// of is the state that o leads to from one; a dimmer that is switched on
// without a brightness takes the last that it had.
func (o order) of(kind string, now line.State, last uint8) line.State {
	on := o.on
	if o.toggle {
		on = !now.On
	}
	s := line.State{On: on}
	if on && kind == "dimmer" {
		s.Brightness = last
		if o.brightness > 0 {
			s.Brightness = uint8(o.brightness)
		} else if now.On {
			s.Brightness = now.Brightness
		}
	}
	return s
}

// clip shortens what somebody else wrote.
func clip(s string) string {
	const most = 64
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "..."
}

// reply is where a command wants its answer, [MQTT 5, 3.3.2.3.5 and 3.3.2.3.6].
type reply struct {
	topic       string // "": nowhere
	correlation []byte // nil: none
}

// The properties that a message has here.
const (
	propFormat      = 0x01
	propContent     = 0x03
	propResponse    = 0x08
	propCorrelation = 0x09
	propUser        = 0x26
)

// replyOf reads it from the properties of a message, which the broker has
// checked. What it does not know ends the reading.
func replyOf(p []byte) (r reply) {
	data := func() []byte {
		if len(p) < 2 || len(p)-2 < int(binary.BigEndian.Uint16(p)) {
			p = nil
			return nil
		}
		d := p[2 : 2+int(binary.BigEndian.Uint16(p))]
		p = p[2+len(d):]
		return d
	}
	for len(p) > 1 {
		id := p[0]
		p = p[1:]
		switch id {
		case propFormat:
			p = p[1:]
		case propContent:
			data()
		case propResponse:
			r.topic = string(data())
		case propCorrelation:
			r.correlation = bytes.Clone(data())
		case propUser:
			data()
			data()
		default:
			return r
		}
	}
	return r
}

// allowed says whether an answer may go there: not to the broker's own topics,
// and not where it would be a command.
func (r reply) allowed(commands map[string]*actuator) bool {
	return r.topic != "" && topic.ValidName(r.topic) && !strings.HasPrefix(r.topic, "$") && commands[r.topic] == nil
}

// properties are those of an answer.
func (r reply) properties() []byte {
	p := properties(contentType("json"))
	if r.correlation == nil {
		return p
	}
	p = append(p, propCorrelation)
	p = binary.BigEndian.AppendUint16(p, uint16(len(r.correlation)))
	return append(p, r.correlation...)
}
