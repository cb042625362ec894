package bus

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"tidegate/hw/internal/chip"
)

// Machine is where a scan looks. The zero value is this machine.
type Machine struct {
	Root string                               // the folder of /sys, /proc and /dev; "": /
	Open func(name string) (Wire, error)      // opens an I2C bus; nil: the kernel's
	GPIO func(dev string) ([]GPIOChip, error) // lists those in a folder of devices; nil: the kernel's
	Only []string                             // I2C buses, in any form: asks these, whatever they are, and lists nothing else
}

// Scan lists what is there. It disturbs nothing: addresses are asked by the
// rule of i2cdetect (see ask), kinds by the questions of chip.Kind.Identify,
// and only at their own addresses. A gateway may go on beside it: addresses are
// asked in one transfer, which disturbs no reading, and kinds while no reading is
// under way (see handle).
//
// What cannot be looked at is in the result with its error; the error returned
// is of Only.
func (m Machine) Scan() (*Found, error) {
	if m.Root == "" {
		m.Root = string(system)
	}
	if m.Open == nil {
		m.Open = openWire
	}
	if m.GPIO == nil {
		m.GPIO = kernelGPIO
	}
	t := tree(m.Root)
	only := make([]string, len(m.Only))
	for i, written := range m.Only {
		name, err := t.name(chip.I2C, written)
		if err != nil {
			return nil, err
		}
		only[i] = name
	}
	f := &Found{
		Machine: t.model(), I2C: chosen(t.i2c(), only),
		SPI: []SPIDevice{}, OneWire: []OneWireDevice{}, GPIO: []GPIOChip{}, PWM: []PWMChip{}, Missing: []Missing{},
	}
	for i := range f.I2C {
		m.ask(t, &f.I2C[i], len(only) > 0)
	}
	if len(only) == 0 {
		m.others(t, f)
	}
	f.suggest()
	return f, nil
}

// others lists all but the I2C buses.
func (m Machine) others(t tree, f *Found) {
	f.SPI, f.OneWire, f.PWM = t.spi(), t.oneWire(), t.pwm()
	var err error
	if f.GPIO, err = m.GPIO(t.path("dev")); err != nil {
		f.GPIO = append(f.GPIO, GPIOChip{Name: "gpiochip*", Lines: []GPIOLine{}, Error: err.Error()})
	}
	f.missing(t)
}

// chosen are the buses of those names, all when there are none; one that is
// not there comes with its error.
func chosen(all []I2CBus, only []string) []I2CBus {
	if len(only) == 0 {
		return all
	}
	var some []I2CBus
	for _, name := range only {
		i := slices.IndexFunc(all, func(b I2CBus) bool { return b.Name == name })
		if i >= 0 {
			some = append(some, all[i])
		} else {
			some = append(some, I2CBus{Name: name, Aliases: []string{}, Notes: []string{}, Chips: []Chip{}})
		}
	}
	return some
}

// i2c lists the adapters, whether or not they have a device file.
func (t tree) i2c() []I2CBus {
	all := []I2CBus{}
	for _, name := range t.list(i2cFolder) {
		if !strings.HasPrefix(name, "i2c-") || !i2cName.MatchString(name) {
			continue // a chip: "1-0068"
		}
		node := t.node(i2cFolder, name)
		all = append(all, I2CBus{
			Name: name, Aliases: t.aliases(node), Adapter: t.text(i2cFolder, name, "name"),
			Notes: []string{}, Chips: []Chip{}, of: node,
		})
	}
	return all
}

// Buses that are inside of a machine, by their adapters' names or their nodes
// in the device tree: of monitors, of the camera's and the display's connector,
// and of the memory modules and clocks of a PC. Nobody has a sensor there, and
// some of what is there does not bear to be asked.
var (
	ofMonitors   = regexp.MustCompile(`(?i)hdmi|ddc|gmbus|\bAUX\b|AMDGPU|radeon|nvidia|nvkm|i915|dpmst`)
	ofMainboards = regexp.MustCompile(`^SMBus .* at [0-9a-f]+$`)
	monitorNodes = regexp.MustCompile(`hdmi-i2c|brcmstb-i2c`) // "compatible" of Pi 4 and Pi 5
)

// leftAlone says why a bus is not asked unless it is named; "" for one that is.
func (t tree) leftAlone(b *I2CBus) string {
	const monitorOfOlder = "/i2c@7e805000" // Pis, before the Pi 4
	camera := func(alias string) bool { return strings.HasPrefix(alias, "i2c_csi_dsi") }
	switch {
	case slices.ContainsFunc(b.Aliases, camera):
		return "the camera's and the display's"
	case strings.HasSuffix(b.of, monitorOfOlder), ofMonitors.MatchString(b.Adapter), monitorNodes.MatchString(t.text(i2cFolder, b.Name, "of_node/compatible")):
		return "a monitor's"
	case ofMainboards.MatchString(b.Adapter):
		return "the mainboard's"
	}
	return ""
}

// ask finds the chips on a bus, if it may be asked or was named.
func (m Machine) ask(t tree, b *I2CBus, named bool) {
	if b.Alone = t.leftAlone(b); b.Alone != "" && !named {
		return
	}
	b.Alone = ""
	w, err := m.Open(b.Name)
	if err != nil {
		b.Error = err.Error()
		return
	}
	if err := b.askAll(t, w); err != nil {
		b.Error = err.Error()
	}
	if err := w.Close(); err != nil && b.Error == "" {
		b.Error = err.Error()
	}
}

var errAll = errors.New("every address answers: SDA is held low, or has no pull-up resistor")

// mostTroubles ends the questions on a bus: each may have taken a second.
const mostTroubles = 3

func (b *I2CBus) askAll(t tree, w Wire) error {
	kinds, answers, asked, troubles := chip.Kinds(), 0, 0, 0
	if !w.Messages() {
		b.Notes = append(b.Notes, "this adapter knows SMBus only: no sensor can be read here, nor asked what it is")
	}
	if !w.Quick() {
		b.Notes = append(b.Notes, "this adapter cannot send an address alone, so some chips may not be found")
	}
	for addr := uint16(firstAddress); addr <= lastAddress; addr++ {
		q, ok := ask(addr, w.Quick())
		if !ok {
			continue
		}
		yes, err := w.Answers(addr, q)
		switch {
		case err == errInUse:
			b.Chips = append(b.Chips, Chip{Address: addr, Driver: t.driver(b.Name, addr), Is: []string{}, MayBe: []string{}})
			continue
		case err != nil:
			if troubles++; troubles == mostTroubles {
				return fmt.Errorf("ask address 0x%02x: %w; the bus hangs: look for a short, SDA and SCL swapped, or a chip without supply that holds a wire low", addr, err)
			}
			continue
		}
		asked++
		c := Chip{Address: addr, Is: []string{}, MayBe: []string{}}
		if w.Messages() && (yes || !w.Quick()) { // some answer a question, but no read without one
			b.recognise(w, &c, kinds)
		}
		if yes {
			answers++
		}
		if yes || len(c.Is) > 0 {
			b.Chips = append(b.Chips, c)
		}
	}
	if answers == asked && asked > 0 {
		b.Chips = []Chip{}
		return errAll
	}
	return nil
}

// recognise asks what may have the address.
func (b *I2CBus) recognise(w Wire, c *Chip, kinds []chip.Kind) {
	if b.busy || !w.Alone() {
		if !b.busy {
			b.busy = true
			b.Notes = append(b.Notes, "the gateway has a reading that does not end, so no chip was asked what it is")
		}
		c.unasked(kinds)
		return
	}
	defer w.Unlock()
	c.ask(w, kinds)
}

// unasked takes every kind for possible.
func (c *Chip) unasked(kinds []chip.Kind) {
	for _, k := range kinds {
		if k.Bus == chip.I2C && slices.Contains(k.Addresses, c.Address) {
			c.MayBe = append(c.MayBe, k.Name)
		}
	}
}

func (c *Chip) ask(w Wire, kinds []chip.Kind) {
	before, switched := c.control(w)
	for _, k := range kinds {
		switch {
		case k.Bus != chip.I2C || !slices.Contains(k.Addresses, c.Address):
		case k.Identify == nil:
			c.MayBe = append(c.MayBe, k.Name)
		case k.Identify(w, c.Address):
			c.Is = append(c.Is, k.Name)
		}
	}
	if len(c.Is) > 0 {
		c.MayBe = []string{}
	} else if now, ok := c.control(w); switched && ok && now == boschIdentity && now != before {
		_ = w.Tx(c.Address, []byte{before}, nil) // it is as it was, or has gone
	}
}

// boschIdentity is the register that the kinds at 0x76 and 0x77 are asked for.
// A switch of buses (TCA9548A) can be there too, and takes any byte for the
// channels to connect: what it had it gets back.
const boschIdentity = 0xD0

// control reads what a switch has for its channels.
func (c *Chip) control(w Wire) (channels byte, ok bool) {
	if c.Address < 0x70 {
		return 0, false
	}
	var r [1]byte
	err := w.Tx(c.Address, nil, r[:])
	return r[0], err == nil
}

// driver names the driver that has an address, or the device when nobody says.
func (t tree) driver(bus string, addr uint16) string {
	device := fmt.Sprintf("%s-%04x", strings.TrimPrefix(bus, "i2c-"), addr)
	if d := t.link(i2cFolder, device, "driver"); d != "" {
		return d
	}
	if name := t.text(i2cFolder, device, "name"); name != "" {
		return name
	}
	return "unknown"
}

// spi lists the chip selects.
func (t tree) spi() []SPIDevice {
	const folder = "sys/bus/spi/devices"
	all := []SPIDevice{}
	for _, name := range t.list(folder) {
		m := spiName.FindStringSubmatch(name)
		if m == nil {
			continue
		}
		d := SPIDevice{Name: name, Driver: t.link(folder, name, "driver")}
		if d.Driver == "spidev" || d.Driver == "" {
			d.Driver = ""
			if err := reachable(name, t.path("dev", "spidev"+m[1]+"."+m[2]), "spi", "load the kernel's module spidev: sudo modprobe spidev"); err != nil {
				d.Error = err.Error()
			}
		}
		all = append(all, d)
	}
	return all
}

// oneWire lists what the kernel found by itself; nothing is asked.
func (t tree) oneWire() []OneWireDevice {
	all := []OneWireDevice{}
	for _, name := range t.list(w1Folder) {
		what, reads := chip.OneWireFamily(name)
		if what == "" {
			continue // the wire itself: "w1_bus_master1"
		}
		d := OneWireDevice{Name: name, What: what, reads: reads}
		if reads && !t.has(w1Folder, name, "w1_slave") {
			d.Error = "the module w1_therm is not loaded: sudo modprobe w1_therm"
		}
		all = append(all, d)
	}
	return all
}

// pwm lists the PWM chips.
func (t tree) pwm() []PWMChip {
	const folder = "sys/class/pwm"
	all := []PWMChip{}
	for _, name := range t.list(folder) {
		if !strings.HasPrefix(name, "pwmchip") {
			continue
		}
		c := PWMChip{Name: name, Device: t.link(folder, name, "device")}
		var err error
		if c.Channels, err = strconv.Atoi(t.text(folder, name, "npwm")); err != nil {
			c.Error = "its number of channels cannot be read"
		} else if f, err := os.OpenFile(t.path(folder, name, "export"), os.O_WRONLY, 0); err != nil {
			c.Error = explain(name, "gpio", "see the kernel's log", err).Error()
		} else if err := f.Close(); err != nil {
			c.Error = err.Error()
		}
		all = append(all, c)
	}
	return all
}
