//go:build image

package bundle

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sync"
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
	h.bundle("v9.0.5", h.pair, map[string]string{soonerFile: "# as it is shipped: three minutes\n"})
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

// The power goes at moments of writing, switching, and of the new slot's trial.
// Each ends in a healthy system: the old slot with an update that failed, or the
// new one, confirmed.
func TestPowerCuts(t *testing.T) {
	h := newHouse(t)
	h.on()
	h.serves()
	h.fill()
	h.bundle("v9.1.0", h.pair, map[string]string{})

	// Once without a cut: how many writes there are to the restart, and from
	// there until it is confirmed.
	mark, before := h.mark(), h.requests()
	h.order("v9.1.0", "v9.1.0.raucb")
	h.console(mark, "U-Boot")
	restart := h.requests()
	h.becomes("confirmed", "v9.1.0", "")
	writing, trial := restart-before, h.requests()-restart
	t.Logf("an update takes %d writes and flushes, the trial %d", writing, trial)

	runs, late := h.runs(mark), 0
	for i := range *cuts {
		c := cutAt{writes: writing * int64(i+1) / int64(*cuts*3/5)}
		if first := *cuts * 3 / 5; i >= first {
			c = cutAt{inTrial: true, writes: trial * int64(i-first) / int64(*cuts-first)}
		}
		mark := h.mark()
		if !h.cutWithin(c) {
			late++
		}
		when := h.moment(mark)
		h.cut(power.Mode(i % 3))
		mark = h.mark()
		h.on()
		h.serves()
		s := h.ended()
		was := runs
		runs = h.runs(mark)
		t.Logf("cut %d, %s (%s): %s ran, %s runs, %s %s", i, when, power.Mode(i%3), was, runs, s.Phase, s.Error)
		switch {
		case s.Phase == "confirmed" && runs != was:
		case s.Phase == "failed" && runs == was && !c.inTrial:
		default:
			t.Errorf("cut %d: got %s, and %s after %s runs", i, s.Phase, runs, was)
		}
		h.intact()
	}
	if late > *cuts/4 {
		t.Errorf("%d of %d cuts came after the update: they prove nothing", late, *cuts)
	}
	h.arrived()
}

// cutAt is a moment of an update: after so many writes and flushes, from the
// order on, or from the start of the trial.
type cutAt struct {
	inTrial bool
	writes  int64
}

// cutWithin orders an update and takes the power from the card at that moment.
// It is false when the update had ended before.
func (h *house) cutWithin(c cutAt) bool {
	h.t.Helper()
	mark := h.mark()
	if !c.inTrial {
		gone := h.disk.OffAfter(max(c.writes, 1))
		h.order("v9.1.0", "v9.1.0.raucb")
		return h.goneFirst(gone)
	}
	h.order("v9.1.0", "v9.1.0.raucb")
	h.console(mark, "U-Boot")
	return h.goneFirst(h.disk.OffAfter(max(c.writes, 1)))
}

// goneFirst waits until the power is gone, or the update has ended.
func (h *house) goneFirst(gone <-chan struct{}) bool {
	h.t.Helper()
	ended := make(chan struct{})
	ctx, cancel := context.WithCancel(h.t.Context())
	var watching sync.WaitGroup
	watching.Go(func() {
		for ctx.Err() == nil {
			if s := h.status(); s.Serial == h.serial && s.over() {
				close(ended)
				return
			}
			time.Sleep(time.Second)
		}
	})
	defer watching.Wait()
	defer cancel()
	select {
	case <-gone:
		return true
	case <-ended:
		return false
	case <-h.done:
		h.t.Fatal("the machine ended by itself")
	case <-time.After(patience):
		h.t.Fatalf("nothing was written for %v", patience)
	}
	return false
}

// requests counts what changed the card.
func (h *house) requests() int64 {
	s := h.disk.Stats()
	return s.Writes + s.Flushes
}

// runs is the slot that U-Boot started last, of the starts after a mark.
func (m *machine) runs(mark int) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	slot := ""
	for _, line := range m.lines[mark:] {
		if at := started.FindStringSubmatch(line); at != nil {
			slot = at[1]
		}
	}
	return slot
}

var started = regexp.MustCompile("tidegate: slot ([AB]), ")

// moment is how far the console had come when the power went.
func (m *machine) moment(mark int) string {
	switch {
	case m.count(mark, "msg=ready") > 0:
		return "the new gateway is up"
	case m.count(mark, "Linux|systemd|tidegate: slot") > 0:
		return "the new system starts"
	case m.count(mark, "U-Boot") > 0:
		return "before a slot is chosen"
	}
	return "while it is written"
}
