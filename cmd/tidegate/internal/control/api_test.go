package control

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"tidegate/edge"
	"tidegate/hw"
	"tidegate/uplink"
)

const patient = 30 * time.Second

// quiet is an API over a gateway in which nothing happens.
func quiet() Options {
	return Options{
		Gateway: "house", Read: func() Readings { r := healthy(); r.At = time.Now(); return *r }, Raw: func() any { return map[string]int{"n": 1} },
		Overhear: func(ctx context.Context, _ []string, _ func(*edge.Message, int64)) { <-ctx.Done() },
		Retained: func(string, func(*edge.Message) bool) {}, Publish: func(*edge.Message) {},
		Places: func() []hw.Place { return nil }, Events: func(string) []uplink.Event { return nil },
		Spools: map[string]string{}, Config: func() (string, string) { return "", "" }, Check: func([]byte) []Problem { return nil },
	}
}

// serve runs an API on a socket; stop ends it and waits.
func serve(t *testing.T, opt Options) (a *API, path string, stop func()) {
	t.Helper()
	a = New(opt)
	path = filepath.Join(t.TempDir(), SocketName)
	l, err := ListenSocket(path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 2)
	go func() { ended <- a.Run(ctx) }()
	go func() { ended <- a.Serve(ctx, l) }()
	return a, path, func() {
		cancel()
		for range 2 {
			select {
			case err := <-ended:
				if err != nil {
					t.Error(err)
				}
			case <-time.After(patient):
				t.Fatal("it does not end")
			}
		}
	}
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patient); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not so: %s", what)
		}
	}
}

// Fifty listen, some take nothing: each of the others gets its frames, the
// numbers are read once for all, and at the end nobody is left.
func TestFiftyListeners(t *testing.T) {
	before := runtime.NumGoroutine()
	_, path, stop := serve(t, quiet())
	frames := make(chan int, 10000)
	ended := make(chan error, 50)
	for i := range 45 {
		c, err := Dial(path)
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			ended <- c.Stream(context.Background(), "/v1/live", nil, func(event string, data []byte) error {
				if event != "status" || !strings.Contains(string(data), `"headline":"All is well"`) {
					return fmt.Errorf("got %s %s", event, data)
				}
				frames <- i
				return nil
			})
			c.Close()
		}()
	}
	for range 5 {
		c, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		fmt.Fprint(c, "GET /v1/live HTTP/1.1\r\nHost: x\r\n\r\n") // and takes nothing
	}
	got := map[int]int{}
	for done := 0; done < 45; {
		select {
		case i := <-frames:
			if got[i]++; got[i] == 3 {
				done++
			}
		case err := <-ended:
			t.Fatalf("ended: %v", err)
		case <-time.After(patient):
			t.Fatal("no frames come")
		}
	}
	stop()
	for range 45 {
		if err := <-ended; err != nil {
			t.Errorf("a listener: got %v, want the end", err)
		}
	}
	until(t, "no goroutine is left", func() bool { return runtime.NumGoroutine() <= before+1 })
}

// A listener who takes nothing is cut, and holds nobody up.
func TestSlowListenerMissesFrames(t *testing.T) {
	l := newLive(nil)
	frames, leave := l.join()
	for i := range 100 {
		l.give(frame(fmt.Sprint(i)))
	}
	if got := string(<-frames); got != "99" {
		t.Errorf("got frame %s, want the newest", got)
	}
	leave()
	if l.any() {
		t.Error("somebody is left")
	}
}

func TestStreamsAreBounded(t *testing.T) {
	a := New(quiet())
	a.streams.Store(mostStreams)
	for _, path := range []string{"/v1/live", "/v1/tail", "/v1/log?follow=1"} {
		if w := request(a, Admin, "GET", path, ""); w.Code != http.StatusTooManyRequests {
			t.Errorf("%s: got %d %s", path, w.Code, w.Body)
		}
	}
}

func request(a *API, role Role, method, path, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	w := httptest.NewRecorder()
	a.ServeHTTP(w, r.WithContext(WithRole(r.Context(), role)))
	return w
}

// Nobody without a role sees anything; who may look changes nothing.
func TestRoles(t *testing.T) {
	a := New(quiet())
	for _, c := range []struct {
		role         Role
		method, path string
		want         int
	}{
		{NoRole, "GET", "/v1/status", 401}, {"other", "POST", "/v1/publish", 403}, {NoRole, "POST", "/v1/publish", 401},
		{Read, "GET", "/v1/status", 200}, {Read, "GET", "/v1/stats", 200}, {Read, "GET", "/v1/log", 200}, {Read, "GET", "/v1/topics", 200}, {Read, "GET", "/v1/config", 200},
		{Read, "POST", "/v1/publish", 403}, {Read, "POST", "/v1/dead/drop", 403}, {Read, "POST", "/v1/dead/retry", 403}, {Read, "POST", "/v1/config/check", 403}, {Read, "POST", "/v1/actuators/x", 403},
		{Admin, "POST", "/v1/publish", 200}, {Admin, "POST", "/v1/config/check", 200}, {Admin, "POST", "/v1/actuators/x", 404},
		{Admin, "GET", "/v1/topics?limit=x", 400}, {Admin, "GET", "/v1/tail?filter=a%23", 400}, {Admin, "GET", "/v1/log?level=loud", 400}, {Admin, "GET", "/v1/dead?uplink=x", 404}, {Admin, "GET", "/nothing", 404},
		{Admin, "POST", "/v1/status", 405}, {Admin, "GET", "/v1/publish", 405}, {Admin, "BREW", "/v1/devices/x", 405}, {NoRole, "POST", "/v1/status", 405}, {Admin, "POST", "/v1/nothing", 404},
	} {
		body := `{"topic":"a"}`
		if strings.Contains(c.path, "actuators") {
			body = `{"command":"ON"}`
		}
		w := request(a, c.role, c.method, c.path, body)
		if w.Code != c.want {
			t.Errorf("%s %s as %q: got %d %s, want %d", c.method, c.path, c.role, w.Code, w.Body, c.want)
		}
		var said Error
		if err := json.Unmarshal(w.Body.Bytes(), &said); err != nil || c.want >= 400 && said.What == "" {
			t.Errorf("%s: got %s", c.path, w.Body)
		}
		if strings.Contains(w.Body.String(), ":null") && c.path != "/v1/status" {
			t.Errorf("%s has a null: %s", c.path, w.Body)
		}
	}
}

// Who uses another method learns which there are.
func TestMethods(t *testing.T) {
	a := New(quiet())
	for path, want := range map[string]string{"/v1/status": "GET", "/v1/publish": "POST", "/v1/devices/x": "GET", "/v1/nothing": ""} {
		if got := request(a, Admin, "PATCH", path, "").Header().Get("Allow"); got != want {
			t.Errorf("%s allows %q, want %q", path, got, want)
		}
	}
}

// A body is one JSON value, whole, of the members that there are.
func TestBodies(t *testing.T) {
	a := New(quiet())
	for body, want := range map[string]int{
		`{"topic":"a"}`: 200, "{\"topic\":\"a\"}\n ": 200,
		"": 400, "{": 400, "[]": 400, "null null": 400, `{"topic":"a","colour":1}`: 400,
		`{"topic":"a"} x`: 400, `{"topic":"a"}{"topic":"b"}`: 400, `{"topic":"a"}}`: 400,
	} {
		if w := request(a, Admin, "POST", "/v1/publish", body); w.Code != want {
			t.Errorf("%q: got %d %s, want %d", body, w.Code, w.Body, want)
		}
	}
}

// The log is bounded, and one who follows too slowly is told how much is missing.
func TestLogIsBounded(t *testing.T) {
	l := NewLog()
	log := slog.New(l.Tee(slog.NewTextHandler(io.Discard, nil))).With("component", "test").WithGroup("g")
	all := func(*Line) bool { return true }
	_, f := l.last(all, true)
	for range 5000 {
		log.Info("said", "text", strings.Repeat("x", 5000))
	}
	lines, _ := l.last(all, false)
	if len(lines) > mostLines || l.cost > mostLogSize || len(lines) < 100 {
		t.Errorf("got %d lines, %d bytes", len(lines), l.cost)
	}
	if x := lines[0]; x.Fields["component"] != "test" || len(x.Fields["g.text"]) > mostText+8 || x.Level != "info" {
		t.Errorf("got %+v", x)
	}
	if n := l.missed(f); n != 5000-waitingLog {
		t.Errorf("missed: got %d", n)
	}
	for range 5000 {
		log.Info("short")
	}
	if lines, _ := l.last(all, false); len(lines) != mostLines {
		t.Errorf("got %d lines, want %d", len(lines), mostLines)
	}
}

// The tree stays within its bounds, and what came longest ago gives way.
func TestTopicsAreBounded(t *testing.T) {
	o := quiet()
	tree := topics{hear: o.Overhear, retained: o.Retained}
	tree.look(t.Context())
	for i := range 3 * mostTopics {
		tree.take(&edge.Message{Topic: fmt.Sprintf("a/%d/x", i), Payload: []byte("1")}, false)
	}
	found, known, _ := tree.level("a/", "")
	if known > mostTopics || tree.size > mostTopicSize || len(found) != known || tree.by["a/0/x"] != nil || tree.by[fmt.Sprintf("a/%d/x", 3*mostTopics-1)] == nil {
		t.Errorf("got %d topics, %d bytes", known, tree.size)
	}
	for i := range 3000 {
		tree.take(&edge.Message{Topic: fmt.Sprintf("b/%d", i), Payload: []byte(strings.Repeat("ä", 2000))}, false)
	}
	if tree.size > mostTopicSize || len(tree.by) != tree.recent.Len() {
		t.Errorf("got %d bytes, %d and %d topics", tree.size, len(tree.by), tree.recent.Len())
	}
	if v := tree.by["b/2999"].Value.(*seen).value; !v.Truncated || v.Encoding != "text" || v.Size != 4000 {
		t.Errorf("got %+v", v)
	}
	tree.rest(true)
}

// What is retained just when the API begins to listen is known, also when it came
// after what was retained had been read.
func TestNoTopicIsMissedAtTheStart(t *testing.T) {
	begin, said := make(chan struct{}), false
	tree := topics{
		hear: func(ctx context.Context, _ []string, f func(*edge.Message, int64)) {
			<-begin
			said = true
			f(nil, 0)
			<-ctx.Done()
		},
		retained: func(filter string, f func(*edge.Message) bool) {
			if filter != "#" {
				return
			}
			f(&edge.Message{Topic: "old", Payload: []byte("1"), Accepted: time.Unix(1, 0)})
			if said {
				f(&edge.Message{Topic: "new", Payload: []byte("1"), Accepted: time.Unix(2, 0)})
			}
		},
	}
	tree.look(t.Context())
	defer tree.rest(true)
	if found, _, _ := tree.level("", ""); len(found) != 1 || !found[0].Value.Retained {
		t.Errorf("got %+v, want what was retained before", found)
	}
	close(begin)
	for end := time.Now().Add(patient); ; time.Sleep(time.Millisecond) {
		if found, _, _ := tree.level("", ""); len(found) == 2 {
			return
		} else if time.Now().After(end) {
			t.Fatalf("got %+v, want two topics", found)
		}
	}
}

// Topics that begin with a slash have a level of their own, with an empty name.
func TestTopicsWithEmptyLevels(t *testing.T) {
	a := New(quiet())
	a.topics.look(t.Context())
	for _, topic := range []string{"/a/b", "//", "c"} {
		a.topics.mu.Lock()
		a.topics.take(&edge.Message{Topic: topic, Payload: []byte("1")}, false)
		a.topics.mu.Unlock()
	}
	for query, want := range map[string]string{"": " 2, c 0, ", "?under=": "/ 1, /a 1, ", "?under=%2F": "// 0, ", "?under=%2Fa": "/a/b 0, ", "?under=c": ""} {
		r := request(a, Read, "GET", "/v1/topics"+query, "")
		var got Topics
		if err := json.Unmarshal(r.Body.Bytes(), &got); err != nil || time.Time(got.Since).IsZero() || got.Known != 3 {
			t.Fatalf("%s: %v: %s", query, err, r.Body)
		}
		text := ""
		for _, x := range got.Topics {
			text += fmt.Sprintf("%s %d, ", x.Topic, x.Children)
		}
		if text != want {
			t.Errorf("%s: got %q, want %q", query, text, want)
		}
	}
	a.topics.rest(true)
}

// A day of sensors and links has its points, with nulls where nothing was known.
func TestADay(t *testing.T) {
	o := quiet()
	s := senses{places: o.Places, hear: o.Overhear, retained: o.Retained}
	s.build([]hw.Place{{Name: "hall", Measures: []hw.Measure{{Field: "t", JSON: true, Unit: "°C", Topic: "s/hall"}}}})
	stats := hw.Stats{Sensor: []hw.SensorStats{{Name: "hall", State: hw.Online}}}
	var m minutes
	begin := time.Now().Add(-25 * time.Hour)
	for i := range 25 * 60 {
		r := healthy(cloudOf(uplink.LinkStats{ID: "u0", State: uplink.Connected, Endpoint: fmt.Sprintf("mqtt://%d", i/100), RTT: 20 * time.Millisecond}))
		r.At = begin.Add(time.Duration(i) * time.Minute)
		r.Edge.PublishReceived = int64(i) * 120
		s.take(&edge.Message{Topic: "s/hall", Payload: fmt.Appendf(nil, `{"t":%d}`, i)})
		s.take(&edge.Message{Topic: "s/hall", Payload: []byte(`{"t":-99}`), From: "stranger"})
		s.roll(m.add(r, countsOf(r)), &stats)
	}
	if got := m.homes.points(m.n); len(got) != mostPoints || got[100] != 2 {
		t.Errorf("flow: got %d points, %v", len(got), got[100])
	}
	if n := len(m.up["cloud"].latency); n > mostEndpoints {
		t.Errorf("got the latency of %d endpoints", n)
	}
	q := s.of[0].quantities[0]
	if got := q.ms.points(mostPoints); q.trend() != "rising" || got[mostPoints-1] != 25*60-1 || q.mins.ago(1) < 0 {
		t.Errorf("sensor: got %v, %s", got[mostPoints-3:], q.trend())
	}
	stats.Sensor[0].State = hw.Offline
	s.roll(1, &stats)
	if !math.IsNaN(q.ms.ago(1)) {
		t.Errorf("of a sensor that is away: got %v", q.ms.ago(1))
	}
	text, err := json.Marshal(q.ms.points(2))
	if want := fmt.Sprintf("[%d,null]", 25*60-1); err != nil || string(text) != want {
		t.Errorf("got %s, %v, want %s", text, err, want)
	}
}

// Full histories of everything take some 4.5 MB.
func TestMemoryOfAFullHistory(t *testing.T) {
	used := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := used()
	o := quiet()
	s := &senses{places: o.Places, hear: o.Overhear, retained: o.Retained}
	var places []hw.Place
	var stats hw.Stats
	for i := range 60 {
		name := fmt.Sprint("sensor", i)
		places = append(places, hw.Place{Name: name, Measures: []hw.Measure{{Field: "a", JSON: true, Topic: name}, {Field: "b", JSON: true, Topic: name}, {Field: "c", JSON: true, Topic: name}}})
		stats.Sensor = append(stats.Sensor, hw.SensorStats{Name: name, State: hw.Online})
	}
	s.build(places)
	m, l, tree := new(minutes), NewLog(), &topics{hear: o.Overhear, retained: o.Retained}
	log := slog.New(l.Tee(slog.NewTextHandler(io.Discard, nil)))
	begin := time.Now()
	for i := range mostPoints {
		var links []uplink.LinkStats
		for j := range mostEndpoints {
			links = append(links, uplink.LinkStats{ID: fmt.Sprint("u", j), State: uplink.Connected, Endpoint: fmt.Sprint("mqtt://", j), RTT: time.Millisecond})
		}
		r := healthy(cloudOf(links...))
		r.At = begin.Add(time.Duration(i) * time.Minute)
		s.roll(m.add(r, countsOf(r)), &stats)
		log.Info("a line as they are", "component", "uplink", "link", "house-u0", "n", i, "err", strings.Repeat("x", 200))
	}
	tree.look(t.Context())
	for i := range mostTopics {
		tree.take(&edge.Message{Topic: fmt.Sprintf("home/room/%d/value", i), Payload: []byte("21.5")}, false)
	}
	got := used() - before
	t.Logf("%d KB: %d series of sensors, %d lines, %d topics", got/1000, s.all, len(l.lines), len(tree.by))
	if got > 6<<20 {
		t.Errorf("got %d bytes", got)
	}
	tree.rest(true)
	runtime.KeepAlive(m)
}
