package chip

import (
	"fmt"
	"slices"
	"time"

	"periph.io/x/conn/v3/i2c"
)

// htu21d is a TE HTU21D or a Silicon Labs Si7013, Si7020 or Si7021: the same
// commands and codes (HTU21D datasheet HPC199_3, p. 10 to 15; Si7021-A20
// revision 1.1, section 5), other times. Sensirion's SHT20, SHT21 and SHT25
// speak the same and are slower, which collect waits for.
type htu21d struct {
	port
	temperature, humidity time.Duration // the longest that either conversion takes
	drift                 float64       // of the humidity with the temperature, to be taken out, in %/°C
}

const (
	htu21dTemperature = 0xF3 // no hold of the master, as the next: a Pi does not bear clock stretching
	htu21dHumidity    = 0xF5
	htu21dUser        = 0xE7 // the user register
)

func htu21() Kind {
	return Kind{
		Name: "htu21d", Title: "TE HTU21D, HTU21DF", Bus: I2C, Addresses: []uint16{0x40},
		Quantities: []Quantity{temperature(0.01, -40, 125), humidity(0.04)},
		Every:      500 * time.Millisecond, // once or twice a second at most, or it warms itself (p. 8)
		Takes:      75 * time.Millisecond,
		Pins:       "SDA SCL 3V3 GND", Datasheet: "TE (Measurement Specialties) HTU21D(F), HPC199_3, October 2013",
		Identify: func(bus i2c.Bus, addr uint16) bool { return isHTU21D(bus, addr, 0x02, 0x32) },
		Open: func(w Wiring) (Sensor, error) {
			return openHTU21D(w, htu21d{
				temperature: 50 * time.Millisecond, humidity: 16 * time.Millisecond, // p. 3 and 5
				drift: -0.15, // p. 4: RH + (25 °C - T) × drift
			})
		},
	}
}

func si7021() Kind {
	return Kind{
		Name: "si7021", Title: "Silicon Labs Si7013, Si7020, Si7021", Bus: I2C, Addresses: []uint16{0x40},
		Quantities: []Quantity{temperature(0.01, -40, 125), humidity(0.025)},
		Every:      500 * time.Millisecond,
		Takes:      40 * time.Millisecond,
		Pins:       "SDA SCL 3V3 GND", Datasheet: "Silicon Labs Si7021-A20, revision 1.1",
		Identify: func(bus i2c.Bus, addr uint16) bool {
			return isHTU21D(bus, addr, 0x3A, 0x0D, 0x14, 0x15) // 5.3: Si7013, Si7020, Si7021
		},
		Open: func(w Wiring) (Sensor, error) {
			return openHTU21D(w, htu21d{
				temperature: 11 * time.Millisecond, humidity: 23 * time.Millisecond, // table 2: humidity includes a temperature
			})
		},
	}
}

// openHTU21D resets the chip, which takes up to 15 ms and sets the highest
// resolution, but leaves the heater of a HTU21D as it is (p. 12 and 13).
func openHTU21D(w Wiring, d htu21d) (Sensor, error) {
	d.port = port{bus: w.I2C, addr: w.Address}
	if err := d.write(0xFE); err != nil {
		return nil, fmt.Errorf("reset: %w", err)
	}
	time.Sleep(15 * time.Millisecond)
	const heater = 1 << 2
	r, err := d.read(1, htu21dUser)
	if err == nil && r[0]&heater != 0 {
		err = d.write(0xE6, r[0]&^heater)
	}
	return &d, err
}

func (d *htu21d) Read(out []float64) error {
	st, err := d.measure(htu21dTemperature, d.temperature)
	if err != nil {
		return err
	}
	srh, err := d.measure(htu21dHumidity, d.humidity)
	if err != nil {
		return err
	}
	t, rh := convertHTU21D(st, srh)
	out[0], out[1] = t, clip(rh+(25-t)*d.drift)
	return nil
}

func (d *htu21d) Halt() error { return nil } // it sleeps by itself

// measure takes one conversion.
func (d *htu21d) measure(command byte, takes time.Duration) (uint16, error) {
	if err := d.write(command); err != nil {
		return 0, err
	}
	time.Sleep(takes)
	b, err := d.collect(3)
	if err != nil {
		return 0, err
	}
	return codeHTU21D(b)
}

// codeHTU21D takes the three bytes of a conversion apart. The two lowest bits
// are status and no part of the value (p. 15). A data line that is held low
// has a right CRC and is refused; a value at either end is left, as humidity is
// held there when it is wet (p. 15).
func codeHTU21D(b []byte) (uint16, error) {
	if len(b) != 3 || crc8(0, b[0], b[1]) != b[2] {
		return 0, errCRC
	}
	if b[0] == 0 && b[1] == 0 {
		return 0, errNoData
	}
	return uint16(b[0])<<8 | uint16(b[1]&^3), nil
}

// T = -46.85 + 175.72 S/2^16, RH = -6 + 125 S/2^16 (HTU21D p. 15, Si7021 5.1).
func convertHTU21D(st, srh uint16) (celsius, percent float64) {
	return -46.85 + 175.72*float64(st)/65536, -6 + 125*float64(srh)/65536
}

// isHTU21D says whether the chip has such a user register and one of those
// identities. The command of the identity has a second byte, which another
// chip would take into a register (0xFC of a PCA9685 moves all its servos), so
// only a chip hears it that answers the commands of one byte as this family
// does.
func isHTU21D(bus i2c.Bus, addr uint16, user byte, identities ...byte) bool {
	const reserved = 0x3A // the bits of the user register that nobody changes
	d := &htu21d{port: port{bus: bus, addr: addr}}
	if r, err := d.read(1, htu21dUser); err != nil || r[0]&reserved != user {
		return false
	}
	if _, err := d.measure(htu21dTemperature, 50*time.Millisecond); err != nil {
		return false
	}
	r, err := d.ask(6, 0, 0xFC, 0xC9) // SNB_3 SNB_2 CRC SNB_1 SNB_0 CRC (Si7021 5.3)
	return err == nil && crc8(0, r[0], r[1]) == r[2] && slices.Contains(identities, r[0])
}
