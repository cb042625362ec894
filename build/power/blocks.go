package power

const blockSize = 4096

// blocks is the content of a disk by the number of the block; what is not there
// is zero.
type blocks map[int64]*[blockSize]byte

func (s blocks) write(at int64, b []byte) {
	for len(b) > 0 {
		number, offset := at/blockSize, at%blockSize
		block := s[number]
		if block == nil {
			block = new([blockSize]byte)
			s[number] = block
		}
		n := copy(block[offset:], b)
		at, b = at+int64(n), b[n:]
	}
}

func (s blocks) read(at int64, b []byte) {
	for len(b) > 0 {
		number, offset := at/blockSize, at%blockSize
		n := min(len(b), int(blockSize-offset))
		if block := s[number]; block != nil {
			copy(b[:n], block[offset:])
		} else {
			clear(b[:n])
		}
		at, b = at+int64(n), b[n:]
	}
}

func zero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}
