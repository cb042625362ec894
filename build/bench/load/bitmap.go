package load

import "math/bits"

// bitmap is a set of sequence numbers that grows at its end: one bit each.
type bitmap []uint64

// set adds n and reports whether it was new.
func (m *bitmap) set(n uint64) bool {
	for n/64 >= uint64(len(*m)) {
		*m = append(*m, 0)
	}
	word, bit := &(*m)[n/64], uint64(1)<<(n%64)
	if *word&bit != 0 {
		return false
	}
	*word |= bit
	return true
}

func (m bitmap) word(i int) uint64 {
	if i < len(m) {
		return m[i]
	}
	return 0
}

// minus returns how many of m are not in o, and calls each with them, lowest
// first, until it returns false.
func (m bitmap) minus(o bitmap, each func(n uint64) bool) (count uint64) {
	more := true
	for i := range m {
		w := m[i] &^ o.word(i)
		count += uint64(bits.OnesCount64(w))
		for ; more && w != 0; w &= w - 1 {
			more = each(uint64(i)*64 + uint64(bits.TrailingZeros64(w)))
		}
	}
	return count
}

// gaps counts the runs of absent numbers below the highest present one.
func (m bitmap) gaps() (count uint64) {
	last := uint64(1) // the number before 0 counts as present
	for _, w := range m {
		// a run ends where a present number follows an absent one
		count += uint64(bits.OnesCount64(w &^ (w<<1 | last)))
		last = w >> 63
	}
	return count
}
