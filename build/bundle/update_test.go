//go:build image

package bundle

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"tidegate/build/power"
)

const waiting = 50 // messages for the cloud

// fill gives the gateway a state to lose: a retained message, and messages that
// wait for the cloud.
func (h *house) fill() {
	h.t.Helper()
	must(h.t, h.publish("lamp/state", "kept", "-r"))
	for i := range waiting {
		must(h.t, h.publish("home/meter", fmt.Sprintf("m%03d", i)))
	}
	time.Sleep(3 * time.Second) // edge.db is written each second
}

// intact looks for the retained message.
func (h *house) intact() {
	h.t.Helper()
	if got := h.retained("lamp/state"); got != "kept" {
		h.t.Errorf("got %q retained, want it kept", got)
	}
}

// arrived lets the gateway reach its cloud, and looks for all that waited.
func (h *house) arrived() {
	h.t.Helper()
	got := h.cloud.receive(waiting)
	for i := range waiting {
		if want := fmt.Sprintf("m%03d", i); !slices.Contains(got, want) {
			h.t.Errorf("%s never came to the cloud", want)
		}
	}
}

// Good and bad bundles on the real image: each ends in a healthy system, and
// what it had stays.
func TestUpdates(t *testing.T) {
	h := newHouse(t)
	h.on()
	h.serves()
	h.fill()

	h.bundle("v9.0.1", pair(t, "theirs"), map[string]string{})
	h.order("v9.0.1", "v9.0.1.raucb")
	h.becomes("failed", "", "not by a key that this gateway trusts")

	h.bundle("v9.0.2", h.pair, map[string]string{})
	whole := filepath.Join(h.dir, "v9.0.2.raucb")
	data, err := os.ReadFile(whole)
	must(t, err)
	must(t, os.WriteFile(whole, data[:len(data)/2], 0o644))
	h.order("v9.0.2", "v9.0.2.raucb")
	h.becomes("failed", "", "no whole bundle")

	mark := h.mark()
	h.bundle("v9.0.5", h.pair, map[string]string{})
	h.order("v9.0.5", "v9.0.5.raucb")
	h.becomes("confirmed", "v9.0.5", "")
	if tries := h.count(mark, "tidegate: slot B"); tries != 1 {
		t.Errorf("got %d tries, want 1", tries)
	}
	h.intact()

	// From now on B runs. An initrd that is none: the kernel panics for want of a root.
	mark = h.mark()
	h.bundle("v9.0.3", h.pair, map[string]string{"/boot/initrd.img": "no initrd"})
	h.order("v9.0.3", "v9.0.3.raucb")
	h.becomes("returned", "v9.0.3", "did not come up")
	if tries, panics := h.count(mark, "tidegate: slot A"), h.count(mark, "Kernel panic"); tries != 3 || panics != 3 {
		t.Errorf("got %d tries and %d panics, want 3", tries, panics)
	}
	h.intact()

	mark = h.mark()
	h.bundle("v9.0.4", h.pair, map[string]string{"/etc/systemd/system/tidegate.service.d/ill.conf": "[Service]\nType=exec\nExecStart=\nExecStart=/bin/sleep infinity\nWatchdogSec=0\n"})
	h.order("v9.0.4", "v9.0.4.raucb")
	h.becomes("returned", "v9.0.4", "")
	if tries := h.count(mark, "tidegate: slot A"); tries != 3 {
		t.Errorf("got %d tries, want 3", tries)
	}
	h.intact()
	h.arrived()
}

// The power goes at moments of writing and switching.
func TestPowerCuts(t *testing.T) {
	h := newHouse(t)
	h.on()
	h.serves()
	h.fill()
	h.bundle("v9.1.0", h.pair, map[string]string{})

	// Once without a cut: how many writes there are until it is confirmed.
	before := h.disk.Stats()
	h.order("v9.1.0", "v9.1.0.raucb")
	h.becomes("confirmed", "v9.1.0", "")
	after := h.disk.Stats()
	total := after.Writes + after.Flushes - before.Writes - before.Flushes
	t.Logf("an update takes %d writes and flushes", total)

	for i := range *cuts {
		// Three fifths of the moments in the long writing, the rest near its
		// end, where slots are switched and the new one is on trial.
		n := total * int64(i+1) / int64(*cuts)
		if late := *cuts * 3 / 5; i >= late {
			n = total - total/20*int64(*cuts-i)/int64(*cuts-late)
		}
		gone := h.disk.OffAfter(max(n, 1))
		mark := h.mark()
		h.order("v9.1.0", "v9.1.0.raucb")
		select {
		case <-gone:
		case <-h.done:
			t.Fatal("the machine ended by itself")
		case <-time.After(patience):
			t.Logf("cut %d: only after the update: fewer writes than %d", i, n)
		}
		mode := power.Mode(i % 3)
		h.cut(mode)
		was := h.moment(mark)
		mark = h.mark()
		h.on()
		h.serves()
		var s status
		h.eventually("the update has ended", func() bool {
			s = h.status()
			return slices.Contains([]string{"confirmed", "failed", "returned"}, s.Phase)
		})
		t.Logf("cut %d at write %d of %d (%s; %s): %s, %s %s", i, n, total, mode, was, h.console(mark, "tidegate: slot"), s.Phase, s.Error)
		h.intact()
	}
	h.arrived()
}

// moment is how far the console had come when the power went.
func (m *machine) moment(mark int) string {
	if m.count(mark, "tidegate: slot") > 0 {
		return "after the restart"
	}
	return "before the restart"
}
