package spool

import (
	"cmp"
	"encoding/binary"
	"maps"
	"math/bits"
	"slices"
)

// mark says what of a stream need not be sent any more: all below seq, and the
// rows of done above it. While a backlog drains, what overtakes it is
// acknowledged beyond seq; without done a start would send all of it again.
type mark struct {
	seq  uint64
	done []stretch // in order, apart
	left uint64    // done rows above those, for which there was no room
}

type stretch struct{ first, n uint64 } // sequences

const (
	longest = 1 << 20

	// Bytes of runs per stream and commit, some 1365 runs; at a clean stop there
	// is no limit. It takes a backlog in which held and sent rows take turns to
	// need more: a commit would then cost more for its mark than for its rows.
	// What is beyond is counted, and sent again after a power cut.
	marksEach = 4 << 10
)

func (m mark) rows() (n uint64) {
	for _, r := range m.done {
		n += r.n
	}
	return n
}

// later returns the one of two marks that says more: every commit writes the
// whole mark, so the higher is the newer.
func later(a, b mark) mark {
	if cmp.Or(cmp.Compare(a.seq, b.seq), cmp.Compare(a.rows(), b.rows())) < 0 {
		return b
	}
	return a
}

// appendRuns appends runs above seq as uvarints: the gap before each, and its
// length.
func appendRuns(b []byte, m mark) []byte {
	at := m.seq
	for _, r := range m.done {
		b = binary.AppendUvarint(binary.AppendUvarint(b, r.first-at), r.n)
		at = r.first + r.n
	}
	return b
}

func (c *cut) runs(seq uint64) (out []stretch) {
	for len(c.b) > 0 && !c.bad {
		r := stretch{seq + c.number(), c.number()}
		if r.first < seq || r.n == 0 || r.n > longest || r.first+r.n < r.first {
			c.bad = true
		}
		out = append(out, r)
		seq = r.first + r.n
	}
	return out
}

// mark returns what the stream needs from the disk, with runs of about most
// bytes. The caller holds st.mu.
func (st *stream) mark(most int) mark {
	m := mark{seq: st.position()}
	st.skip.prune(m.seq)
	st.past.prune(m.seq)
	if len(st.skip.chunks)+len(st.past.chunks) == 0 {
		return m
	}
	var flight seqset
	for e := st.kept.first; e != nil; e = e.next {
		flight.add(e.seq)
	}
	his := slices.AppendSeq(slices.Collect(maps.Keys(st.skip.chunks)), maps.Keys(st.past.chunks))
	slices.Sort(his)
	var last stretch
	size := 0
	for _, hi := range slices.Compact(his) {
		done, past, flying := st.skip.chunk(hi), st.past.chunk(hi), flight.chunk(hi)
		for lo := range uint64(1024) {
			word, bit := lo>>6, uint64(1)<<(lo&63)
			seq := hi<<10 | lo
			if (done.bits[word]|past.bits[word])&^flying.bits[word]&bit == 0 || seq < m.seq {
				continue
			}
			if last.n > 0 && last.first+last.n == seq && last.n < longest {
				last.n++
				continue
			}
			if last.n > 0 {
				m.done = append(m.done, last)
				size += 3
			}
			if last = (stretch{seq, 1}); size >= most {
				m.left = st.doneFrom(seq, &flight)
				return m
			}
		}
	}
	if last.n > 0 {
		m.done = append(m.done, last)
	}
	return m
}

// doneFrom counts the rows from seq on that need not be sent any more.
func (st *stream) doneFrom(seq uint64, flight *seqset) (n uint64) {
	count := func(hi uint64) {
		done, past, flying := st.skip.chunk(hi), st.past.chunk(hi), flight.chunk(hi)
		for word := range uint64(16) {
			these := (done.bits[word] | past.bits[word]) &^ flying.bits[word]
			if low := hi<<10 | word<<6; low+64 <= seq {
				continue
			} else if low < seq {
				these &= ^uint64(0) << (seq - low)
			}
			n += uint64(bits.OnesCount64(these))
		}
	}
	for hi := range st.skip.chunks {
		count(hi)
	}
	for hi := range st.past.chunks {
		if st.skip.chunks[hi] == nil {
			count(hi)
		}
	}
	return n
}

// recall notes the rows that an earlier process knew to be done. Those that
// were lost with their file have no number that is in use again.
func (st *stream) recall(m mark) {
	for _, r := range m.done {
		for seq := r.first; seq < min(r.first+r.n, st.stored); seq++ {
			st.past.add(seq)
		}
	}
}
