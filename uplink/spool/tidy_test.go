package spool

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"tidegate/internal/conf"
)

// A message that is held, or not acknowledged, keeps all files after its own.
// What was sent since gives way at max-disk, and nothing that waits, of no
// class.
func TestWhatIsDoneGivesWayFirst(t *testing.T) {
	for _, c := range []Class{Urgent, Normal} {
		for _, again := range []bool{false, true} {
			t.Run(fmt.Sprintf("%v again %v", c, again), func(t *testing.T) {
				dir := t.TempDir()
				s := byHand(t, dir, 1, nil)
				s.disk.fileSize = 256 << 10
				s.cfg.MaxDisk = conf.Size(diskMargin + 1<<20)
				s.Hold(0, onHold("ill"))
				ill, well := 0, 0
				for round := range 18 { // outages; 5 MiB in all
					if again && round == 9 {
						if err := s.shutdown(); err != nil {
							t.Fatal(err)
						}
						s = byHand(t, dir, 2, nil)
						s.disk.fileSize = 256 << 10
						s.cfg.MaxDisk = conf.Size(diskMargin + 1<<20)
						s.Hold(0, onHold("ill"))
					}
					s.Online(0, false)
					for n := range 300 {
						if n%30 == 0 {
							s.Push(0, c, numbered("ill", ill), Ticket{})
							ill++
						}
						m := numbered("well", well)
						m.Payload = append(m.Payload, make([]byte, 800)...)
						s.Push(0, c, m, Ticket{})
						well++
					}
					mustWrite(t, s)
					if n := s.stream(0, c).waiting(); n > 0 {
						t.Fatalf("round %d: %d messages find no room on the disk", round, n)
					}
					s.Online(0, true)
					got := drainAll(t, s)
					ascending(t, "past what is held", got["well"], well-300, well)
				}
				if d := s.Stats().Drops; len(d) > 0 {
					t.Errorf("dropped %+v", d)
				}
				s.Release(0, nil)
				ascending(t, "released", drainAll(t, s)["ill"], 0, ill)
				if err := s.shutdown(); err != nil {
					t.Fatal(err)
				}
			})
		}
	}
}

func TestCount(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var s seqset
	has := make(map[uint64]bool)
	for range 3000 {
		seq := r.Uint64N(10_000)
		if seq>>10 != 3 {
			s.add(seq)
			has[seq] = true
		}
	}
	for range 300 {
		from, to := r.Uint64N(10_000), r.Uint64N(10_000)
		want := 0
		for seq := from; seq < to; seq++ {
			if has[seq] {
				want++
			}
		}
		if got := s.count(from, to); got != want {
			t.Fatalf("from %d to %d: got %d, want %d", from, to, got, want)
		}
	}
}
