package line

import (
	"testing"
	"time"
)

func TestMeterIsExact(t *testing.T) {
	begin := time.Now()
	m := NewMeter(Record{}, 1234.567, 0.001, begin)
	for range 1_000_000 {
		m.Add(1)
	}
	if got := m.Total(); got != 2234.567 || m.Decimals() != 3 {
		t.Errorf("got %v with %d decimals, want 2234.567 with 3", got, m.Decimals())
	}
	if got := m.Rate(begin.Add(30 * time.Minute)); got != 2000 {
		t.Errorf("rate: got %v an hour, want 2000", got)
	}
	if got := m.Rate(begin.Add(time.Hour)); got != 0 {
		t.Errorf("rate without pulses: got %v", got)
	}
	if got := m.Rate(begin.Add(time.Hour)); got != 0 {
		t.Errorf("rate over no time: got %v", got)
	}
}

func TestMeterGoesOnFromItsRecord(t *testing.T) {
	kept := Record{Start: 100, Base: 100, PerPulse: 0.01, Count: 550}
	for _, c := range []struct {
		name            string
		rec             Record
		start, perPulse float64
		want            float64 // total after ten more pulses
		unsaved         bool    // before them
	}{
		{"as it was", kept, 100, 0.01, 105.6, false},
		{"no start in the file any more", kept, 0, 0.01, 105.6, true},
		{"set anew", kept, 300, 0.01, 300.1, true},
		{"another per-pulse counts from here on", kept, 100, 0.5, 110.5, true},
		{"new", Record{}, 0, 1, 10, true},
		{"new, with a start", Record{}, 42.5, 1, 52.5, true},
	} {
		m := NewMeter(c.rec, c.start, c.perPulse, time.Now())
		if m.Unsaved() != c.unsaved {
			t.Errorf("%s: unsaved is %v", c.name, m.Unsaved())
		}
		m.Add(10)
		if got := m.Total(); got != c.want {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
	}
}

func TestSavingKeepsToTheBudget(t *testing.T) {
	begin := time.Now()
	disk := newModel()
	s := &Store{disk: disk, dir: "c", name: "water"}
	m := NewMeter(Record{PerPulse: 1}, 0, 1, begin)
	b := Budget{Every: time.Hour, Pulses: 100}
	if m.SaveIn(b, begin.Add(24*time.Hour)) == 0 {
		t.Error("a meter that did not move is saved")
	}
	m.Add(99)
	if m.SaveIn(b, begin.Add(59*time.Minute)) == 0 {
		t.Error("saved too early")
	}
	if m.SaveIn(b, begin.Add(time.Hour)) > 0 {
		t.Error("not saved after an hour")
	}
	m.Add(1)
	if m.SaveIn(b, begin.Add(59*time.Second)) == 0 || m.SaveIn(b, begin.Add(time.Minute)) > 0 {
		t.Error("pulses may hasten a save to one a minute, not more")
	}
	disk.left = 0
	if err := m.Save(s, begin.Add(time.Minute)); err == nil || !m.Unsaved() {
		t.Errorf("a save that failed: got %v, unsaved %v", err, m.Unsaved())
	}
	if m.SaveIn(b, begin.Add(time.Minute+time.Second)) == 0 {
		t.Error("a save that failed is tried at once again")
	}
	disk.left = -1
	if err := m.Save(s, begin.Add(2*time.Minute)); err != nil || m.Unsaved() {
		t.Errorf("got %v, unsaved %v", err, m.Unsaved())
	}
}
