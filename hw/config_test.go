package hw

import (
	"math"
	"strings"
	"testing"
	"time"

	"tidegate/internal/conf"
)

func TestConfigCheck(t *testing.T) {
	one := func(n int) *int { return &n }
	simulated := SensorConfig{Kind: "simulated", Name: "a", Wave: Sine, Low: 1, High: 2}
	weather := SensorConfig{Kind: "weather", Name: "a"}
	quantity := func(q QuantityConfig) func(*SensorConfig) {
		return func(s *SensorConfig) { s.Quantity = []QuantityConfig{q} }
	}
	for _, c := range []struct {
		name  string
		from  SensorConfig
		spoil func(*SensorConfig)
		key   string // of the one problem; "" for none
	}{
		{"simulated", simulated, func(*SensorConfig) {}, ""},
		{"no name", simulated, func(s *SensorConfig) { s.Name = "" }, "name"},
		{"name", simulated, func(s *SensorConfig) { s.Name = "living room" }, "name"},
		{"wildcard", simulated, func(s *SensorConfig) { s.Topic = "home/+" }, "topic"},
		{"system topic", simulated, func(s *SensorConfig) { s.Topic = "$SYS/x" }, "topic"},
		{"too often", simulated, func(s *SensorConfig) { s.Every = 1 }, "every"},
		{"unit", simulated, func(s *SensorConfig) { s.Unit = "F" }, "unit"},
		{"decimals", simulated, func(s *SensorConfig) { s.Decimals = one(7) }, "decimals"},
		{"wave", simulated, func(s *SensorConfig) { s.Wave = "saw" }, "wave"},
		{"range", simulated, func(s *SensorConfig) { s.High = 1 }, "high"},
		{"no number", simulated, func(s *SensorConfig) { s.High = nan }, "high"},
		{"endless", simulated, func(s *SensorConfig) { s.Wave, s.Low = Constant, math.Inf(1) }, "low"},
		{"constant has no range", simulated, func(s *SensorConfig) { s.Wave, s.High = "", 0 }, ""},
		{"period", simulated, func(s *SensorConfig) { s.Period = -1 }, "period"},
		{"simulated on a bus", simulated, func(s *SensorConfig) { s.Bus = "1" }, "bus"},

		{"weather", weather, func(*SensorConfig) {}, ""},
		{"kind", weather, func(s *SensorConfig) { s.Kind = "wether" }, "kind"},
		{"bus number", weather, func(s *SensorConfig) { s.Bus = "1" }, ""},
		{"bus name", weather, func(s *SensorConfig) { s.Bus = "i2c-1" }, ""},
		{"bus path", weather, func(s *SensorConfig) { s.Bus = "/dev/i2c-1" }, ""},
		{"bus of another sort", weather, func(s *SensorConfig) { s.Bus = "spi0.0" }, "bus"},
		{"address", weather, func(s *SensorConfig) { s.Address = 0x77 }, ""},
		{"address the chip has not", weather, func(s *SensorConfig) { s.Address = 0x20 }, "address"},
		{"address below", weather, func(s *SensorConfig) { s.Address = -1 }, "address"},
		{"gain it has not", weather, func(s *SensorConfig) { s.Gain = 2 }, "gain"},
		{"device it has not", weather, func(s *SensorConfig) { s.Device = "28-0316a2791bff" }, "device"},
		{"clock it has not", weather, func(s *SensorConfig) { s.Clock = "GPIO5" }, "clock"},
		{"wave it has not", weather, func(s *SensorConfig) { s.Wave = Sine }, "wave"},
		{"unit of which", weather, func(s *SensorConfig) { s.Unit = "°F" }, "unit"},
		{"faster than the chip", weather, func(s *SensorConfig) { s.Every = conf.Duration(15 * time.Millisecond) }, "every"},
		{"every", weather, func(s *SensorConfig) { s.Every = conf.Duration(25 * time.Hour) }, "every"},
		{"average", weather, func(s *SensorConfig) { s.Average = "mode" }, "average"},
		{"mean", weather, func(s *SensorConfig) { s.Average = Mean }, ""},
		{"median of samples", weather, func(s *SensorConfig) { s.Average, s.Sample = Median, 2e9 }, ""},
		{"sample without average", weather, func(s *SensorConfig) { s.Sample = 1e9 }, "sample"},
		{"sample is no part", weather, func(s *SensorConfig) { s.Average, s.Sample = Mean, 3e9 }, "sample"},
		{"too many samples", weather, func(s *SensorConfig) { s.Average, s.Sample, s.Every = Mean, 20e6, 100e9 }, "sample"},
		{"at-least", weather, func(s *SensorConfig) { s.AtLeast = 1e9 }, "at-least"},
		{"template", weather, func(s *SensorConfig) { s.Topic = "home/{kind}/{name}" }, ""},
		{"template word", weather, func(s *SensorConfig) { s.Topic = "home/{room}" }, "topic"},
		{"template brace", weather, func(s *SensorConfig) { s.Topic = "home/{name" }, "topic"},
		{"JSON by quantity", weather, func(s *SensorConfig) { s.Topic = "home/{quantity}" }, "topic"},
		{"plain", weather, func(s *SensorConfig) { s.Payload = "plain" }, ""},
		{"plain on one topic", weather, func(s *SensorConfig) { s.Payload, s.Topic = "plain", "home/{name}" }, "topic"},
		{"payload", weather, func(s *SensorConfig) { s.Payload = "xml" }, "payload"},
		{"availability", weather, func(s *SensorConfig) { s.Availability = "a/#" }, "availability"},
		{"one topic for both", weather, func(s *SensorConfig) { s.Availability, s.Topic = "x", "x" }, "availability"},
		{"qos", weather, func(s *SensorConfig) { s.QoS = one(2) }, "qos"},
		{"expiry", weather, func(s *SensorConfig) { s.Expiry = conf.Duration(1500 * time.Millisecond) }, "expiry"},
		{"quantity", weather, quantity(QuantityConfig{Name: "temperature", Unit: "°F", Scale: 1.01, Offset: -0.3, Change: 0.2, Decimals: one(1)}), ""},
		{"quantity it has not", weather, quantity(QuantityConfig{Name: "light"}), "quantity[0].name"},
		{"unit it cannot be", weather, quantity(QuantityConfig{Name: "temperature", Unit: "hPa"}), "quantity[0].unit"},
		{"change", weather, quantity(QuantityConfig{Name: "temperature", Change: -1}), "quantity[0].change"},
		{"change is no number", weather, quantity(QuantityConfig{Name: "temperature", Change: nan}), "quantity[0].change"},
		{"scale", weather, quantity(QuantityConfig{Name: "temperature", Scale: nan}), "quantity[0].scale"},
		{"offset", weather, quantity(QuantityConfig{Name: "temperature", Offset: nan}), "quantity[0].offset"},
		{"digits", weather, quantity(QuantityConfig{Name: "temperature", Decimals: one(-1)}), "quantity[0].decimals"},
		{"quantity twice", weather, func(s *SensorConfig) {
			s.Quantity = []QuantityConfig{{Name: "pressure"}, {Name: "pressure"}}
		}, "quantity[1].name"},

		{"channel", SensorConfig{Kind: "meter", Name: "a", Channel: "0-1", Gain: 2, Shunt: 0.1, Altitude: 400}, func(*SensorConfig) {}, ""},
		{"no channel", SensorConfig{Kind: "meter", Name: "a", Channel: "A0"}, func(*SensorConfig) {}, "channel"},
		{"shunt", SensorConfig{Kind: "meter", Name: "a", Shunt: -1}, func(*SensorConfig) {}, "shunt"},
		{"altitude", SensorConfig{Kind: "meter", Name: "a", Altitude: nan}, func(*SensorConfig) {}, "altitude"},
		{"steady", SensorConfig{Kind: "steady", Name: "a", Every: 30e9}, func(*SensorConfig) {}, ""},
		{"steady with samples", SensorConfig{Kind: "steady", Name: "a", Sample: 2e9}, func(*SensorConfig) {}, "sample"},
		{"steady and uneven", SensorConfig{Kind: "steady", Name: "a", Every: 2500e6}, func(*SensorConfig) {}, "every"},
		{"steady and seldom", SensorConfig{Kind: "steady", Name: "a", Every: 3600e9}, func(*SensorConfig) {}, "every"},
		{"spi", SensorConfig{Kind: "shop", Name: "a", Bus: "/dev/spidev0.1"}, func(*SensorConfig) {}, ""},
		{"address on spi", SensorConfig{Kind: "shop", Name: "a", Address: 1}, func(*SensorConfig) {}, "address"},
		{"1-wire", SensorConfig{Kind: "string", Name: "a", Device: "28-0316a2791bff"}, func(*SensorConfig) {}, ""},
		{"1-wire device", SensorConfig{Kind: "string", Name: "a", Device: "28-0316"}, func(*SensorConfig) {}, "device"},
		{"lines", SensorConfig{Kind: "scale", Name: "a", Clock: "GPIO5", Data: "GPIO6"}, func(*SensorConfig) {}, ""},
		{"one line for both", SensorConfig{Kind: "scale", Name: "a", Clock: "GPIO5", Data: "GPIO5"}, func(*SensorConfig) {}, "data"},
		{"no data line", SensorConfig{Kind: "scale", Name: "a", Clock: "GPIO5"}, func(*SensorConfig) {}, "data"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.spoil(&c.from)
			got := Config{Sensor: []SensorConfig{c.from}}.check((&board{}).find)
			if c.key == "" && len(got) == 0 || len(got) == 1 && got[0].Key == "sensor[0]."+c.key {
				return
			}
			t.Errorf("got %v, want one problem with %q", got, c.key)
		})
	}
}

// What one sensor has, another cannot have.
func TestConfigCheckOfTwo(t *testing.T) {
	for _, c := range []struct {
		name string
		a, b SensorConfig
		key  string
	}{
		{"name", thermo("a", 0x76, 0), SensorConfig{Kind: "simulated", Name: "a"}, "sensor[1].name"},
		{"address", thermo("a", 0, 0), thermo("b", 0x76, 0), "sensor[1].address"},
		{"channel", SensorConfig{Kind: "meter", Name: "a", Channel: "1"}, SensorConfig{Kind: "meter", Name: "b", Channel: "1"}, "sensor[1].channel"},
		{"two channels", SensorConfig{Kind: "meter", Name: "a", Channel: "1"}, SensorConfig{Kind: "meter", Name: "b", Channel: "2"}, ""},
		{"behind a bridge", SensorConfig{Kind: "bridged", Name: "a", Device: "28-0316a2791bff"}, SensorConfig{Kind: "bridged", Name: "b", Device: "28-0316a2791bfe"}, ""},
		{"one behind a bridge", SensorConfig{Kind: "bridged", Name: "a", Device: "28-0316a2791bff"}, SensorConfig{Kind: "bridged", Name: "b", Device: "28-0316a2791bff"}, "sensor[1].device"},
		{"two buses", SensorConfig{Kind: "thermo", Name: "a", Bus: "1"}, SensorConfig{Kind: "thermo", Name: "b", Bus: "3"}, ""},
		{"one bus with two names", SensorConfig{Kind: "thermo", Name: "a", Bus: "1"}, SensorConfig{Kind: "thermo", Name: "b", Bus: "/dev/i2c-1"}, "sensor[1].address"},
		{"chip select", SensorConfig{Kind: "shop", Name: "a"}, SensorConfig{Kind: "shop", Name: "b", Bus: "spi0.0"}, "sensor[1].bus"},
		{"topic", SensorConfig{Kind: "simulated", Name: "a", Topic: "x"}, SensorConfig{Kind: "simulated", Name: "b", Topic: "x"}, "sensor[1].topic"},
		{"one topic of several", SensorConfig{Kind: "weather", Name: "a", Payload: "plain", Topic: "x/{quantity}"}, SensorConfig{Kind: "simulated", Name: "b", Topic: "x/pressure"}, "sensor[1].topic"},
		{"availability", SensorConfig{Kind: "simulated", Name: "a", Availability: "x"}, SensorConfig{Kind: "simulated", Name: "b", Topic: "x"}, "sensor[1].topic"},
		{"the gateway's own", SensorConfig{Kind: "simulated", Name: "a"}, SensorConfig{Kind: "simulated", Name: "b", Topic: AvailabilityTopic}, "sensor[1].topic"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := Config{Sensor: []SensorConfig{c.a, c.b}}.check((&board{}).find)
			if c.key == "" && len(got) == 0 || len(got) == 1 && got[0].Key == c.key {
				return
			}
			t.Errorf("got %v, want one problem with %q", got, c.key)
		})
	}
	if _, err := New(Config{Sensor: []SensorConfig{{}}}, Options{}); err == nil || !strings.Contains(err.Error(), "hw.sensor[0].kind") {
		t.Errorf("New took a bad configuration: %v", err)
	}
}
