package chip

import (
	"time"

	"periph.io/x/conn/v3/i2c"
	"periph.io/x/conn/v3/physic"
	"periph.io/x/devices/v3/hdc302x"
)

func hdc302xKind() Kind {
	return Kind{
		Name: "hdc302x", Title: "Texas Instruments HDC3020, HDC3021, HDC3022", Bus: I2C,
		Addresses:  []uint16{0x44, 0x45, 0x46, 0x47},
		Quantities: []Quantity{temperature(0.01, -40, 125), humidity(0.01)},
		Every:      time.Second, Takes: 20 * time.Millisecond,
		Pins: "SDA SCL 3V3 GND; ADDR and ADDR1 to 3V3 for 0x45 to 0x47", Datasheet: "TI SNAS778D",
		Identify: findHDC302x, Open: openHDC302x,
	}
}

// findHDC302x reads the status before anything else, for the sake of other
// chips, as isSHT3x does.
func findHDC302x(bus i2c.Bus, addr uint16) bool {
	return (&port{bus: bus, addr: addr}).status() == nil && isHDC302x(bus, addr)
}

// isHDC302x compares the manufacturer's identity, with its checksum (7.5.7).
func isHDC302x(bus i2c.Bus, addr uint16) bool {
	var id uint16
	r := make([]byte, 3)
	return bus.Tx(addr, []byte{0x37, 0x81}, r) == nil && words(r, &id) == nil && id == 0x3000
}

// hdc302xChip measures twice a second, so that a new measurement is there at
// every reading: read again before the next one, it does not acknowledge. That
// is also how it answers after its power has failed. periph's driver checks
// the checksums.
type hdc302xChip struct {
	*hdc302x.Dev
	bus *tap
	env physic.Env
}

func openHDC302x(w Wiring) (Sensor, error) {
	bus := &tap{Bus: w.I2C}
	_ = bus.Tx(w.Address, []byte{0x30, 0x93}, nil) // may measure since an earlier run; refused where it does not
	bus.err = nil
	time.Sleep(time.Millisecond)
	if !isHDC302x(bus, w.Address) {
		return nil, bus.cause(errKind)
	}
	dev, err := hdc302x.NewI2C(bus, w.Address, hdc302x.RateTwoHertz)
	if err != nil {
		return nil, bus.cause(err)
	}
	return &hdc302xChip{Dev: dev, bus: bus}, nil
}

func (s *hdc302xChip) Read(out []float64) error {
	if err := s.Sense(&s.env); err != nil {
		return s.bus.cause(err)
	}
	out[0], out[1] = s.env.Temperature.Celsius(), percent(s.env.Humidity)
	return nil
}
