package hw

import (
	"slices"
	"testing"
)

func TestBuses(t *testing.T) {
	for _, c := range []struct {
		name string
		cfg  Config
		want []string
	}{
		{"nothing wired", Config{Sensor: []SensorConfig{{Kind: "simulated"}}}, nil},
		{"each", Config{Sensor: []SensorConfig{{Kind: "bme280"}, {Kind: "ds18b20"}, {Kind: "sht31"}}, Input: []InputConfig{{Kind: "water"}}}, []string{"1-wire", "gpio", "i2c"}},
		{"a relay", Config{Actuator: []ActuatorConfig{{Kind: "relay", Line: "GPIO17"}}}, []string{"gpio"}},
		{"a dimmer", Config{Actuator: []ActuatorConfig{{Kind: "dimmer", PWM: "pwmchip0:0"}}}, nil},
	} {
		if got := c.cfg.Buses(); !slices.Equal(got, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
	}
}
