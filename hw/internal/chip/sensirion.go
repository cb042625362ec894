package chip

import (
	"fmt"
	"time"

	"periph.io/x/conn/v3/i2c"
)

// sensirion is a chip of the SHT3x or SHT4x family: a command, a wait, and an
// answer of two 16-bit words, each followed by its CRC (SHT3x-DIS datasheet
// version 5, 4.4 and 4.12; SHT4x version 6.5). Both sleep by
// themselves after a measurement.
type sensirion struct {
	port
	measure []byte // command of a measurement of the highest repeatability
	takes   time.Duration
	convert func(st, srh uint16) (celsius, percent float64)
}

func (d *sensirion) Read(out []float64) error {
	if err := d.write(d.measure...); err != nil {
		return err
	}
	time.Sleep(d.takes)
	b, err := d.collect(6)
	if err != nil {
		return err
	}
	var st, srh uint16
	if err := words(b, &st, &srh); err != nil {
		return err
	}
	t, rh := d.convert(st, srh)
	out[0], out[1] = t, clip(rh)
	return nil
}

func (d *sensirion) Halt() error { return nil }

// collect reads n bytes of a measurement that should be done by now. A chip
// that still measures does not acknowledge, so that is asked a few times more.
func (p *port) collect(n int) ([]byte, error) {
	const tries, pause = 5, 10 * time.Millisecond
	var err error
	for i := range tries {
		if i > 0 {
			time.Sleep(pause)
		}
		if err = p.bus.Tx(p.addr, nil, p.r[:n]); err == nil {
			return p.r[:n], nil
		}
	}
	return nil, fmt.Errorf("%w: %w", errBusy, err)
}

// clip cuts a relative humidity that is a little outside of 0 to 100 because
// of tolerances, as the datasheets say.
func clip(percent float64) float64 { return min(max(percent, 0), 100) }

// SHT3x: T = -45 + 175 S/(2^16-1), RH = 100 S/(2^16-1) (version 5, 4.13).
func convertSHT3x(st, srh uint16) (celsius, percent float64) {
	return -45 + 175*float64(st)/65535, 100 * float64(srh) / 65535
}

// SHT4x: RH = -6 + 125 S/(2^16-1), which is meant to be cut (version 6.5).
func convertSHT4x(st, srh uint16) (celsius, percent float64) {
	return -45 + 175*float64(st)/65535, -6 + 125*float64(srh)/65535
}

// sht3x is the Sensirion SHT30, SHT31, SHT35 and SHT85.
func sht3x() Kind {
	return Kind{
		Name: "sht3x", Title: "Sensirion SHT30, SHT31, SHT35, SHT85", Bus: I2C, Addresses: []uint16{0x44, 0x45},
		Quantities: []Quantity{temperature(0.01, -40, 125), humidity(0.01)},
		Every:      100 * time.Millisecond, // ten a second is the most the chip itself offers, and warms it
		Takes:      20 * time.Millisecond,
		Pins:       "SDA SCL 3V3 GND; ADDR to 3V3 for 0x45", Datasheet: "Sensirion SHT3x-DIS, version 5",
		Identify: isSHT3x, Open: openSHT3x,
	}
}

func openSHT3x(w Wiring) (Sensor, error) {
	d := &sensirion{
		port:    port{bus: w.I2C, addr: w.Address},
		measure: []byte{0x24, 0x00},    // single shot without clock stretching, which a Pi does not bear (table 9)
		takes:   16 * time.Millisecond, // table 4: 15 ms, 15.5 ms below 2.4 V
		convert: convertSHT3x,
	}
	_ = d.write(0x30, 0x93) // break, as in periodic mode no single shot is taken (4.8); refused while it measures
	time.Sleep(d.takes)
	if err := d.write(0x30, 0xA2); err != nil { // soft reset, 1.5 ms (4.9, table 4)
		return nil, fmt.Errorf("reset: %w", err)
	}
	time.Sleep(2 * time.Millisecond)
	return d, d.status()
}

// status reads the status register of an SHT3x (4.11); only its CRC matters.
func (p *port) status() error {
	r, err := p.ask(3, time.Millisecond, 0xF3, 0x2D)
	if err != nil {
		return fmt.Errorf("read status: %w", err)
	}
	var status uint16
	return words(r, &status)
}

// isSHT3x asks for the status first: that command writes no register of the
// other chips that sit at these addresses (a PCA9685 has none at 0xF3, but one
// at 0x36). The serial number is that of 0x3780 without clock stretching.
func isSHT3x(bus i2c.Bus, addr uint16) bool {
	p := &port{bus: bus, addr: addr}
	return p.status() == nil && p.serial(0x36, 0x82)
}

// serial says whether the chip has a serial number with right CRCs.
func (p *port) serial(command ...byte) bool {
	r, err := p.ask(6, time.Millisecond, command...)
	var high, low uint16
	return err == nil && words(r, &high, &low) == nil
}

// sht4x is the Sensirion SHT40, SHT41, SHT43 and SHT45.
func sht4x() Kind {
	return Kind{
		Name: "sht4x", Title: "Sensirion SHT40, SHT41, SHT43, SHT45", Bus: I2C, Addresses: []uint16{0x44, 0x45, 0x46},
		Quantities: []Quantity{temperature(0.01, -40, 125), humidity(0.01)},
		Every:      100 * time.Millisecond,
		Takes:      12 * time.Millisecond,
		Pins:       "SDA SCL 3V3 GND", Datasheet: "Sensirion SHT4x, version 6.5",
		Identify: isSHT4x, Open: openSHT4x,
	}
}

func openSHT4x(w Wiring) (Sensor, error) {
	d := &sensirion{
		port:    port{bus: w.I2C, addr: w.Address},
		measure: []byte{0xFD},         // high precision, no heater
		takes:   9 * time.Millisecond, // 8.3 ms
		convert: convertSHT4x,
	}
	if err := d.write(0x94); err != nil { // soft reset, 1 ms
		return nil, fmt.Errorf("reset: %w", err)
	}
	time.Sleep(2 * time.Millisecond)
	return d, nil
}

// isSHT4x tries twice: a chip that was just asked whether it is an SHT3x has
// been seen to miss the next command.
func isSHT4x(bus i2c.Bus, addr uint16) bool {
	p := &port{bus: bus, addr: addr}
	if p.serial(0x89) {
		return true
	}
	time.Sleep(10 * time.Millisecond)
	return p.serial(0x89)
}
