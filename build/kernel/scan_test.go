package kernel

import (
	"strings"
	"testing"
)

// scan runs `tidegate hw scan` and returns what it prints.
func (h *home) scan(t *testing.T) string {
	t.Helper()
	mark := h.Mark()
	do(t, h.Machine, "start", "scan", "/tidegate", "hw", "scan")
	if end := h.wait(t, mark, "scan: ended: "); end != "scan: ended: exit status 0" {
		t.Errorf("got %q", end)
	}
	if got, want := do(t, h.Machine, "stop", "scan"), "exit status 0"; got != want {
		t.Errorf("the scan ended with %q, want %q", got, want)
	}
	var b strings.Builder
	for _, line := range strings.Split(h.Console(), "\n")[mark:] {
		if text, ok := strings.CutPrefix(line, "scan: "); ok {
			b.WriteString(text + "\n")
		}
	}
	return b.String()
}

// A scan finds what is there before anything else talks to it: a chip that the
// kernel drives, chips that say who they are, chips that cannot, a thermometer.
func testScan(t *testing.T, h *home) {
	got := h.scan(t)
	for _, want := range []string{
		"i2c-" + h.bus + "  i2c-tiny-usb",
		"0x18  mcp9808\n", "0x1b  in use by the kernel's driver ds2482\n", "0x23  may be bh1750\n",
		"0x44  sht3x\n", "0x48  may be ads1015 or ads1115 or ina219 or tmp102\n", "0x76  bme280\n",
		"SMBus stub driver\n    this adapter knows SMBus only", "0x76  unknown\n",
		"28-0316a2791bff  DS18B20 thermometer\n", "gpiochip", "kind = \"bme280\"\nname = \"bme280\"\nbus = \"i2c-" + h.bus + "\"\naddress = 0x76\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("the scan does not say %q:\n%s", want, got)
		}
	}
}

// A scan beside the gateway disturbs no sensor.
func testScanBeside(t *testing.T, h *home) {
	mark := h.Mark()
	if got := h.scan(t); !strings.Contains(got, "0x76  bme280\n") {
		t.Errorf("the scan does not find the BME280:\n%s", got)
	}
	h.allMeasured(t, mark)
	if said := h.Last(mark, "sensor is offline"); said != "" {
		t.Errorf("got %q", said)
	}
}
