package hw

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// reload runs one Hardware after the other, as the gateway does when its
// configuration has changed.
func reload(t *testing.T, from, to *house, before, after time.Duration) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- from.Run(ctx) }()
	time.Sleep(before)
	to.Follow(from.Hardware)
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
	to.runFor(t, after)
}

// A reload leaves sensors alone whose configuration is the same.
func TestReloadKeepsWhatDidNotChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &board{chips: map[uint16]*fakeChip{0x76: {}, 0x77: {}, 0x10: {}, 0x11: {fails: errNoAck}, 0x12: {}}}
		same, other, gone, dead, fresh := thermo("same", 0x76, 2*time.Second), thermo("other", 0x77, time.Second), thermo("gone", 0x10, time.Second), thermo("dead", 0x11, time.Second), thermo("fresh", 0x12, time.Second)
		from := newHouse(t, b, Options{}, same, other, gone, dead)
		other.Retain = new(bool)
		to := newHouse(t, b, Options{}, fresh, dead, other, same)
		reload(t, from, to, 9500*time.Millisecond, 9*time.Second)

		said := func(name string) string {
			topic := "sensors/" + name + "/availability"
			return strings.Join(slices.Concat(from.payloads(topic), []string{"|"}, to.payloads(topic)), " ")
		}
		for name, want := range map[string]string{
			"same": "online | offline", "other": "online offline | online offline", "gone": "online offline |",
			"dead": "offline |", "fresh": "| online offline",
		} {
			if got := said(name); got != want {
				t.Errorf("%s: got %q, want %q", name, got, want)
			}
		}
		if c := b.chips[0x76]; c.opened != 1 || c.halted != 1 {
			t.Errorf("same: opened %d times, halted %d times, want once: at the end", c.opened, c.halted)
		}
		for i, at := range b.chips[0x76].reads {
			if want := time.Duration(i) * 2 * time.Second; at.Sub(b.chips[0x76].reads[0]) != want {
				t.Errorf("same: reading %d after %v, want %v", i, at.Sub(b.chips[0x76].reads[0]), want)
			}
		}
		if s := to.Stats().Sensor[3]; s.Name != "same" || s.Readings != 10 {
			t.Errorf("same: got %+v, want its 10 readings", s)
		}
		gateway := slices.Concat(from.payloads(AvailabilityTopic), to.payloads(AvailabilityTopic))
		if want := []string{"online", "online", "offline"}; !slices.Equal(gateway, want) {
			t.Errorf("the gateway: got %v, want %v", gateway, want)
		}
		if b.open != 0 {
			t.Errorf("%d handles left open", b.open)
		}
	})
}

func TestReloadToNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &board{chips: map[uint16]*fakeChip{0x76: {}}}
		from, to := newHouse(t, b, Options{}, thermo("a", 0x76, time.Second)), newHouse(t, b, Options{})
		reload(t, from, to, 2*time.Second, time.Second)
		if got := to.payloads(AvailabilityTopic); !slices.Equal(got, []string{"offline"}) {
			t.Errorf("got %v, want offline", got)
		}
	})
}

// A call that was stuck at a reload is still the only one of its sensor.
func TestReloadWhileACallHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hang := make(chan struct{})
		b := &board{chips: map[uint16]*fakeChip{0x76: {hangs: hang}}}
		c := thermo("a", 0x76, time.Second)
		from, to := newHouse(t, b, Options{}, c), newHouse(t, b, Options{}, c)
		reload(t, from, to, time.Minute, time.Hour)
		if n := b.reads(0x76); n != 1 {
			t.Errorf("got %d calls, want 1", n)
		}
		close(hang)
	})
}
