package kernel

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
)

const lineConfiguration = `
[[hw.input]]
kind = "contact"
name = "front-door"
line = "P1_11"
at-least = "5s"
[[hw.input]]
kind = "electricity"
name = "main-meter"
line = "GPIO22"
unit = "Wh"
every = "1s"
[[hw.actuator]]
kind = "relay"
name = "pump"
line = "GPIO23"
active-low = true
`

const chipLabel = "pinctrl-bcm2711"

// header makes the chip that has a Pi's header: simulated lines under its
// label and with its names.
func (h *home) header(t *testing.T) {
	t.Helper()
	names := []string{chipLabel}
	for i := range 28 {
		names = append(names, fmt.Sprintf("GPIO%d", i))
	}
	h.lines = do(t, h.Machine, "lines", names...)
}

// file is one of a line's files, "pull" or "value".
func (h *home) file(line int, name string) string {
	return fmt.Sprintf("%s/sim_gpio%d/%s", h.lines, line, name)
}

// level waits for the level of a line; "0" or "1".
func (h *home) level(t *testing.T, line int, want string) {
	t.Helper()
	for ctx := within(t); ; {
		got, err := h.Do(ctx, "read", h.file(line, "value"))
		if err != nil {
			t.Fatalf("GPIO%d is not %s: %v", line, want, err)
		}
		if got == want {
			return
		}
	}
}

func testContact(t *testing.T, h *home) {
	h.becomes(t, "sensors/front-door", "online")
	for _, step := range []struct{ pull, state string }{{"pull-down", "OFF"}, {"pull-up", "ON"}, {"pull-down", "OFF"}} {
		mark := h.Mark()
		do(t, h.Machine, "write", h.file(17, "pull"), step.pull)
		h.wait(t, mark, "mqtt: sensors/front-door {", `"state":"`+step.state+`"`)
	}
}

// Commands move the line, and what is no command moves nothing.
func testRelay(t *testing.T, h *home) {
	const topic = "actuators/pump"
	h.level(t, 23, "1") // off from the start: it is active low
	for _, step := range []struct{ command, level, state string }{{"ON", "0", "ON"}, {"OFF", "1", "OFF"}, {`{"state":"ON"}`, "0", "ON"}} {
		mark := h.Mark()
		do(t, h.Machine, "publish", broker, topic+"/set", step.command)
		h.level(t, 23, step.level)
		h.wait(t, mark, "mqtt: "+topic+"/state {", `"state":"`+step.state+`"`)
	}
	mark := h.Mark()
	do(t, h.Machine, "publish", broker, topic+"/set", "perhaps")
	h.wait(t, mark, "mqtt: "+topic+"/error ")
	h.level(t, 23, "0")
}

// Each pulse counts, once, on a machine that is as slow as it likes.
func testMeter(t *testing.T, h *home) {
	const rounds, pulses, hz = 4, 500, 200
	h.becomes(t, "sensors/main-meter", "online")
	for range rounds {
		t.Log(do(t, h.Machine, "pulse", h.file(22, "pull"), fmt.Sprint(pulses), fmt.Sprint(hz)))
	}
	h.counted(t, rounds*pulses)
}

// counted waits for a total of the meter, and for a second message that has no
// more.
func (h *home) counted(t *testing.T, total int) {
	t.Helper()
	for range 2 {
		for mark := h.Mark(); ; mark = h.Mark() {
			line := h.wait(t, mark, "mqtt: sensors/main-meter {")
			_, n, _ := strings.Cut(line, `"total":`)
			n, _, _ = strings.Cut(n, ",")
			got, err := strconv.Atoi(n)
			if err != nil || got > total {
				t.Fatalf("got %s, want a total of %d", line, total)
			}
			if got == total {
				break
			}
		}
	}
}

// The chip of the lines is gone, and back. An output shows it at a command.
func testLinesPulled(t *testing.T, h *home) {
	all := []string{"sensors/front-door", "sensors/main-meter", "actuators/pump"}
	do(t, h.Machine, "live", chipLabel, "off")
	do(t, h.Machine, "publish", broker, "actuators/pump/set", "OFF")
	for _, name := range all {
		h.becomes(t, name, "offline")
	}
	h.lines = do(t, h.Machine, "live", chipLabel, "on")
	for _, name := range all {
		h.becomes(t, name, "online")
	}
	do(t, h.Machine, "publish", broker, "actuators/pump/set", "ON")
	h.level(t, 23, "0")
	do(t, h.Machine, "publish", broker, "actuators/pump/set", "OFF")
	h.level(t, 23, "1")
}

// A stop in order, and another start: the meter goes on from where it was.
func testRestart(t *testing.T, h *home) {
	if got, want := do(t, h.Machine, "stop", "tidegate"), "exit status 0"; got != want {
		t.Fatalf("the gateway ended with %q, want %q", got, want)
	}
	h.start(t)
	h.becomes(t, "sensors/main-meter", "online")
	do(t, h.Machine, "pulse", h.file(22, "pull"), "10", "200")
	h.counted(t, 2010)
}
