package hw

import (
	"cmp"
	"slices"
	"time"

	"tidegate/hw/internal/line"
	"tidegate/internal/conf"
)

// InputConfig is one [[hw.input]]: a contact, a motion detector, a button or a
// meter that gives pulses, on a GPIO line. A key that is left out has its zero
// value here, which stands for the default named beside it.
type InputConfig struct {
	Kind string `toml:"kind"` // of inputKinds
	Name string `toml:"name"` // unique; letters, digits, "-" and "_"

	Line      string         `toml:"line"`       // "GPIO17", "P1_11" or "gpiochip0:17"
	ActiveLow *bool          `toml:"active-low"` // the low voltage is ON; nil: for button true, else false
	Pull      string         `toml:"pull"`       // "up", "down" or "none"; "": what the kind has
	Debounce  *conf.Duration `toml:"debounce"`   // nil: for contact and button 20 ms, else none

	// The message.
	Topic        string        `toml:"topic"`        // template; "": sensors/{name}, a meter's with plain payload: sensors/{name}/{quantity}
	Availability string        `toml:"availability"` // template; "": sensors/{name}/availability
	Payload      string        `toml:"payload"`      // "json" or "plain"; "": json
	AtLeast      conf.Duration `toml:"at-least"`     // longest silence; 0: 10 min, or every if that is more

	// Of "button" only.
	Long   *conf.Duration `toml:"long"`   // how long a press is long; 0: none is; nil: 1 s
	Double *conf.Duration `toml:"double"` // how soon the second press comes; 0: none does; nil: 400 ms

	// Of meters only.
	Edge       string        `toml:"edge"`        // of the voltage, "falling" or "rising"; "": falling
	PerPulse   float64       `toml:"per-pulse"`   // what a pulse stands for, in Unit; 0: 1
	Unit       string        `toml:"unit"`        // of meterUnits; "": the first of the kind's
	Start      float64       `toml:"start"`       // sets the meter's reading when it changes; 0: as it is
	Every      conf.Duration `toml:"every"`       // time between two messages; 0: 1 min
	SaveEvery  conf.Duration `toml:"save-every"`  // time between two saves; 0: 1 h
	SavePulses uint64        `toml:"save-pulses"` // pulses after which it is saved sooner, once a minute at most; 0: never
}

// inputKind is one sort of input.
type inputKind struct {
	activeLow bool
	pull      line.Pull
	debounce  time.Duration
	units     []string // of a meter, the default first; nil: not a meter
}

// inputKinds are the kinds of [[hw.input]] and how they are usually wired: a
// contact or a button to ground, a motion detector that gives 3.3 V, the
// contact of a meter to ground.
var inputKinds = map[string]inputKind{
	"contact":     {pull: line.PullUp, debounce: 20 * time.Millisecond},
	"motion":      {pull: line.PullDown},
	"button":      {activeLow: true, pull: line.PullUp, debounce: 20 * time.Millisecond},
	"input":       {},
	"water":       {pull: line.PullUp, units: []string{"m³", "L", "ft³", "gal", "CCF"}},
	"gas":         {pull: line.PullUp, units: []string{"m³", "L", "ft³", "CCF"}},
	"electricity": {pull: line.PullUp, units: []string{"kWh", "Wh", "MWh"}},
	"counter":     {pull: line.PullUp, units: []string{"", "m³", "L", "ft³", "gal", "CCF", "kWh", "Wh", "MWh"}},
}

func (k inputKind) meter() bool { return k.units != nil }

// withDefaults fills what was left out; the kind is known.
func (c InputConfig) withDefaults() InputConfig {
	k := inputKinds[c.Kind]
	c.ActiveLow = orNew(c.ActiveLow, k.activeLow)
	c.Pull = cmp.Or(c.Pull, string(k.pull))
	c.Debounce = orNew(c.Debounce, conf.Duration(k.debounce))
	c.Payload = cmp.Or(c.Payload, "json")
	c.Availability = cmp.Or(c.Availability, "sensors/{name}/availability")
	topic := "sensors/{name}"
	if c.Payload == "plain" && k.meter() {
		topic += "/{quantity}"
	}
	c.Topic = cmp.Or(c.Topic, topic)
	c.Long = orNew(c.Long, conf.Duration(time.Second))
	c.Double = orNew(c.Double, conf.Duration(400*time.Millisecond))
	if k.meter() {
		c.Edge = cmp.Or(c.Edge, "falling")
		c.PerPulse = cmp.Or(c.PerPulse, 1)
		c.Unit = cmp.Or(c.Unit, k.units[0])
		c.Every = cmp.Or(c.Every, conf.Duration(time.Minute))
		c.SaveEvery = cmp.Or(c.SaveEvery, conf.Duration(time.Hour))
	}
	c.AtLeast = cmp.Or(c.AtLeast, max(conf.Duration(defaultSilent), c.Every))
	return c
}

func orNew[T any](p *T, v T) *T {
	if p == nil {
		return &v
	}
	return p
}

// setup is how the line is opened.
func (c InputConfig) setup() line.Setup {
	return line.Setup{ActiveLow: *c.ActiveLow, Pull: line.Pull(c.Pull), Debounce: c.Debounce.Std()}
}

func (c InputConfig) topicOf(quantity string) string {
	t, _ := template(c.Topic, c.Name, c.Kind, quantity)
	return t
}

func (c InputConfig) availability() string {
	t, _ := template(c.Availability, c.Name, c.Kind, "")
	return t
}

// topics are all that it publishes on, by the key that says so.
func (c InputConfig) topics() map[string][]string {
	all := map[string][]string{"topic": {c.topicOf("total")}, "availability": {c.availability()}}
	if rate := c.topicOf("rate"); rate != all["topic"][0] {
		all["topic"] = append(all["topic"], rate)
	}
	return all
}

// check judges an input as it was written.
func (c InputConfig) check() problems {
	var all problems
	k, known := inputKinds[c.Kind]
	all.bad(!known, "kind", c.Kind, oneOf(sortedKeys(inputKinds)), otherSection(c.Kind, "input"))
	all.bad(!validName(c.Name), "name", c.Name, nameRule, "it names the input in the log and in its default topic")
	all.line("line", c.Line)
	if !known {
		return all
	}
	c.checkForeign(&all, k)
	d := c.withDefaults()
	all.bad(!slices.Contains([]string{"", "up", "down", "none"}, d.Pull), "pull", d.Pull, `"up", "down" or "none"`, "")
	all.bad(*d.Debounce != 0 && (d.Debounce.Std() < time.Millisecond || d.Debounce.Std() > time.Second), "debounce", *d.Debounce, "0s or from 1ms to 1s", "")
	all.bad(d.Payload != "json" && d.Payload != "plain", "payload", d.Payload, `"json" or "plain"`, "")
	all.template("topic", d.Topic, d.Name, d.Kind, k.meter() && d.Payload == "plain")
	all.template("availability", d.Availability, d.Name, d.Kind, false)
	all.within("at-least", d.AtLeast, time.Second, 7*24*time.Hour)
	if c.Kind == "button" {
		all.bad(*d.Long != 0 && (d.Long.Std() < 100*time.Millisecond || d.Long.Std() > time.Minute), "long", *d.Long, "0s or from 100ms to 1m", "")
		all.bad(*d.Double != 0 && (d.Double.Std() < 50*time.Millisecond || d.Double.Std() > 5*time.Second), "double", *d.Double, "0s or from 50ms to 5s", "")
	}
	if k.meter() {
		d.checkMeter(&all, k)
	}
	return all
}

// checkMeter judges what only meters have.
func (c InputConfig) checkMeter(all *problems, k inputKind) {
	all.bad(c.Edge != "falling" && c.Edge != "rising", "edge", c.Edge, `"falling" or "rising"`, "")
	all.bad(!(c.PerPulse >= 1e-6 && c.PerPulse <= 1e6), "per-pulse", c.PerPulse, "from 0.000001 to 1000000", "the total has six digits after its point at most")
	all.bad(!slices.Contains(k.units, c.Unit), "unit", c.Unit, oneOf(k.units), "")
	all.bad(!(c.Start >= 0) || c.Start > 1e12, "start", c.Start, "from 0 to 1e12", "")
	all.within("every", c.Every, time.Second, mostEvery)
	all.within("save-every", c.SaveEvery, time.Minute, 24*time.Hour)
}

// checkForeign finds keys that the kind does not have.
func (c InputConfig) checkForeign(all *problems, k inputKind) {
	foreign := func(wrong bool, key string, value any, whose string) {
		all.bad(wrong, key, value, "left out", "only "+whose+" has it")
	}
	foreign(c.Kind != "button" && c.Long != nil, "long", *orNew(c.Long, 0), "a button")
	foreign(c.Kind != "button" && c.Double != nil, "double", *orNew(c.Double, 0), "a button")
	if k.meter() {
		foreign(c.ActiveLow != nil, "active-low", *orNew(c.ActiveLow, false), "an input with a state")
		return
	}
	foreign(c.Edge != "", "edge", c.Edge, "a meter")
	foreign(c.PerPulse != 0, "per-pulse", c.PerPulse, "a meter")
	foreign(c.Unit != "", "unit", c.Unit, "a meter")
	foreign(c.Start != 0, "start", c.Start, "a meter")
	foreign(c.Every != 0, "every", c.Every, "a meter")
	foreign(c.SaveEvery != 0, "save-every", c.SaveEvery, "a meter")
	foreign(c.SavePulses != 0, "save-pulses", c.SavePulses, "a meter")
}
