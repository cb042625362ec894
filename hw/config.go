package hw

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"tidegate/internal/conf"
	"tidegate/internal/topic"
)

// Config is the section [hw].
type Config struct {
	Sensor []SensorConfig `toml:"sensor"` // none: nothing is wired to the Pi
}

// SensorConfig is one [[hw.sensor]]. A key that is left out has its zero value
// here, which stands for the default named beside it.
type SensorConfig struct {
	Kind     string        `toml:"kind"`     // "simulated"
	Name     string        `toml:"name"`     // unique; letters, digits, "-" and "_"
	Topic    string        `toml:"topic"`    // "": KIND/NAME
	Every    conf.Duration `toml:"every"`    // time between two readings; 0: 10 s
	Unit     string        `toml:"unit"`     // "°C", "%" (relative humidity) or "hPa"; "": °C
	Decimals int           `toml:"decimals"` // digits after the point in the payload, 0 to 6
	Wave     Wave          `toml:"wave"`     // "": constant
	Low      float64       `toml:"low"`      // the least value of the wave, in Unit
	High     float64       `toml:"high"`     // the greatest value of the wave, in Unit; not used by constant
	Period   conf.Duration `toml:"period"`   // length of one wave; 0: 10 min
}

// DefaultConfig has no sensors.
func DefaultConfig() Config { return Config{} }

// withDefaults fills what was left out.
func (c SensorConfig) withDefaults() SensorConfig {
	if c.Topic == "" {
		c.Topic = c.Kind + "/" + c.Name
	}
	if c.Every == 0 {
		c.Every = conf.Duration(10 * time.Second)
	}
	if c.Unit == "" {
		c.Unit = "°C"
	}
	if c.Wave == "" {
		c.Wave = Constant
	}
	if c.Period == 0 {
		c.Period = conf.Duration(10 * time.Minute)
	}
	return c
}

// Check returns everything wrong with c; keys are relative to [hw].
func (c Config) Check() []conf.Problem {
	var all []conf.Problem
	names := map[string]int{}
	for i, s := range c.Sensor {
		for _, p := range s.withDefaults().check() {
			p.Key = fmt.Sprintf("sensor[%d].%s", i, p.Key)
			all = append(all, p)
		}
		if first, taken := names[s.Name]; taken && s.Name != "" {
			all = append(all, conf.Problem{Key: fmt.Sprintf("sensor[%d].name", i), Value: strconv.Quote(s.Name),
				Rule: "unique", Hint: fmt.Sprintf("sensor[%d] has this name already", first)})
		} else {
			names[s.Name] = i
		}
	}
	return all
}

// check judges a sensor whose defaults are filled in.
func (c SensorConfig) check() []conf.Problem {
	var all []conf.Problem
	bad := func(wrong bool, key string, value any, rule, hint string) {
		if wrong {
			all = append(all, conf.Problem{Key: key, Value: show(value), Rule: rule, Hint: hint})
		}
	}
	bad(c.Kind != simulatedKind, "kind", c.Kind, `"simulated"`, "no other kind is built yet")
	bad(!validName(c.Name), "name", c.Name, "1 to 32 letters, digits, - or _", "it names the sensor in the log and in its default topic")
	bad(validName(c.Name) && !topic.ValidName(c.Topic), "topic", c.Topic, "a topic name without + and #", "")
	bad(strings.HasPrefix(c.Topic, "$"), "topic", c.Topic, "outside the topics that begin with $", "those are the broker's own")
	bad(c.Every.Std() < 10*time.Millisecond || c.Every.Std() > 24*time.Hour, "every", c.Every, "from 10ms to 24h", "")
	bad(units[c.Unit] == nil, "unit", c.Unit, `"°C", "%" or "hPa"`, "")
	bad(c.Decimals < 0 || c.Decimals > 6, "decimals", c.Decimals, "from 0 to 6", "")
	bad(!c.Wave.known(), "wave", string(c.Wave), `"sine", "square", "triangle" or "constant"`, "")
	bad(c.Wave != Constant && c.High <= c.Low, "high", c.High, fmt.Sprintf("greater than low = %v", c.Low), "")
	bad(c.Period.Std() < time.Millisecond, "period", c.Period, "at least 1ms", "")
	return all
}

func show(v any) string {
	switch v := v.(type) {
	case string:
		return strconv.Quote(v)
	case conf.Duration:
		return strconv.Quote(v.String())
	}
	return fmt.Sprint(v)
}

func validName(s string) bool {
	for _, r := range s {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '-', r == '_':
		default:
			return false
		}
	}
	return s != "" && len(s) <= 32
}
