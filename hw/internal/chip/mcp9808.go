package chip

import (
	"time"

	"periph.io/x/conn/v3/i2c"
	"periph.io/x/conn/v3/physic"
	"periph.io/x/devices/v3/mcp9808"
)

func mcp9808Kind() Kind {
	return Kind{
		Name: "mcp9808", Title: "Microchip MCP9808", Bus: I2C,
		Addresses:  []uint16{0x18, 0x19, 0x1A, 0x1B, 0x1C, 0x1D, 0x1E, 0x1F},
		Quantities: []Quantity{temperature(0.0625, -40, 125)},
		Every:      mcp9808Conversion, Takes: 20 * time.Millisecond,
		Pins: "SDA SCL 3V3 GND; A0 A1 A2 to 3V3 for 0x19 to 0x1F", Datasheet: "Microchip DS25095A",
		Identify: isMCP9808, Open: openMCP9808,
	}
}

const mcp9808Conversion = 300 * time.Millisecond // typically 250 ms at 0.0625 °C (p. 4)

// isMCP9808 compares the manufacturer's and the device's identity (p. 27).
func isMCP9808(bus i2c.Bus, addr uint16) bool {
	return holds(bus, addr, 0x06, 0xFFFF, 0x0054) && holds(bus, addr, 0x07, 0xFF00, 0x0400)
}

// mcp9808Chip measures all the time. periph's driver neither looks whether it
// talks to one nor says why the bus failed.
type mcp9808Chip struct {
	*mcp9808.Dev
	bus *tap
	env physic.Env
}

func openMCP9808(w Wiring) (Sensor, error) {
	bus := &tap{Bus: w.I2C}
	if !isMCP9808(bus, w.Address) {
		return nil, bus.cause(errKind)
	}
	dev, err := mcp9808.New(bus, &mcp9808.Opts{Addr: int(w.Address), Res: mcp9808.Maximum})
	if err != nil {
		return nil, bus.cause(err)
	}
	time.Sleep(mcp9808Conversion) // until then it says 0 °C
	return &mcp9808Chip{Dev: dev, bus: bus}, nil
}

func (s *mcp9808Chip) Read(out []float64) error {
	if err := s.Sense(&s.env); err != nil {
		return s.bus.cause(err)
	}
	out[0] = s.env.Temperature.Celsius()
	return nil
}

// Halt shuts the chip down (p. 18).
func (s *mcp9808Chip) Halt() error { return s.bus.cause(s.Dev.Halt()) }
