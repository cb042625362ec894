package chip

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"periph.io/x/conn/v3/i2c"
	"periph.io/x/conn/v3/onewire"
	"periph.io/x/devices/v3/ds248x"
)

func ds2482Kind() Kind {
	return Kind{
		Name: "ds2482", Title: "Maxim DS18B20, DS1822 on a DS2482 or DS2483 bridge", Bus: I2C,
		Addresses:  []uint16{0x18, 0x19, 0x1A, 0x1B},
		Quantities: []Quantity{temperature(0.0625, -55, 125)},
		Keys:       []string{"device"},
		Every:      time.Second,
		Takes:      2 * time.Second, // 750 ms a conversion, and once more at exactly 85 °C
		Note:       "For long or many wires. Keeps its I2C bus for the second that a conversion takes; on the kernel's 1-Wire (kind ds18b20) it does not.",
		Pins:       "SDA SCL 3V3 GND; IO to DATA of the thermometers", Datasheet: "Maxim DS2482-100 19-4930, DS18B20 19-7487",
		Open: openDS2482,
	}
}

// ds2482Thermometer is a thermometer behind a bridge. periph drives the
// bridge, with a bound for every wait. Its driver of the thermometer is not
// used: it takes the 0 °C of a short and the 85 °C of a power-up for readings
// (it means to refuse 85 °C, and refuses 85 K), and writes to the EEPROM of a
// thermometer with another resolution.
type ds2482Thermometer struct {
	bridge *ds248x.Dev
	family string
	convey [10]byte // select the chip by its address, and a command
	pad    [9]byte
	last   float64 // °C; NaN: none yet
}

// openDS2482 opens the thermometer w.Device ("28-0316a2791bff", as the kernel
// writes it), or the only one there, behind the bridge at w.Address of w.I2C.
func openDS2482(w Wiring) (Sensor, error) {
	bus := &tap{Bus: bridgeBus{w.I2C, w.Address}}
	bridge, err := ds248x.New(bus, 0x18, &ds248x.DefaultOpts)
	if err != nil {
		return nil, bus.cause(err)
	}
	address, err := oneWireAddress(w.Device)
	if w.Device == "" {
		address, err = onlyOnBridge(bridge)
	}
	if err != nil {
		return nil, err
	}
	s := &ds2482Thermometer{bridge: bridge, family: deviceName(address)[:2], last: math.NaN()}
	s.convey[0] = 0x55
	for i := range 8 {
		s.convey[1+i] = byte(address >> (8 * i))
	}
	return s, s.scratchpad()
}

// bridgeBus puts the address of the bridge in place of the one that periph's
// driver is given: it knows 0x18 and 0x19, but not 0x1A and 0x1B.
type bridgeBus struct {
	i2c.Bus
	addr uint16
}

func (b bridgeBus) Tx(_ uint16, w, r []byte) error { return b.Bus.Tx(b.addr, w, r) }

// deviceName is an address as the kernel writes it: the family, and the serial
// number without its checksum.
func deviceName(a onewire.Address) string {
	return fmt.Sprintf("%02x-%012x", uint64(a)&0xFF, uint64(a)>>8&0xFFFFFFFFFFFF)
}

func oneWireAddress(device string) (onewire.Address, error) {
	family, serial, _ := strings.Cut(device, "-")
	n, err := strconv.ParseUint(serial, 16, 48)
	if err != nil || len(serial) != 12 || family != isDS18B20 && family != isDS1822 {
		return 0, fmt.Errorf(`%q is no thermometer for a bridge: they have names such as "28-0316a2791bff"`, device)
	}
	f, _ := strconv.ParseUint(family, 16, 8)
	var b [7]byte
	for i := range b {
		b[i] = byte((n<<8 | f) >> (8 * i))
	}
	return onewire.Address(uint64(onewire.CalcCRC(b[:]))<<56 | n<<8 | f), nil
}

func onlyOnBridge(bridge *ds248x.Dev) (onewire.Address, error) {
	all, err := bridge.Search(false)
	if err != nil {
		return 0, fmt.Errorf("search the wire: %w", err)
	}
	var names []string
	var found onewire.Address
	for _, a := range all {
		if _, err := oneWireAddress(deviceName(a)); err == nil {
			names, found = append(names, deviceName(a)), a
		}
	}
	_, err = only(names)
	return found, err
}

// Read measures once, and once more when it may be the value of the power-up.
func (s *ds2482Thermometer) Read(out []float64) error {
	t, err := certain(s, s.last)
	if err != nil {
		return err
	}
	s.last, out[0] = t, t
	return nil
}

// measure converts, with a strong pull-up for chips without a supply.
func (s *ds2482Thermometer) measure() (celsius float64, doubtful bool, err error) {
	s.convey[9] = 0x44
	if err := s.bridge.Tx(s.convey[:], nil, onewire.StrongPullup); err != nil {
		return 0, false, err
	}
	time.Sleep(750 * time.Millisecond)
	if err := s.scratchpad(); err != nil {
		return 0, false, err
	}
	return scratchpadCelsius(s.family, s.pad, 0)
}

// scratchpad fills pad and checks it: that of a chip that does not answer is
// all ones; of a wire held low all zeros, whose CRC is right.
func (s *ds2482Thermometer) scratchpad() error {
	s.convey[9] = 0xBE
	if err := s.bridge.Tx(s.convey[:], s.pad[:], onewire.WeakPullup); err != nil {
		return err
	}
	switch {
	case s.pad == [9]byte{}:
		return errHeldLow
	case s.pad == [9]byte{0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF}:
		return errVanished
	case !onewire.CheckCRC(s.pad[:]):
		return errCRC
	}
	return nil
}

// Halt has nothing to do: bridge and thermometer sleep by themselves.
func (s *ds2482Thermometer) Halt() error { return nil }
