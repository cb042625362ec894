package chip

import (
	"errors"
	"fmt"
	"time"

	"periph.io/x/conn/v3/i2c"
)

var errOverload = errors.New("the current is beyond what can be measured with this shunt (81.92 mV over it)")

// ina226 is a TI INA226 (datasheet SBOS547, June 2011). It measures the voltage over a
// shunt and the voltage of the bus; current and power are computed here, from
// both, so that the chip needs no calibration register, which it would forget
// with its supply.
type ina226 struct {
	port
	shunt float64 // ohm
}

func ina226Kind() Kind {
	addresses := make([]uint16, 16)
	for i := range addresses {
		addresses[i] = 0x40 + uint16(i) // as A0 and A1 say
	}
	return Kind{
		Name: "ina226", Title: "TI INA226", Bus: I2C, Addresses: addresses,
		Quantities: []Quantity{voltage(0.00125, 0, 36), current(0.000025, -8200, 8200), power(0.00025, -295200, 295200)},
		Keys:       []string{"shunt"},
		Every:      100 * time.Millisecond,
		Takes:      50 * time.Millisecond,
		Note:       "shunt: boards have 0.1 Ω (the default; up to 0.8 A), 0.01 Ω (8 A) or 0.002 Ω (40 A).",
		Pins:       "SDA SCL 3V3 GND; shunt between IN+ and IN-, VBUS to the load",
		Datasheet:  "TI SBOS547",
		Identify:   func(bus i2c.Bus, addr uint16) bool { return (&port{bus: bus, addr: addr}).isINA226() == nil },
		Steps:      shuntSteps(0.00125, 2.5e-6),
		Check:      checkShunt,
		Open:       openINA226,
	}
}

const (
	// Shunt and bus once, each the average of 16 conversions of 1.1 ms (tables
	// 3 to 6): 16 × 2 × 1.21 ms at most.
	ina226Measure = 0x4000 | 2<<9 | 4<<6 | 4<<3 | 3
	ina226Takes   = 39 * time.Millisecond
	ina226Sleep   = ina226Measure &^ 7
)

func openINA226(w Wiring) (Sensor, error) {
	if err := checkShunt(w.Setup); err != nil {
		return nil, err
	}
	d := &ina226{port: port{bus: w.I2C, addr: w.Address}, shunt: shuntOf(w.Setup)}
	return d, d.isINA226()
}

// isINA226 reads the die's identity before the maker's: of the chips that sit
// at these addresses some take the maker's register, 0xFE, for a reset
// (HTU21D, Si7021).
func (p *port) isINA226() error {
	for _, id := range []struct {
		register   byte
		mask, want uint16
	}{
		{0xFF, 0xFFF0, 0x2260}, // the last four bits are the revision
		{0xFE, 0xFFFF, 0x5449},
	} {
		got, err := p.word(id.register)
		if err != nil {
			return fmt.Errorf("read the chip's identity: %w", err)
		}
		if got&id.mask != id.want {
			return fmt.Errorf("identity 0x%04x is not that of an INA226 (0x%04x)", got, id.want)
		}
	}
	return nil
}

// word reads a register of 16 bits.
func (p *port) word(register byte) (uint16, error) {
	r, err := p.read(2, register)
	return uint16(r[0])<<8 | uint16(r[1]), err
}

func (d *ina226) Read(out []float64) error {
	if err := d.write(0, ina226Measure>>8, ina226Measure&0xFF); err != nil {
		return err
	}
	time.Sleep(ina226Takes)
	if err := d.ready(); err != nil {
		return err
	}
	shunt, err := d.word(1)
	if err != nil {
		return err
	}
	bus, err := d.word(2)
	if err != nil {
		return err
	}
	out[0], out[1], err = convertINA226(bus, shunt, d.shunt)
	out[2] = out[0] * out[1]
	return err
}

func (d *ina226) Halt() error { return d.write(0, ina226Sleep>>8, ina226Sleep&0xFF) }

// ready waits for the flag that a conversion has ended (Mask/Enable, p. 21).
func (d *ina226) ready() error {
	const done = 1 << 3
	for range 5 {
		flags, err := d.word(6)
		if err != nil {
			return err
		}
		if flags&done != 0 {
			return nil
		}
		time.Sleep(5 * time.Millisecond)
	}
	return errBusy
}

// convertINA226 returns volt and ampere of the two registers (p. 20): 1.25 mV
// and 2.5 µV a step, the second with a sign.
func convertINA226(bus, shunt uint16, ohm float64) (volt, ampere float64, err error) {
	switch {
	case bus > 0x7FFF:
		return 0, 0, errGarbled
	case shunt == 0x7FFF || shunt == 0x8000:
		return 0, 0, errOverload
	}
	return float64(bus) * 0.00125, float64(int16(shunt)) * 2.5e-6 / ohm, nil
}
