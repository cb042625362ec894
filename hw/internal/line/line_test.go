package line

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
)

// piped is a Line whose events a test writes; a pipe waits like a GPIO line.
func piped(t *testing.T) (*Line, *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(); w.Close() })
	return &Line{name: "GPIO17", file: r}, w
}

func send(t *testing.T, w *os.File, b ...[]byte) {
	t.Helper()
	if _, err := w.Write(slices.Concat(b...)); err != nil {
		t.Error(err)
	}
}

// periph's WaitForEdge returns at once when it shall wait for ever, and does
// not say which edge it was. Wait waits, and says it.
func TestWaitReturnsEdgesAndNothingElse(t *testing.T) {
	l, w := piped(t)
	all := make([]Edge, 4)
	for _, most := range []time.Duration{-time.Second, 0, time.Millisecond} {
		if n, err := l.Wait(t.Context(), most, all); n != 0 || err != nil {
			t.Errorf("nothing for %v: got %d, %v", most, n, err)
		}
	}
	go func() {
		time.Sleep(50 * time.Millisecond)
		send(t, w, event(5, 1, 1), event(6, 2, 2))
	}()
	n, err := l.Wait(t.Context(), time.Hour, all)
	if want := []Edge{{5, true, 0}, {6, false, 0}}; err != nil || !slices.Equal(all[:n], want) {
		t.Errorf("got %+v, %v, want %+v", all[:n], err, want)
	}
	// More than fit, with a gap, one call after the other.
	send(t, w, event(7, 1, 5), event(8, 2, 6), event(9, 1, 7), event(10, 2, 8), event(11, 1, 9))
	n, err = l.Wait(t.Context(), time.Hour, all)
	if n != 4 || err != nil || all[0].Lost != 2 || all[3].Lost != 0 {
		t.Errorf("got %+v, %v", all[:n], err)
	}
	if n, err = l.Wait(t.Context(), time.Hour, all); n != 1 || err != nil || all[0] != (Edge{11, true, 0}) {
		t.Errorf("got %+v, %v", all[:n], err)
	}
}

func TestWaitEnds(t *testing.T) {
	l, w := piped(t)
	all := make([]Edge, 4)
	ctx, stop := context.WithCancel(t.Context())
	go func() {
		time.Sleep(20 * time.Millisecond)
		stop()
	}()
	if n, err := l.Wait(ctx, time.Hour, all); n != 0 || !errors.Is(err, context.Canceled) {
		t.Errorf("ended: got %d, %v", n, err)
	}
	if n, err := l.Wait(ctx, time.Hour, all); n != 0 || !errors.Is(err, context.Canceled) {
		t.Errorf("ended before: got %d, %v", n, err)
	}
	send(t, w, event(1, 1, 1)[:20])
	if _, err := l.Wait(t.Context(), time.Hour, all); err == nil || !strings.Contains(err.Error(), "20 bytes, not whole edges") {
		t.Errorf("half an edge: got %v", err)
	}
	w.Close()
	if _, err := l.Wait(t.Context(), time.Hour, all); err == nil || !strings.Contains(err.Error(), "wait for line GPIO17") {
		t.Errorf("a chip that vanished: got %v", err)
	}
}

// What is no GPIO line does not take its calls; the errors name the line.
func TestErrorsNameTheLine(t *testing.T) {
	l, _ := piped(t)
	if _, err := l.Value(); !errors.Is(err, unix.ENOTTY) || !strings.Contains(err.Error(), "read line GPIO17") {
		t.Errorf("got %v", err)
	}
	if err := l.Set(true); !errors.Is(err, unix.ENOTTY) || !strings.Contains(err.Error(), "set line GPIO17") {
		t.Errorf("got %v", err)
	}
	if a, b := l.Now(), l.Now(); a <= 0 || b < a {
		t.Errorf("the clock says %v, then %v", a, b)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if _, err := l.Value(); err == nil {
		t.Error("a closed line has a value")
	}
	if _, err := l.Wait(t.Context(), time.Hour, make([]Edge, 1)); err == nil {
		t.Error("a closed line is waited for")
	}
	at := place{Chip{Name: "gpiochip0"}, 17}
	for errno, want := range map[unix.Errno]string{
		unix.EBUSY:  "gpiochip0:17: device or resource busy; it is used by another program",
		unix.EPERM:  "the kernel keeps it for itself",
		unix.EINVAL: "gpiochip0:17: invalid argument",
	} {
		f, err := os.Open(os.DevNull)
		if err != nil {
			t.Fatal(err)
		}
		if got := refusal(f, at, errno); !errors.Is(got, errno) || !strings.Contains(got.Error(), want) {
			t.Errorf("%v: got %v, want %q", errno, got, want)
		}
		f.Close()
	}
}

func TestErrorsThatDebouncingCanCause(t *testing.T) {
	for _, err := range []error{unix.EINVAL, unix.ENXIO, unix.EOPNOTSUPP} {
		if !refusesDebounce(err) {
			t.Errorf("%v: not tried again without", err)
		}
	}
	for _, err := range []error{unix.EBUSY, unix.EACCES, os.ErrNotExist} {
		if refusesDebounce(err) {
			t.Errorf("%v: tried again without", err)
		}
	}
}

// A line that gives no edges is read instead.
func TestPolledLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire(NoEdges)
		in, err := NewInput(&polled{Source: w}, 20*ms)
		if err != nil {
			t.Fatal(err)
		}
		level := func(to bool) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.level = to
		}
		go func() {
			time.Sleep(105 * ms)
			level(true)
			time.Sleep(8 * ms) // a spike
			level(false)
			time.Sleep(112 * ms)
			level(true)
		}()
		changed, at, err := in.Wait(t.Context(), time.Second)
		if !changed || err != nil || !in.State() || at < 225*ms || at > 235*ms {
			t.Errorf("got %v at %v, %v, want on within 10 ms of 225 ms", changed, at, err)
		}
		if changed, _, err = in.Wait(t.Context(), time.Second); changed || err != nil {
			t.Errorf("got %v, %v, want nothing", changed, err)
		}
		ctx, stop := context.WithTimeout(t.Context(), 50*ms)
		defer stop()
		if _, _, err := in.Wait(ctx, time.Hour); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		gone := errors.New("no such device")
		w.fail(gone)
		if _, _, err := in.Wait(t.Context(), time.Hour); !errors.Is(err, gone) {
			t.Errorf("got %v", err)
		}
	})
}
