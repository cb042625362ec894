package chip

import (
	"errors"
	"math/bits"
	"testing"
)

// mcp3008Answer is what the chip sends for a code (DS21295D, figures 5-2 and
// 6-1): what comes before the null bit is not driven, here high.
func mcp3008Answer(code uint16) []byte {
	return []byte{0xFF, 0xF8 | byte(code>>8), byte(code), bits.Reverse8(byte(code >> 1)), byte(code>>9) << 7}
}

func TestMCP3008(t *testing.T) {
	k := kind(t, "mcp3008")
	for _, c := range []struct {
		name  string
		setup Setup
		sent  byte // the four bits that choose the input (table 5-2)
		code  uint16
		want  float64
	}{
		{"least", Setup{}, 0x80, 0, 0},
		{"greatest", Setup{}, 0x80, 1023, 3.296777},
		{"half", Setup{Channel: "0"}, 0x80, 512, 1.65},
		{"last input", Setup{Channel: "7"}, 0xF0, 256, 0.825},
		{"other reference", Setup{Channel: "3", Reference: 1.024}, 0xB0, 1, 0.001},
		{"asymmetric code", Setup{Channel: "3"}, 0xB0, 0x2C5, 2.284863},
		{"difference", Setup{Channel: "0-1"}, 0x00, 512, 1.65},
		{"the other way round", Setup{Channel: "1-0"}, 0x10, 512, 1.65},
		{"last difference", Setup{Channel: "7-6"}, 0x70, 512, 1.65},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := readSPI(t, k, Wiring{Setup: c.setup}, []byte{1, c.sent, 0, 0, 0}, mcp3008Answer(c.code))
			if err != nil {
				t.Fatal(err)
			}
			same(t, got, []float64{c.want}, 1e-6)
		})
	}
}

func TestMCP3008Errors(t *testing.T) {
	k := kind(t, "mcp3008")
	sent := []byte{1, 0x80, 0, 0, 0}
	if _, err := readSPI(t, k, Wiring{}, sent, []byte{0xFF, 0xFF, 0xFF, 0xFF, 0xFF}); !errors.Is(err, errAbsent) {
		t.Errorf("MISO not driven: got %v", err)
	}
	for bit := 14; bit < 40; bit++ { // every bit from the highest of the value on
		r := mcp3008Answer(0x2C5)
		r[bit/8] ^= 0x80 >> (bit % 8)
		if _, err := readSPI(t, k, Wiring{}, sent, r); bit != 23 && !errors.Is(err, errCopies) {
			t.Errorf("bit %d wrong: got %v", bit, err) // but the lowest of the value, which is not repeated
		}
	}
	broken := errors.New("no such device")
	_, err := readOnce(t, k, Wiring{SPI: spiFunc(func(_, _ []byte) error { return broken })})
	if !errors.Is(err, broken) {
		t.Errorf("bus gone: got %v", err)
	}
}

func TestMCP3008Setup(t *testing.T) {
	for _, s := range []Setup{
		{Channel: "8"}, {Channel: "-1"}, {Channel: "0-2"}, {Channel: "0-0"}, {Channel: "1-2"}, {Channel: "8-9"}, {Channel: "0-"}, {Channel: "00"}, {Channel: "x"},
		{Reference: -1}, {Reference: 0.1}, {Reference: 12},
	} {
		_, err := openMCP3008(Wiring{SPI: spiFunc(nil), Setup: s})
		if e := kind(t, "mcp3008").Check(s); e == nil || err == nil || e.Error() != err.Error() {
			t.Errorf("%+v: got %v, %v", s, e, err)
		}
	}
}

func TestSPIPortThatIsTaken(t *testing.T) {
	port := spiRecorded(nil, nil)
	port.Initialized = true
	for _, name := range []string{"mcp3008", "max31855"} {
		if _, err := kind(t, name).Open(Wiring{SPI: port}); err == nil {
			t.Errorf("%s: opened", name)
		}
	}
}

func TestMCP3008AllocatesNothing(t *testing.T) {
	answer := mcp3008Answer(512)
	wantNoAllocation(t, kind(t, "mcp3008"), Wiring{SPI: spiFunc(func(w, r []byte) error { copy(r, answer); return nil })})
}

func FuzzMCP3008(f *testing.F) {
	f.Add(mcp3008Answer(0x2C5))
	f.Add([]byte{0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) != 5 {
			return
		}
		code, err := codeMCP3008([5]byte(b))
		if err == nil && string(mcp3008Answer(code)[2:]) != string(b[2:]) {
			t.Errorf("%x: got %d, whose answer is %x", b, code, mcp3008Answer(code))
		}
	})
}
