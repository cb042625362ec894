package edge

import (
	"fmt"
	"testing"
	"time"
)

// BenchmarkQueueWear commits once a minute what came for one client that is
// away, 100 bytes a message, for an hour, and reports the bytes that the card
// is given in it.
func BenchmarkQueueWear(b *testing.B) {
	for _, perMinute := range []int{1, 60, 600} {
		b.Run(fmt.Sprint(perMinute, "/min"), func(b *testing.B) {
			for b.Loop() {
				b.ReportMetric(float64(queueWear(b, perMinute))/1e6, "MB/h")
			}
		})
	}
}

func queueWear(b *testing.B, perMinute int) int64 {
	cfg := DefaultConfig()
	cfg.Listeners = []ListenerConfig{{Bind: "127.0.0.1:0", Anonymous: true}}
	cfg.Session.Queue = 60 * perMinute
	br, err := New(cfg, Options{Dir: b.TempDir()})
	if err == nil {
		err = br.open()
	}
	if err != nil {
		b.Fatal(err)
	}
	defer br.store.close()
	s := newSession(br, "away")
	s.expiry, s.until = 24*time.Hour, time.Now().Add(24*time.Hour)
	br.seats["away"] = &seat{sess: s}
	bt := newBatch(br)
	for range 60 {
		for range perMinute {
			s.enqueue(bt, delivery{m: &Message{Topic: "home/room/sensor", Payload: make([]byte, 100), QoS: 1, Accepted: time.Now()}, f: &form{}, qos: 1}, 0)
		}
		mustWrite(b, br.store)
	}
	return br.store.snapshot().Written
}
