package load

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// TestLedgerModel publishes at random into a pretended network that drops,
// repeats and swaps, and compares the account with one made naively from the
// list of arrivals.
func TestLedgerModel(t *testing.T) {
	for seed := range uint64(60) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(seed, 1))
			ledger := NewLedger()
			consumer := ledger.Consumer()
			m := newModel(ledger, 1+rnd.IntN(5))
			for range rnd.IntN(3000) {
				m.publish(rnd)
			}
			m.disturb(rnd)
			for _, a := range m.arrivals {
				consumer.Receive(a.payload, a.at)
			}
			m.check(t, consumer.Report())
			if got, want := consumer.Lost(), m.lost(); got != want {
				t.Errorf("Lost: got %d, want %d", got, want)
			}
			if got, want := ledger.Published(), uint64(len(m.messages)); got != want {
				t.Errorf("Published: got %d, want %d", got, want)
			}
		})
	}
}

type modelKey struct {
	topic int
	seq   uint64
}

type modelArrival struct {
	modelKey
	at      time.Duration
	payload []byte
	foreign bool
}

type model struct {
	topics   []*Topic
	now      time.Duration
	messages map[modelKey]bool // published: acknowledged or not
	arrivals []modelArrival
}

func newModel(l *Ledger, topics int) *model {
	m := &model{messages: map[modelKey]bool{}}
	for i := range topics {
		m.topics = append(m.topics, l.Topic(uint32(i), fmt.Sprint("t", i)))
	}
	return m
}

func (m *model) publish(rnd *rand.Rand) {
	m.now += time.Duration(rnd.IntN(3_000_000))
	i := rnd.IntN(len(m.topics))
	topic := m.topics[i]
	seq := topic.Next(m.now)
	key := modelKey{i, seq}
	m.messages[key] = rnd.IntN(10) > 0
	if m.messages[key] {
		topic.Ack(seq, m.now)
		topic.Ack(seq, m.now)
	}
	payload := topic.AppendPayload(nil, seq, m.now, rnd.IntN(200))
	m.arrivals = append(m.arrivals, modelArrival{modelKey: key, payload: payload})
}

// disturb drops, repeats, swaps and forges, and gives the times of arrival.
func (m *model) disturb(rnd *rand.Rand) {
	var out []modelArrival
	for _, a := range m.arrivals {
		if rnd.IntN(20) == 0 {
			continue
		}
		out = append(out, a)
		for rnd.IntN(15) == 0 {
			out = append(out, a)
		}
		if rnd.IntN(50) == 0 {
			b := a
			b.payload = slices.Clone(a.payload)
			b.payload[rnd.IntN(StampSize)] ^= 1 << rnd.IntN(8)
			b.foreign = true
			out = append(out, b)
		}
	}
	for range len(out) / 30 {
		i := rnd.IntN(len(out))
		j := min(i+rnd.IntN(40), len(out)-1)
		out[i], out[j] = out[j], out[i]
	}
	at := m.now
	for i := range out {
		at += time.Duration(rnd.IntN(5_000_000))
		out[i].at = at
	}
	m.arrivals = out
}

func (m *model) lost() (n uint64) {
	arrived := map[modelKey]bool{}
	for _, a := range m.arrivals {
		arrived[a.modelKey] = arrived[a.modelKey] || !a.foreign
	}
	for key, acked := range m.messages {
		if acked && !arrived[key] {
			n++
		}
	}
	return n
}

func (m *model) check(t *testing.T, got Report) {
	t.Helper()
	want := Report{Published: uint64(len(m.messages)), Lost: m.lost()}
	var firsts []modelArrival
	seen := map[modelKey]bool{}
	for _, a := range m.arrivals {
		switch {
		case a.foreign:
			want.Foreign++
			continue
		case seen[a.modelKey]:
			want.Duplicates++
		default:
			for _, earlier := range firsts {
				if earlier.topic == a.topic && earlier.seq > a.seq {
					want.Disorder++
					break
				}
			}
			if n := len(firsts); n > 0 && a.at-firsts[n-1].at > want.Silence {
				want.Silence, want.SilenceAt = a.at-firsts[n-1].at, firsts[n-1].at
			}
			firsts = append(firsts, a)
		}
		seen[a.modelKey] = true
		want.Copies++
	}
	want.Received = uint64(len(firsts))
	for key, acked := range m.messages {
		switch {
		case acked:
			want.Acked++
		case seen[key]:
			want.Surplus++
		default:
			want.Missing++
		}
	}
	slices.SortFunc(firsts, func(a, b modelArrival) int {
		return cmp.Or(cmp.Compare(a.topic, b.topic), cmp.Compare(a.seq, b.seq))
	})
	for i, a := range firsts {
		previous := int64(-1)
		if i > 0 && firsts[i-1].topic == a.topic {
			previous = int64(firsts[i-1].seq)
		}
		if int64(a.seq) > previous+1 {
			want.Gaps++
		}
	}
	counts := func(r Report) [12]uint64 {
		return [12]uint64{r.Published, r.Acked, r.Received, r.Copies, r.Lost, r.Missing, r.Surplus, r.Duplicates, r.Disorder,
			r.Gaps, r.Foreign, uint64(r.Silence)}
	}
	if counts(got) != counts(want) || got.SilenceAt != want.SilenceAt {
		t.Errorf("got  %+v at %v\nwant %+v at %v", counts(got), got.SilenceAt, counts(want), want.SilenceAt)
	}
	if got.Latency.Count() != want.Received {
		t.Errorf("latencies: got %d, want %d", got.Latency.Count(), want.Received)
	}
	if want := min(int(want.Lost), examples); len(got.Examples) != want {
		t.Errorf("examples: got %d, want %d", len(got.Examples), want)
	}
}

func TestLedgerConsumers(t *testing.T) {
	ledger := NewLedger()
	a, b := ledger.Consumer(), ledger.Consumer()
	topic := ledger.Topic(0, "t")
	for range 3 {
		seq := topic.Next(0)
		topic.Ack(seq, 0)
		a.Receive(topic.AppendPayload(nil, seq, 0, 0), 1)
	}
	b.Receive(topic.AppendPayload(nil, 2, 0, 0), 1)
	if got, want := a.Receive(topic.AppendPayload(nil, 3, 0, 0), 1), Foreign; got != want {
		t.Errorf("a message never published: got %v, want %v", got, want)
	}
	if got, want := a.Receive(NewLedger().Topic(0, "t").AppendPayload(nil, 0, 0, 0), 1), Foreign; got != want {
		t.Errorf("a message of another run: got %v, want %v", got, want)
	}
	sum := ledger.Report()
	if sum.Published != 6 || sum.Received != 4 || sum.Lost != 2 || sum.Gaps != 1 || sum.Foreign != 2 {
		t.Errorf("got %v", sum)
	}
}

// TestLedgerTrailingSilence counts the time in which publishing went on and
// nothing came.
func TestLedgerTrailingSilence(t *testing.T) {
	ledger := NewLedger()
	c := ledger.Consumer()
	topic := ledger.Topic(0, "t")
	c.Receive(topic.AppendPayload(nil, topic.Next(0), 0, 0), time.Second)
	topic.Next(5 * time.Second)
	r := c.Report()
	if r.Silence != 4*time.Second || r.SilenceAt != time.Second {
		t.Errorf("got %v at %v, want 4s at 1s", r.Silence, r.SilenceAt)
	}
}

func TestHistogram(t *testing.T) {
	rnd := rand.New(rand.NewPCG(7, 7))
	var h, other Histogram
	var all []time.Duration
	for i := range 20_000 {
		d := time.Duration(1) << rnd.IntN(40)
		d += time.Duration(rnd.Int64N(int64(d)))
		all = append(all, d)
		if i%2 == 0 {
			h.Add(d)
		} else {
			other.Add(d)
		}
	}
	h.Merge(&other)
	slices.Sort(all)
	for _, q := range []float64{0, 0.01, 0.5, 0.9, 0.99, 0.999, 1} {
		want := all[max(int(q*float64(len(all)))-1, 0)]
		got := h.Quantile(q)
		if got < want || float64(got) > float64(want)*1.01+1 {
			t.Errorf("quantile %v: got %d, want %d to 1 %% above", q, got, want)
		}
	}
	if got, want := h.Max(), all[len(all)-1]; got != want {
		t.Errorf("max: got %v, want %v", got, want)
	}
	if got := new(Histogram).Quantile(0.5); got != 0 {
		t.Errorf("empty: got %v, want 0", got)
	}
}

// TestSample: a sample's account is about its topics alone.
func TestSample(t *testing.T) {
	l := NewLedger()
	c := l.Sample(func(topic string) bool { return topic == "in" })
	in, out := l.Topic(0, "in"), l.Topic(0, "out")
	for range 10 {
		for _, topic := range []*Topic{in, out} {
			seq := topic.Next(l.Now())
			topic.Ack(seq, l.Now())
			if topic == in && seq != 3 {
				c.Receive(topic.AppendPayload(nil, seq, l.Now(), 0), l.Now())
			}
		}
	}
	if r := c.Report(); r.Published != 10 || r.Acked != 10 || r.Received != 9 || r.Lost != 1 || c.Lost() != 1 {
		t.Errorf("got %+v, want 10 published, 10 acknowledged, 9 received, 1 lost", r)
	}
}
