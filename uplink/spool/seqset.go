package spool

// seqset is a set of sequence numbers that lie close together: a bit each, in
// chunks of 1024. The zero seqset is empty.
type seqset struct{ chunks map[uint64]*chunk }

type chunk struct {
	bits [16]uint64
	n    int
}

func (s *seqset) add(seq uint64) {
	if s.chunks == nil {
		s.chunks = make(map[uint64]*chunk)
	}
	c := s.chunks[seq>>10]
	if c == nil {
		c = new(chunk)
		s.chunks[seq>>10] = c
	}
	word, bit := &c.bits[seq>>6&15], uint64(1)<<(seq&63)
	if *word&bit == 0 {
		*word |= bit
		c.n++
	}
}

func (s *seqset) has(seq uint64) bool {
	c := s.chunks[seq>>10]
	return c != nil && c.bits[seq>>6&15]>>(seq&63)&1 == 1
}

// remove takes seq out and says whether it was in.
func (s *seqset) remove(seq uint64) bool {
	if !s.has(seq) {
		return false
	}
	c := s.chunks[seq>>10]
	c.bits[seq>>6&15] &^= 1 << (seq & 63)
	if c.n--; c.n == 0 {
		delete(s.chunks, seq>>10)
	}
	return true
}

func (s *seqset) clear() { s.chunks = nil }
