package hw

import (
	"context"
	"syscall"
	"testing"
	"time"

	"tidegate/internal/conf"
)

// alone is a reader whose one sensor a test reads by hand.
func alone(t testing.TB, submit func(*Message)) (*reader, *sensor) {
	known := func() (time.Time, bool) { return time.Now(), true }
	h := (&wires{}).hardware(t, Options{Submit: submit, Clock: known}, SensorConfig{Kind: "simulated", Name: "a", Every: conf.Duration(time.Hour)})
	r := h.parts[0].(*reader)
	s := r.sensors[0]
	s.begin = time.Now()
	s.turn = s.begin
	r.calls = newCaller()
	t.Cleanup(r.calls.end)
	r.serve(t.Context(), s) // opens it, and says that it is online
	return r, s
}

// A reading costs the message and its payload, which all receivers share;
// nothing else is allocated. That drivers allocate nothing is tested with them.
func TestReadingAllocatesItsMessageOnly(t *testing.T) {
	sent := 0
	r, s := alone(t, func(*Message) { sent++ })
	before := sent
	const runs = 200
	if got := testing.AllocsPerRun(runs, func() { r.serve(t.Context(), s) }); got > 2 {
		t.Errorf("got %v allocations for a reading, want 2", got)
	}
	if got := sent - before; got != runs+1 {
		t.Errorf("got %d messages, want %d", got, runs+1)
	}
}

// BenchmarkReading is what a reading costs besides its driver, from its turn to
// its message.
func BenchmarkReading(b *testing.B) {
	r, s := alone(b, func(*Message) {})
	b.ReportAllocs()
	for b.Loop() {
		r.serve(b.Context(), s)
	}
}

// BenchmarkTwentySensors reads twenty for ten seconds as they would be read on
// a Pi, one a second each, and says what of one core that took. The transfers
// cost nothing here; on a Pi the kernel's I2C driver adds its own.
func BenchmarkTwentySensors(b *testing.B) {
	const spell = 10 * time.Second
	for b.Loop() {
		w, all := twenty()
		h := w.hardware(b, Options{Submit: func(*Message) {}}, all...)
		ctx, stop := context.WithTimeout(b.Context(), spell)
		before := processTime(b)
		if err := h.Run(ctx); err != nil {
			b.Fatal(err)
		}
		stop()
		b.ReportMetric(100*float64(processTime(b)-before)/float64(spell), "%core")
		b.ReportMetric(float64(h.Stats().Readings), "readings")
	}
}

func processTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
