package chip

import "time"

func bh1750Kind() Kind {
	return Kind{
		Name: "bh1750", Title: "ROHM BH1750FVI", Bus: I2C, Addresses: []uint16{0x23, 0x5C},
		Quantities: []Quantity{{Name: "illuminance", Unit: "lx", Class: "illuminance", Resolution: 1, Low: 0, High: 54613}},
		Every:      200 * time.Millisecond, Takes: 250 * time.Millisecond,
		Pins: "SDA SCL 3V3 GND; ADDR to 3V3 for 0x5C", Datasheet: "ROHM BH1750FVI, Rev. D (11046EDT01)",
		Open: func(w Wiring) (Sensor, error) { return openBH1750(w) },
	}
}

// bh1750 measures when it is read and is powered down between. The driver is
// ours: periph's waits for the typical time and not the longest, restarts the
// measurement by the read, and sends a reset where it means power on and off.
type bh1750 struct{ port }

func openBH1750(w Wiring) (*bh1750, error) {
	s := &bh1750{port{bus: w.I2C, addr: w.Address}}
	if err := s.write(0x01); err != nil { // power on: a reset counts only then (p. 5)
		return nil, err
	}
	return s, s.write(0x07)
}

func (s *bh1750) Read(out []float64) error {
	// One measurement of 1 lx, at most 180 ms (p. 2), and power down.
	r, err := s.ask(2, 180*time.Millisecond, 0x20)
	if err != nil {
		return err
	}
	raw := uint16(r[0])<<8 | uint16(r[1])
	if raw == 0xFFFF {
		return errBeyond
	}
	out[0] = float64(raw) / 1.2 // p. 7
	return nil
}

func (s *bh1750) Halt() error { return s.write(0x00) }
