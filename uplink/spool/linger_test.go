package spool

import (
	"testing"
	"time"
)

// TestDrainedBacklogGoes acknowledges a backlog that is larger than what a
// crash may send again: its files go at once, without waiting for the time that
// small ones linger.
func TestDrainedBacklogGoes(t *testing.T) {
	var tickets settled
	r := run(t, smallConfig(), Options{Dir: t.TempDir()}, func(s *Spool) { s.linger = time.Hour })
	const messages = 1000 // of 200 bytes
	r.Online(0, false)
	for n := range messages {
		r.Push(0, Normal, numbered("t", n), Ticket{&tickets, uint64(n)})
	}
	until(t, "all are on disk", func() bool { return tickets.count(0) == messages })
	r.Online(0, true)
	for acked := 0; acked < messages; {
		for _, e := range r.Take(0, nil, messages, 1<<20) {
			r.Ack(e)
			acked++
		}
	}
	until(t, "the files are gone", func() bool { return len(r.disk.all()) == 0 })
}
