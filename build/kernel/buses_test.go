package kernel

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"
)

// sensors are what is on the guest's buses, and what it measures.
var sensors = []struct {
	name, kind, address string
	chip                string // of build/kernel/sim; "": what the kernel finds behind its bridge
	device              string
	want                map[string]float64
}{
	{name: "climate", kind: "bme280", address: "0x76", chip: "bme280", want: map[string]float64{"temperature": 23.72, "humidity": 65.31, "pressure": 1009.43}},
	{name: "boiler", kind: "mcp9808", address: "0x18", chip: "mcp9808", want: map[string]float64{"temperature": 25.25}},
	{name: "freezer", kind: "tmp102", address: "0x48", chip: "tmp102", want: map[string]float64{"temperature": -25}},
	{name: "sky", kind: "bh1750", address: "0x23", chip: "bh1750", want: map[string]float64{"illuminance": 28067}},
	{name: "cellar", kind: "sht3x", address: "0x44", chip: "sht31", want: map[string]float64{"temperature": 25, "humidity": 50}},
	{name: "pool", kind: "ds18b20", device: "28-0316a2791bff", want: map[string]float64{"temperature": -8.5}},
}

const (
	broker = "127.0.0.1:1883"
	bridge = "0x1b" // of the DS2482 that the kernel drives
)

// configuration is the gateway's; bus is the number of the adapter's.
func configuration(bus string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "[gateway]\nid = \"pi\"\ndata-dir = \"/tmp/data\"\n[[edge.listener]]\nbind = %q\nanonymous = true\n", broker)
	for _, s := range sensors {
		fmt.Fprintf(&b, "[[hw.sensor]]\nname = %q\nkind = %q\nevery = \"2s\"\n", s.name, s.kind)
		if s.chip != "" {
			fmt.Fprintf(&b, "bus = %q\naddress = %s\n", bus, s.address)
		}
		if s.device != "" {
			fmt.Fprintf(&b, "device = %q\n", s.device)
		}
	}
	// i2c-stub came first.
	b.WriteString("[[hw.sensor]]\nname = \"stub\"\nkind = \"bme280\"\nbus = \"0\"\nevery = \"2s\"\n")
	return b.String() + lineConfiguration
}

// home is a machine on which the gateway runs.
type home struct {
	*Machine
	bus   string // number of the adapter's
	lines string // folder of the simulated GPIO chip in sysfs
}

func TestRealBuses(t *testing.T) {
	files := Initrd{}
	if err := files.AddProgram(t.Context(), "/tidegate", "tidegate/cmd/tidegate", t.TempDir()); err != nil {
		t.Fatal(err)
	}
	h := &home{Machine: boot(t, files)}
	for _, s := range sensors {
		if s.chip != "" {
			do(t, h.Machine, "plug", s.address, s.chip)
		}
	}
	do(t, h.Machine, "plug", bridge, "ds2482")
	do(t, h.Machine, "load", "ds2482", "w1_therm")
	do(t, h.Machine, "load", "i2c-dev", "i2c-stub chip_addr=0x76")
	h.bus = h.adapter(t)
	h.header(t)
	do(t, h.Machine, "make", "/etc/tidegate.toml", configuration(h.bus))
	do(t, h.Machine, "mkdir", "/tmp/data")
	if !t.Run("a scan", func(t *testing.T) { testScan(t, h) }) {
		t.FailNow()
	}
	h.start(t)
	for _, test := range []struct {
		name string
		run  func(*testing.T, *home)
	}{
		{"readings", testReadings},
		{"an adapter for SMBus only", testSMBus},
		{"a scan beside the gateway", testScanBeside},
		{"a chip pulled and plugged in", testChipPulled},
		{"a chip that hangs", testChipHangs},
		{"the bus pulled and plugged in", testBusPulled},
		{"a contact", testContact},
		{"a relay", testRelay},
		{"a meter at 200 Hz", testMeter},
		{"the lines pulled and plugged in", testLinesPulled},
		{"a restart", testRestart},
	} {
		if !t.Run(test.name, func(t *testing.T) { test.run(t, h) }) {
			t.FailNow()
		}
	}
	if got, want := do(t, h.Machine, "stop", "tidegate"), "exit status 0"; got != want {
		t.Errorf("the gateway ended with %q, want %q", got, want)
	}
}

// adapter puts the adapter in, tells the kernel of the bridge on it, lets it
// search for thermometers, and returns the number of the bus.
func (h *home) adapter(t *testing.T) string {
	t.Helper()
	bus := do(t, h.Machine, "adapter", "on")
	do(t, h.Machine, "write", "/sys/bus/i2c/devices/i2c-"+bus+"/new_device", "ds2482 "+bridge)
	const master = "/sys/bus/w1/devices/w1_bus_master1/"
	for ctx := within(t); do(t, h.Machine, "list", "/sys/bus/w1/devices/28-*") == ""; {
		if ctx.Err() != nil {
			t.Fatalf("the kernel found no thermometer: %s", do(t, h.Machine, "read", master+"w1_master_slaves"))
		}
		time.Sleep(200 * time.Millisecond)
	}
	do(t, h.Machine, "write", master+"w1_master_search", "0") // or it would search for ever, which takes seconds
	return bus
}

// becomes waits until a sensor is "online" or "offline".
func (h *home) becomes(t *testing.T, name, state string) {
	t.Helper()
	said := "mqtt: " + name + "/availability "
	for mark := h.Mark(); !strings.HasSuffix(h.Last(0, said), " "+state); {
		h.wait(t, mark, said)
		mark = h.Mark()
	}
}

// start starts the gateway and listens to all it publishes.
func (h *home) start(t *testing.T) {
	t.Helper()
	mark := h.Mark()
	do(t, h.Machine, "start", "tidegate", "/tidegate", "run", "/etc/tidegate.toml")
	ctx := within(t)
	for {
		_, err := h.Do(ctx, "subscribe", broker, "#")
		if err == nil {
			return
		}
		if ctx.Err() != nil || !strings.Contains(err.Error(), "refused") || h.Last(mark, "tidegate: ended") != "" {
			t.Fatal(err)
		}
		time.Sleep(200 * time.Millisecond)
	}
}

// wait waits for a line after a mark.
func (h *home) wait(t *testing.T, mark int, parts ...string) string {
	t.Helper()
	line, err := h.WaitAfter(within(t), mark, parts...)
	if err != nil {
		t.Fatal(err)
	}
	return line
}

// measured waits for a reading of a sensor after a mark and judges it.
func (h *home) measured(t *testing.T, mark int, name string, want map[string]float64) {
	t.Helper()
	line := h.wait(t, mark, "mqtt: sensors/"+name+" {")
	_, payload, _ := strings.Cut(line, "{")
	var got map[string]any
	if err := json.Unmarshal([]byte("{"+payload), &got); err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	for quantity, v := range want {
		if g, ok := got[quantity].(float64); !ok || math.Abs(g-v) > 0.011+math.Abs(v)*1e-4 {
			t.Errorf("%s: got %v, want %s %v", name, payload, quantity, v)
		}
	}
}

// allMeasured waits for a reading of every sensor after a mark.
func (h *home) allMeasured(t *testing.T, mark int) {
	t.Helper()
	for _, s := range sensors {
		h.measured(t, mark, s.name, s.want)
	}
}

func testReadings(t *testing.T, h *home) {
	for _, s := range sensors {
		h.measured(t, 0, s.name, s.want)
		h.becomes(t, "sensors/"+s.name, "online")
	}
}

// The kernel's i2c-stub has SMBus calls and no messages, as the adapters of
// PCs: the gateway says so, and has no readings from it.
func testSMBus(t *testing.T, h *home) {
	h.becomes(t, "sensors/stub", "offline")
	h.wait(t, 0, "tidegate: ", "sensor is offline", "sensor=stub", "operation not supported")
}

// One sensor is dead with its cause, the others go on, and it comes back by
// itself.
func testChipPulled(t *testing.T, h *home) {
	pulled := sensors[0]
	mark := h.Mark()
	do(t, h.Machine, "unplug", pulled.address)
	h.wait(t, mark, "tidegate: ", "sensor is offline", "sensor="+pulled.name, "err=")
	h.becomes(t, "sensors/"+pulled.name, "offline")
	mark = h.Mark()
	for _, s := range sensors[1:] {
		h.measured(t, mark, s.name, s.want)
	}
	do(t, h.Machine, "plug", pulled.address, pulled.chip)
	h.becomes(t, "sensors/"+pulled.name, "online")
	h.measured(t, mark, pulled.name, pulled.want)
}

// A chip that holds the clock down holds up everybody on its bus, as long as
// the kernel waits for it: 2 s here. When it lets go all are well again.
func testChipHangs(t *testing.T, h *home) {
	hangs := sensors[2]
	do(t, h.Machine, "hold", hangs.address, "5s")
	h.becomes(t, "sensors/"+hangs.name, "offline")
	mark := h.Mark()
	do(t, h.Machine, "hold", hangs.address, "0s")
	h.becomes(t, "sensors/"+hangs.name, "online")
	h.allMeasured(t, mark)
}

// The device file is gone, and comes back under the same name only if the
// gateway has let go of the old one.
func testBusPulled(t *testing.T, h *home) {
	do(t, h.Machine, "adapter", "off")
	for _, s := range sensors {
		h.becomes(t, "sensors/"+s.name, "offline")
	}
	mark := h.Mark()
	if got := h.adapter(t); got != h.bus {
		t.Fatalf("the bus came back as i2c-%s, want i2c-%s", got, h.bus)
	}
	h.allMeasured(t, mark)
}
