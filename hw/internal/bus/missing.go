package bus

import (
	"slices"
	"strings"
)

// missing says what could be there and what would bring it. On a Raspberry Pi
// that is a line of config.txt [Raspberry Pi documentation, config.txt; the
// README of its overlays].
func (f *Found) missing(t tree) {
	f.missingI2C(t)
	if len(f.SPI) == 0 {
		f.miss("SPI", "dtparam=spi=on", "this kernel has no SPI bus")
	}
	switch wires := t.list(w1Folder); {
	case len(f.OneWire) > 0:
	case len(wires) > 0:
		f.add("1-Wire", "the wire is there and nothing on it: look for the pull-up resistor of 4.7 kΩ from DATA to 3V3, and whether sudo modprobe w1_therm works")
	default:
		f.miss("1-Wire", "dtoverlay=w1-gpio", "this kernel has no 1-Wire")
	}
	if len(f.GPIO) == 0 {
		f.add("GPIO", "this kernel has no GPIO chip")
	}
	if len(f.PWM) == 0 {
		f.miss("PWM", "dtoverlay=pwm-2chan", "this kernel has no PWM")
	}
}

func (f *Found) missingI2C(t tree) {
	header := slices.ContainsFunc(f.I2C, func(b I2CBus) bool { return b.Name == "i2c-1" })
	switch {
	case f.onPi() && !header:
		f.miss("I2C on the header", "dtparam=i2c_arm=on", "")
	case len(f.I2C) == 0:
		f.add("I2C", "this kernel has no I2C bus; that of a USB adapter needs its module, such as i2c-tiny-usb")
	}
	file := func(b I2CBus) bool { return t.has("dev", b.Name) }
	if len(f.I2C) > 0 && !slices.ContainsFunc(f.I2C, file) {
		f.add("/dev/i2c-*", "load the module: sudo modprobe i2c-dev; and at every start: echo i2c-dev | sudo tee /etc/modules-load.d/i2c-dev.conf")
	}
}

func (f *Found) onPi() bool { return strings.Contains(f.Machine, "Raspberry Pi") }

// miss adds what a line of config.txt brings to a Pi, and what is to be said
// on other machines.
func (f *Found) miss(bus, configTxt, elsewhere string) {
	if f.onPi() {
		elsewhere = "put " + configTxt + " into /boot/firmware/config.txt and start the Pi again"
	}
	f.add(bus, elsewhere)
}

func (f *Found) add(bus, hint string) { f.Missing = append(f.Missing, Missing{Bus: bus, Hint: hint}) }
