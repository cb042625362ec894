package hw

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"tidegate/hw/internal/line"
	"tidegate/internal/conf"
	"tidegate/internal/topic"
)

const nameRule = "1 to 32 letters, digits, - or _"

// checkLines judges inputs and actuators, also against what the sensors have.
func (c Config) checkLines(names, topics taken) problems {
	var all problems
	all.bad(len(c.Input) > mostSensors, "input", len(c.Input), fmt.Sprintf("at most %d", mostSensors), "")
	all.bad(len(c.Actuator) > mostSensors, "actuator", len(c.Actuator), fmt.Sprintf("at most %d", mostSensors), "")
	lines := taken{}
	const wired = "two things cannot be on one line"
	for i, s := range c.Sensor {
		section := fmt.Sprintf("sensor[%d]", i)
		all.twice(lines, section, "clock", line.Canonical(s.Clock), wired)
		if s.Data != s.Clock { // which is told already
			all.twice(lines, section, "data", line.Canonical(s.Data), wired)
		}
	}
	for i, in := range c.Input {
		section := fmt.Sprintf("input[%d]", i)
		found := in.check()
		all.under(section, found)
		all.twice(names, section, "name", in.Name, "")
		if len(found) == 0 {
			all.topics(topics, section, in.withDefaults().topics())
			all.twice(lines, section, "line", line.Canonical(in.Line), wired)
		}
	}
	for i, a := range c.Actuator {
		section := fmt.Sprintf("actuator[%d]", i)
		found := a.check()
		all.under(section, found)
		all.twice(names, section, "name", a.Name, "")
		if len(found) == 0 {
			a = a.withDefaults()
			all.topics(topics, section, map[string][]string{"topic": {a.topicOf("set"), a.topicOf("state"), a.topicOf("error"), a.topicOf("availability")}})
			if a.Kind == "dimmer" {
				all.twice(lines, section, "pwm", a.PWM, "two dimmers cannot be on one channel")
			} else {
				all.twice(lines, section, "line", line.Canonical(a.Line), wired)
			}
		}
	}
	return all
}

func (p *problems) line(key, value string) {
	err := line.CheckName(value)
	hint := ""
	if err != nil && value != "" {
		hint = err.Error()
	}
	p.bad(err != nil, key, value, "a GPIO line, as in GPIO17, P1_11 or gpiochip0:17", hint)
}

func (p *problems) within(key string, d conf.Duration, least, most time.Duration) {
	p.bad(d.Std() < least || d.Std() > most, key, d, fmt.Sprintf("from %v to %v", conf.Duration(least), conf.Duration(most)), "")
}

// template judges a topic; many says that {quantity} must be in it.
func (p *problems) template(key, text, name, kind string, many bool) {
	quantity := ""
	if many {
		quantity = "total"
	}
	t, err := template(text, name, kind, quantity)
	p.bad(err != nil, key, text, "a topic with {name}, {kind} and {quantity} at most in braces", "")
	p.bad(many && !strings.Contains(text, "{quantity}"), key, text, "a topic with {quantity}", "with plain payload each quantity has its own")
	p.bad(err == nil && validName(name) && !topic.ValidName(t), key, text, "a topic name without + and #", "")
	p.bad(strings.HasPrefix(text, "$"), key, text, "outside the topics that begin with $", "those are the broker's own")
}

// oneOf lists what is allowed.
func oneOf(words []string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = strconv.Quote(w)
	}
	last := len(quoted) - 1
	if last < 1 {
		return strings.Join(quoted, "")
	}
	return strings.Join(quoted[:last], ", ") + " or " + quoted[last]
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
