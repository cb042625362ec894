package hw

import (
	"time"

	"tidegate/hw/internal/discovery"
	"tidegate/hw/internal/line"
)

// inputClasses are Home Assistant's device classes of the states of inputs, and
// of the totals of meters.
var inputClasses = map[string]string{
	"contact": "opening", "motion": "motion", "button": "button", "water": "water", "gas": "gas", "electricity": "energy",
}

// rates says how the growth of a unit in an hour is called, and Home
// Assistant's class of it.
var rates = map[string]struct{ unit, class string }{
	"":    {"1/h", ""},
	"m³":  {"m³/h", "volume_flow_rate"},
	"L":   {"L/h", "volume_flow_rate"},
	"gal": {"gal/h", "volume_flow_rate"},
	"ft³": {"ft³/h", ""},
	"CCF": {"CCF/h", ""},
	"Wh":  {"W", "power"},
	"kWh": {"kW", "power"},
	"MWh": {"MW", "power"},
}

// lineDevices are the inputs and actuators, for Home Assistant.
func lineDevices(cfg Config, gateway string) (all []discovery.Device) {
	add := func(d discovery.Device, model, availability string, parts ...discovery.Component) {
		d.Gateway, d.Model, d.Components = gateway, model, parts
		d.Availability = []string{AvailabilityTopic, availability}
		all = append(all, d)
	}
	for _, c := range cfg.Input {
		c = c.withDefaults()
		add(discovery.Device{Name: c.Name}, c.Kind, c.availability(), c.components()...)
	}
	for _, c := range cfg.Actuator {
		c = c.withDefaults()
		add(discovery.Device{Name: c.Name}, c.Kind, c.topicOf("availability"), c.component())
	}
	return all
}

func (c InputConfig) components() []discovery.Component {
	class := inputClasses[c.Kind]
	switch k := inputKinds[c.Kind]; {
	case k.meter():
		return c.meterComponents(class)
	case c.Kind == "button":
		events := []string{string(line.Press)}
		if *c.Double > 0 {
			events = append(events, string(line.Double))
		}
		if *c.Long > 0 {
			events = append(events, string(line.Long))
		}
		return []discovery.Component{c.in("event_type", discovery.Component{
			Key: "event", Platform: discovery.Event, Main: true, Class: class, State: c.topicOf(""), Events: events,
		})}
	}
	return []discovery.Component{c.in("state", discovery.Component{
		Key: "state", Platform: discovery.BinarySensor, Main: true, Class: class, State: c.topicOf(""), Expire: staleAfter(c.AtLeast.Std()),
	})}
}

func (c InputConfig) meterComponents(class string) []discovery.Component {
	digits := line.NewMeter(line.Record{}, c.Start, c.PerPulse, time.Time{}).Decimals()
	total := discovery.Measured("total", class, c.Unit, true, digits)
	total.State = c.topicOf("total")
	r := rates[c.Unit]
	rate := discovery.Measured("rate", r.class, r.unit, false, min(digits, 3))
	rate.State = c.topicOf("rate")
	total.Expire = staleAfter(c.AtLeast.Std())
	rate.Expire = total.Expire
	return []discovery.Component{c.in("total", total), c.in("rate", rate)}
}

// in says where in the JSON the value is.
func (c InputConfig) in(field string, part discovery.Component) discovery.Component {
	if c.Payload == "json" {
		part.Field = field
	}
	return part
}

func (c ActuatorConfig) component() discovery.Component {
	part := discovery.Component{
		Key: "state", Platform: discovery.Switch, Main: true, State: c.topicOf("state"), Command: c.topicOf("set"),
	}
	if c.Payload == "json" {
		part.Field = "state"
	}
	switch {
	case c.Kind == "valve":
		part.Platform = discovery.Valve
	case c.Kind == "dimmer" && c.Payload == "json":
		part.Platform, part.Most = discovery.Light, 255
	case c.Kind == "dimmer": // in percent
		part.Platform, part.Most = discovery.Light, 100
	}
	return part
}
