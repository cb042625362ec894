package discovery

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
)

// Message is what to publish, retained, at QoS 1. An empty payload takes the
// device away.
type Message struct {
	Topic   string
	Payload []byte
}

// Announce writes the message of a device. The same arguments give the same
// bytes.
func Announce(prefix string, o Origin, d Device) Message {
	c := config{
		Device: device{
			Identifiers: []string{d.id()}, Name: cmp.Or(d.Title, title(d.Name)),
			Manufacturer: d.Manufacturer, Model: d.Model, Version: o.Version,
		},
		Origin:     o,
		Components: make(map[string]any, len(d.Components)),
	}
	for _, topic := range d.Availability {
		c.Availability = append(c.Availability, availability{topic})
	}
	if len(c.Availability) > 1 {
		c.Mode = "all"
	}
	for _, part := range d.Components {
		c.Components[part.Key] = part.config(d)
	}
	return Message{d.Topic(prefix), encode(c)}
}

// config is the payload, with Home Assistant's names of its keys.
type config struct {
	Device       device         `json:"device"`
	Origin       Origin         `json:"origin"`
	Availability []availability `json:"availability,omitempty"`
	Mode         string         `json:"availability_mode,omitempty"`
	Components   map[string]any `json:"components"`
}

type device struct {
	Identifiers  []string `json:"identifiers"`
	Name         string   `json:"name"`
	Manufacturer string   `json:"manufacturer,omitempty"`
	Model        string   `json:"model,omitempty"`
	Version      string   `json:"sw_version,omitempty"`
}

// availability is a topic with Home Assistant's own payloads, "online" and
// "offline".
type availability struct {
	Topic string `json:"topic"`
}

// component has the keys of every platform; a platform sees those it knows.
type component struct {
	Platform   Platform   `json:"platform"`
	UniqueID   string     `json:"unique_id,omitempty"`
	Name       *string    `json:"name"` // null: that of the device
	Class      string     `json:"device_class,omitempty"`
	Unit       string     `json:"unit_of_measurement,omitempty"`
	StateClass StateClass `json:"state_class,omitempty"`
	Precision  *int       `json:"suggested_display_precision,omitempty"`
	Category   string     `json:"entity_category,omitempty"`

	State    string   `json:"state_topic,omitempty"`
	Template string   `json:"value_template,omitempty"`
	Expire   int      `json:"expire_after,omitempty"`
	Events   []string `json:"event_types,omitempty"`

	Command      string `json:"command_topic,omitempty"`
	PayloadOn    string `json:"payload_on,omitempty"`
	PayloadOff   string `json:"payload_off,omitempty"`
	PayloadOpen  string `json:"payload_open,omitempty"`
	PayloadClose string `json:"payload_close,omitempty"`
	StateOpen    string `json:"state_open,omitempty"`
	StateClosed  string `json:"state_closed,omitempty"`

	Schema      string   `json:"schema,omitempty"`
	Brightness  bool     `json:"brightness,omitempty"`
	Scale       int      `json:"brightness_scale,omitempty"`
	Modes       []string `json:"supported_color_modes,omitempty"`
	LightOn     string   `json:"state_value_template,omitempty"`
	BrightState string   `json:"brightness_state_topic,omitempty"`
	BrightSet   string   `json:"brightness_command_topic,omitempty"`
	OnCommand   string   `json:"on_command_type,omitempty"`

	Min  *float64 `json:"min,omitempty"`
	Max  *float64 `json:"max,omitempty"`
	Step float64  `json:"step,omitempty"`
}

func (c Component) config(d Device) component {
	out := component{
		Platform: c.Platform, UniqueID: d.id(c.Key), Class: c.Class, Unit: c.Unit, StateClass: c.StateClass,
		Precision: c.Precision, State: c.State, Template: c.template(), Expire: c.Expire,
		Events: c.Events, Command: c.Command,
	}
	if !c.Main {
		shown := cmp.Or(c.Title, title(c.Key))
		out.Name = &shown
	}
	if c.Diagnostic {
		out.Category = "diagnostic"
	}
	on, off := c.onOff()
	switch c.Platform {
	case BinarySensor, Switch:
		out.PayloadOn, out.PayloadOff = on, off
	case Valve:
		out.PayloadOpen, out.PayloadClose, out.StateOpen, out.StateClosed = on, off, on, off
	case Light:
		out.light(c)
	case Number:
		out.Min, out.Max, out.Step = &c.Least, &c.Most, c.Step
	}
	return out
}

// light is JSON both ways, {"state":"ON","brightness":128}, or a plain number both
// ways, 0 for off.
func (out *component) light(c Component) {
	out.Scale = int(c.Most)
	if c.Field != "" {
		out.Schema, out.Brightness, out.Modes = "json", true, []string{"brightness"}
		return
	}
	on, off := c.onOff()
	out.PayloadOn, out.PayloadOff, out.OnCommand = on, off, "brightness"
	out.BrightState, out.BrightSet = c.State, c.Command
	out.LightOn = fmt.Sprintf("{{ '%s' if value | float(0) else '%s' }}", on, off)
}

// template finds the value in what is published on the state topic. Home
// Assistant takes "None" for a value that is not known, which null becomes.
func (c Component) template() string {
	value := "value"
	if c.Field != "" { // in brackets, so that no method of a dictionary is found instead
		value = "value_json['" + c.Field + "']"
	}
	on, off := c.onOff()
	switch {
	case c.Platform == Light || c.State == "" || c.Platform == Event && c.Field == "event_type":
		return "" // Home Assistant reads it as it is
	case c.Platform == Event:
		return fmt.Sprintf(`{"event_type":"{{ %s }}"}`, value)
	case c.Binary && c.Field == "":
		return fmt.Sprintf("{{ '%s' if value | float(0) else '%s' }}", on, off)
	case c.Binary:
		return fmt.Sprintf("{{ None if %[1]s is none else '%[2]s' if %[1]s else '%[3]s' }}", value, on, off)
	case c.Field == "":
		return ""
	}
	return "{{ " + value + " }}"
}

// onOff are the payloads; Home Assistant's usual ones where none are said.
func (c Component) onOff() (on, off string) {
	if c.Platform == Valve {
		return cmp.Or(c.On, "OPEN"), cmp.Or(c.Off, "CLOSED")
	}
	return cmp.Or(c.On, "ON"), cmp.Or(c.Off, "OFF")
}

func encode(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil { // numbers that are none; there is nothing else to fail
		return nil
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}
