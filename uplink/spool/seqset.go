package spool

import "math/bits"

// seqset is a set of sequence numbers that lie close together: a bit each, in
// chunks of 1024. The zero seqset is empty.
type seqset struct{ chunks map[uint64]*chunk }

type chunk struct{ bits [16]uint64 }

func (s *seqset) add(seq uint64) {
	if s.chunks == nil {
		s.chunks = make(map[uint64]*chunk)
	}
	c := s.chunks[seq>>10]
	if c == nil {
		c = new(chunk)
		s.chunks[seq>>10] = c
	}
	c.bits[seq>>6&15] |= uint64(1) << (seq & 63)
}

func (s *seqset) has(seq uint64) bool {
	c := s.chunks[seq>>10]
	return c != nil && c.bits[seq>>6&15]>>(seq&63)&1 == 1
}

func (s *seqset) remove(seq uint64) {
	if c := s.chunks[seq>>10]; c != nil {
		c.bits[seq>>6&15] &^= uint64(1) << (seq & 63)
	}
}

// next returns the first number from seq on that is not in the set, to at most.
func (s *seqset) next(seq, to uint64) uint64 {
	for seq < to {
		c := s.chunks[seq>>10]
		if c == nil {
			return seq
		}
		if gap := ^c.bits[seq>>6&15] >> (seq & 63); gap != 0 {
			return min(seq+uint64(bits.TrailingZeros64(gap)), to)
		}
		seq = (seq>>6 + 1) << 6
	}
	return to
}

// count returns how many numbers from from on, below to, are in the set.
func (s *seqset) count(from, to uint64) (n int) {
	for from < to {
		c := s.chunks[from>>10]
		if c == nil {
			from = (from>>10 + 1) << 10
			continue
		}
		width := min(64-from&63, to-from)
		n += bits.OnesCount64(c.bits[from>>6&15] >> (from & 63) << (64 - width))
		from += width
	}
	return n
}

var none chunk

// chunk returns the bits of the 1024 numbers from hi<<10 on, to be read.
func (s *seqset) chunk(hi uint64) *chunk {
	if c := s.chunks[hi]; c != nil {
		return c
	}
	return &none
}

// prune forgets what is below seq, by whole chunks.
func (s *seqset) prune(seq uint64) {
	for hi := range s.chunks {
		if (hi+1)<<10 <= seq {
			delete(s.chunks, hi)
		}
	}
}

func (s *seqset) clone() (out seqset) {
	out.chunks = make(map[uint64]*chunk, len(s.chunks))
	for hi, c := range s.chunks {
		bits := *c
		out.chunks[hi] = &bits
	}
	return out
}

// join adds all of o.
func (s *seqset) join(o *seqset) {
	for hi, c := range o.chunks {
		if s.chunks[hi] == nil {
			if s.chunks == nil {
				s.chunks = make(map[uint64]*chunk)
			}
			s.chunks[hi] = new(chunk)
		}
		for i := range c.bits {
			s.chunks[hi].bits[i] |= c.bits[i]
		}
	}
}

func (s *seqset) clear() { s.chunks = nil }
