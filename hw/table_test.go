package hw

import (
	"flag"
	"fmt"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"tidegate/hw/internal/chip"
	"tidegate/internal/conf"
)

var update = flag.Bool("update", false, "write SENSORS.md")

const tableHead = `# Sensors

Every kind of [[hw.sensor]], sorted by name. This page is written from the table in [internal/chip](internal/chip)
by ` + "`go test ./hw -run TestSensorTable -update`" + `, which also holds it.

The range is that of the datasheet: a value outside counts as a fault of the chip or the wires. The least interval is
the smallest ` + "`every`" + ` (and ` + "`sample`" + `). The bus is found with its usual name when none is configured: i2c-1,
spi0.0, the kernel's 1-Wire; the first address is the usual one. Where gain, shunt or reference change the resolution it
is that of their usual value.

| kind | chip | bus, addresses | quantity: range, resolution | least interval | keys | wires | datasheet |
|---|---|---|---|---|---|---|---|
`

// SENSORS.md is what the table of kinds says.
func TestSensorTable(t *testing.T) {
	var b strings.Builder
	b.WriteString(tableHead)
	for _, k := range chip.Kinds() {
		b.WriteString(tableRow(k))
	}
	b.WriteString("\n## What else to know\n\n")
	for _, k := range chip.Kinds() {
		if k.Note != "" {
			fmt.Fprintf(&b, "- `%s`: %s\n", k.Name, k.Note)
		}
	}
	got, err := os.ReadFile("SENSORS.md")
	if *update {
		err = os.WriteFile("SENSORS.md", []byte(b.String()), 0o644)
		got = []byte(b.String())
	}
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != b.String() {
		t.Error("SENSORS.md is not what the kinds say: go test ./hw -run TestSensorTable -update")
	}
}

func tableRow(k chip.Kind) string {
	where := string(k.Bus)
	if len(k.Addresses) > 0 {
		where += " " + addressRange(k.Addresses)
	}
	quantities := make([]string, len(k.Quantities))
	for i, q := range k.Quantities {
		quantities[i] = fmt.Sprintf("%s: %s, %s", q.Name, measureRange(q), withUnit(number(q.Resolution), q.Unit))
	}
	keys := append(map[chip.Bus][]string{
		chip.I2C: {"address"}, chip.OneWire: {"device"}, chip.Lines: {"clock", "data"},
	}[k.Bus], k.Keys...)
	cells := []string{
		"`" + k.Name + "`", k.Title, where, strings.Join(quantities, "<br>"), least(k.Every), strings.Join(keys, ", "), k.Pins, k.Datasheet,
	}
	for i, c := range cells {
		cells[i] = strings.ReplaceAll(c, "|", "/")
	}
	return "| " + strings.Join(cells, " | ") + " |\n"
}

// addressRange writes neighbours as a range, and the usual one before the rest.
func addressRange(all []uint16) string {
	usual, rest := all[0], slices.Sorted(slices.Values(all))
	if n := len(rest); n > 3 && rest[n-1]-rest[0] == uint16(n-1) {
		return fmt.Sprintf("%#02x (%#02x to %#02x)", usual, rest[0], rest[n-1])
	}
	words := make([]string, len(all))
	for i, a := range all {
		words[i] = fmt.Sprintf("%#02x", a)
	}
	return strings.Join(words, ", ")
}

func least(d time.Duration) string {
	if d < leastEvery {
		d = leastEvery
	}
	return conf.Duration(d).String()
}

func measureRange(q chip.Quantity) string {
	return withUnit(number(q.Low)+" to "+number(q.High), q.Unit)
}

func withUnit(s, unit string) string { return strings.TrimSpace(s + " " + unit) }

func number(v float64) string {
	return strings.ReplaceAll(strconv.FormatFloat(v, 'g', 6, 64), "-", "−")
}

// The rows are what the rest of the gateway relies on.
func TestKindsAreWhole(t *testing.T) {
	seen := map[string]bool{}
	for _, k := range chip.Kinds() {
		if seen[k.Name] || !validName(k.Name) || k.Name == simulatedKind {
			t.Errorf("%q: no name of its own", k.Name)
		}
		seen[k.Name] = true
		if k.Title == "" || k.Pins == "" || k.Datasheet == "" || k.Open == nil || len(k.Quantities) == 0 || k.Takes <= 0 {
			t.Errorf("%s: the row has gaps: %+v", k.Name, k)
		}
		if k.Bus == chip.I2C && len(k.Addresses) == 0 {
			t.Errorf("%s: no address", k.Name)
		}
		names := map[string]bool{}
		for _, q := range k.Quantities {
			if names[q.Name] || !validName(q.Name) {
				t.Errorf("%s: two quantities %q, or none", k.Name, q.Name)
			}
			names[q.Name] = true
			if q.Low >= q.High || q.Resolution <= 0 {
				t.Errorf("%s: %s from %v to %v in steps of %v", k.Name, q.Name, q.Low, q.High, q.Resolution)
			}
		}
		if k.Steps != nil {
			for i, got := range k.Steps(chip.Setup{}) {
				if want := k.Quantities[i].Resolution; math.Abs(got/want-1) > 0.1 {
					t.Errorf("%s: with the usual setup %s has steps of %v, in the table of %v", k.Name, k.Quantities[i].Name, got, want)
				}
			}
		}
		for _, key := range k.Keys {
			if !slices.Contains([]string{"device", "channel", "gain", "shunt", "reference", "altitude"}, key) {
				t.Errorf("%s: takes %q, which is no key of [[hw.sensor]]", k.Name, key)
			}
		}
		c := SensorConfig{Kind: k.Name, Name: "a"}
		if k.Bus == chip.Lines {
			c.Clock, c.Data = "GPIO5", "GPIO6"
		}
		if p := (Config{Sensor: []SensorConfig{c}}).Check(); len(p) > 0 {
			t.Errorf("%s with its defaults: %v", k.Name, p)
		}
	}
}

// What is published has the digits that the chip tells apart as it is set up.
func TestDigitsFollowTheSetup(t *testing.T) {
	for _, c := range []struct {
		kind  string
		setup SensorConfig
		want  []int
	}{
		{"ads1115", SensorConfig{}, []int{4}},
		{"ads1115", SensorConfig{Gain: 0.256}, []int{6}}, // 7.8 µV
		{"ads1015", SensorConfig{Gain: 6.144}, []int{3}},
		{"mcp3008", SensorConfig{Reference: 0.25}, []int{4}},
		{"ina219", SensorConfig{}, []int{3, 4, 3}},
		{"ina226", SensorConfig{Shunt: 0.002}, []int{3, 3, 2}}, // 1.25 mA
		{"bme280", SensorConfig{}, []int{2, 2, 2}},
	} {
		k, _ := chip.Find(c.kind)
		c.setup.Kind, c.setup.Name = c.kind, "a"
		var got []int
		for _, m := range measuresOf(c.setup.withDefaults(), k) {
			got = append(got, m.decimals)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s, gain %v, shunt %v: got %v digits, want %v", c.kind, c.setup.Gain, c.setup.Shunt, got, c.want)
		}
	}
}

// What a chip cannot be set up as is said by the check, not by its first
// opening and each one after it.
func TestSetupIsChecked(t *testing.T) {
	for _, c := range []struct {
		key string
		bad SensorConfig
	}{
		{"gain", SensorConfig{Kind: "hx711", Clock: "GPIO5", Data: "GPIO6", Gain: 100}},
		{"altitude", SensorConfig{Kind: "scd4x", Altitude: 4000}},
		{"shunt", SensorConfig{Kind: "ina219", Shunt: 20}},
		{"shunt", SensorConfig{Kind: "ina226", Shunt: 1e-7}},
		{"channel", SensorConfig{Kind: "mcp3008", Channel: "0-2"}},
		{"gain", SensorConfig{Kind: "ads1015", Gain: 5}},
	} {
		c.bad.Name = "a"
		if got := c.bad.withDefaults().check(chip.Find); len(got) != 1 || got[0].Key != c.key {
			t.Errorf("%s: got %v, want one problem with %s", c.bad.Kind, got, c.key)
		}
	}
}
