package chip

import (
	"encoding/binary"
	"errors"
	"testing"
)

// hot and cold put 14 and 12 bits where they belong (19-5793 revision 5, table 2).
func hot(bits uint32) uint32  { return bits << 18 }
func cold(bits uint32) uint32 { return bits << 4 }

func TestMAX31855(t *testing.T) {
	k := kind(t, "max31855")
	for _, c := range []struct { // tables 4 and 5
		word uint32
		want []float64
	}{
		{hot(0b01100100000000) | cold(0b011111110000), []float64{1600, 127}},
		{hot(0b00111110100000) | cold(0b011001001001), []float64{1000, 100.5625}},
		{hot(0b00000110010011) | cold(0b000110010000), []float64{100.75, 25}},
		{hot(0b00000001100100) | cold(0b000000000000), []float64{25, 0}},
		{hot(0b00000000000000) | cold(0b111111111111), []float64{0, -0.0625}},
		{hot(0b11111111111111) | cold(0b111111110000), []float64{-0.25, -1}},
		{hot(0b11111111111100) | cold(0b111011000000), []float64{-1, -20}},
		{hot(0b11110000011000) | cold(0b110010010000), []float64{-250, -55}},
	} {
		got, err := readSPI(t, k, Wiring{}, nil, binary.BigEndian.AppendUint32(nil, c.word))
		if err != nil {
			t.Errorf("%032b: %v", c.word, err)
			continue
		}
		same(t, got, c.want, 0)
	}
}

func TestMAX31855Errors(t *testing.T) {
	k := kind(t, "max31855")
	room := hot(0b00000001100100) | cold(0b000110010000)
	const fault = 1 << 16
	for _, c := range []struct {
		name string
		word uint32
		want error
	}{
		{"open", room | fault | 1, errThermocoupleOpen},
		{"shorted to ground", room | fault | 2, errThermocoupleGround},
		{"shorted to supply", room | fault | 4, errThermocoupleSupply},
		{"open, as all of it reads", hot(0x1FFF) | cold(0b000110010000) | fault | 1, errThermocoupleOpen},
		{"MISO low", 0, errAbsent},
		{"MISO high", 0xFFFFFFFF, errAbsent},
		{"fault without a cause", room | fault, errGarbled},
		{"cause without a fault", room | 1, errGarbled},
		{"reserved bit", room | 1<<3, errGarbled},
		{"other reserved bit", room | 1<<17, errGarbled},
	} {
		if got, err := readSPI(t, k, Wiring{}, nil, binary.BigEndian.AppendUint32(nil, c.word)); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, %v, want %v", c.name, got, err, c.want)
		}
	}
	broken := errors.New("no such device")
	_, err := readOnce(t, k, Wiring{SPI: spiFunc(func(_, _ []byte) error { return broken })})
	if !errors.Is(err, broken) {
		t.Errorf("bus gone: got %v", err)
	}
}

func TestMAX31855AllocatesNothing(t *testing.T) {
	wantNoAllocation(t, kind(t, "max31855"), Wiring{SPI: spiFunc(func(w, r []byte) error {
		copy(r, []byte{0x01, 0x90, 0x19, 0x00})
		return nil
	})})
}

func FuzzThermocouple(f *testing.F) {
	f.Add(uint32(0x01901900))
	f.Add(uint32(0xFFFFFFFF))
	f.Fuzz(func(t *testing.T, b uint32) {
		h, c, err := thermocouple(b)
		if err == nil && (h < -2048 || h > 2047.75 || c < -128 || c > 127.9375) {
			t.Errorf("%08x: got %v, %v", b, h, c)
		}
	})
}
