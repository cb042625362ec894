package hw

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"tidegate/hw/internal/bus"
	"tidegate/hw/internal/chip"
	"tidegate/internal/conf"
	"tidegate/internal/topic"
)

// check judges a sensor whose defaults are filled in. Without a known kind
// nothing else can be judged.
func (c SensorConfig) check(find finder) []conf.Problem {
	var all problems
	k, known := c.kind(find)
	if !known {
		all.bad(true, "kind", c.Kind, "a kind of sensor", cmp.Or(otherSection(c.Kind, "sensor"), kindHint(c.Kind)))
		return all
	}
	all.bad(!validName(c.Name), "name", c.Name, "1 to 32 letters, digits, - or _", "it names the sensor in the log and in its default topic")
	c.checkPlace(&all, k)
	c.checkSetup(&all, k)
	c.timed(k).checkTimes(&all, k)
	c.checkMessage(&all, k)
	c.checkQuantities(&all, k)
	if c.Kind == simulatedKind {
		c.checkWave(&all)
	} else {
		c.refuseWave(&all)
	}
	return all
}

// otherSection says where a kind belongs that is not one of section.
func otherSection(kind, section string) string {
	at := ""
	switch _, isSensor := chip.Find(kind); {
	case isSensor || kind == simulatedKind:
		at = "sensor"
	case slices.Contains(actuatorKinds, kind):
		at = "actuator"
	case slices.Contains(sortedKeys(inputKinds), kind):
		at = "input"
	}
	if at == "" || at == section {
		return ""
	}
	return "that is for [[hw." + at + "]]"
}

// kindHint names the kinds that begin most like name.
func kindHint(name string) string {
	var near []string
	most := 3 // letters; fewer say nothing
	for _, k := range append(chip.Kinds(), chip.Kind{Name: simulatedKind}) {
		n := alike(strings.ToLower(name), k.Name)
		if n > most {
			near, most = nil, n
		}
		if n == most {
			near = append(near, k.Name)
		}
	}
	if len(near) == 0 {
		return `"simulated", or one of those that hw/SENSORS.md lists`
	}
	return "perhaps " + strings.Join(near, " or ")
}

// alike counts the letters that a and b begin with both.
func alike(a, b string) (n int) {
	for n < min(len(a), len(b)) && a[n] == b[n] {
		n++
	}
	return n
}

// refuse notes a key that c has and its kind does not take.
func (c SensorConfig) refuse(all *problems, takes bool, key string, value any, zero bool) {
	all.bad(!takes && !zero, key, value, "left out", c.Kind+" has no such thing")
}

var deviceID = regexp.MustCompile(`^[0-9a-f]{2}-[0-9a-f]{12}$`)

// checkPlace judges where the chip is said to be.
func (c SensorConfig) checkPlace(all *problems, k chip.Kind) {
	named := k.Bus == chip.I2C || k.Bus == chip.SPI || k.Bus == chip.OneWire
	c.refuse(all, named, "bus", c.Bus, c.Bus == "")
	if named {
		_, err := bus.Name(k.Bus, c.Bus)
		all.bad(err != nil, "bus", c.Bus, bus.Rule(k.Bus), "")
	}
	c.refuse(all, k.Bus == chip.I2C, "address", address(c.Address), c.Address == 0)
	if k.Bus == chip.I2C {
		all.bad(c.Address < 0 || c.Address > 0x7f || c.Address != 0 && !slices.Contains(k.Addresses, uint16(c.Address)),
			"address", address(c.Address), addressRule(k.Addresses), "the wiring of the chip's address pins decides")
	}
	wired := k.Bus == chip.OneWire || slices.Contains(k.Keys, "device") // itself, or behind a bridge
	c.refuse(all, wired, "device", c.Device, c.Device == "")
	if wired && c.Device != "" {
		all.bad(!deviceID.MatchString(c.Device), "device", c.Device, `such as "28-0316a2791bff"`, "the folders in /sys/bus/w1/devices have these names")
	}
	lines := k.Bus == chip.Lines
	for key, line := range map[string]string{"clock": c.Clock, "data": c.Data} {
		c.refuse(all, lines, key, line, line == "")
		all.bad(lines && line == "", key, line, `a GPIO line such as "GPIO5"`, "")
	}
	all.bad(lines && c.Clock == c.Data && c.Data != "", "data", c.Data, "another line than clock", "")
}

func addressRule(all []uint16) string {
	if len(all) == 1 {
		return fmt.Sprintf("%#02x", all[0])
	}
	words := make([]string, len(all))
	for i, a := range all {
		words[i] = fmt.Sprintf("%#02x", a)
	}
	return "one of " + strings.Join(words, ", ")
}

var channelName = regexp.MustCompile(`^[0-9](-[0-9])?$`)

// checkSetup judges what the kind is told besides its place.
func (c SensorConfig) checkSetup(all *problems, k chip.Kind) {
	before := len(*all)
	takes := func(key string) bool { return slices.Contains(k.Keys, key) }
	c.refuse(all, takes("channel"), "channel", c.Channel, c.Channel == "")
	all.bad(takes("channel") && c.Channel != "" && !channelName.MatchString(c.Channel), "channel", c.Channel, `one input such as "0", or two such as "0-1"`, "")
	for _, n := range []struct {
		key       string
		value     float64
		low, high float64
	}{
		{"gain", c.Gain, 0, 1000},
		{"shunt", c.Shunt, 0, 100},
		{"reference", c.Reference, 0, 100},
		{"altitude", c.Altitude, -500, 9000},
	} {
		c.refuse(all, takes(n.key), n.key, n.value, n.value == 0)
		all.bad(takes(n.key) && !(n.value >= n.low && n.value <= n.high), n.key, n.value, fmt.Sprintf("from %v to %v", n.low, n.high), "")
	}
	if len(*all) > before || k.Check == nil {
		return
	}
	if e := k.Check(c.setup()); e != nil {
		value := map[string]any{"channel": c.Channel, "gain": c.Gain, "shunt": c.Shunt, "reference": c.Reference, "altitude": c.Altitude}[e.Key]
		all.bad(true, e.Key, value, e.Rule, "as the datasheet of "+k.Title+" says")
	}
}

// checkTimes judges a sensor whose times are filled in.
func (c SensorConfig) checkTimes(all *problems, k chip.Kind) {
	least, hint := max(leastEvery, k.Every), ""
	every := c.Every.Std()
	if k.Every > leastEvery && every < least {
		hint = "a " + k.Title + " cannot be read more often"
	}
	all.bad(every < least || every > mostEvery, "every", c.Every, fmt.Sprintf("from %v to %v", conf.Duration(least), conf.Duration(mostEvery)), hint)
	all.bad(!c.Average.known(), "average", string(c.Average), `"none", "mean" or "median"`, "")
	if every >= least {
		c.checkSample(all, k, least)
	}
	all.bad(every <= mostEvery && (c.AtLeast < c.Every || c.AtLeast.Std() > mostEvery), "at-least", c.AtLeast, fmt.Sprintf("from every = %v to %v", every, conf.Duration(mostEvery)), "")
}

// checkSample judges the time between two samples: a whole part of every, and
// for a steady kind the one time that it allows.
func (c SensorConfig) checkSample(all *problems, k chip.Kind, least time.Duration) {
	s, every := max(c.Sample.Std(), 1), c.Every.Std()
	switch {
	case k.Steady:
		all.bad(s != k.Every, "sample", c.Sample, fmt.Sprintf("%v, or left out", k.Every), k.Title+" must be read so often")
		all.bad(every%k.Every != 0 || every/k.Every > mostSamples, "every", c.Every,
			fmt.Sprintf("a multiple of %v, up to %v", k.Every, mostSamples*k.Every), k.Title+" is read so often, whatever is published")
	case c.Average == NoAverage:
		c.refuse(all, false, "sample", c.Sample, c.Sample == 0)
	default:
		all.bad(s < least || s > every || every%s != 0 || every/s > mostSamples, "sample", c.Sample,
			fmt.Sprintf("a part of every = %v, at least %v and at most %d of them", every, least, mostSamples), "")
	}
}

// checkMessage judges where and how readings are published.
func (c SensorConfig) checkMessage(all *problems, k chip.Kind) {
	all.bad(c.Payload != "json" && c.Payload != "plain", "payload", c.Payload, `"json" or "plain"`, "")
	if validName(c.Name) {
		c.checkTopic(all, "topic", c.Topic)
		c.checkTopic(all, "availability", c.Availability)
		each := strings.Contains(c.Topic, "{quantity}")
		all.bad(c.Payload == "json" && each, "topic", c.Topic, "without {quantity}", `with payload = "plain" each quantity has its own topic`)
		all.bad(c.Payload == "plain" && !each && len(k.Quantities) > 1, "topic", c.Topic, "with {quantity}", c.Kind+" measures more than one")
		all.bad(strings.Contains(c.Availability, "{quantity}"), "availability", c.Availability, "without {quantity}", "")
		all.bad(c.Availability == c.Topic, "availability", c.Availability, "another than topic", "")
	}
	all.bad(c.qos() < 0 || c.qos() > 1, "qos", c.qos(), "0 or 1", "")
	all.bad(c.Expiry < 0 || c.Expiry.Std() > 365*24*time.Hour || c.Expiry.Std()%time.Second != 0, "expiry", c.Expiry, "whole seconds, at most 365d; 0s for never", "")
	all.bad(c.Decimals != nil && (*c.Decimals < 0 || *c.Decimals > mostDecimals), "decimals", deref(c.Decimals), fmt.Sprintf("from 0 to %d", mostDecimals), "")
}

func (c SensorConfig) checkTopic(all *problems, key, value string) {
	t, err := template(value, c.Name, c.Kind, "x")
	if err != nil {
		all.bad(true, key, value, "a template with {name}, {kind} or {quantity}", err.Error())
		return
	}
	all.bad(!topic.ValidName(t), key, value, "a topic name without + and #", "")
	all.bad(strings.HasPrefix(t, "$"), key, value, "outside the topics that begin with $", "those are the broker's own")
}

// checkQuantities judges the [[hw.sensor.quantity]] tables.
func (c SensorConfig) checkQuantities(all *problems, k chip.Kind) {
	names := taken{}
	var has []string
	for _, q := range k.Quantities {
		has = append(has, q.Name)
	}
	for i, q := range c.Quantity {
		section := fmt.Sprintf("quantity[%d]", i)
		all.twice(names, section, "name", q.Name, "")
		at := slices.Index(has, q.Name)
		if at < 0 {
			all.bad(true, section+".name", q.Name, "one of "+strings.Join(has, ", "), c.Kind+" measures no other")
			continue
		}
		from := k.Quantities[at].Unit
		_, _, ok := conversion(from, q.Unit)
		all.bad(!ok, section+".unit", q.Unit, unitRule(from), "")
		all.bad(!(q.Scale > -1e6 && q.Scale < 1e6), section+".scale", q.Scale, "a number between -1e6 and 1e6", "")
		all.bad(!(q.Offset > -1e9 && q.Offset < 1e9), section+".offset", q.Offset, "a number between -1e9 and 1e9", "")
		all.bad(!(q.Change >= 0 && q.Change < 1e9), section+".change", q.Change, "0 or more", "")
		all.bad(q.Decimals != nil && (*q.Decimals < 0 || *q.Decimals > mostDecimals), section+".decimals", deref(q.Decimals), fmt.Sprintf("from 0 to %d", mostDecimals), "")
	}
}

// checkWave judges what only simulated has.
func (c SensorConfig) checkWave(all *problems) {
	all.bad(!slices.Contains(simulatedUnits, c.Unit), "unit", c.Unit, `"°C", "%" or "hPa"`, "")
	all.bad(!c.Wave.known(), "wave", string(c.Wave), `"sine", "square", "triangle" or "constant"`, "")
	for key, v := range map[string]float64{"low": c.Low, "high": c.High} {
		all.bad(!(v > -1e9 && v < 1e9), key, v, "a number between -1e9 and 1e9", "")
	}
	all.bad(c.Wave != Constant && c.High <= c.Low, "high", c.High, fmt.Sprintf("greater than low = %v", c.Low), "")
	all.bad(c.Period.Std() < time.Millisecond, "period", c.Period, "at least 1ms", "")
}

func (c SensorConfig) refuseWave(all *problems) {
	all.bad(c.Unit != "", "unit", c.Unit, "left out", "a [[hw.sensor.quantity]] has the unit of one quantity")
	c.refuse(all, false, "wave", string(c.Wave), c.Wave == "")
	c.refuse(all, false, "low", c.Low, c.Low == 0)
	c.refuse(all, false, "high", c.High, c.High == 0)
	c.refuse(all, false, "period", c.Period, c.Period == 0)
}

func deref(n *int) int {
	if n == nil {
		return 0
	}
	return *n
}
