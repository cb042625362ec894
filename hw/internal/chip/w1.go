package chip

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

var (
	errVanished  = errors.New("it is no longer on the wire")
	errNoReading = errors.New("the kernel got no right answer in five tries: not on the wire, noise, or too many metres of it")
	errHeldLow   = errors.New("the data line is held low: a short, or no pull-up resistor of 4.7 kΩ")
	errPowerUp   = errors.New("it shows the 85 °C of its power-up: its supply fails when it measures")
	errSupply    = errors.New("its supply is too weak to measure: give it 3V3 on VDD")
	errMAX31850  = errors.New("this is a MAX31850 with a thermocouple, which is not supported")
)

// The kernel's thermometers by family, as their folders begin (w1_therm.c).
const (
	isDS18S20  = "10"
	isDS1822   = "22"
	isDS18B20  = "28"
	isDS1825   = "3b"
	isDS28EA00 = "42"
)

// ds18b20Kind is the DS18B20 and its family on the kernel's 1-Wire, which may
// be a line of the header or a bridge that the kernel drives (DS18B20 datasheet
// 19-7487, revision 6).
func ds18b20Kind() Kind {
	return Kind{
		Name: "ds18b20", Title: "Maxim DS18B20, DS18S20, DS1822, DS1825, DS28EA00", Bus: OneWire,
		Quantities: []Quantity{temperature(0.0625, -55, 125)},
		Every:      time.Second,
		Takes:      2 * time.Second, // 750 ms a conversion (p. 3), and once more at exactly 85 °C
		Pins:       "DATA to GPIO4, with 4.7 kΩ to 3V3; VDD to 3V3, GND", Datasheet: "Maxim 19-7487, revision 6",
		Open: openW1,
	}
}

// w1Thermometer is a thermometer that the kernel reads: its driver w1_therm
// gives a conversion for each read of the file w1_slave. That read may hang as
// long as the bus does.
type w1Thermometer struct {
	path   string
	family string
	fd     int     // -1: not open
	last   float64 // °C; NaN: none yet
	pread  func(fd int, p []byte, offset int64) (int, error)
	text   [128]byte
}

// openW1 finds a thermometer in the folder of the kernel's devices: that of
// the wiring, or the only one there.
func openW1(w Wiring) (Sensor, error) {
	root := w.Root
	if root == "" {
		root = "/sys/bus/w1/devices"
	}
	device := w.Device
	if device == "" {
		var err error
		if device, err = onlyThermometer(root); err != nil {
			return nil, err
		}
	}
	if !isThermometer(device) {
		return nil, fmt.Errorf(`%q is no thermometer: they have names such as "28-0316a2791bff"`, device)
	}
	d := &w1Thermometer{path: filepath.Join(root, device, "w1_slave"), family: device[:2], fd: -1, last: math.NaN(), pread: unix.Pread}
	if _, err := os.Stat(filepath.Dir(d.path)); err != nil {
		return nil, fmt.Errorf("%s is not on the wire: %w", device, err)
	}
	if err := d.open(); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("the kernel's module w1_therm is not loaded: %w", err)
	} else if err != nil {
		return nil, err
	}
	return d, nil
}

// isThermometer says whether a device has the name of one: a family, a dash
// and twelve hexadecimal digits.
func isThermometer(device string) bool {
	family, serial, _ := strings.Cut(device, "-")
	return len(serial) == 12 && strings.Trim(serial, "0123456789abcdef") == "" &&
		slices.Contains([]string{isDS18S20, isDS1822, isDS18B20, isDS1825, isDS28EA00}, family)
}

func onlyThermometer(root string) (string, error) {
	entries, err := os.ReadDir(root)
	if err != nil {
		return "", err
	}
	var all []string
	for _, e := range entries {
		if isThermometer(e.Name()) {
			all = append(all, e.Name())
		}
	}
	return only(all)
}

func (d *w1Thermometer) Read(out []float64) error {
	t, err := certain(d, d.last)
	if err != nil {
		return err
	}
	d.last, out[0] = t, t
	return nil
}

// Halt closes the file; the chip sleeps by itself.
func (d *w1Thermometer) Halt() error {
	if d.fd < 0 {
		return nil
	}
	err := unix.Close(d.fd)
	d.fd = -1
	return err
}

// measure takes one conversion. It is doubtful when it may be the value that
// the chip has after power-up instead.
func (d *w1Thermometer) measure() (celsius float64, doubtful bool, err error) {
	text, err := d.slurp()
	if err != nil {
		return 0, false, err
	}
	pad, milli, err := parseW1(text)
	if err != nil {
		return 0, false, err
	}
	return scratchpadCelsius(d.family, pad, milli)
}

// slurp reads the file from its beginning, for which the kernel measures anew.
// A file that was open while its chip went away stays dead when it is back, so
// it is opened again then.
func (d *w1Thermometer) slurp() ([]byte, error) {
	fresh := d.fd < 0
	if fresh {
		if err := d.open(); err != nil {
			return nil, fmt.Errorf("%w: %w", errVanished, err)
		}
	}
	n, err := d.again()
	if err == nil {
		return d.text[:n], nil
	}
	if err := d.Halt(); err != nil {
		return nil, err
	}
	if !fresh {
		return d.slurp()
	}
	return nil, fmt.Errorf("read %s: %w", d.path, err)
}

func (d *w1Thermometer) open() error {
	fd, err := unix.Open(d.path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return &fs.PathError{Op: "open", Path: d.path, Err: err}
	}
	d.fd = fd
	return nil
}

// again reads once more when a signal came in the middle of the conversion's
// 750 ms, for which the kernel ends its wait.
func (d *w1Thermometer) again() (n int, err error) {
	for range 5 {
		if n, err = d.pread(d.fd, d.text[:], 0); !errors.Is(err, unix.EINTR) {
			return n, err
		}
	}
	return n, err
}
