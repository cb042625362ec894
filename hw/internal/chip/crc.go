package chip

// crc8 is the checksum of Sensirion, TE and Silicon Labs: x^8 + x^5 + x^4 + 1,
// most significant bit first, nothing reflected (SHT3x-DIS datasheet version
// 5, table 20: start 0xFF, 0xBEEF gives 0x92; HTU21D datasheet, p. 15: start
// 0, 0x683A gives 0x7C).
func crc8(start byte, data ...byte) byte {
	crc := start
	for _, b := range data {
		crc ^= b
		for range 8 {
			if crc&0x80 != 0 {
				crc = crc<<1 ^ 0x31
			} else {
				crc <<= 1
			}
		}
	}
	return crc
}
