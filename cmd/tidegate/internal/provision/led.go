package provision

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Codes are what the Pi's green LED (ACT) blinks: so many short blinks, a pause,
// and again. The first of those that apply, in the order of the table, is shown.
// While all is well the LED shows what it always does: reading of the card.
var Codes = []struct {
	Blinks int
	Means  string
}{
	{codeData, "the data partition cannot be used, or is full: replace the card"},
	{codeBoot, "the report could not be written to the boot partition"},
	{codeConfig, "tidegate.toml, or a file that it names, has an error"},
	{codeWifi, "wifi.txt has an error, or the Wi-Fi cannot be joined"},
	{codeOther, "another file has an error, such as authorized_keys or devices.txt, or another device has the gateway's name"},
}

const (
	codeConfig = 2
	codeWifi   = 3
	codeOther  = 4
	codeData   = 5
	codeBoot   = 6
)

func worst(found []Finding) int {
	for _, c := range Codes {
		if slices.ContainsFunc(found, func(f Finding) bool { return f.Code == c.Blinks }) {
			return c.Blinks
		}
	}
	return 0
}

// usual is what the LED of a Pi shows by itself.
const usual = "mmc0"

// blink has the kernel blink a code until the next start, so that no process
// need stay for it: with the trigger "pattern", which counts, else with "timer",
// which only says that something is wrong. 0 gives the LED back. A machine
// without such a LED is no error.
func blink(sys string, code int) error {
	dir := ""
	for _, name := range []string{"ACT", "led0", "act", "green:act"} {
		if d := filepath.Join(sys, "class/leds", name); exists(filepath.Join(d, "trigger")) {
			dir = d
			break
		}
	}
	if dir == "" {
		return nil
	}
	set := func(name, value string) error { return os.WriteFile(filepath.Join(dir, name), []byte(value), 0o644) }
	triggers, err := os.ReadFile(filepath.Join(dir, "trigger"))
	if err != nil {
		return err
	}
	known := strings.Fields(string(triggers))
	if code == 0 {
		if slices.Contains(known, "[pattern]") || slices.Contains(known, "[timer]") {
			return set("trigger", usual)
		}
		return nil
	}
	if !slices.Contains(known, "pattern") && !slices.Contains(known, "[pattern]") {
		if err := set("trigger", "timer"); err != nil {
			return err
		}
		return firstError(set("delay_on", "100"), set("delay_off", "100"))
	}
	return firstError(set("trigger", "pattern"), set("pattern", pattern(code)), set("repeat", "-1"))
}

// pattern is the code for ledtrig-pattern: pairs of brightness and milliseconds.
// A pair of the same brightness twice would fade; a step is a pair of no time.
func pattern(code int) string {
	var b strings.Builder
	for i := range code {
		pause := 250
		if i == code-1 {
			pause = 1500
		}
		fmt.Fprintf(&b, "255 250 255 0 0 %d 0 0 ", pause)
	}
	return strings.TrimSpace(b.String())
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
