package show

import (
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"tidegate/cmd/tidegate/internal/control"
	"tidegate/cmd/tidegate/internal/tty"
)

func TestWords(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{Count(9999), "9999"}, {Count(12345), "12k"}, {Count(12345678), "12.3M"},
		{Rate(0), "0"}, {Rate(0.3), "0.3"}, {Rate(9.96), "10"}, {Rate(45000), "45k"},
		{Size(512), "512 B"}, {Size(45_000), "45 kB"}, {Size(45_000_000), "45 MB"}, {Size(45_000_000_000), "45.0 GB"},
		{Lasting(-1), "0s"}, {Lasting(42), "42s"}, {Lasting(190), "3m10s"}, {Lasting(7500), "2h05m"}, {Lasting(273600), "3d04h"}, {Lasting(1e12), "years"},
		{RoundTrip(0), "-"}, {RoundTrip(0.0042), "4.2 ms"}, {RoundTrip(0.042), "42 ms"}, {RoundTrip(2.5), "2.5 s"},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
}

func number(v float64) *float64 { return &v }

// busy is a gateway with a bit of everything, some of it hostile.
func busy() *control.Status {
	return &control.Status{
		Gateway: "house-17", Version: "v1.2.0", Uptime: 273600, Verdict: control.Attention, Headline: "Link house-17-u1 is away; what it carries waits",
		Findings: []control.Finding{{Level: "attention", About: "cloud", What: "Link house-17-u1 is away; what it carries waits", Hint: "Is the cloud's broker running?"}},
		Home:     control.Home{Devices: 12, InPerS: 30.2, OutPerS: 60.4, Refused: 3, Listeners: []control.Listener{{Address: "0.0.0.0:1883", Protocol: "tcp"}}},
		Uplinks: []control.Uplink{{
			Name: "cloud", State: control.Partly, Words: "1 of 2 links to the cloud are up", SentPerS: 30, AckedPerS: 29,
			Links: []control.Link{
				{ID: "house-17-u0", Endpoint: "mqtts://node-1.a-rather-long-name.eu-central.example.com:8883", State: "up", Flowing: true, RTT: 0.021, InFlight: 3, Lasting: 7500},
				{ID: "house-17-u1", Endpoint: "mqtts://node-2.example.com:8883", State: "backoff", Fault: "refused", Words: "Nobody answers at the cloud's address", Lasting: 42},
			},
			Spool:   control.Spool{Words: "3,000 messages wait", RAMMessages: 1000, DiskMessages: 2000, DiskBytes: 4e6, DiskLimit: 4e9},
			Dropped: []control.Drop{{Route: "home/#", Count: 7, Words: "they were too old"}, {Route: "x", Count: 0, Words: "not shown"}},
			Dead:    control.Dead{Count: 2},
		}},
		Sensors: []control.Sensor{
			{Name: "living-room", Available: true, Values: []control.Value{{Field: "temperature", Unit: "°C", Value: number(21.43), Trend: "rising"}, {Field: "humidity", Unit: "%", Value: number(40)}}},
			{Name: "cellar\x1b[2J", Words: "the chip does not answer"},
		},
		Actuators: []control.Actuator{{Name: "pump", State: "ON", Available: true}},
		Card:      control.Card{Words: "12 % of its life used", Size: 16e9, Free: 8e9},
		Memory:    control.Memory{RSS: 21e6},
	}
}

var escapes = regexp.MustCompile("\x1b\\[[0-9]*m")

func TestStatus(t *testing.T) {
	for _, width := range []int{40, 80, 200} {
		for _, paint := range []tty.Paint{false, true} {
			p := Page{Paint: paint, Width: width}
			p.Status(busy())
			text := strings.Join(p.Lines(), "\n")
			plain := escapes.ReplaceAllString(text, "")
			if bool(paint) == (text == plain) {
				t.Errorf("painted %v: got %q", paint, text)
			}
			if strings.Contains(plain, "\x1b") {
				t.Errorf("a name's escape reaches the terminal: %q", plain)
			}
			for _, l := range strings.Split(plain, "\n") {
				if width >= 80 && utf8.RuneCountInString(l) > width {
					t.Errorf("got %d columns, want at most %d: %q", utf8.RuneCountInString(l), width, l)
				}
			}
			flat := strings.Join(strings.Fields(plain), " ")
			for _, want := range []string{
				"house-17", "up 3d04h", "attention Link house-17-u1 is away", "→ Is the cloud's broker running?", "12 devices, 30 messages/s in, 60/s out, 3 refused",
				"partly: 1 of 2 links to the cloud are up; 30/s sent, 29/s acknowledged", "21 ms", "house-17-u1: Nobody answers at the cloud's address",
				"3,000 messages wait (1000 in memory, 2000 on disk, 4000 kB of 4000 MB)", "7 of home/#: they were too old", "2 lie among the dead letters",
				"living-room: temperature 21.43 °C ↗, humidity 40 %", "not there: the chip does not answer", "pump: ON", "12 % of its life used, 8000 MB free of 16.0 GB", "version v1.2.0",
			} {
				if width >= 80 && !strings.Contains(flat, want) {
					t.Errorf("width %d: want %q in\n%s", width, want, plain)
				}
			}
			if strings.Contains(plain, "not shown") {
				t.Errorf("got a drop of nothing:\n%s", plain)
			}
		}
	}
}

func TestStatusWithoutACloud(t *testing.T) {
	p := Page{Width: 80}
	p.Status(&control.Status{Gateway: "home", Verdict: control.Well, Headline: "All is well"})
	if text := strings.Join(p.Lines(), "\n"); !strings.Contains(text, "All is well") || !strings.Contains(text, "everything stays at home") {
		t.Errorf("got\n%s", text)
	}
}
