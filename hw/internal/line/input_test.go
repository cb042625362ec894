package line

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// wire is a Source whose level a test sets. Like the kernel it keeps so many
// edges and no more.
type wire struct {
	mu     sync.Mutex // guards what follows
	begin  time.Time
	level  bool
	only   Edges
	queue  []Edge
	most   int
	seq    uint32 // of the last edge given
	next   uint32 // of the last edge made
	numb   []uint32
	err    error
	wake   chan struct{}
	closed bool
}

func newWire(only Edges) *wire {
	return &wire{begin: time.Now(), only: only, most: maxEvents, wake: make(chan struct{}, 1)}
}

func (w *wire) Now() time.Duration { return time.Since(w.begin) }
func (w *wire) Close() error       { w.closed = true; return nil }

func (w *wire) Value() (bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.level, w.err
}

func (w *wire) set(level bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.level = level
	if w.only == Rising && !level || w.only == Falling && level {
		return
	}
	w.next++
	if len(w.queue) == w.most {
		w.queue, w.numb = w.queue[1:], w.numb[1:]
	}
	w.queue, w.numb = append(w.queue, Edge{At: w.Now(), Active: level}), append(w.numb, w.next)
	w.signal()
}

func (w *wire) fail(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.err = err
	w.signal()
}

func (w *wire) signal() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

func (w *wire) take(all []Edge) (n int, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for n < len(all) && len(w.queue) > 0 {
		all[n] = w.queue[0]
		all[n].Lost = w.numb[0] - w.seq - 1
		w.seq = w.numb[0]
		w.queue, w.numb = w.queue[1:], w.numb[1:]
		n++
	}
	return n, w.err
}

func (w *wire) Wait(ctx context.Context, most time.Duration, all []Edge) (int, error) {
	late := time.NewTimer(most)
	defer late.Stop()
	for {
		if n, err := w.take(all); n > 0 || err != nil {
			return n, err
		}
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-late.C:
			return 0, nil
		case <-w.wake:
		}
	}
}

func TestInputReportsStatesThatStand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire(BothEdges)
		in, err := NewInput(w, 20*ms)
		if err != nil || in.State() {
			t.Fatal(err)
		}
		go func() {
			time.Sleep(100 * ms)
			for _, gap := range []time.Duration{0, 1, 3, 500, 2, 2} { // ms; it bounces twice
				time.Sleep(gap * ms)
				w.set(!w.level)
			}
		}()
		changed, at, err := in.Wait(t.Context(), time.Second)
		if !changed || at != 104*ms || err != nil || !in.State() || in.Now() != 124*ms {
			t.Errorf("got %v at %v, told at %v, %v, want on at 104ms told at 124ms", changed, at, in.Now(), err)
		}
		changed, at, err = in.Wait(t.Context(), time.Second)
		if !changed || at != 608*ms || err != nil || in.State() {
			t.Errorf("got %v at %v, %v, want off at 608ms", changed, at, err)
		}
		if changed, _, err = in.Wait(t.Context(), time.Second); changed || err != nil || in.Now() != 1628*ms {
			t.Errorf("got %v, %v at %v, want nothing for a second", changed, err, in.Now())
		}
		if err := in.Close(); err != nil || !w.closed {
			t.Errorf("close: %v, %v", err, w.closed)
		}
	})
}

func TestInputEndsWithItsContextAndItsLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire(BothEdges)
		in, err := NewInput(w, 0)
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithTimeout(t.Context(), time.Minute)
		defer stop()
		if _, _, err := in.Wait(ctx, time.Hour); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		gone := errors.New("no such device")
		w.fail(gone)
		if _, _, err := in.Wait(t.Context(), time.Hour); !errors.Is(err, gone) {
			t.Errorf("got %v", err)
		}
		if _, err := in.Check(); !errors.Is(err, gone) {
			t.Errorf("check: got %v", err)
		}
		if _, err := NewInput(w, 0); !errors.Is(err, gone) || !w.closed {
			t.Errorf("open: got %v, closed %v", err, w.closed)
		}
	})
}

// Whatever became of an edge, reading the level puts it right.
func TestMissedEdgeIsFound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire(BothEdges)
		in, err := NewInput(w, 0)
		if err != nil {
			t.Fatal(err)
		}
		if differs, err := in.Check(); differs || err != nil {
			t.Errorf("got %v, %v", differs, err)
		}
		w.level = true // without an edge
		if differs, err := in.Check(); !differs || err != nil || !in.State() {
			t.Errorf("got %v, %v, state %v", differs, err, in.State())
		}
	})
}

// The count is exact at 200 Hz even when nobody reads for longer than the kernel
// can keep edges: each has its number.
func TestPulsesAreCountedExactlyHoweverLate(t *testing.T) {
	for _, c := range []struct {
		name  string
		room  int           // edges that the kernel keeps
		pause time.Duration // between two reads
		late  bool
	}{
		{"read at once", maxEvents, 20 * ms, false},
		{"read after 4 s", maxEvents, 4 * time.Second, false},
		{"read after 20 s", maxEvents, 20 * time.Second, true},
		{"with the room of 16 that a request has by default", 16, time.Second, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWire(Rising)
				w.most = c.room
				p := NewPulses(w)
				const want = 12_000 // a minute
				go func() {
					for range want {
						w.set(true)
						time.Sleep(1 * ms)
						w.set(false)
						time.Sleep(4 * ms)
					}
				}()
				var got, late uint64
				for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); time.Sleep(c.pause) {
					for {
						n, m, err := p.Wait(t.Context(), 0)
						if err != nil {
							t.Fatal(err)
						}
						if n == 0 {
							break
						}
						got, late = got+n, late+m
					}
				}
				if got != want || (late > 0) != c.late {
					t.Errorf("got %d pulses, %d of them by number only, want %d, some: %v", got, late, want, c.late)
				}
			})
		})
	}
}
