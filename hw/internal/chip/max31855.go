package chip

import (
	"encoding/binary"
	"errors"
	"time"

	"periph.io/x/conn/v3/physic"
	"periph.io/x/conn/v3/spi"
)

var (
	errThermocoupleOpen   = errors.New("the thermocouple is open: not connected, or broken")
	errThermocoupleGround = errors.New("the thermocouple is shorted to ground")
	errThermocoupleSupply = errors.New("the thermocouple is shorted to the supply")
	errGarbled            = errors.New("bits that are always the same are not: noise on the wires")
)

// max31855 is a Maxim MAX31855 with a thermocouple of the type that its last
// letter says (datasheet 19-5793 revision 5). It takes the thermocouple as
// linear; away from room temperature a type K is off by up to some degrees at
// the ends of the range, as the datasheet's table says.
type max31855 struct {
	conn spi.Conn
	r    [4]byte
}

func max31855Kind() Kind {
	return Kind{
		Name: "max31855", Title: "Maxim MAX31855 with thermocouple", Bus: SPI,
		Quantities: []Quantity{
			temperature(0.25, -270, 1800),
			{Name: "cold_junction", Unit: "°C", Class: "temperature", Resolution: 0.0625, Low: -55, High: 125},
		},
		Every:     200 * time.Millisecond, // a reading stops the conversion under way, which takes up to 100 ms
		Takes:     5 * time.Millisecond,
		Pins:      "SCLK MISO CE0 3V3 GND; T+ and T- to the thermocouple, which touches nothing else",
		Datasheet: "Maxim 19-5793, revision 5",
		Open:      openMAX31855,
	}
}

func openMAX31855(w Wiring) (Sensor, error) {
	conn, err := w.SPI.Connect(physic.MegaHertz, spi.Mode0, 8) // rated for 5 MHz
	if err != nil {
		return nil, err
	}
	time.Sleep(200 * time.Millisecond) // nothing is right sooner after power-up
	return &max31855{conn: conn}, nil
}

func (d *max31855) Read(out []float64) (err error) {
	if err := d.conn.Tx(nil, d.r[:]); err != nil {
		return err
	}
	out[0], out[1], err = thermocouple(binary.BigEndian.Uint32(d.r[:]))
	return err
}

func (d *max31855) Halt() error { return nil } // it has no sleep

// thermocouple takes the 32 bits of the chip apart (table 2). A MISO that
// nobody drives gives all ones or all zeros; the latter would be exactly 0 °C
// at both ends, which is refused with it.
func thermocouple(b uint32) (hot, cold float64, err error) {
	const fault, reserved = 1 << 16, 1<<17 | 1<<3
	switch {
	case b == 0 || b == 0xFFFFFFFF:
		return 0, 0, errAbsent
	case b&reserved != 0 || (b&fault != 0) != (b&7 != 0):
		return 0, 0, errGarbled
	case b&1 != 0:
		return 0, 0, errThermocoupleOpen
	case b&2 != 0:
		return 0, 0, errThermocoupleGround
	case b&4 != 0:
		return 0, 0, errThermocoupleSupply
	}
	return float64(int32(b)>>18) / 4, float64(int16(b)>>4) / 16, nil
}
