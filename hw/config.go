package hw

import (
	"fmt"
	"strconv"

	"tidegate/hw/internal/chip"
	"tidegate/internal/conf"
)

// Config is the section [hw].
type Config struct {
	Sensor        []SensorConfig      `toml:"sensor"`
	Input         []InputConfig       `toml:"input"`
	Actuator      []ActuatorConfig    `toml:"actuator"`
	HomeAssistant HomeAssistantConfig `toml:"homeassistant"`
}

// DefaultConfig has nothing wired to the Pi, and would announce it.
func DefaultConfig() Config { return Config{HomeAssistant: defaultHomeAssistant()} }

// mostSensors bounds what one gateway reads.
const mostSensors = 256

// Check returns everything wrong with c; keys are relative to [hw].
func (c Config) Check() []conf.Problem { return c.check(chip.Find) }

func (c Config) check(find finder) []conf.Problem {
	var all problems
	all.bad(len(c.Sensor) > mostSensors, "sensor", len(c.Sensor), fmt.Sprintf("at most %d", mostSensors), "")
	all.under("homeassistant", c.HomeAssistant.check())
	names, topics, places := taken{}, taken{AvailabilityTopic: "the gateway"}, taken{}
	for i, s := range c.Sensor {
		section := fmt.Sprintf("sensor[%d]", i)
		s = s.withDefaults()
		found := s.check(find)
		all.under(section, found)
		all.twice(names, section, "name", s.Name, "")
		if k, known := s.kind(find); known && len(found) == 0 {
			all.topics(topics, section, s.topics(k))
			all.twice(places, section, s.placeKey(k), s.place(k), "two sensors cannot be one chip")
		}
	}
	return append(all, c.checkLines(names, topics)...)
}

// finder gives the kind of a name.
type finder func(name string) (chip.Kind, bool)

// problems collects what is wrong.
type problems []conf.Problem

// bad notes that the value of a key breaks a rule, if it does.
func (p *problems) bad(wrong bool, key string, value any, rule, hint string) {
	if wrong {
		*p = append(*p, conf.Problem{Key: key, Value: show(value), Rule: rule, Hint: hint})
	}
}

// under takes over what is wrong with the table section.
func (p *problems) under(section string, found []conf.Problem) {
	for _, f := range found {
		f.Key = section + "." + f.Key
		*p = append(*p, f)
	}
}

// taken says which table has a value that only one may have.
type taken map[string]string

// twice notes a value that an earlier table has; "" is nobody's.
func (p *problems) twice(seen taken, section, key, value, hint string) {
	first, is := seen[value]
	switch {
	case value == "":
	case !is:
		seen[value] = section
	case hint == "":
		p.bad(true, section+"."+key, value, "unique", first+" has this "+key+" already")
	default:
		p.bad(true, section+"."+key, value, "another than that of "+first, hint)
	}
}

// topics notes those of a table that an earlier one has; each key comes with
// one topic or several.
func (p *problems) topics(seen taken, section string, all map[string][]string) {
	for _, key := range sortedKeys(all) {
		for _, t := range all[key] {
			p.twice(seen, section, key, t, "")
		}
	}
}

func show(v any) string {
	switch v := v.(type) {
	case string:
		return strconv.Quote(v)
	case conf.Duration:
		return strconv.Quote(v.String())
	case address:
		return fmt.Sprintf("%#02x", int(v))
	}
	return fmt.Sprint(v)
}

// address is how an I2C address is shown: as in datasheets.
type address int

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
