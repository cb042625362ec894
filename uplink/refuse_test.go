package uplink

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/packets"

	"tidegate/internal/conf"
)

// judge is a cloud that refuses by topic.
type judge struct {
	*cloud
	mu      sync.Mutex
	reasons map[string]byte // by prefix of the topic
	took    []*packets.Publish
	refused int
}

func newJudge(t *testing.T) *judge {
	j := &judge{cloud: newCloud(t), reasons: map[string]byte{}}
	j.publish = func(s *served, p *packets.Publish) {
		j.mu.Lock()
		reason := byte(0)
		for prefix, r := range j.reasons {
			if strings.HasPrefix(p.Topic, prefix) {
				reason = r
			}
		}
		if reason == 0 {
			j.took = append(j.took, p)
		} else {
			j.refused++
		}
		j.mu.Unlock()
		s.ack(p.PacketID, reason)
	}
	j.start()
	return j
}

func (j *judge) rule(prefix string, reason byte) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.reasons[prefix] = reason; reason == 0 {
		delete(j.reasons, prefix)
	}
}

// took returns what was accepted of a topic.
func (j *judge) of(topic string) (out []*packets.Publish) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, p := range j.took {
		if p.Topic == topic {
			out = append(out, p)
		}
	}
	return out
}

func (j *judge) refusals() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.refused
}

func deadLetters(t *testing.T, dir string) int {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "uplink-cloud", "dead-letters.jsonl"))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return strings.Count(string(b), "\n")
}

func beginIn(t *testing.T, dir string, cfg Config, log *lines) *Uplink {
	t.Helper()
	u, err := New(cfg, Options{Gateway: "gw", Epoch: 7, Dir: dir, Log: log.logger()})
	if err != nil {
		t.Fatal(err)
	}
	run(t, u)
	return u
}

// A mistake in the cloud's permissions costs a few dead letters, not the spool:
// the route is paused, other routes of the same link and class go on, and once
// the mistake is mended all of it arrives in order.
func TestRefusalsInARowPauseTheRoute(t *testing.T) {
	for _, links := range []int{1, 3} {
		t.Run(fmt.Sprintf("%d links", links), func(t *testing.T) {
			j := newJudge(t)
			j.rule("ill/", 0x87)
			cfg := quick(j.url())
			cfg.Links, cfg.Up = links, []Up{{Filter: "ill/#"}, {Filter: "#"}}
			cfg.PauseFor = conf.Duration(2 * time.Second)
			dir := t.TempDir()
			var log lines
			u := beginIn(t, dir, cfg, &log)
			var done counter
			const each = 300
			for i := range each {
				for k := range 5 {
					u.Send(message(fmt.Sprintf("ill/%d", k), fmt.Sprint(i)), Ticket{Owner: &done})
					u.Send(message(fmt.Sprintf("well/%d", k), fmt.Sprint(i)), Ticket{Owner: &done})
				}
			}
			eventually(t, "the route is paused", func() bool { return u.Stats().Routes[0].Paused })
			eventually(t, "the other route goes on", func() bool {
				n := 0
				for k := range 5 {
					n += len(j.of(fmt.Sprintf("well/%d", k)))
				}
				return n == 5*each
			})
			for i := each; i < each+50; i++ { // past what is held
				u.Send(message("well/0", fmt.Sprint(i)), Ticket{Owner: &done})
			}
			eventually(t, "what comes later goes on", func() bool { return len(j.of("well/0")) == each+50 })
			for k := range 5 {
				inOrder(t, j.of(fmt.Sprintf("well/%d", k)), each+50*(1-min(k, 1)))
			}
			r := u.Stats().Routes
			if !r[0].Paused || r[0].Cause == "" || r[0].Since.IsZero() || r[1].Paused || r[1].Refusals != 0 {
				t.Errorf("got %+v, want the first route paused with cause and time", r)
			}
			if n := strings.Count(log.String(), "level=WARN"); n == 0 || n > 10 {
				t.Errorf("got %d warnings, want one or a few", n)
			}
			j.rule("ill/", 0)
			dead := 0
			eventually(t, "all that is not among the dead letters arrives", func() bool {
				n := 0
				for k := range 5 {
					n += len(j.of(fmt.Sprintf("ill/%d", k)))
				}
				dead = deadLetters(t, dir)
				return n+dead == 5*each && !u.Stats().Routes[0].Paused
			})
			if dead > cfg.PauseAfter {
				t.Errorf("got %d dead letters, want at most %d", dead, cfg.PauseAfter)
			}
			for k := range 5 {
				rising(t, j.of(fmt.Sprintf("ill/%d", k)))
			}
			eventually(t, "every ticket is settled", func() bool { return done.settled.Load() == 10*each+50 })
		})
	}
}

func distinct(got []*packets.Publish) int {
	seen := map[string]bool{}
	for _, p := range got {
		seen[string(p.Payload)] = true
	}
	return len(seen)
}

// rising checks that numbers only go up: nothing twice, nothing out of order.
func rising(t *testing.T, got []*packets.Publish) {
	t.Helper()
	last := -1
	for _, p := range got {
		n := 0
		fmt.Sscan(string(p.Payload), &n)
		if n <= last {
			t.Fatalf("%s: got %d after %d", p.Topic, n, last)
		}
		last = n
	}
}

// A topic that the cloud answers "not now" for ever holds up no other, not even
// of its own route; when the cloud takes it its messages come in order.
func TestNotNowHoldsItsTopicOnly(t *testing.T) {
	for _, reason := range []byte{0x80, 0x83, 0x97} {
		t.Run(fmt.Sprintf("0x%02X", reason), func(t *testing.T) {
			j := newJudge(t)
			j.rule("r/ill", reason)
			cfg := quick(j.url())
			cfg.Up = []Up{{Filter: "r/#"}}
			cfg.InFlight, cfg.PauseFor = 1, conf.Duration(time.Second) // with more, what is in flight may overtake the first refused one
			dir := t.TempDir()
			u := beginIn(t, dir, cfg, new(lines))
			var done counter
			for i := range 200 {
				u.Send(message("r/ill", fmt.Sprint(i)), Ticket{Owner: &done})
				u.Send(message("r/well", fmt.Sprint(i)), Ticket{Owner: &done})
			}
			eventually(t, "the other topic has gone by", func() bool { return len(j.of("r/well")) == 200 })
			eventually(t, "the topic is shown", func() bool { return u.Stats().Routes[0].Held == 1 })
			before := j.refusals()
			eventually(t, "it tries again", func() bool { return j.refusals() > before+1 })
			j.rule("r/ill", 0)
			eventually(t, "it is through", func() bool { return len(j.of("r/ill")) == 200 })
			inOrder(t, j.of("r/ill"), 200)
			inOrder(t, j.of("r/well"), 200)
			eventually(t, "all is well", func() bool { r := u.Stats().Routes[0]; return r.Held == 0 && r.Row == 0 && !r.Paused })
			if n := deadLetters(t, dir); n != 0 {
				t.Errorf("got %d dead letters, want none", n)
			}
		})
	}
}

// One forbidden topic does not keep its route paused: others of the route are
// tried, and the route goes on without it.
func TestOneForbiddenTopicFreesItsRoute(t *testing.T) {
	j := newJudge(t)
	j.rule("r/ill", 0x87)
	cfg := quick(j.url())
	cfg.Up = []Up{{Filter: "r/#"}}
	cfg.PauseFor = conf.Duration(time.Second)
	dir := t.TempDir()
	u := beginIn(t, dir, cfg, new(lines))
	var done counter
	for i := range 100 {
		u.Send(message("r/ill", fmt.Sprint(i)), Ticket{Owner: &done})
	}
	eventually(t, "the route is paused", func() bool { return u.Stats().Routes[0].Paused })
	for i := range 100 {
		u.Send(message("r/well", fmt.Sprint(i)), Ticket{Owner: &done})
	}
	eventually(t, "the other topic goes on", func() bool { return len(j.of("r/well")) == 100 && !u.Stats().Routes[0].Paused })
	inOrder(t, j.of("r/well"), 100)
	if n := deadLetters(t, dir); n > cfg.PauseAfter {
		t.Errorf("got %d dead letters, want at most %d", n, cfg.PauseAfter)
	}
	j.rule("r/ill", 0)
	eventually(t, "the forbidden one too, when it may", func() bool { return len(j.of("r/ill"))+deadLetters(t, dir) == 100 })
	rising(t, j.of("r/ill"))
}

// What is held back survives losses of the connection and a restart.
func TestPausedRouteAcrossARestart(t *testing.T) {
	j := newJudge(t)
	j.rule("ill", 0x97)
	cfg := quick(j.url())
	cfg.Up = []Up{{Filter: "ill"}, {Filter: "#"}}
	cfg.InFlight, cfg.PauseFor = 1, conf.Duration(time.Second)
	dir := t.TempDir()
	start := func(epoch uint64) (*Uplink, func()) {
		u, err := New(cfg, Options{Gateway: "gw", Epoch: epoch, Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		return u, run(t, u)
	}
	u, stop := start(1)
	var done counter
	for i := range 300 {
		u.Send(message("ill", fmt.Sprint(i)), Ticket{Owner: &done})
		u.Send(message("well", fmt.Sprint(i)), Ticket{Owner: &done})
		if i%100 == 99 {
			j.cut()
		}
	}
	eventually(t, "the other topic is through", func() bool { return distinct(j.of("well")) == 300 && state(u, 0).Acked == 300 })
	eventually(t, "all is on disk or acknowledged", func() bool { return done.settled.Load() == 600 })
	stop()
	u, _ = start(2)
	for i := 300; i < 400; i++ {
		u.Send(message("ill", fmt.Sprint(i)), Ticket{Owner: &done})
	}
	well := len(j.of("well"))
	j.rule("ill", 0)
	eventually(t, "it is through", func() bool { return distinct(j.of("ill")) == 400 })
	inOrder(t, j.of("ill"), 400)
	if n := len(j.of("well")); n != well {
		t.Errorf("got %d of the other topic again after the restart", n-well)
	}
}

// A message that is refused for now and then for good leaves its topic free,
// also when the dead letters have no room for it.
func TestRefusedForGoodAfterAWhile(t *testing.T) {
	for _, full := range []bool{false, true} {
		t.Run(fmt.Sprintf("full %v", full), func(t *testing.T) {
			j := newJudge(t)
			j.rule("r/ill", 0x97)
			j.rule("r/large", 0x90)
			cfg := calm(quick(j.url())) // a message of 1 MiB takes its time
			cfg.InFlight, cfg.PauseAfter, cfg.PauseFor = 1, 1000, conf.Duration(time.Second)
			cfg.Spool.Normal.Bytes = 32 << 20 // holds all of them until the link is up
			dir := t.TempDir()
			letters := filepath.Join(dir, "uplink-cloud", "dead-letters.jsonl")
			if full {
				if err := os.MkdirAll(letters, 0o700); err != nil {
					t.Fatal(err)
				}
			}
			u := beginIn(t, dir, cfg, new(lines))
			var done counter
			dead := 0
			for size := 1 << 20; size > 0; size /= 2 { // fill what waits for the disk, to the last byte
				for range 4 {
					u.Send(message("r/large", strings.Repeat("x", size)), Ticket{Owner: &done})
					dead++
				}
			}
			eventually(t, "the large ones are refused", func() bool { return state(u, 0).Refused == int64(dead) })
			const topic = "r/ill/and/with/a/longer/name"
			for i := range 20 {
				u.Send(message(topic, fmt.Sprint(i)), Ticket{Owner: &done})
			}
			eventually(t, "the topic waits", func() bool { return u.Stats().Routes[0].Held == 1 })
			j.rule("r/ill", 0x90)
			eventually(t, "one is dead", func() bool { return state(u, 0).Refused > int64(dead) })
			j.rule("r/ill", 0)
			eventually(t, "the others are through", func() bool {
				return len(j.of(topic))+int(state(u, 0).Refused) == 20+dead && u.Stats().Routes[0].Held == 0
			})
			rising(t, j.of(topic))
			if full {
				if err := os.Remove(letters); err != nil {
					t.Fatal(err)
				}
			}
			eventually(t, "every ticket is settled", func() bool { return done.settled.Load() == int64(20+dead) })
		})
	}
}

// A topic that waits is let go by an endpoint that acknowledges nothing.
func TestHeldTopicGoesUpWithQoS0(t *testing.T) {
	j := newJudge(t)
	j.rule("r/ill", 0x97)
	j.connack = func(n int, _ *packets.Connect) *packets.Connack {
		ca := &packets.Connack{Properties: &packets.Properties{}}
		if n > 0 {
			ca.Properties.MaximumQOS = new(byte)
		}
		return ca
	}
	cfg := quick(j.url())
	cfg.InFlight, cfg.PauseFor = 1, conf.Duration(time.Second)
	u := beginIn(t, t.TempDir(), cfg, new(lines))
	var done counter
	for i := range 20 {
		u.Send(message("r/ill", fmt.Sprint(i)), Ticket{Owner: &done})
	}
	eventually(t, "the topic waits", func() bool { return u.Stats().Routes[0].Held == 1 })
	j.rule("r/ill", 0)
	j.cut()
	eventually(t, "all are through", func() bool { return distinct(j.of("r/ill")) == 20 })
	rising(t, j.of("r/ill"))
	eventually(t, "every ticket is settled", func() bool { return done.settled.Load() == 20 && u.Stats().Routes[0].Held == 0 })
}
