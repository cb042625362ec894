package discovery_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tidegate/hw/internal/discovery"
	"tidegate/hw/internal/discovery/schema"
)

var update = flag.Bool("update", false, "draw the announced messages anew")

func digits(n int) *int { return &n }

var origin = discovery.Origin{Name: "Tidegate", Version: "1.2.3"}

// devices are one of each sort; testdata has what is announced of them.
var devices = map[string]discovery.Device{
	"sensor": {
		Gateway: "gw.home", Name: "living-room", Manufacturer: "Bosch", Model: "BME280",
		Availability: []string{"tidegate/status", "sensors/living-room/availability"},
		Components: []discovery.Component{
			{Key: "temperature", Platform: discovery.Sensor, Class: "temperature", Unit: "°C", StateClass: discovery.Measurement,
				Precision: digits(2), State: "sensors/living-room", Field: "temperature", Expire: 1800},
			{Key: "humidity", Platform: discovery.Sensor, Class: "humidity", Unit: "%", StateClass: discovery.Measurement,
				Precision: digits(0), State: "sensors/living-room", Field: "humidity", Expire: 1800},
		},
	},
	"plain": {
		Gateway: "gw", Name: "attic", Availability: []string{"sensors/attic/availability"},
		Components: []discovery.Component{
			{Key: "temperature", Platform: discovery.Sensor, Class: "temperature", Unit: "°C", State: "sensors/attic/temperature"},
			{Key: "under_voltage", Platform: discovery.BinarySensor, Class: "problem", Diagnostic: true, Binary: true, State: "sensors/attic/under_voltage"},
		},
	},
	"pi": {
		Gateway: "gw", Name: "pi",
		Components: []discovery.Component{
			{Key: "cpu_temperature", Platform: discovery.Sensor, Class: "temperature", Unit: "°C", Diagnostic: true, State: "sensors/pi", Field: "cpu_temperature"},
			{Key: "throttled", Platform: discovery.BinarySensor, Class: "problem", Diagnostic: true, Binary: true, State: "sensors/pi", Field: "throttled"},
		},
	},
	"inputs": {
		Gateway: "gw", Name: "door",
		Components: []discovery.Component{
			{Key: "contact", Platform: discovery.BinarySensor, Class: "door", Main: true, State: "inputs/door", On: "open", Off: "closed"},
			{Key: "motion", Platform: discovery.BinarySensor, Class: "motion", State: "inputs/hall", Field: "state"},
			{Key: "bell", Platform: discovery.Event, Class: "doorbell", State: "inputs/bell", Field: "event", Events: []string{"press", "double", "long"}},
			{Key: "gong", Platform: discovery.Event, State: "inputs/gong", Field: "event_type", Events: []string{"press"}},
			{Key: "switch", Platform: discovery.Event, Class: "button", State: "inputs/switch", Events: []string{"press"}},
			{Key: "water", Platform: discovery.Sensor, Class: "water", Unit: "L", StateClass: discovery.TotalIncreasing, State: "inputs/water", Field: "total"},
		},
	},
	"actuators": {
		Gateway: "gw", Name: "garden",
		Components: []discovery.Component{
			{Key: "pump", Platform: discovery.Switch, Main: true, Class: "switch", State: "actuators/pump", Command: "actuators/pump/set"},
			{Key: "hose", Platform: discovery.Valve, Class: "water", State: "actuators/hose", Field: "state", Command: "actuators/hose/set"},
			{Key: "lamp", Platform: discovery.Light, State: "actuators/lamp", Field: "state", Command: "actuators/lamp/set", Most: 255},
			{Key: "lantern", Platform: discovery.Light, State: "actuators/lantern", Command: "actuators/lantern/set", Most: 100},
			{Key: "fan", Platform: discovery.Number, State: "actuators/fan", Command: "actuators/fan/set", Unit: "%", Least: 0, Most: 100, Step: 1},
		},
	},
}

func TestAnnounceWritesWhatHomeAssistantTakes(t *testing.T) {
	for name, d := range devices {
		t.Run(name, func(t *testing.T) {
			m := discovery.Announce("homeassistant", origin, d)
			if err := schema.Check(m.Topic, m.Payload); err != nil {
				t.Error(err)
			}
			if again := discovery.Announce("homeassistant", origin, d); !bytes.Equal(again.Payload, m.Payload) || again.Topic != m.Topic {
				t.Error("announced twice, with other bytes")
			}
			golden(t, name+".txt", m)
		})
	}
}

// golden compares a message with its picture in testdata, which
// go test -update draws anew.
func golden(t *testing.T, name string, m discovery.Message) {
	t.Helper()
	var b bytes.Buffer
	if err := json.Indent(&b, m.Payload, "", "  "); err != nil {
		t.Fatal(err)
	}
	got := m.Topic + "\n" + b.String() + "\n"
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s: got\n%s", path, got)
	}
}

func TestNoTwoThingsShareAnID(t *testing.T) {
	seen := map[string]string{}
	for _, d := range []discovery.Device{
		{Gateway: "gw", Name: "pi", Components: []discovery.Component{{Key: "cpu_temperature"}}},
		{Gateway: "gw", Name: "pi_cpu", Components: []discovery.Component{{Key: "temperature"}}},
		{Gateway: "gw_pi", Name: "cpu", Components: []discovery.Component{{Key: "temperature"}}},
	} {
		m := discovery.Announce("p", origin, d)
		var c struct {
			Components map[string]struct {
				ID string `json:"unique_id"`
			}
		}
		if err := json.Unmarshal(m.Payload, &c); err != nil {
			t.Fatal(err)
		}
		for key, part := range c.Components {
			if other, twice := seen[part.ID]; twice {
				t.Errorf("%s of %s has the id of %s: %s", key, m.Topic, other, part.ID)
			}
			seen[part.ID] = m.Topic
		}
	}
}

func TestSchemaRefusesWhatHomeAssistantRefuses(t *testing.T) {
	good := devices["sensor"]
	for _, c := range []struct {
		name  string
		spoil func(*discovery.Device)
		want  string // in the error
	}{
		{"unit of another class", func(d *discovery.Device) { d.Components[0].Unit = "%" }, `no unit "%"`},
		{"unknown class", func(d *discovery.Device) { d.Components[0].Class = "heat" }, `no device class "heat"`},
		{"state class", func(d *discovery.Device) { d.Components[0].StateClass = discovery.TotalIncreasing }, "no state class total_increasing"},
		{"energy measured", func(d *discovery.Device) { d.Components[0].Class, d.Components[0].Unit = "energy", "kWh" }, "no state class measurement"},
		{"no topic", func(d *discovery.Device) { d.Components[0].State = "" }, "no state_topic"},
		{"wildcard", func(d *discovery.Device) { d.Components[0].State = "a/+" }, "state_topic = a/+"},
		{"platform", func(d *discovery.Device) { d.Components[0].Platform = "thing" }, `platform "thing"`},
		{"key of another platform", func(d *discovery.Device) { d.Components[0].Command = "a" }, "unknown key command_topic"},
		{"no components", func(d *discovery.Device) { d.Components = nil }, "no components"},
		{"event without types", func(d *discovery.Device) {
			d.Components = []discovery.Component{{Key: "a", Platform: discovery.Event, State: "a"}}
		}, "no event_types"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := good
			d.Components = append([]discovery.Component(nil), good.Components...)
			c.spoil(&d)
			m := discovery.Announce("homeassistant", origin, d)
			if err := schema.Check(m.Topic, m.Payload); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q in it", err, c.want)
			}
		})
	}
	if err := schema.Check("homeassistant/device/a b/c/config", []byte("{")); err == nil || !strings.Contains(err.Error(), "topic") {
		t.Errorf("a bad topic: got %v", err)
	}
}

func TestTopics(t *testing.T) {
	d := discovery.Device{Gateway: "gw.home", Name: "attic"}
	for got, want := range map[string]string{
		d.Topic("ha"):                     "ha/device/gw_home/attic/config",
		discovery.Filter("ha", "gw.home"): "ha/device/gw_home/+/config",
		discovery.Birth("homeassistant"):  "homeassistant/status",
	} {
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
