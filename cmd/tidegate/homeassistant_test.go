package main

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
)

// What is wired to the Pi appears in Home Assistant, again when that has
// started, and leaves it with the configuration.
func TestHomeAssistantHearsOfWhatIsWired(t *testing.T) {
	const attic = "[[hw.sensor]]\nkind = \"simulated\"\nname = \"attic\"\n"
	const pi = "[[hw.sensor]]\nkind = \"pi\"\nname = \"pi\"\n"
	file, dir := house(t, openHouse+attic+pi)
	g := startGateway(t, file, dir)
	home := subscribe(t, g.port(), "homeassistant/#")
	const announced = `got homeassistant/device/house/attic/config {"device":{"identifiers":["tidegate/house/attic"]`
	heard := func(times int) {
		t.Helper()
		eventually(t, func() bool { return strings.Count(home.out.String(), announced) >= times },
			func() string { return fmt.Sprintf("attic is not announced %d times: %s", times, home.out.String()) })
	}
	heard(1)
	home.says(`got homeassistant/device/house/pi/config .*"memory_available"`)

	publish(t, g.port(), "homeassistant/status", []string{"online"}, "-r")
	heard(2)

	configure(t, file, fmt.Sprintf("[gateway]\nid = \"house\"\ndata-dir = %q\n%s", dir, openHouse+pi+noPage))
	g.signal(syscall.SIGHUP)
	home.says(`(?m)^got homeassistant/device/house/attic/config $`)

	late := subscribe(t, g.port(), "homeassistant/#")
	late.says(`got homeassistant/device/house/pi/config`)
	publish(t, g.port(), "homeassistant/last", []string{"word"})
	late.says(`got homeassistant/last word`)
	if out := late.out.String(); strings.Contains(out, "attic") {
		t.Errorf("attic is still there: %s", out)
	}
}
