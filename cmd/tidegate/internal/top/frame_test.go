package top

import (
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"tidegate/cmd/tidegate/internal/control"
)

func crowded() *view {
	v := &view{status: &control.Status{
		Gateway: "house-17", Verdict: control.Attention, Headline: "Nobody answers at the cloud's address", Uptime: 4000,
		Findings: []control.Finding{{Level: "attention", Hint: "Is the cloud's broker running?"}},
		Home:     control.Home{Devices: 500, InPerS: 120},
		Uplinks: []control.Uplink{{Name: "cloud", State: control.Storing, Links: []control.Link{
			{ID: "house-17-u0", State: "backoff", Fault: "refused", Endpoint: "mqtts://node-1.a-rather-long-name.example.com:8883"}, {ID: "house-17-u1", State: "backoff"}, {ID: "house-17-d0", State: "up", Flowing: true},
		}}},
	}}
	for i := range 300 {
		v.in.add(float64(i % 17))
	}
	var all []control.Device
	for i := range 500 {
		all = append(all, control.Device{ClientID: fmt.Sprintf("device-%03d-with-a-name-that-is-long-and\x1b[2Jhostile", i), User: "house", Address: "192.0.2.1:40000", Connected: true, Queued: 500 - i})
	}
	v.devices.add(time.Unix(100, 0), all)
	for i := range all {
		all[i].Received += int64(i)
	}
	v.devices.add(time.Unix(102, 0), all)
	return v
}

// Whatever the size, the frame fits: a line too long would scroll the screen.
func TestFrameFits(t *testing.T) {
	for _, v := range []*view{{}, {trouble: "the gateway does not run"}, crowded(), {status: &control.Status{}}} {
		for _, size := range [][2]int{{80, 24}, {40, 10}, {200, 60}, {20, 3}, {1, 1}, {80, 8}} {
			lines := v.frame(size[0], size[1])
			if len(lines) > max(size[1], 3) {
				t.Errorf("%v: got %d lines", size, len(lines))
			}
			for _, l := range lines {
				if size[0] >= 80 && utf8.RuneCountInString(l) > size[0] || strings.Contains(l, "\x1b") {
					t.Errorf("%v: got %d columns: %q", size, utf8.RuneCountInString(l), l)
				}
			}
		}
	}
}

func TestFrameAt80x24(t *testing.T) {
	v := crowded()
	lines := v.frame(80, 24)
	text := strings.Join(lines, "\n")
	for _, want := range []string{"Nobody answers", "→ Is the cloud's broker running?", "cloud: storing", "house-17-d0", "device-499", "249/s"[:3], "q quit", "[a all]"} {
		if !strings.Contains(text, want) {
			t.Errorf("want %q in\n%s", want, text)
		}
	}
	if len(lines) != 24 {
		t.Errorf("got %d lines, want all 24", len(lines))
	}
	v.press('w')
	if text := strings.Join(v.frame(80, 24), "\n"); !strings.Contains(text, "device-000") || !strings.Contains(text, "[w waiting]") {
		t.Errorf("sorted by what waits: got\n%s", text)
	}
	v.take(news{err: fmt.Errorf("it went away")})
	if text := strings.Join(v.frame(80, 24), "\n"); !strings.Contains(text, "what follows is old: it went away") {
		t.Errorf("got\n%s\nwant to be told that it is old", text)
	}
}

func TestRatesOfDevices(t *testing.T) {
	var l ledger
	l.add(time.Unix(10, 0), []control.Device{{ClientID: "a", Received: 100}, {ClientID: "b", Received: 50}})
	l.add(time.Unix(12, 0), []control.Device{{ClientID: "a", Received: 120, Sent: 4}, {ClientID: "b", Received: 3}, {ClientID: "c", Received: 9}})
	got := l.sorted(0)
	if got[0].ClientID != "a" || got[0].in != 10 || got[0].out != 2 || got[1].in != 0 || got[2].in != 0 {
		t.Errorf("got %+v, want the rate of a alone: b began anew, c is new", got)
	}
}
