package discovery_test

import (
	"testing"

	"tidegate/hw/internal/chip"
	"tidegate/hw/internal/discovery"
	"tidegate/hw/internal/discovery/schema"
)

func TestHomeAssistantTakesEveryQuantityOfEveryKind(t *testing.T) {
	kinds := chip.Kinds()
	if len(kinds) == 0 {
		t.Fatal("no kinds")
	}
	for _, k := range kinds {
		t.Run(k.Name, func(t *testing.T) {
			d := discovery.Device{Gateway: "gw", Name: k.Name, Model: k.Title}
			for _, q := range k.Quantities {
				c := discovery.Measured(q.Name, q.Class, q.Unit, q.Total, 1)
				c.State, c.Field = "sensors/"+k.Name, q.Name
				d.Components = append(d.Components, c)
			}
			m := discovery.Announce("homeassistant", origin, d)
			if err := schema.Check(m.Topic, m.Payload); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestMeasured(t *testing.T) {
	for _, c := range []struct {
		class, unit string
		total       bool
		platform    discovery.Platform
		state       discovery.StateClass
	}{
		{"temperature", "°C", false, discovery.Sensor, discovery.Measurement},
		{"", "", false, discovery.Sensor, discovery.Measurement},
		{"duration", "s", true, discovery.Sensor, discovery.TotalIncreasing},
		{"energy", "kWh", false, discovery.Sensor, discovery.TotalIncreasing},
		{"wind_direction", "°", false, discovery.Sensor, discovery.NoStatistics},
		{"problem", "", false, discovery.BinarySensor, discovery.NoStatistics},
	} {
		got := discovery.Measured("x", c.class, c.unit, c.total, 2)
		if got.Platform != c.platform || got.StateClass != c.state {
			t.Errorf("%s: got %s, %q, want %s, %q", c.class, got.Platform, got.StateClass, c.platform, c.state)
		}
		got.State = "x"
		m := discovery.Announce("p", origin, discovery.Device{Gateway: "g", Name: "n", Components: []discovery.Component{got}})
		if err := schema.Check(m.Topic, m.Payload); err != nil {
			t.Error(err)
		}
	}
}
