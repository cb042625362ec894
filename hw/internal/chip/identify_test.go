package chip

import (
	"slices"
	"testing"
	"testing/synctest"
)

// bystander is a chip of 8-bit registers that no kind is: a byte written is a
// register, those after it go into it, and what is read begins there. Servo
// drivers (PCA9685), light sensors and port expanders are like that.
type bystander struct {
	registers [256]byte
	at        byte
}

func (b *bystander) Tx(_ uint16, w, r []byte) error {
	if len(w) > 0 {
		b.at = w[0]
		copy(b.registers[b.at:], w[1:])
	}
	copy(r, b.registers[b.at:])
	return nil
}

// A scan of the bus asks every kind whether it is the chip at an address. What
// is not of that kind must not notice: a register that the bystander has is
// the same afterwards. Those of a PCA9685, which can be at 0x40 to 0x7F, are
// 0x00 to 0x45 and 0xFA to 0xFF (NXP PCA9685, revision 4, table 4).
func TestIdentifyLeavesOthersAlone(t *testing.T) {
	for _, k := range Kinds() {
		if k.Identify == nil {
			continue
		}
		for name, fill := range map[string]func(i int) byte{
			"zeros": func(int) byte { return 0 },
			"ones":  func(int) byte { return 0xFF },
			"count": func(i int) byte { return byte(i) },
			// What is read looks like right words with their CRCs (0xFF: none).
			"words": func(i int) byte { return []byte{0x66, 0x66, 0x93}[i%3] },
		} {
			b := &bystander{}
			for i := range b.registers {
				b.registers[i] = fill(i)
			}
			before := b.registers
			synctest.Test(t, func(t *testing.T) {
				if k.Identify(chipFunc(b.Tx), k.Addresses[0]) {
					t.Errorf("%s takes %s for one of its own", k.Name, name)
				}
			})
			if !slices.Equal(before[:0x46], b.registers[:0x46]) || !slices.Equal(before[0xFA:], b.registers[0xFA:]) {
				t.Errorf("%s changes a chip of %s", k.Name, name)
			}
		}
	}
}
