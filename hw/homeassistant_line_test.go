package hw

import (
	"encoding/json"
	"testing"

	"tidegate/hw/internal/discovery"
	"tidegate/hw/internal/discovery/schema"
	"tidegate/internal/conf"
)

// Everything on a line is announced in a form that Home Assistant takes, and
// finds there what is published and commanded.
func TestLinesAppearInHomeAssistant(t *testing.T) {
	var cfg Config
	for kind, k := range inputKinds {
		for _, payload := range []string{"json", "plain"} {
			units := k.units
			if units == nil {
				units = []string{""}
			}
			for i, unit := range units {
				c := InputConfig{Kind: kind, Name: kind + "-" + payload + string(rune('a'+i)), Payload: payload, Unit: unit}
				if kind == "button" && payload == "plain" {
					c.Long, c.Double = new(conf.Duration), new(conf.Duration)
				}
				cfg.Input = append(cfg.Input, c)
			}
		}
	}
	for _, kind := range actuatorKinds {
		for _, payload := range []string{"json", "plain"} {
			cfg.Actuator = append(cfg.Actuator, ActuatorConfig{Kind: kind, Name: kind + "-" + payload, Payload: payload})
		}
	}
	seen := map[string]map[string]any{} // the first component of each device
	for _, d := range lineDevices(cfg, "gw") {
		m := discovery.Announce("homeassistant", discovery.Origin{Name: "Tidegate"}, d)
		if err := schema.Check(m.Topic, m.Payload); err != nil {
			t.Errorf("%s: %v\n%s", d.Name, err, m.Payload)
		}
		var v struct{ Components map[string]map[string]any }
		if err := json.Unmarshal(m.Payload, &v); err != nil {
			t.Fatal(err)
		}
		seen[d.Name] = v.Components[d.Components[0].Key]
	}
	for name, want := range map[string]map[string]any{
		"contact-jsona":           {"platform": "binary_sensor", "device_class": "opening", "state_topic": "sensors/contact-jsona", "payload_on": "ON", "payload_off": "OFF", "value_template": "{{ value_json['state'] }}", "expire_after": 1800.0},
		"motion-plaina":           {"device_class": "motion", "value_template": nil},
		"input-jsona":             {"platform": "binary_sensor", "device_class": nil},
		"button-jsona":            {"platform": "event", "device_class": "button"},
		"water-jsona":             {"platform": "sensor", "device_class": "water", "unit_of_measurement": "m³", "state_class": "total_increasing", "value_template": "{{ value_json['total'] }}"},
		"electricity-plain" + "a": {"device_class": "energy", "unit_of_measurement": "kWh", "state_topic": "sensors/electricity-plaina/total", "value_template": nil},
		"counter-jsona":           {"device_class": nil, "unit_of_measurement": nil, "state_class": "total_increasing"},
		"relay-json":              {"platform": "switch", "command_topic": "actuators/relay-json/set", "state_topic": "actuators/relay-json/state", "payload_on": "ON"},
		"valve-plain":             {"platform": "valve", "payload_open": "OPEN", "payload_close": "CLOSED", "state_open": "OPEN", "state_closed": "CLOSED"},
		"dimmer-json":             {"platform": "light", "schema": "json", "brightness_scale": 255.0},
		"dimmer-plain":            {"platform": "light", "brightness_scale": 100.0, "brightness_command_topic": "actuators/dimmer-plain/set", "on_command_type": "brightness", "payload_off": "OFF"},
	} {
		for key, value := range want {
			if got := seen[name][key]; got != value {
				t.Errorf("%s: %s is %v, want %v", name, key, got, value)
			}
		}
	}
}

// What Home Assistant is told to send is what an actuator obeys.
func TestActuatorsObeyWhatTheyAnnounce(t *testing.T) {
	for _, c := range []struct{ kind, sends string }{
		{"relay", "ON"}, {"relay", "OFF"}, {"valve", "OPEN"}, {"valve", "CLOSED"},
		{"dimmer", `{"state":"ON","brightness":128}`}, {"dimmer", `{"state":"OFF"}`}, {"dimmer", "OFF"}, {"dimmer", "50"},
	} {
		if _, err := parseOrder(c.kind, []byte(c.sends)); err != nil {
			t.Errorf("%s: %v", c.kind, err)
		}
	}
}
