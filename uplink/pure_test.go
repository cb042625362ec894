package uplink

import (
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"tidegate/uplink/spool"
)

func TestLinksSitOnDistinctEndpoints(t *testing.T) {
	for _, placement := range placements {
		for _, endpoints := range []int{1, 2, 3, 5} {
			cfg := DefaultConfig()
			cfg.Links, cfg.Placement = 3, placement
			cfg.Up, cfg.Down = []Up{{Filter: "#"}}, []Down{{Filter: "down/#"}}
			for i := range endpoints {
				cfg.Endpoints = append(cfg.Endpoints, fmt.Sprintf("mqtt://node%d", i))
			}
			u, err := New(cfg, Options{Gateway: "gw", Dir: t.TempDir(), Deliver: func(*Message, Ticket) {}})
			if err != nil {
				t.Fatal(err)
			}
			load := make([]int, endpoints)
			for _, l := range u.links {
				load[l.place]++
			}
			if most := (4 + endpoints - 1) / endpoints; slices.Max(load) > most {
				t.Errorf("%s: got %v links on %d endpoints, want at most %d each", placement, load, endpoints, most)
			}
		}
	}
}

func TestPick(t *testing.T) {
	any := func(int) bool { return true }
	for _, c := range []struct {
		order, load []int
		allowed     func(int) bool
		want        int
	}{
		{[]int{2, 0, 1}, []int{0, 0, 0}, any, 2},
		{[]int{2, 0, 1}, []int{0, 0, 1}, any, 0},
		{[]int{2, 0, 1}, []int{1, 1, 1}, any, 2},
		{[]int{2, 0, 1}, []int{0, 0, 0}, func(e int) bool { return e == 1 }, 1},
		{[]int{2, 0, 1}, []int{0, 0, 0}, func(int) bool { return false }, -1},
	} {
		if got := pick(c.order, c.load, c.allowed); got != c.want {
			t.Errorf("pick(%v, %v): got %d, want %d", c.order, c.load, got, c.want)
		}
	}
}

func TestDelay(t *testing.T) {
	most := 5 * time.Second
	for _, c := range []struct {
		failures int
		chance   float64
		want     time.Duration
	}{
		{0, 1, 0}, {1, 0, 0}, {1, 1, 100 * time.Millisecond}, {2, 1, 200 * time.Millisecond}, {3, 0.5, 200 * time.Millisecond},
		{6, 1, 3200 * time.Millisecond}, {7, 1, most}, {1000, 1, most}, {math.MaxInt, 0.5, most / 2},
	} {
		if got := delay(c.failures, most, c.chance); got != c.want {
			t.Errorf("delay(%d, %v): got %v, want %v", c.failures, c.chance, got, c.want)
		}
	}
}

// A connection forgives an endpoint's failures, the more the longer it lasted;
// after a stable one there is no pause.
func TestTrouble(t *testing.T) {
	now := time.Now()
	for _, c := range []struct {
		lasted time.Duration
		want   int
	}{
		{0, 6}, {time.Second - 1, 6}, {time.Second, 5}, {3 * time.Second, 3}, {stableSpell - 1, 1}, {stableSpell, 0}, {time.Hour, 0},
	} {
		tr := trouble{failures: 5, until: now.Add(time.Second)}
		if tr.lost(now, c.lasted, time.Second); tr.failures != c.want {
			t.Errorf("lost after %v: got %d failures, want %d", c.lasted, tr.failures, c.want)
		}
		if pause := tr.until.Sub(now); pause > delay(c.want, time.Second, 1) {
			t.Errorf("lost after %v: got a pause of %v, want at most %v", c.lasted, pause, delay(c.want, time.Second, 1))
		}
	}
}

func TestRemap(t *testing.T) {
	for _, c := range []struct {
		strip, add, topic, want string
		ok                      bool
	}{
		{"", "", "a/b", "a/b", true}, {"a/", "", "a/b", "b", true}, {"a/", "x/", "a/b", "x/b", true}, {"", "x/", "a", "x/a", true},
		{"home/", "", "home", "", false}, {"a", "", "a", "", false}, {"a", "x", "a", "x", true}, {"", strings.Repeat("x", 65535), "a", "", false},
	} {
		got, ok := remap{c.strip, c.add}.topic(c.topic)
		if got != c.want || ok != c.ok {
			t.Errorf("-%q +%q %q: got %q, %v, want %q, %v", c.strip, c.add, c.topic, got, ok, c.want, c.ok)
		}
	}
}

func TestOverlap(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"a", "a", true}, {"a", "b", false}, {"#", "a/b", true}, {"a/#", "a", true}, {"a/#", "b/#", false}, {"+/b", "a/+", true},
		{"+/b", "a/c", false}, {"a/+/c", "a/b/#", true}, {"a/+", "a", false}, {"+", "a/b", false}, {"#", "$SYS/x", false}, {"$SYS/#", "$SYS/x", true},
	} {
		for _, got := range []bool{overlap(c.a, c.b), overlap(c.b, c.a)} {
			if got != c.want {
				t.Errorf("overlap(%q, %q): got %v, want %v", c.a, c.b, got, c.want)
			}
		}
	}
}

// The link of a topic must never change: these were written down once.
func TestLinkOfATopicIsFixed(t *testing.T) {
	for topic, want := range map[string][3]int{"home/kitchen/temperature": {0, 2, 12}, "dev/1": {0, 2, 14}, "site/7/door": {0, 2, 6}} {
		if got := [3]int{linkOf(topic, 2), linkOf(topic, 3), linkOf(topic, 16)}; got != want {
			t.Errorf("%s: got links %v of 2, 3 and 16, want %v", topic, got, want)
		}
	}
	load := make([]int, 4)
	for i := range 4000 {
		load[linkOf(fmt.Sprintf("dev/%d/state", i), 4)]++
	}
	for i, n := range load {
		if n < 850 || n > 1150 {
			t.Errorf("got %d of 4000 topics on link %d, want about 1000", n, i)
		}
	}
}

func TestCacheIsBounded(t *testing.T) {
	cfg := DefaultConfig()
	cfg.Up = []Up{{Filter: "a/#"}, {Filter: "#", Add: "other/"}}
	r := newRoutes(cfg, nil)
	for i := range 5 * cacheTopics {
		r.find(fmt.Sprintf("a/%d", i))
		if got := r.find("a/hot"); got.topic != "a/hot" || got.route != r.up[0] {
			t.Fatalf("got %+v", got)
		}
	}
	if got := len(r.cache.young) + len(r.cache.old); got > 2*cacheTopics {
		t.Errorf("got %d topics in the cache, want at most %d", got, 2*cacheTopics)
	}
	r.find(strings.Repeat("x", cacheLength+1))
	if _, ok := r.cache.get(strings.Repeat("x", cacheLength+1)); ok {
		t.Error("a long topic is in the cache")
	}
}

func TestWindow(t *testing.T) {
	var w window
	w.reset(8, 1000)
	entries := make([]*spool.Entry, 200)
	for i := range entries {
		entries[i] = &spool.Entry{Seq: uint64(i)}
	}
	var ids []uint16
	next := 0
	add := func() {
		ids = append(ids, w.add(entries[next], 10, int64(next)))
		next++
	}
	for range 8 {
		add()
	}
	if n, _ := w.room(); n != 0 {
		t.Fatalf("full: got room for %d", n)
	}
	w.answered(ids[1], false)
	w.answered(ids[2], false)
	if n, b := w.room(); n != 2 || b != 940 {
		t.Errorf("got room for %d messages and %d bytes, want 2 and 940", n, b)
	}
	if e, _ := w.answered(ids[1], false); e != nil {
		t.Error("one id was answered twice")
	}
	for range 2 {
		add()
	}
	if e, _ := w.answered(ids[4], true); e != entries[4] {
		t.Error("the refused one is another")
	}
	var got []uint64
	for _, e := range w.rewind(nil) {
		got = append(got, e.Seq)
	}
	if want := []uint64{0, 3, 5, 6, 7, 8, 9}; !slices.Equal(got, want) {
		t.Errorf("rewound %v, want %v", got, want)
	}
	if n, _ := w.room(); n != 1 {
		t.Errorf("after a refusal: got room for %d, want 1", n)
	}
}

// Packet ids go round and are never 0, never one that is in flight.
func TestWindowIDs(t *testing.T) {
	var w window
	w.reset(100, 1<<30)
	rnd := rand.New(rand.NewPCG(3, 4))
	flying := map[uint16]*spool.Entry{}
	var order []uint16
	for range 200_000 {
		if n, _ := w.room(); n > 0 && rnd.IntN(2) == 0 {
			e := &spool.Entry{}
			id := w.add(e, 1, 0)
			if id == 0 || flying[id] != nil {
				t.Fatalf("got id %d, in flight: %v", id, flying[id] != nil)
			}
			flying[id] = e
			order = append(order, id)
		} else if len(order) > 0 {
			i := rnd.IntN(min(len(order), 3))
			id := order[i]
			order = slices.Delete(order, i, i+1)
			if e, _ := w.answered(id, false); e != flying[id] {
				t.Fatalf("id %d: got another entry", id)
			}
			delete(flying, id)
		}
	}
}

// step is a look at vitals and its verdict.
type step struct {
	at   int64 // ms
	v    vitals
	want verdict
}

func TestJudge(t *testing.T) {
	const ms = int64(time.Millisecond)
	fresh := func() *watch {
		return &watch{keepAlive: 10 * time.Second, least: time.Second, patience: 30 * time.Second, factor: 1}
	}
	v := func(oldest, read, written int64, inFlight int) vitals {
		return vitals{oldest: oldest * ms, read: read * ms, written: written * ms, inFlight: inFlight}
	}
	late := func(v vitals) vitals { v.allLate = true; return v }
	far := func(v vitals, reached uint64) vitals { v.more, v.reached = true, reached; return v }
	gone := func(v vitals) vitals { v.more, v.lost = true, true; return v }
	suspect := func(v vitals) vitals { v.suspect = true; return v }
	for name, steps := range map[string][]step{
		"busy and answered": {{500, v(200, 450, 400, 5), verdict{}}, {900, v(500, 800, 800, 5), verdict{}}},
		"silent node": {
			{400, v(1, 300, 300, 5), verdict{}},
			{550, v(1, 300, 300, 5), verdict{ping: true}},
			{750, v(1, 300, 550, 5), verdict{}},
			{950, v(1, 300, 550, 5), verdict{}},
			{1050, v(1, 300, 550, 5), verdict{late: true}},
			{1250, v(1, 300, 550, 5), verdict{late: true}},
			{1320, v(1, 300, 550, 5), verdict{late: true, dead: errSilent}}},
		"half-open": {
			{1100, gone(v(1, 900, 1000, 5)), verdict{ping: true, late: true}},
			{1300, gone(v(1, 900, 1100, 5)), verdict{late: true}},
			{1500, gone(v(1, 900, 1100, 5)), verdict{late: true}},
			{1700, gone(v(1, 900, 1100, 5)), verdict{late: true}},
			{1900, gone(v(1, 900, 1100, 5)), verdict{late: true, dead: errSilent, lost: true}}},
		"a ping is not answered, but the acknowledgement comes": {
			{550, v(1, 300, 300, 5), verdict{ping: true}},
			{750, v(1, 300, 550, 5), verdict{}},
			{950, v(900, 300, 550, 5), verdict{}},
			{1150, v(900, 300, 550, 5), verdict{}},
			{1350, v(900, 300, 550, 5), verdict{}},
			{1550, v(900, 300, 550, 5), verdict{}},
			{2000, v(900, 300, 550, 5), verdict{late: true, dead: errSilent}}},
		"silent everywhere: a longer wait": append([]step{
			{1100, late(v(1, 900, 1000, 5)), verdict{ping: true, late: true}}},
			append(looks(1300, 4100, step{v: late(v(1, 900, 1100, 5)), want: verdict{late: true}}),
				step{4300, late(v(1, 900, 1100, 5)), verdict{late: true, dead: errSilent}})...),
		"slow cloud, then well": {
			{1100, v(1, 900, 1000, 5), verdict{ping: true, late: true}},
			{1200, v(1, 1150, 1100, 5), verdict{late: true, slow: true}},
			{1900, v(1, 1150, 1100, 5), verdict{late: true, slow: true}},
			{2300, v(1, 1150, 1100, 5), verdict{late: true, slow: true, ping: true}},
			{2400, v(2000, 2390, 1100, 5), verdict{}}},
		"answers pings only": {
			{1100, v(1, 900, 1000, 5), verdict{ping: true, late: true}},
			{31000, v(1, 30990, 1100, 5), verdict{late: true, slow: true, dead: errStuck}}},
		"idle": append([]step{
			{7000, v(0, 100, 100, 0), verdict{}},
			{7700, v(0, 100, 100, 0), verdict{ping: true}}},
			append(looks(7900, 12700, step{v: v(0, 100, 7700, 0)}), step{12900, v(0, 100, 7700, 0), verdict{dead: errIdle}})...),
		"canaries go out and nothing comes in": {
			{7000, v(0, 100, 6900, 0), verdict{}},
			{7700, v(0, 100, 6900, 0), verdict{ping: true}}},
		"canaries come in and nothing goes out": {
			{7000, v(0, 6900, 100, 0), verdict{}},
			{7700, v(0, 6900, 100, 0), verdict{ping: true}}},
		"suspected": append([]step{
			{100, suspect(v(0, 50, 50, 0)), verdict{ping: true}}},
			append(looks(300, 700, step{v: v(0, 50, 100, 0)}), step{900, v(0, 50, 100, 0), verdict{dead: errSuspect}})...),
		"a large message on a slow line": append(append([]step{
			{1100, far(v(1, 900, 1000, 1), 10), verdict{ping: true, late: true}},
			{1500, far(v(1, 900, 1100, 1), 20), verdict{late: true}}},
			looks(1900, 2500, step{v: far(v(1, 900, 1100, 1), 30), want: verdict{late: true}})...),
			step{2700, far(v(1, 900, 1100, 1), 30), verdict{late: true, dead: errSilent}}),
		"what was written after the ping moves, the ping has long arrived": append([]step{
			{550, far(v(1, 300, 500, 5), 10), verdict{ping: true}},
			{600, far(v(1, 300, 600, 5), 20), verdict{}}},
			append(arriving(800, 1200), step{1400, far(v(1, 300, 1200, 5), 90), verdict{late: true, dead: errSilent}})...),
		"this process was stopped": {
			{100, v(90, 50, 90, 5), verdict{}},
			{10000, v(90, 50, 90, 5), verdict{ping: true, late: true}},
			{20000, v(90, 50, 90, 5), verdict{late: true}},
			{20001, v(90, 50, 90, 5), verdict{late: true}},
			{20002, v(90, 20001, 20000, 5), verdict{late: true, slow: true}}},
	} {
		w := fresh()
		for _, s := range steps {
			s.v.now = s.at * ms
			if strings.HasPrefix(name, "what was written after") && w.pinged != 0 {
				w.target = 20 // the ping is written
			}
			if got := w.judge(s.v, rtt{}); got != s.want {
				t.Errorf("%s at %d ms: got %+v, want %+v", name, s.at, got, s.want)
			}
		}
	}
}

// looks repeats a step every 200 ms.
func looks(from, to int64, s step) (all []step) {
	for s.at = from; s.at <= to; s.at += 200 {
		all = append(all, s)
	}
	return all
}

// arriving are looks at which more has arrived each time.
func arriving(from, to int64) (all []step) {
	for at := from; at <= to; at += 200 {
		v := vitals{oldest: int64(time.Millisecond), read: 300e6, written: at * 1e6, inFlight: 5}
		v.more, v.reached = true, uint64(at)
		all = append(all, step{at, v, verdict{late: at > 1001}})
	}
	return all
}

// What is known of a slow line is known before its first message.
func TestHandshakeSeedsTheRoundTrip(t *testing.T) {
	var r rtt
	r.seed(1200 * time.Millisecond)
	if got := r.deadline(time.Second); got < 2*time.Second {
		t.Errorf("after a handshake of 1.2 s: got a deadline of %v, want more than 2 s", got)
	}
	for range 50 {
		r.add(10 * time.Millisecond)
	}
	before := r
	if r.seed(20 * time.Millisecond); r != before {
		t.Errorf("a shorter handshake: got %v, want %v as before", r, before)
	}
}

// What is shown of a round trip is of this minute; what is late is judged by it for
// as long as nothing else is known.
func TestRoundTripShown(t *testing.T) {
	l := newLink(&Uplink{log: slog.New(slog.DiscardHandler)}, 0, "u0")
	l.born = time.Now().Add(-time.Hour)
	u := upward{link: l, wire: &wire{base: time.Now().Add(-30 * time.Minute), now: int64(30*time.Minute - 10*time.Second)}}
	u.trip.add(time.Second)
	u.shareTrip()
	if got := l.stats().RTT; got != time.Second {
		t.Errorf("after 10 s: got %v, want 1s", got)
	}
	u.wire.now -= int64(tripFresh)
	u.shareTrip()
	if got := l.stats().RTT; got != 0 || l.roundTrip().mean != time.Second {
		t.Errorf("after 70 s: got %v, and %v to judge by, want 0s and 1s", got, l.roundTrip().mean)
	}
}

func TestRTT(t *testing.T) {
	var r rtt
	if got := r.deadline(time.Second); got != time.Second {
		t.Errorf("got %v, want the least", got)
	}
	for range 100 {
		r.add(2 * time.Second)
	}
	if got := r.deadline(time.Second); got < 2*time.Second || got > 3*time.Second {
		t.Errorf("after steady 2 s: got a deadline of %v", got)
	}
	for range 100 {
		r.add(10 * time.Minute)
	}
	if got := r.deadline(time.Second); got != time.Minute {
		t.Errorf("got %v, want at most a minute", got)
	}
}

// A cloud that is not there is tried often, one that says no is left alone.
func TestPauseAfter(t *testing.T) {
	for _, test := range []struct {
		err       error
		endpoints int
		want      time.Duration
	}{
		{syscall.ECONNREFUSED, 1, time.Second},
		{fault(FaultNoNode, errClosed), 3, time.Second},
		{fault(FaultTimedOut, errClosed), 6, 2 * time.Second},
		{fault(FaultBusy, errClosed), 1, 30 * time.Second},
		{fmt.Errorf("CONNECT: %w", fault(FaultCredentials, errClosed)), 6, time.Minute},
	} {
		if got := pauseAfter(test.err, time.Second, test.endpoints); got != test.want {
			t.Errorf("%v at %d endpoints: got %v, want %v", test.err, test.endpoints, got, test.want)
		}
	}
}
