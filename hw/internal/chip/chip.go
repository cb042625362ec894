// Package chip knows every sensor chip that can be wired to the Pi: one row of
// a table each (Kinds), and the driver behind it.
//
//	Kind (what it measures, where it answers, its limits)
//	  Open(Wiring) ---> Sensor.Read(out) ---> one value per Quantity
//
// A driver talks to one chip and nothing else: it has no goroutine, no clock
// of its own, no log and no topic. Whoever calls it owns the bus, decides when
// to read, and judges silence. Each file is one chip or one family of chips
// and names the pages of the datasheet it was written from.
package chip

import (
	"slices"
	"strings"
	"time"

	"periph.io/x/conn/v3/i2c"
	"periph.io/x/conn/v3/onewire"
	"periph.io/x/conn/v3/spi"

	"tidegate/internal/inorder"
)

// Sensor is one opened chip. Its methods are called by one goroutine at a
// time and may block for as long as one conversion takes (see Kind.Takes).
type Sensor interface {
	// Read takes one reading and fills out, which has one element for each of
	// the kind's quantities, in their order and units; NaN stands for a
	// quantity that has no value yet. It does not allocate in steady state.
	Read(out []float64) error
	// Halt leaves the chip in its sleep mode where it has one.
	Halt() error
}

// Bus is what a kind is wired to.
type Bus string

// The buses.
const (
	I2C     Bus = "i2c"
	SPI     Bus = "spi"
	OneWire Bus = "1-wire"
	Lines   Bus = "gpio"  // two lines of a GPIO chip, clocked by us (HX711)
	Board   Bus = "board" // no wire: the Pi itself, seen through the folders of its kernel
)

// Kind is one sort of chip: a row of the table, of the documentation, and of
// what is checked in the configuration.
type Kind struct {
	Name       string        // as in the configuration: "bme280"
	Title      string        // as people call it: "Bosch BME280"
	Bus        Bus           // what it is wired to
	Addresses  []uint16      // on I2C, 7 bits, the chip's own default first
	Quantities []Quantity    // what it measures, in the order of Read
	Keys       []string      // configuration keys of Setup that it takes: "channel", "gain", "shunt", ...
	Every      time.Duration // the least time between two readings that the chip allows
	Takes      time.Duration // the longest that one Read may take, when all is well
	Discard    int           // readings after power-up that the datasheet says to throw away
	Steady     bool          // must be read once each Every, neither more nor less often, or what it reckons is wrong
	Note       string        // what its owner must know besides; sentences, or ""
	Pins       string        // how to wire it: "SDA SCL 3V3 GND"
	Datasheet  string        // document and revision
	// Identify says whether the chip at an address of a bus is of this kind,
	// by an identity register, without disturbing a chip of another kind; nil
	// where chips of this kind cannot be told.
	Identify func(bus i2c.Bus, addr uint16) bool
	// Steps returns the resolution of each quantity as a setup makes it; nil
	// where none changes it.
	Steps func(Setup) []float64
	// Check says what of a setup this kind cannot do, before there is a chip;
	// nil where the keys have no more rules than their own.
	Check func(Setup) *SetupError
	Open  func(Wiring) (Sensor, error)
}

// SetupError is a key of Setup with a value that a kind cannot take.
type SetupError struct{ Key, Rule string }

func (e *SetupError) Error() string { return e.Key + " is not " + e.Rule }

// Quantity is one thing that a chip measures.
type Quantity struct {
	Name       string  // "temperature": key in the payload
	Unit       string  // "°C", "%", "hPa", "lx", "ppm", "V", "A", "W", "kg", "", as Home Assistant spells it
	Class      string  // Home Assistant's device class; "" where it has none
	Resolution float64 // smallest step of the chip worth publishing, in Unit
	Low, High  float64 // range of the datasheet; a value outside is a fault of the chip or the wire
	Total      bool    // it only grows, and now and then begins at 0 again
}

// Wiring is where a chip is and how it is set up. Only what Kind.Bus and
// Kind.Keys name is set.
type Wiring struct {
	I2C     i2c.Bus
	Address uint16
	SPI     spi.Port // the driver connects, at its own mode and speed
	OneWire onewire.Bus
	Device  string // on 1-Wire: "28-0316a2791bff", as the kernel writes it
	Root    string // on the kernel's 1-Wire: the folder of devices, "/sys/bus/w1/devices"; of the board: "/"
	Folder  string // of the board: the gateway's state folder
	Clock   Output
	Data    Input
	Setup
}

// Output is a GPIO line that a driver sets; Input one that it reads, pulled up.
type (
	Output interface{ Set(high bool) error }
	Input  interface{ Value() (high bool, err error) }
)

// Setup is what the configuration may say of a chip besides where it is. The
// zero value stands for the chip's own default.
type Setup struct {
	Channel   string  // input of a converter: "0", or "0-1" for a difference
	Gain      float64 // of an amplifier; what it stands for is in the kind's table row
	Shunt     float64 // resistor of a current sensor, in ohm
	Reference float64 // voltage at the reference input of a converter, in volt
	Altitude  float64 // above the sea, in metre, for sensors that compensate
}

// Kinds returns every kind, sorted by name.
func Kinds() []Kind {
	all := slices.Concat(
		ownKinds(),
		periphKinds(),
		boardKinds(),
	)
	inorder.Sort(all, func(a, b Kind) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// Find returns the kind of that name.
func Find(name string) (Kind, bool) {
	for _, k := range Kinds() {
		if k.Name == name {
			return k, true
		}
	}
	return Kind{}, false
}
