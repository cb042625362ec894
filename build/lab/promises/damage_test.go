package promises

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"tidegate/build/bench/load"
	"tidegate/build/lab/gateway"
	"tidegate/uplink"
)

const pageSize = 4096

// damages are what happens to a file of a spool while the gateway is off. Each
// returns how many pages it touched.
var damages = []struct {
	name string
	do   func(rng *rand.Rand, b []byte) ([]byte, int)
}{
	{"pages zeroed", func(rng *rand.Rand, b []byte) ([]byte, int) {
		for range 8 {
			clear(page(rng, b))
		}
		return b, 8
	}},
	{"bits flipped", func(rng *rand.Rand, b []byte) ([]byte, int) {
		for range 40 {
			page(rng, b)[rng.IntN(pageSize)] ^= 1 << rng.IntN(8)
		}
		return b, 40
	}},
	{"both meta pages lost", func(rng *rand.Rand, b []byte) ([]byte, int) {
		clear(b[:2*pageSize])
		return b, 2
	}},
	{"cut off", func(rng *rand.Rand, b []byte) ([]byte, int) {
		cut := 1 + rng.IntN(len(b)/4)
		return b[:len(b)-cut], cut/pageSize + 1
	}},
}

// page returns one page behind the two meta pages.
func page(rng *rand.Rand, b []byte) []byte {
	i := 2 + rng.IntN(len(b)/pageSize-2)
	return b[i*pageSize:][:pageSize]
}

// TestDamagedSpool stores messages while the cloud is away, and damages the
// file they are in. The gateway starts and serves the home; what is in intact
// pages arrives, in order.
func TestDamagedSpool(t *testing.T) {
	for _, d := range damages {
		t.Run(d.name, func(t *testing.T) {
			dir := t.TempDir()
			w := newWorld(t, options{dataDir: dir})
			w.offline()
			tr := w.publish(load.FleetConfig{Clients: 5, Topics: 4, Rate: 2000, Size: 200})
			w.eventually("some thousands are stored", time.Minute, func() bool { return w.ledger.Acked() > 6000 })
			tr.finish()
			w.gateway.Kill()

			files, err := filepath.Glob(filepath.Join(dir, "uplink-cloud", "*.spool"))
			w.must(err)
			if len(files) == 0 {
				t.Fatal("nothing is stored")
			}
			b, err := os.ReadFile(files[0])
			w.must(err)
			b, pages := d.do(w.rng, b)
			w.must(os.WriteFile(files[0], b, 0o600))

			w.start()
			again := w.publish(load.FleetConfig{Clients: 5, Topics: 4, Rate: 200, Size: 200})
			time.Sleep(time.Second)
			w.online()
			again.finish()
			w.eventually("the spool is loaded, and can drain", time.Minute, func() bool { return w.drains(dir) })
			w.still(5 * time.Second)
			r := w.arrived.Report()
			const rowsInPage = 16 // of 200 bytes and more
			if most := uint64(pages * rowsInPage); r.Lost > most {
				t.Errorf("lost %d messages by damage to %d pages, want at most %d", r.Lost, pages, most)
			}
			if r.Disorder > 0 || r.Foreign > 0 {
				t.Errorf("out of order %d, foreign %d; want 0, 0", r.Disorder, r.Foreign)
			}
			if !w.gateway.Process().Running() || w.gateway.Starts() != 2 {
				t.Errorf("the gateway went down; its last output:\n%s", w.gateway.Process().Output())
			}
			aside, err := filepath.Glob(filepath.Join(dir, "uplink-cloud", "*.corrupt-*"))
			w.must(err)
			t.Logf("damage to %d of %d pages: %d of %d lost, %d files set aside", pages, len(b)/pageSize, r.Lost, r.Acked, len(aside))
			if r.Lost > 0 && len(aside) == 0 {
				t.Error("messages were lost and no file was set aside")
			}
		})
	}
}

// drains says whether all links are up and the spool knows what it has.
func (w *world) drains(dataDir string) bool {
	s, err := gateway.ReadStatus(dataDir)
	return err == nil && s.Cloud().Spool.Loaded && !slices.ContainsFunc(s.Cloud().Links, func(l uplink.LinkStats) bool { return l.State != uplink.Connected })
}

// still returns when nothing has arrived for the time d.
func (w *world) still(d time.Duration) {
	w.t.Helper()
	last, at := w.arrived.Received(), time.Now()
	w.eventually("nothing more arrives", 2*time.Minute, func() bool {
		if n := w.arrived.Received(); n != last {
			last, at = n, time.Now()
		}
		return time.Since(at) > d
	})
}
