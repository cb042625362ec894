// Package bus opens what sensors are wired to, and says what is missing when
// it cannot.
//
// A bus is opened once for each sensor on it: a handle has a lock of its own,
// so a call that never returns holds up that sensor's handle and no other, as
// far as the kernel allows. The devices are opened by their paths, not through
// a scan at start: a bus that appears later is found at the next try.
//
// A scan (Machine.Scan) lists what there is and which chips answer:
//
//	/sys /proc /dev ---> buses, lines, what is missing
//	/dev/i2c-N      ---> address by address: quick write or one byte read (ask)
//	                       answers ---> chip.Kind.Identify of the kinds at home there
//	                                      none says yes ---> kinds that cannot be asked
package bus

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"strconv"
	"strings"

	"periph.io/x/conn/v3/i2c"
	"periph.io/x/conn/v3/spi"
	"periph.io/x/host/v3/sysfs"

	"tidegate/hw/internal/chip"
)

// Error is a bus that cannot be had, and what to do.
type Error struct {
	Bus  string // "i2c-1"
	Hint string
	Err  error
}

func (e *Error) Error() string {
	return fmt.Sprintf("open %s: %v; %s", e.Bus, e.Err, e.Hint)
}

func (e *Error) Unwrap() error { return e.Err }

var errNoAlias = errors.New("the device tree has no such alias")

var (
	i2cName  = regexp.MustCompile(`^(?:/dev/)?(?:i2c-|i2c|I2C)?(\d{1,4})$`)
	i2cAlias = regexp.MustCompile(`^i2c[a-z_][a-z0-9_]*$`)
	spiName  = regexp.MustCompile(`^(?:/dev/)?(?:spidev|spi|SPI)?(\d{1,4})\.(\d{1,3})$`)
)

// Name is the one name of a bus that may be written in several ways: "i2c-1",
// "spi0.0", "w1". "" is the usual bus of a Pi. Kinds that are wired to no bus
// have the kind of bus as its name. An alias of the device tree, "i2c_arm", is
// the bus that it stands for, where the machine has one; else it stays as it is.
func Name(kind chip.Bus, written string) (string, error) { return system.name(kind, written) }

func (t tree) name(kind chip.Bus, written string) (string, error) {
	switch kind {
	case chip.I2C:
		if written == "" {
			written = "1"
		}
		if m := i2cName.FindStringSubmatch(written); m != nil {
			return "i2c-" + m[1], nil
		}
		if i2cAlias.MatchString(written) {
			if name, ok := t.numbered(written); ok {
				return name, nil
			}
			return written, nil
		}
	case chip.SPI:
		if written == "" {
			written = "0.0"
		}
		if m := spiName.FindStringSubmatch(written); m != nil {
			return "spi" + m[1] + "." + m[2], nil
		}
	case chip.OneWire:
		if written == "" || written == "w1" {
			return "w1", nil
		}
	default:
		return string(kind), nil
	}
	return "", fmt.Errorf("%q is not %s", written, Rule(kind))
}

// Rule says how a bus may be written.
func Rule(kind chip.Bus) string {
	switch kind {
	case chip.I2C:
		return `an I2C bus such as "1", "i2c-1", "/dev/i2c-1", or an alias of the device tree such as "i2c_arm"`
	case chip.SPI:
		return `an SPI bus and chip select such as "spi0.0" or "/dev/spidev0.0"`
	case chip.OneWire:
		return `"w1", the kernel's`
	}
	return "left out"
}

// Where the kernel has them.
const (
	devices  = "/dev/"
	w1Folder = "/sys/bus/w1/devices"
)

// I2C opens a bus by its name. It is also a sync.Locker: while it is locked, no
// scan by another process asks a chip who it is. Those who read have the lock
// together.
func I2C(name string) (i2c.BusCloser, error) {
	if i2cAlias.MatchString(name) {
		return nil, &Error{Bus: name, Hint: "tidegate hw scan lists the buses and their aliases", Err: errNoAlias}
	}
	n, err := strconv.Atoi(strings.TrimPrefix(name, "i2c-"))
	if err != nil {
		return nil, fmt.Errorf("%q is not a bus's name", name)
	}
	f, err := os.OpenFile(devices+name, os.O_RDWR, 0)
	if err != nil {
		return nil, explain(name, "i2c", i2cHint(n), err)
	}
	b, err := sysfs.NewI2C(n)
	if err != nil {
		return nil, errors.Join(&Error{Bus: name, Hint: "another kind of device has its name", Err: err}, f.Close())
	}
	return &handle{BusCloser: b, f: f}, nil
}

func i2cHint(n int) string {
	if n == 1 {
		return "switch it on with dtparam=i2c_arm=on in config.txt, and load the module i2c-dev"
	}
	return fmt.Sprintf("switch it on with an overlay for i2c%d in config.txt, and load the module i2c-dev", n)
}

// SPI opens a bus with its chip select by its name.
func SPI(name string) (spi.PortCloser, error) {
	m := spiName.FindStringSubmatch(name)
	if m == nil {
		return nil, fmt.Errorf("%q is not a bus's name", name)
	}
	number, _ := strconv.Atoi(m[1])
	selects, _ := strconv.Atoi(m[2])
	hint := "switch it on with dtparam=spi=on in config.txt"
	if number > 0 {
		hint = fmt.Sprintf("switch it on with an overlay for spi%d in config.txt", number)
	}
	if err := reachable(name, fmt.Sprintf("%sspidev%d.%d", devices, number, selects), "spi", hint); err != nil {
		return nil, err
	}
	p, err := sysfs.NewSPI(number, selects)
	if err != nil {
		return nil, &Error{Bus: name, Hint: "another kind of device has its name", Err: err}
	}
	return p, nil
}

// reachable tries a device file as the driver will open it, whose errors say
// less.
func reachable(name, path, group, missing string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return explain(name, group, missing, err)
	}
	return f.Close()
}

// explain adds what to do about an error.
func explain(name, group, missing string, err error) *Error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return &Error{Bus: name, Hint: missing, Err: err}
	case errors.Is(err, fs.ErrPermission):
		return &Error{Bus: name, Hint: "let the gateway in with: sudo usermod -aG " + group + " tidegate", Err: err}
	}
	return &Error{Bus: name, Hint: "see the kernel's log", Err: err}
}

// OneWire returns the folder of the kernel's 1-Wire devices.
func OneWire() (string, error) {
	if _, err := os.Stat(w1Folder); err != nil {
		return "", &Error{Bus: "w1", Hint: "switch it on with dtoverlay=w1-gpio in config.txt", Err: err}
	}
	return w1Folder, nil
}
