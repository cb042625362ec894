package hw

import "tidegate/hw/internal/discovery"

// Place says where a sensor, an input or an actuator is heard, and what it says
// there.
type Place struct {
	Name     string
	Kind     string
	Measures []Measure // of an actuator its state alone
	Command  string    // topic of commands; "" for what takes none
	Commands []string  // that it takes, but for numbers
}

// Measure is one thing that is said.
type Measure struct {
	Field string // what it is: temperature, total, state
	JSON  bool   // the payload is an object with it as a member; else it is all of the payload
	Unit  string // "" for none, and for texts
	Topic string
	Text  bool // ON, OFF, PRESS: no number
}

// Places says where all that is configured is heard: sensors, inputs, actuators.
func (h *Hardware) Places() []Place { return h.places }

func placesOf(cfg Config, find finder) (all []Place) {
	for _, c := range cfg.Sensor {
		c = c.withDefaults()
		k, _ := c.kind(find)
		p := Place{Name: c.Name, Kind: c.Kind}
		for _, m := range measuresOf(c, k) {
			p.Measures = append(p.Measures, Measure{Field: m.Name, JSON: c.Payload == "json", Unit: m.unit, Topic: m.topic})
		}
		all = append(all, p)
	}
	for _, c := range cfg.Input {
		c = c.withDefaults()
		p := Place{Name: c.Name, Kind: c.Kind}
		for _, part := range c.components() {
			m := Measure{Field: part.Key, JSON: c.Payload == "json", Unit: part.Unit, Topic: part.State, Text: !inputKinds[c.Kind].meter()}
			if part.Platform == discovery.Event {
				m.Field = "event_type"
			}
			p.Measures = append(p.Measures, m)
		}
		all = append(all, p)
	}
	for _, c := range cfg.Actuator {
		c = c.withDefaults()
		p := Place{Name: c.Name, Kind: c.Kind, Command: c.topicOf("set"), Commands: []string{"ON", "OFF", "TOGGLE"}}
		if c.Kind == "valve" {
			p.Commands = []string{"OPEN", "CLOSE", "TOGGLE"}
		}
		p.Measures = []Measure{{Field: "state", JSON: c.Payload == "json", Topic: c.topicOf("state"), Text: true}}
		all = append(all, p)
	}
	return all
}
