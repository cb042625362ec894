package load

import (
	"fmt"
	"strings"
	"time"
)

// examples is how many lost messages a Report names.
const examples = 10

// Report is the account at one moment, of one Consumer or summed over all of a
// Ledger. With several Consumers every message counts once for each.
type Report struct {
	Published  uint64
	Acked      uint64 // acknowledged to the publisher
	Received   uint64 // different messages that arrived
	Copies     uint64 // all arrivals, duplicates too
	Lost       uint64 // acknowledged, never received
	Missing    uint64 // neither acknowledged nor received; with QoS 0 all that did not arrive
	Surplus    uint64 // received, never acknowledged
	Duplicates uint64
	Disorder   uint64 // first arrivals after that of a later message of the topic
	Gaps       uint64 // runs of messages that never arrived, before one that did
	Foreign    uint64 // of another run, damaged, or never published
	Examples   []Loss // the first of the lost

	Latency   Histogram     // of first arrivals
	Silence   time.Duration // the longest time without a first arrival, until the last was published
	SilenceAt time.Duration // when it began, since the ledger was made
	First     time.Duration // time of the first arrival, since the ledger was made
	Last      time.Duration // time of the last first arrival

	SentRate, AckedRate, ReceivedRate []uint64 // in each second since the ledger was made
}

// Loss names one lost message.
type Loss struct {
	Topic string
	Seq   uint64
}

// Report returns the account of this consumer.
func (c *Consumer) Report() Report {
	var r Report
	var sent, acked perSecond
	var lastSent time.Duration
	for i, t := range c.ledger.all() {
		if !c.expects(t) {
			continue
		}
		a := c.topic(i)
		r.Gaps += a.seen.gaps()
		r.Lost += a.lost(t, func(seq uint64) bool {
			if len(r.Examples) == examples {
				return false
			}
			r.Examples = append(r.Examples, Loss{t.name, seq})
			return true
		})
		t.mu.Lock()
		r.Published += t.next
		r.Acked += t.ackedCount
		r.Surplus += a.seen.minus(t.acked, func(uint64) bool { return false })
		sent.merge(t.sent)
		acked.merge(t.kept)
		lastSent = max(lastSent, t.last)
		t.mu.Unlock()
	}
	r.SentRate, r.AckedRate = sent, acked

	c.mu.Lock()
	defer c.mu.Unlock()
	r.Received, r.Copies, r.Duplicates, r.Disorder, r.Foreign = c.distinct, c.copies, c.duplicates, c.disorder, c.foreign
	r.Missing = r.Published - r.Acked - min(r.Surplus, r.Published-r.Acked)
	r.Latency.Merge(&c.latency)
	r.Silence, r.SilenceAt, r.First, r.Last = c.silence, c.silenceAt, c.first, c.last
	if quiet := lastSent - c.last; c.distinct > 0 && quiet > r.Silence {
		r.Silence, r.SilenceAt = quiet, c.last
	}
	r.ReceivedRate = append([]uint64(nil), c.rate...)
	return r
}

// Report returns the sum over all consumers: counts added, latencies merged,
// the longest silence of any.
func (l *Ledger) Report() Report {
	l.mu.Lock()
	consumers := l.consumers
	l.mu.Unlock()
	var sum Report
	for i, c := range consumers {
		r := c.Report()
		if i == 0 {
			sum = r
			continue
		}
		sum.add(r)
	}
	return sum
}

func (r *Report) add(o Report) {
	r.Published += o.Published
	r.Acked += o.Acked
	r.Received += o.Received
	r.Copies += o.Copies
	r.Lost += o.Lost
	r.Missing += o.Missing
	r.Surplus += o.Surplus
	r.Duplicates += o.Duplicates
	r.Disorder += o.Disorder
	r.Gaps += o.Gaps
	r.Foreign += o.Foreign
	r.Examples = append(r.Examples, o.Examples[:min(len(o.Examples), examples-len(r.Examples))]...)
	r.Latency.Merge(&o.Latency)
	if o.Silence > r.Silence {
		r.Silence, r.SilenceAt = o.Silence, o.SilenceAt
	}
	if r.First == 0 || (o.First > 0 && o.First < r.First) {
		r.First = o.First
	}
	r.Last = max(r.Last, o.Last)
	received := perSecond(r.ReceivedRate)
	received.merge(o.ReceivedRate)
	r.ReceivedRate = received
}

// String prints the account in two lines, and a third when something was lost.
func (r Report) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "published %d, acknowledged %d, received %d, lost %d, missing %d, duplicates %d, out of order %d, gaps %d",
		r.Published, r.Acked, r.Received, r.Lost, r.Missing, r.Duplicates, r.Disorder, r.Gaps)
	if r.Foreign > 0 {
		fmt.Fprintf(&b, ", foreign %d", r.Foreign)
	}
	round := func(d time.Duration) time.Duration { return d.Round(time.Microsecond) }
	fmt.Fprintf(&b, "\nlatency p50 %v p99 %v max %v; longest silence %v at %v\n", round(r.Latency.Quantile(0.5)),
		round(r.Latency.Quantile(0.99)), round(r.Latency.Max()), r.Silence.Round(time.Millisecond), r.SilenceAt.Round(time.Millisecond))
	if len(r.Examples) > 0 {
		fmt.Fprintf(&b, "lost, the first of them:")
		for _, loss := range r.Examples {
			fmt.Fprintf(&b, " %s#%d", loss.Topic, loss.Seq)
		}
		b.WriteByte('\n')
	}
	return b.String()
}
