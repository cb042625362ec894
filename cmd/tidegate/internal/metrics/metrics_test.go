package metrics

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"reflect"
	"strings"
	"testing"
	"time"

	"tidegate/cmd/tidegate/internal/card"
	"tidegate/edge"
	"tidegate/hw"
	"tidegate/uplink"
	"tidegate/uplink/spool"
)

// silent are the fields of Stats that no metric tells, with the reason.
var silent = map[string]string{
	"Uplinks[].Stats.Status.Topic":            "a topic",
	"Uplinks[].Stats.Status.Fault":            "words: told as a flag",
	"Uplinks[].Stats.Links[].Cause":           "words; fault says it in one",
	"Uplinks[].Stats.Links[].ReturnCause":     "words",
	"Uplinks[].Stats.Routes[].Cause":          "words",
	"Uplinks[].Stats.Routes[].Drops":          "all of Spool.Drops",
	"Uplinks[].Stats.Spool.Drops[].First":     "an id",
	"Uplinks[].Stats.Spool.Drops[].Last":      "an id",
	"Uplinks[].Stats.Spool.Drops[].Topic":     "a topic",
	"Uplinks[].Stats.Spool.Drops[].At":        "when a counter rose, Prometheus knows",
	"Uplinks[].Stats.Spool.Streams[].Dropped": "the same messages by route, in Drops",
	"Uplinks[].Stats.Spool.Old[].Dropped":     "as of Streams",
	"Uplinks[].Stats.Spool.Old[].Link":        "of another number of links: told as former",
	"HW.Readings":                             "the sum over the sensors",
	"HW.Errors":                               "the sum over the sensors",
	"HW.Sensor[].Cause":                       "words",
	"HW.Input[].Cause":                        "words",
	"HW.Actuator[].Cause":                     "words",
}

// full has one of everything that there can be several of.
func full() Now {
	used := 10
	return Now{
		Version: "v1", Gateway: "house", Listeners: 1, Card: card.Stats{LifeUsed: &used},
		Uplinks: []Uplink{{Stats: uplink.Stats{
			Name:   "cloud",
			Links:  []uplink.LinkStats{{ID: "house-u0", State: uplink.Connected, Since: time.Now(), Faults: map[uplink.Fault]int64{uplink.FaultClosed: 1}}},
			Routes: []uplink.RouteStats{{Filter: "home/#", Paused: true, Since: time.Now()}},
			Spool: spool.Stats{
				Streams: []spool.StreamStats{{Class: spool.Normal}}, Old: []spool.StreamStats{{Class: spool.Bulk}},
				Drops: []spool.DropStats{{Route: "home/#", Class: spool.Normal, Cause: spool.ForAge, Messages: 1}},
			},
		}}},
		HW: hw.Stats{
			Sensor:   []hw.SensorStats{{Name: "room", Kind: "bme280", Bus: "i2c-1", State: hw.Online}},
			Input:    []hw.LineStats{{Name: "door", Kind: "contact", Line: "GPIO17", State: hw.Online}},
			Actuator: []hw.LineStats{{Name: "pump", Kind: "relay", Line: "GPIO23", State: hw.Online}},
		},
	}
}

func newMetrics(read func() Now) *Metrics {
	return New(Options{Read: read, Alive: func(context.Context) bool { return true }, Log: slog.New(slog.DiscardHandler)})
}

// scrape returns the samples of the gateway's own metrics. Ages are taken out:
// they differ from one scrape to the next.
func scrape(t *testing.T, now Now) string {
	t.Helper()
	w := httptest.NewRecorder()
	newMetrics(func() Now { return now }).Scrape(w, httptest.NewRequest("GET", "/metrics", nil))
	if w.Code != http.StatusOK {
		t.Fatalf("got %d: %s", w.Code, w.Body)
	}
	return w.Body.String()
}

func own(text string) string {
	var out []string
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, prefix) {
			out = append(out, line)
		}
	}
	return strings.Join(out, "")
}

// Whatever field of the Stats changes, something that is told changes with it.
func TestEveryFieldIsTold(t *testing.T) {
	now := full()
	fixed := time.Now().Add(time.Hour) // ages of the future are all below zero, and told
	now.Uplinks[0].Links[0].Since, now.Uplinks[0].Routes[0].Since = fixed, fixed
	before, fields := ageless(own(scrape(t, now))), 0
	var walk func(path string, v reflect.Value)
	check := func(path string, v reflect.Value) {
		fields++
		was := reflect.New(v.Type()).Elem()
		was.Set(v)
		change(t, path, v)
		after := ageless(own(scrape(t, now)))
		v.Set(was)
		if why, excused := silent[path]; after == before && !excused {
			t.Errorf("%s changes and no metric does; tell it, or say here why not", path)
		} else if after != before && excused && path != "Uplinks[].Stats.Status.Fault" {
			t.Errorf("%s is told and listed as silent (%s)", path, why)
		}
	}
	walk = func(path string, v reflect.Value) {
		_, excused := silent[path]
		switch {
		case excused, v.Type() == reflect.TypeFor[time.Time]():
			check(path, v)
		case v.Kind() == reflect.Struct:
			for i := range v.NumField() {
				walk(strings.TrimPrefix(path+"."+v.Type().Field(i).Name, "."), v.Field(i))
			}
		case v.Kind() == reflect.Slice:
			if v.Len() == 0 {
				t.Fatalf("%s is empty: put one into full", path)
			}
			walk(path+"[]", v.Index(0))
		case v.Kind() == reflect.Pointer:
			walk(path, v.Elem())
		default:
			check(path, v)
		}
	}
	walk("", reflect.ValueOf(&now).Elem())
	if fields < 150 {
		t.Errorf("got %d fields, want all of the Stats", fields)
	}
	t.Logf("%d fields", fields)
}

// ageless takes the decimals off the two ages.
func ageless(text string) string {
	var out strings.Builder
	for line := range strings.Lines(text) {
		name, _, _ := strings.Cut(line, "{")
		if name == "tidegate_link_state_seconds" || name == "tidegate_route_paused_seconds" {
			labels, value, _ := strings.Cut(line, "} ")
			var age float64
			fmt.Sscan(value, &age)
			line = fmt.Sprintf("%s} %.0f\n", labels, age/100)
		}
		out.WriteString(line)
	}
	return out.String()
}

// change gives a field another value.
func change(t *testing.T, path string, v reflect.Value) {
	t.Helper()
	switch {
	case v.Type() == reflect.TypeFor[time.Time]():
		v.Set(reflect.ValueOf(time.Now().Add(-1000 * time.Hour)))
	case v.Kind() == reflect.Struct:
		change(t, path, v.Field(0))
	case v.Kind() == reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
	case v.Kind() == reflect.Map:
		m := reflect.MakeMap(v.Type())
		m.SetMapIndex(reflect.ValueOf(uplink.FaultClosed), reflect.ValueOf(int64(777)))
		v.Set(m)
	case v.Kind() == reflect.String:
		v.SetString("offline")
	case v.Kind() == reflect.Bool:
		v.SetBool(!v.Bool())
	case v.CanInt() && v.Type() == reflect.TypeFor[time.Duration]():
		v.SetInt(int64(777 * time.Second))
	case v.CanInt():
		v.SetInt(777)
	case v.CanUint() && v.Kind() == reflect.Uint8:
		v.SetUint(0)
		if path == "Uplinks[].Stats.Spool.Old[].Class" {
			v.SetUint(1)
		}
	case v.CanUint():
		v.SetUint(777)
	case v.CanFloat():
		v.SetFloat(0.777)
	default:
		t.Fatalf("%s: what is a %v?", path, v.Type())
	}
}

// promtool knows Prometheus' conventions for names, units and help texts.
func TestNamesAreByTheConventions(t *testing.T) {
	cmd := exec.Command("promtool", "check", "metrics")
	cmd.Stdin = strings.NewReader(scrape(t, full()))
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("promtool check metrics (make setup installs it): %v\n%s", err, out)
	}
}

// Two routes may have one filter, and what another server sent may be no text.
func TestOddLabelsDoNotSpoilAScrape(t *testing.T) {
	now := full()
	u := &now.Uplinks[0]
	u.Routes = append(u.Routes, u.Routes[0])
	u.Links[0].Endpoint = "mqtt://\xff"
	u.Spool.Old = append(u.Spool.Old, u.Spool.Old[0])
	got := scrape(t, now)
	for _, want := range []string{`endpoint="mqtt://?"`, `tidegate_route_paused{direction="up",route="home/#",uplink="cloud"} 1`, `link="former"`} {
		if !strings.Contains(got, want) {
			t.Errorf("%s is missing in\n%s", want, own(got))
		}
	}
}

func TestReadiness(t *testing.T) {
	link := func(state string, down bool) uplink.LinkStats {
		return uplink.LinkStats{ID: "l-" + state, State: state, Down: down, Since: time.Now()}
	}
	cloud := func(links ...uplink.LinkStats) []Uplink {
		return []Uplink{{Stats: uplink.Stats{Name: "cloud", Links: links}}}
	}
	for _, c := range []struct {
		name     string
		now      Now
		ready    bool
		words    string
		commands bool
	}{
		{"no uplink", Now{Listeners: 1}, true, "ready", false},
		{"no listener", Now{}, false, "does not listen", false},
		{"all up", Now{Listeners: 1, Uplinks: cloud(link("up", false), link("up", false), link("up", true))}, true, "ready", true},
		{"one of two away", Now{Listeners: 1, Uplinks: cloud(link("up", false), link("backoff", false), link("up", true))}, false, "uplink cloud: link l-backoff reached no endpoint and waits", true},
		{"answers are late", Now{Listeners: 1, Uplinks: cloud(link("slow", false))}, false, "l-slow waits for acknowledgements", false},
		{"returning", Now{Listeners: 1, Uplinks: cloud(link("draining", false))}, true, "ready", true},
		{"no commands", Now{Listeners: 1, Uplinks: cloud(link("up", false), link("connecting", true))}, true, "ready", false},
		{"no links", Now{Listeners: 1, Uplinks: cloud()}, false, "no links", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := readiness(c.now)
			if got.Ready != c.ready || !strings.Contains(got.Words, c.words) {
				t.Errorf("got %+v, want %v and %q", got, c.ready, c.words)
			}
			if len(got.Uplinks) > 0 && got.Uplinks[0].Commands != c.commands {
				t.Errorf("commands: got %v, want %v", got.Uplinks[0].Commands, c.commands)
			}
		})
	}
}

// A broker that hangs is neither healthy nor ready, and a crowd that asks costs
// it one message a second.
func TestHealth(t *testing.T) {
	asked, alive := 0, true
	m := New(Options{
		Read:  func() Now { return Now{Listeners: 1, Edge: edge.Stats{}} },
		Alive: func(context.Context) bool { asked++; return alive }, Log: slog.New(slog.DiscardHandler),
	})
	code := func(h http.HandlerFunc) int {
		w := httptest.NewRecorder()
		h(w, httptest.NewRequest("GET", "/", nil))
		return w.Code
	}
	begin := time.Now()
	for range 100 {
		if got := code(m.Healthy); got != http.StatusOK {
			t.Fatalf("got %d", got)
		}
	}
	if most := 1 + int(time.Since(begin)/pulseEvery); asked > most {
		t.Errorf("asked the broker %d times, want at most %d", asked, most)
	}
	alive, m.pulse.last = false, false
	if h, r := code(m.Healthy), code(m.Ready); h != http.StatusServiceUnavailable || r != http.StatusServiceUnavailable {
		t.Errorf("of a broker that hangs: got %d and %d, want 503", h, r)
	}
}

func BenchmarkScrape(b *testing.B) {
	now := full()
	m := newMetrics(func() Now { return now })
	b.ReportAllocs()
	size := 0
	for b.Loop() {
		w := httptest.NewRecorder()
		m.Scrape(w, httptest.NewRequest("GET", "/metrics", nil))
		size = w.Body.Len()
	}
	b.ReportMetric(float64(size), "bytes")
}
