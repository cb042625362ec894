package hw

import (
	"cmp"
	"fmt"
	"time"

	"tidegate/hw/internal/bus"
	"tidegate/hw/internal/chip"
	"tidegate/internal/conf"
)

// SensorConfig is one [[hw.sensor]]. A key that is left out has its zero value
// here, which stands for the default named beside it.
type SensorConfig struct {
	Kind string `toml:"kind"` // a name of chip.Kinds, or "simulated"
	Name string `toml:"name"` // unique; letters, digits, "-" and "_"

	// Where it is. Only what the kind is wired to may be named.
	Bus     string `toml:"bus"`     // "1", "i2c-1", "/dev/i2c-1", "spi0.0"; "": the usual one of a Pi
	Address int    `toml:"address"` // on I2C, 7 bits; 0: the usual one of the chip
	Device  string `toml:"device"`  // on 1-Wire: "28-0316a2791bff"; "": the only one there
	Clock   string `toml:"clock"`   // GPIO line of a chip that is clocked by hand
	Data    string `toml:"data"`    // and the line of its answer

	// How it is set up. Only what the kind takes may be named; 0 and "" stand
	// for the chip's own default.
	Channel   string  `toml:"channel"`   // input of a converter: "0", or "0-1" for a difference
	Gain      float64 `toml:"gain"`      // of an amplifier
	Shunt     float64 `toml:"shunt"`     // ohm
	Reference float64 `toml:"reference"` // of a converter, volt
	Altitude  float64 `toml:"altitude"`  // metre above the sea

	// When it is read, and what of that is published.
	Every   conf.Duration `toml:"every"`    // time between two readings; 0: 10 s, or what the chip needs if that is more
	Average Average       `toml:"average"`  // "": none
	Sample  conf.Duration `toml:"sample"`   // time between two samples of an average; 0: every/10, or what the chip needs
	AtLeast conf.Duration `toml:"at-least"` // longest silence where a quantity has a change; 0: 10 min, or every if that is more

	// The message.
	Topic        string           `toml:"topic"`        // template; "": sensors/{name}, plain: sensors/{name}/{quantity}
	Availability string           `toml:"availability"` // template; "": sensors/{name}/availability
	Payload      string           `toml:"payload"`      // "json" or "plain"; "": json
	Retain       *bool            `toml:"retain"`       // nil: true
	QoS          *int             `toml:"qos"`          // nil: 1
	Expiry       conf.Duration    `toml:"expiry"`       // whole seconds; 0: never
	Decimals     *int             `toml:"decimals"`     // digits after the point; nil: what the chip resolves, simulated: 0
	Quantity     []QuantityConfig `toml:"quantity"`     // what differs from the default

	// Of "simulated" only.
	Unit   string        `toml:"unit"`   // "°C", "%" (relative humidity) or "hPa"; "": °C
	Wave   Wave          `toml:"wave"`   // "": constant
	Low    float64       `toml:"low"`    // the least value of the wave, in Unit
	High   float64       `toml:"high"`   // the greatest value of the wave, in Unit; not used by constant
	Period conf.Duration `toml:"period"` // length of one wave; 0: 10 min
}

// QuantityConfig is one [[hw.sensor.quantity]]: how a quantity is published.
type QuantityConfig struct {
	Name     string  `toml:"name"`     // of the kind's quantities
	Unit     string  `toml:"unit"`     // to convert to; "": the chip's own
	Scale    float64 `toml:"scale"`    // calibration: published = converted * scale + offset; 0: 1
	Offset   float64 `toml:"offset"`   // in the unit published
	Change   float64 `toml:"change"`   // publish when it moved by this, in the unit published; 0: no matter
	Decimals *int    `toml:"decimals"` // nil: as of the sensor
}

// The limits of what may be configured.
const (
	leastEvery    = 10 * time.Millisecond
	mostEvery     = 24 * time.Hour
	mostSamples   = 1000 // of one average
	mostDecimals  = 6
	defaultEvery  = 10 * time.Second
	defaultSilent = 10 * time.Minute
)

// kind returns the kind of c, which for "simulated" depends on c.
func (c SensorConfig) kind(find finder) (chip.Kind, bool) {
	if c.Kind == simulatedKind {
		return simulatedAs(c), true
	}
	return find(c.Kind)
}

// withDefaults fills what was left out and does not depend on the kind.
func (c SensorConfig) withDefaults() SensorConfig {
	c.Payload = cmp.Or(c.Payload, "json")
	c.Average = cmp.Or(c.Average, NoAverage)
	root := "sensors/{name}"
	if c.Kind == simulatedKind {
		root = "simulated/{name}"
		c.Unit = cmp.Or(c.Unit, "°C")
		c.Wave = cmp.Or(c.Wave, Constant)
		c.Period = cmp.Or(c.Period, conf.Duration(10*time.Minute))
		if c.Decimals == nil {
			c.Decimals = new(int)
		}
	}
	c.Availability = cmp.Or(c.Availability, root+"/availability")
	if c.Payload == "plain" {
		root += "/{quantity}"
	}
	c.Topic = cmp.Or(c.Topic, root)
	return c
}

// timed fills the times that were left out; they depend on the kind.
func (c SensorConfig) timed(k chip.Kind) SensorConfig {
	c.Every = cmp.Or(c.Every, conf.Duration(max(defaultEvery, k.Every)))
	c.AtLeast = cmp.Or(c.AtLeast, max(conf.Duration(defaultSilent), c.Every))
	switch {
	case c.Sample != 0:
	case k.Steady:
		c.Sample = conf.Duration(k.Every)
	case c.Average != NoAverage:
		n := min(10, c.Every.Std()/max(k.Every, leastEvery))
		for n > 1 && c.Every.Std()%n != 0 {
			n--
		}
		c.Sample = c.Every / conf.Duration(max(n, 1))
	}
	return c
}

func (c SensorConfig) retained() bool { return c.Retain == nil || *c.Retain }

func (c SensorConfig) qos() int {
	if c.QoS == nil {
		return 1
	}
	return *c.QoS
}

// topicOf is the topic of one quantity; with JSON all share it.
func (c SensorConfig) topicOf(quantity string) string {
	t, _ := template(c.Topic, c.Name, c.Kind, quantity)
	return t
}

func (c SensorConfig) availability() string {
	t, _ := template(c.Availability, c.Name, c.Kind, "")
	return t
}

// topics are all that it publishes on, by the key that says so.
func (c SensorConfig) topics(k chip.Kind) map[string][]string {
	all := map[string][]string{"topic": {c.topicOf(k.Quantities[0].Name)}, "availability": {c.availability()}}
	if c.Payload == "plain" {
		for _, q := range k.Quantities[1:] {
			all["topic"] = append(all["topic"], c.topicOf(q.Name))
		}
	}
	return all
}

// place says where the chip is, so that two of one place can be told; "" where
// several may be.
func (c SensorConfig) place(k chip.Kind) string {
	on, err := bus.Name(k.Bus, c.Bus)
	switch {
	case err != nil:
		return ""
	case k.Bus == chip.I2C:
		return fmt.Sprintf("%s %#02x %s %s", on, c.address(k), c.Channel, c.Device)
	case k.Bus == chip.SPI:
		return on + " " + c.Channel
	case k.Bus == chip.OneWire:
		return c.Device
	case k.Bus == chip.Lines:
		return c.Data
	}
	return ""
}

// placeKey is the key that people would change to move the chip.
func (c SensorConfig) placeKey(k chip.Kind) string {
	switch {
	case c.Channel != "":
		return "channel"
	case k.Bus == chip.OneWire, c.Device != "":
		return "device"
	case k.Bus == chip.I2C:
		return "address"
	case k.Bus == chip.Lines:
		return "data"
	}
	return "bus"
}

// address is the one configured, or the usual one of the chip.
func (c SensorConfig) address(k chip.Kind) uint16 {
	if c.Address == 0 && len(k.Addresses) > 0 {
		return k.Addresses[0]
	}
	return uint16(c.Address)
}
