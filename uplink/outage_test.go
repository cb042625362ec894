package uplink

import (
	"testing"
	"time"
)

// The whole cloud is away under load, and the gateway is stopped and started
// in the middle of it: all arrives, first arrivals in order, and nothing twice
// but what was in flight when the connections were cut.
func TestOutageUnderLoad(t *testing.T) {
	var book ledger
	var relays []*relay
	cfg := quick()
	cfg.Links = 2
	cfg.InFlight = 64
	for range 3 {
		m := startMosquitto(t)
		r := newRelay(t, m.addr)
		relays = append(relays, r)
		cfg.Endpoints = append(cfg.Endpoints, "mqtt://"+r.addr())
		book.consume(t, m.addr)
	}
	dir := t.TempDir()
	open := func(epoch uint64) (*Uplink, func()) {
		u, err := New(cfg, Options{Gateway: "gw", Epoch: epoch, Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		return u, run(t, u)
	}
	refuse := func(on bool) {
		for _, r := range relays {
			r.refuse(on)
		}
	}
	settled := func(done *counter, devices *publishers) {
		t.Helper()
		eventually(t, "all are settled", func() bool { return int(done.settled.Load()) == devices.sent() })
	}
	var done counter
	var devices publishers
	u, stop := open(1)
	eventuallyUp(t, u, 0)
	eventuallyUp(t, u, 1)
	quiet := devices.load(u, &done)
	time.Sleep(300 * time.Millisecond) // of healthy traffic
	refuse(true)
	time.Sleep(1500 * time.Millisecond)
	quiet()
	settled(&done, &devices)
	stop()

	u, _ = open(2)
	quiet = devices.load(u, &done)
	time.Sleep(time.Second)
	refuse(false)
	eventuallyUp(t, u, 0)
	eventuallyUp(t, u, 1)
	refuse(true) // while the backlog drains
	time.Sleep(300 * time.Millisecond)
	refuse(false)
	eventuallyUp(t, u, 0)
	eventuallyUp(t, u, 1)
	time.Sleep(300 * time.Millisecond)
	quiet()
	settled(&done, &devices)
	sent := devices.sent()
	eventually(t, "all are in the cloud", func() bool { n, _ := book.count(); return n == sent })
	_, duplicates := book.count()
	if most := 2 * 2 * cfg.InFlight; duplicates > most { // two cuts, two links
		t.Errorf("got %d duplicates, want at most %d", duplicates, most)
	}
	if len(book.disorder) > 0 {
		t.Errorf("got %d out of order: %v", len(book.disorder), book.disorder[:min(5, len(book.disorder))])
	}
	if done.bad.Load() > 0 {
		t.Errorf("got %d tickets settled with an error", done.bad.Load())
	}
	t.Logf("%d messages, %d duplicates, %d bytes to disk in the second run", sent, duplicates, u.Stats().Spool.Written)
}
