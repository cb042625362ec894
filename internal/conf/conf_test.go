package conf

import (
	"testing"
	"time"
)

func TestDurationText(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"250ms": 250 * time.Millisecond, "20s": 20 * time.Second, "1h30m": 90 * time.Minute, "7d": 168 * time.Hour, "0s": 0,
	} {
		var got Duration
		if err := got.UnmarshalText([]byte(text)); err != nil || got.Std() != want {
			t.Errorf("%q: got %v, %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "d", "20", "soon", "xd"} {
		var got Duration
		if err := got.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q: got %v, want an error", text, got)
		}
	}
}

func TestSizeText(t *testing.T) {
	for text, want := range map[string]Size{
		"0B": 0, "512B": 512, "64KiB": 64 << 10, "32MiB": 32 << 20, "2GiB": 2 << 30,
	} {
		var got Size
		if err := got.UnmarshalText([]byte(text)); err != nil || got != want {
			t.Errorf("%q: got %v, %v, want %v", text, got, err, want)
		}
		if back := got.String(); back != text {
			t.Errorf("%q: written back as %q", text, back)
		}
	}
	for _, text := range []string{"", "12", "1.5MiB", "-1B", "9999999999GiB", "MiB"} {
		var got Size
		if err := got.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q: got %v, want an error", text, got)
		}
	}
}
