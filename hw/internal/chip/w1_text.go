package chip

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"strconv"
)

// What follows understands what the kernel says of a thermometer:
//
//	72 01 4b 46 7f ff 0e 10 57 : crc=57 YES
//	72 01 4b 46 7f ff 0e 10 57 t=23125
//
// The first line is the chip's scratchpad and whether its CRC is right. In the
// second the bytes may be older; t is in thousandths of a degree.

// parseW1 returns the scratchpad and t.
func parseW1(text []byte) (pad [9]byte, milli int, err error) {
	if len(text) == 0 {
		return pad, 0, errNoReading
	}
	first, second, _ := bytes.Cut(text, []byte("\n"))
	for i := range pad {
		if len(first) < 3 || first[2] != ' ' {
			return pad, 0, errGarbled
		}
		if _, err := hex.Decode(pad[i:i+1], first[:2]); err != nil {
			return pad, 0, errGarbled
		}
		first = first[3:]
	}
	switch {
	case bytes.HasSuffix(first, []byte(" NO")):
		return pad, 0, errCRC
	case !bytes.HasPrefix(first, []byte(": crc=")) || !bytes.HasSuffix(first, []byte(" YES")):
		return pad, 0, errGarbled
	case pad == [9]byte{}: // whose CRC is right
		return pad, 0, errHeldLow
	}
	_, t, _ := bytes.Cut(bytes.TrimSuffix(second, []byte("\n")), []byte("t="))
	if milli, err = strconv.Atoi(string(t)); err != nil {
		return pad, 0, errGarbled
	}
	return pad, milli, nil
}

// powerUp is what a thermometer shows that has not measured since it got its
// supply (19-7487 p. 6; DS18S20 19-5474 p. 5).
const powerUp = 85

// scratchpadCelsius returns the temperature of a scratchpad, and whether it
// may be the value of the power-up.
//
// A real 85 °C is told from that by byte 6: after a conversion it holds 16
// less the sixteenths, 0x10 here, and 0x0C after power-up. That is not in the
// datasheet, but the kernel goes by it too (w1_therm.c, W1_THERM_CHECK_RESULT).
// Some imitations have 0x0C always, and a DS18S20 has it in both cases, so for
// those it stays in doubt.
func scratchpadCelsius(family string, pad [9]byte, milli int) (celsius float64, doubtful bool, err error) {
	raw := int16(binary.LittleEndian.Uint16(pad[:]))
	config := pad[4]
	switch {
	case family == isDS18S20:
		if pad[7] == 0 { // counts per degree, by which the kernel would divide
			return 0, false, errGarbled
		}
		return float64(milli) / 1000, raw == 2*powerUp && pad[6] == 0x0C, nil
	case raw == 0x07FF: // 127.94 °C
		return 0, false, errSupply
	case family == isDS1825 && config&0xF0 == 0xF0:
		return 0, false, errMAX31850
	case config&0x80 != 0: // an imitation (GX20MH01) with 14 bits, the last two of them here
		return float64(raw<<2|int16(config&3)) / 64, false, nil
	}
	undefined := int16(1)<<(3-config>>5&3) - 1 // at less than 12 bits (p. 6)
	raw &^= undefined
	return float64(raw) / 16, raw == 16*powerUp && pad[6] != 0x10, nil
}
