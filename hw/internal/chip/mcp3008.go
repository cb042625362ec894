package chip

import (
	"cmp"
	"errors"
	"math/bits"
	"time"

	"periph.io/x/conn/v3/physic"
	"periph.io/x/conn/v3/spi"
)

var (
	errAbsent = errors.New("nothing answers: check the wires and the supply")
	errCopies = errors.New("the value and its repetition differ: noise on the wires, or nothing answers")
)

// mcp3008 is one input of a Microchip MCP3008, a converter of 10 bits with
// eight inputs (datasheet DS21295D). Each is a sensor of its own.
type mcp3008 struct {
	conn      spi.Conn
	reference float64 // volt at VREF
	w, r      [5]byte
}

func mcp3008Input() Kind {
	return Kind{
		Name: "mcp3008", Title: "Microchip MCP3008 (one input)", Bus: SPI,
		Quantities: []Quantity{voltage(0.003, 0, 5.5)},
		Keys:       []string{"channel", "reference"},
		Every:      time.Millisecond,
		Takes:      5 * time.Millisecond,
		Note:       `channel: "0" (the default) to "7", or a difference of neighbours: "0-1", "1-0", "2-3" and so on, which is 0 V when it is below zero. reference: the voltage at VREF, 3.3 V by default. With VDD at 5V it would harm the Pi.`,
		Pins:       "SCLK MOSI MISO CE0; VDD and VREF to 3V3, AGND and DGND to GND",
		Datasheet:  "Microchip DS21295D",
		Steps:      func(s Setup) []float64 { return []float64{referenceMCP3008(s) / 1024} },
		Check:      checkMCP3008,
		Open:       openMCP3008,
	}
}

// mcp3008Inputs are the channels with the four bits that choose them: one
// input, or what is between two neighbours (table 5-2).
var mcp3008Inputs = map[string]byte{
	"": 8, "0": 8, "1": 9, "2": 10, "3": 11, "4": 12, "5": 13, "6": 14, "7": 15,
	"0-1": 0, "1-0": 1, "2-3": 2, "3-2": 3, "4-5": 4, "5-4": 5, "6-7": 6, "7-6": 7,
}

func checkMCP3008(s Setup) *SetupError {
	if _, ok := mcp3008Inputs[s.Channel]; !ok {
		return &SetupError{"channel", `"0" to "7", or two neighbours: "0-1", "1-0", "2-3", ... "7-6"`}
	}
	if r := s.Reference; r != 0 && !(r >= 0.25 && r <= 5.5) {
		return &SetupError{"reference", "from 0.25 to 5.5 V"} // the least VREF, and the largest VDD
	}
	return nil
}

func referenceMCP3008(s Setup) float64 { return cmp.Or(s.Reference, 3.3) }

func openMCP3008(w Wiring) (Sensor, error) {
	if err := checkMCP3008(w.Setup); err != nil {
		return nil, err
	}
	// At 2.7 V it is rated for 1.35 MHz.
	conn, err := w.SPI.Connect(physic.MegaHertz, spi.Mode0, 8)
	if err != nil {
		return nil, err
	}
	// A start bit, the input, then clocks for the answer (figure 6-1). Two
	// bytes more than that are for the repetition.
	return &mcp3008{
		conn: conn, reference: referenceMCP3008(w.Setup),
		w: [5]byte{1, mcp3008Inputs[w.Channel] << 4},
	}, nil
}

func (d *mcp3008) Read(out []float64) error {
	if err := d.conn.Tx(d.w[:], d.r[:]); err != nil {
		return err
	}
	code, err := codeMCP3008(d.r)
	out[0] = d.reference * float64(code) / 1024 // equation 4-2
	return err
}

func (d *mcp3008) Halt() error { return nil } // not selected is switched off

// codeMCP3008 takes an answer apart: a null bit, ten bits from the highest,
// and the same from the second lowest up, followed by zeros (figure 5-2). The
// repetition is all there is against noise: the chip has no checksum. A MISO
// that is low for ever reads as 0 V all the same.
func codeMCP3008(r [5]byte) (uint16, error) {
	if r[1]&4 != 0 {
		return 0, errAbsent
	}
	code := uint16(r[1]&3)<<8 | uint16(r[2])
	if bits.Reverse8(r[3]) != byte(code>>1) || r[4] != byte(code>>9)<<7 {
		return 0, errCopies
	}
	return code, nil
}
