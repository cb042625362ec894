package uplink

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// counter settles tickets by counting them.
type counter struct {
	settled atomic.Int64
	bad     atomic.Int64
}

func (c *counter) Settle(_ uint64, reason byte) {
	if reason != 0 {
		c.bad.Add(1)
	}
	c.settled.Add(1)
}

// run starts u and returns what stops it and waits.
func run(t testing.TB, u *Uplink) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- u.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("Run: %v", err)
			}
		case <-time.After(30 * time.Second):
			t.Errorf("Run did not return within 30 s of its context's end")
		}
	})
	t.Cleanup(stop)
	return stop
}

func cpu() time.Duration {
	var ru syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &ru)
	return time.Duration(ru.Utime.Nano() + ru.Stime.Nano())
}

// BenchmarkUplink sends QoS 1 with 256 bytes flat out through two links to one
// mosquitto, with at most 1024 waiting, and reports CPU seconds of the gateway's
// side per 100,000 messages.
func BenchmarkUplink(b *testing.B) {
	for _, window := range []int{64, 256, 1024} {
		b.Run(fmt.Sprintf("window=%d", window), func(b *testing.B) {
			m := startMosquitto(b)
			cfg := DefaultConfig()
			cfg.Endpoints = []string{m.url()}
			cfg.Up = []Up{{Filter: "#"}}
			cfg.InFlight = window
			u, err := New(cfg, Options{Gateway: "gw", Epoch: 1, Dir: b.TempDir()})
			if err != nil {
				b.Fatal(err)
			}
			stop := run(b, u)
			eventuallyUp(b, u, 0)
			eventuallyUp(b, u, 1)
			eventually(b, "the spool is loaded", func() bool { return u.Stats().Spool.Loaded })
			var topics []string
			for i := range 26 {
				topics = append(topics, fmt.Sprintf("dev/%c/t", 'a'+i))
			}
			payload := make([]byte, 256)
			messages := make([]Message, 4096) // more than wait at a time
			var c counter
			b.ReportAllocs()
			start := cpu()
			n := int64(0)
			for b.Loop() {
				m := &messages[n%int64(len(messages))]
				*m = Message{Topic: topics[n%int64(len(topics))], Payload: payload, QoS: 1, Accepted: time.Now()}
				u.Send(m, Ticket{Owner: &c, ID: uint64(n)})
				for n++; n-c.settled.Load() > 1024; {
					time.Sleep(200 * time.Microsecond)
				}
			}
			for c.settled.Load() < n {
				time.Sleep(200 * time.Microsecond)
			}
			b.ReportMetric((cpu()-start).Seconds()/float64(n)*1e5, "cpu-s/100k")
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "msg/s")
			b.ReportMetric(float64(u.Stats().Spool.Written), "B-to-disk")
			stop()
		})
	}
}
