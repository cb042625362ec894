package hw

import (
	"cmp"
	"math"
	"slices"
	"time"

	"tidegate/hw/internal/line"
	"tidegate/internal/conf"
)

// ActuatorConfig is one [[hw.actuator]]: a relay, a valve, a dimmer, or what is
// simulated: a relay without hardware. A key that is left out has its zero value
// here, which stands for the default named beside it.
type ActuatorConfig struct {
	Kind string `toml:"kind"` // "relay", "valve", "dimmer", or "simulated"
	Name string `toml:"name"` // unique; letters, digits, "-" and "_"

	Line      string  `toml:"line"`       // of a relay or valve: "GPIO17", "P1_11" or "gpiochip0:17"
	PWM       string  `toml:"pwm"`        // of a dimmer: "pwmchip0:0"
	Frequency float64 `toml:"frequency"`  // of a dimmer, in Hz; 0: 1000
	ActiveLow bool    `toml:"active-low"` // the low voltage is ON

	Initial       string        `toml:"initial"`         // "off" or "on", from the start; "": off
	FailSafe      string        `toml:"fail-safe"`       // "off" or "on"; "": off
	FailSafeAfter conf.Duration `toml:"fail-safe-after"` // without a command; 0: never
	MinOn         conf.Duration `toml:"min-on"`          // least time between two switches; 0: any
	MinOff        conf.Duration `toml:"min-off"`
	OnStop        string        `toml:"on-stop"`       // "fail-safe" or "keep"; "": fail-safe
	ObeyRetained  bool          `toml:"obey-retained"` // do what a retained command says
	Topic         string        `toml:"topic"`         // template, of the topics TOPIC/set, /state, /error and /availability; "": actuators/{name}, simulated: simulated/{name}
	Payload       string        `toml:"payload"`       // of the state, "json" or "plain"; "": json
}

var actuatorKinds = []string{"relay", "valve", "dimmer", simulatedKind}

// withDefaults fills what was left out.
func (c ActuatorConfig) withDefaults() ActuatorConfig {
	c.Initial = cmp.Or(c.Initial, "off")
	c.FailSafe = cmp.Or(c.FailSafe, "off")
	c.OnStop = cmp.Or(c.OnStop, "fail-safe")
	if c.Kind == simulatedKind {
		c.Topic = cmp.Or(c.Topic, "simulated/{name}")
	}
	c.Topic = cmp.Or(c.Topic, "actuators/{name}")
	c.Payload = cmp.Or(c.Payload, "json")
	if c.Kind == "dimmer" {
		c.Frequency = cmp.Or(c.Frequency, 1000)
	}
	return c
}

// topicOf is "set", "state", "error" or "availability" under the topic.
func (c ActuatorConfig) topicOf(what string) string {
	t, _ := template(c.Topic, c.Name, c.Kind, "")
	return t + "/" + what
}

// stateOf is the state that "off" and "on" stand for.
func (c ActuatorConfig) stateOf(word string) line.State {
	s := line.State{On: word == "on"}
	if s.On && c.Kind == "dimmer" {
		s.Brightness = math.MaxUint8
	}
	return s
}

func (c ActuatorConfig) rules() line.Rules {
	return line.Rules{
		FailSafe: c.stateOf(c.FailSafe), FailSafeAfter: c.FailSafeAfter.Std(),
		MinOn: c.MinOn.Std(), MinOff: c.MinOff.Std(),
	}
}

// check judges an actuator as it was written.
func (c ActuatorConfig) check() problems {
	var all problems
	all.bad(!slices.Contains(actuatorKinds, c.Kind), "kind", c.Kind, oneOf(actuatorKinds), otherSection(c.Kind, "actuator"))
	all.bad(!validName(c.Name), "name", c.Name, nameRule, "it names the actuator in the log and in its default topic")
	switch c.Kind {
	case simulatedKind:
		all.bad(c.Line != "", "line", c.Line, "left out", "what is simulated has no line")
	case "dimmer":
		err := line.CheckPWMName(c.PWM)
		all.bad(err != nil, "pwm", c.PWM, "a chip and a channel, as in pwmchip0:0", "")
		all.bad(c.Line != "", "line", c.Line, "left out", "a dimmer has a PWM channel: pwm")
		all.bad(c.Frequency != 0 && !(c.Frequency >= 1 && c.Frequency <= 100_000), "frequency", c.Frequency, "from 1 to 100000", "")
	default:
		all.line("line", c.Line)
	}
	if c.Kind != "dimmer" {
		all.bad(c.PWM != "", "pwm", c.PWM, "left out", "only a dimmer has it")
		all.bad(c.Frequency != 0, "frequency", c.Frequency, "left out", "only a dimmer has it")
	}
	c = c.withDefaults()
	word := func(key, value, a, b string) {
		all.bad(value != a && value != b, key, value, oneOf([]string{a, b}), "")
	}
	word("initial", c.Initial, "off", "on")
	word("fail-safe", c.FailSafe, "off", "on")
	word("on-stop", c.OnStop, "fail-safe", "keep")
	word("payload", c.Payload, "json", "plain")
	all.bad(c.FailSafeAfter != 0 && (c.FailSafeAfter.Std() < time.Second || c.FailSafeAfter.Std() > 30*24*time.Hour), "fail-safe-after", c.FailSafeAfter, "0s or from 1s to 30d", "")
	all.within("min-on", c.MinOn, 0, 24*time.Hour)
	all.within("min-off", c.MinOff, 0, 24*time.Hour)
	all.template("topic", c.Topic, c.Name, c.Kind, false)
	return all
}
