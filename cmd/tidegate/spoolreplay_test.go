package main

import (
	"testing"
	"time"

	"tidegate/uplink/spool"
)

func TestDrains(t *testing.T) {
	for _, c := range []struct {
		r    spool.Replay
		want string
	}{
		{spool.Replay{Rate: 3}, "the gateway runs and has no backlog"},
		{spool.Replay{Backlog: 7}, "the gateway runs: 7 messages are its backlog, 0/s leave it"},
		{spool.Replay{Backlog: 7000, Rate: 100, Inflow: 30, Limit: 100, Left: 100 * time.Second},
			"the gateway runs: 7000 messages are its backlog, 100/s leave it (at most 100/s), 30/s come in behind, done in about 1m40s"},
	} {
		if got := drains(c.r); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}

// TestGlance shows payloads and topics of any bytes.
func TestGlance(t *testing.T) {
	for in, want := range map[string]string{
		"21.5 °C":               `"21.5 °C"`,
		"\x1b[2J":               `"\x1b[2J"`,
		"":                      `""`,
		"\xff\x00\x1b":          "ff 00 1b",
		string(make([]byte, 3)): `"\x00\x00\x00"`,
		"123456789012345678901234567890123456789012345678901234567890123": `"123456789012345678901234567890123456789012345678901234567890" ...`,
		"12345678901234567890123456789012345678901234567890123456789°C":   `"12345678901234567890123456789012345678901234567890123456789" ...`,
	} {
		if got := begins([]byte(in)); got != want {
			t.Errorf("%q: got %s, want %s", in, got, want)
		}
	}
	for in, want := range map[string]string{"home/küche": "home/küche", "a\nb": `"a\nb"`, "\xff": `"\xff"`} {
		if got := plain(in); got != want {
			t.Errorf("%q: got %s, want %s", in, got, want)
		}
	}
}
