package load

import (
	"math"
	"math/bits"
	"time"
)

// subBuckets is the number of buckets per power of two: values are kept to
// about 0.8 %.
const subBuckets = 128

// Histogram counts durations in buckets whose width grows with the value, from
// 1 ns to about an hour, like HdrHistogram. The zero Histogram is empty.
type Histogram struct {
	counts []uint64 // made at the first Add: 38 KiB
	n      uint64
	max    time.Duration
}

const histogramBuckets = 38 * subBuckets

// bucket maps a value below 2*subBuckets to itself and above to an exponent and
// its seven highest bits.
func bucket(v uint64) int {
	if v < 2*subBuckets {
		return int(v)
	}
	shift := bits.Len64(v) - bits.Len(uint(subBuckets)) // v>>shift is in [subBuckets, 2*subBuckets)
	return min(shift*subBuckets+int(v>>shift), histogramBuckets-1)
}

// upper returns the largest value that falls into bucket i.
func upper(i int) uint64 {
	if i < 2*subBuckets {
		return uint64(i)
	}
	shift := i/subBuckets - 1
	return uint64(i-shift*subBuckets+1)<<shift - 1
}

// Add counts one duration; negative ones count as zero.
func (h *Histogram) Add(d time.Duration) {
	if h.counts == nil {
		h.counts = make([]uint64, histogramBuckets)
	}
	d = max(d, 0)
	h.counts[bucket(uint64(d))]++
	h.n++
	h.max = max(h.max, d)
}

// Count returns how many durations were added.
func (h *Histogram) Count() uint64 { return h.n }

// Max returns the largest duration added.
func (h *Histogram) Max() time.Duration { return h.max }

// Quantile returns the value at or below which the share q (0 to 1) of all
// durations lies, 0 when there are none.
func (h *Histogram) Quantile(q float64) time.Duration {
	rank := max(uint64(math.Ceil(q*float64(h.n))), 1)
	var seen uint64
	for i, c := range h.counts {
		if seen += c; seen >= rank {
			return min(time.Duration(upper(i)), h.max)
		}
	}
	return h.max
}

// Merge adds all of o to h.
func (h *Histogram) Merge(o *Histogram) {
	if o.n == 0 {
		return
	}
	if h.counts == nil {
		h.counts = make([]uint64, histogramBuckets)
	}
	for i, c := range o.counts {
		h.counts[i] += c
	}
	h.n += o.n
	h.max = max(h.max, o.max)
}
