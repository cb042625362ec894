package uplink

import (
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/packets"

	"tidegate/internal/conf"
	"tidegate/internal/topic"
)

func TestBlame(t *testing.T) {
	ok := func(up string) sighting { return sighting{up, true} }
	gone := func(up string) sighting { return sighting{up, false} }
	for name, c := range map[string]struct {
		down   string
		seen   []sighting
		guilty []string
		unsure bool
	}{
		"nothing seen":                       {"c", nil, nil, false},
		"all is well":                        {"c", []sighting{ok("a"), ok("b")}, nil, false},
		"one of two does not come through":   {"c", []sighting{ok("a"), gone("b")}, []string{"b"}, false},
		"two of three do not":                {"c", []sighting{ok("a"), gone("b"), gone("d")}, []string{"b", "d"}, false},
		"none of two comes through":          {"c", []sighting{gone("a"), gone("b")}, []string{"c"}, false},
		"one pair only":                      {"c", []sighting{gone("a")}, nil, true},
		"two links on one node":              {"c", []sighting{gone("a"), gone("a")}, nil, true},
		"two links on one node, one lost it": {"c", []sighting{gone("a"), ok("a")}, nil, false},
		"within the node only":               {"c", []sighting{ok("c"), gone("a")}, nil, true},
		"within the node, and two others":    {"c", []sighting{ok("c"), gone("a"), gone("b")}, []string{"c"}, false},
		"a node that does not hear itself":   {"c", []sighting{gone("c")}, []string{"c"}, false},
		"not itself, but another":            {"c", []sighting{gone("c"), ok("a")}, nil, true},
	} {
		guilty, unsure := blame(c.down, c.seen)
		if !reflect.DeepEqual(guilty, c.guilty) || unsure != c.unsure {
			t.Errorf("%s: got %v, unsure %v, want %v, %v", name, guilty, unsure, c.guilty, c.unsure)
		}
	}
}

func TestCanariesFlyBetweenNodesOfACluster(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Config)
		want   bool
	}{
		"several nodes":    {func(*Config) {}, true},
		"separate brokers": {func(c *Config) { c.Cluster = false }, false},
		"one client id":    {func(c *Config) { c.SingleClient = true }, false},
		"switched off":     {func(c *Config) { c.Canary = false }, false},
	} {
		cfg := DefaultConfig()
		cfg.Endpoints = []string{"mqtt://a", "mqtt://b"}
		c.change(&cfg)
		if got := cfg.canaries(); got != c.want {
			t.Errorf("%s: got %v, want %v", name, got, c.want)
		}
	}
}

// mesh is a cluster of scripted nodes; one may be cut off from the others and
// still take clients and their messages.
type mesh struct {
	nodes []*cloud
	mu    sync.Mutex
	cut   map[string]bool // by URL
}

func newMesh(t *testing.T, n int) *mesh {
	m := &mesh{cut: map[string]bool{}}
	for range n {
		c := newCloud(t)
		c.publish = func(s *served, p *packets.Publish) {
			s.ack(p.PacketID, 0)
			m.route(c, p)
		}
		m.nodes = append(m.nodes, c)
	}
	for _, c := range m.nodes {
		c.start()
	}
	return m
}

func (m *mesh) urls() (all []string) {
	for _, c := range m.nodes {
		all = append(all, c.url())
	}
	return all
}

func (m *mesh) part(url string, cut bool) {
	m.mu.Lock()
	m.cut[url] = cut
	m.mu.Unlock()
}

func (m *mesh) route(from *cloud, p *packets.Publish) {
	for _, to := range m.nodes {
		m.mu.Lock()
		apart := to != from && (m.cut[to.url()] || m.cut[from.url()])
		m.mu.Unlock()
		if apart {
			continue
		}
		to.mu.Lock()
		var hear []*served
		for _, s := range to.live {
			if slices.ContainsFunc(s.subs, func(f string) bool { return topic.Match(f, p.Topic) }) {
				hear = append(hear, s)
			}
		}
		to.mu.Unlock()
		for _, s := range hear {
			s.send(&packets.Publish{Topic: p.Topic, Payload: p.Payload, Properties: &packets.Properties{}})
		}
	}
}

// flock runs an uplink of so many up links whose canaries fly and have come
// through.
func flock(t *testing.T, m *mesh, links int) *Uplink {
	return flockOf(t, quick(m.urls()...), Options{}, links)
}

func flockOf(t *testing.T, cfg Config, opt Options, links int) *Uplink {
	cfg.Links, cfg.Canary, cfg.CanaryEvery = links, true, conf.Duration(time.Second)
	var log lines
	opt.Log = log.logger()
	u, _ := begin(t, cfg, opt)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("%+v\n%s", u.Stats().Canary, log.String())
		}
	})
	eventually(t, "the canaries come through", func() bool {
		u.canary.mu.Lock()
		defer u.canary.mu.Unlock()
		return len(u.canary.armed) >= links
	})
	return u
}

// A node that takes messages and routes them nowhere is left by the link that
// is there, whether it carries messages up or down.
func TestNodeThatDoesNotRouteIsLeft(t *testing.T) {
	for name, link := range map[string]int{"under an up link": 1, "under the down link": 2} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newMesh(t, 3)
			u := flock(t, m, 2)
			node := state(u, link).Endpoint
			m.part(node, true)
			eventually(t, "the link has left", func() bool {
				s := state(u, link)
				return s.State == Connected && s.Endpoint != node && s.Faults[FaultNotRouting] == 1
			})
			if !u.canary.shuns(node, time.Now()) {
				t.Error("the node is not shunned")
			}
			if got := u.Stats().Canary; got.Blamed != 1 || got.Missing < canaryMiss {
				t.Errorf("got %+v, want one node blamed", got)
			}
		})
	}
}

// With one pair of nodes nothing tells which of them is to blame: the links
// stay, and say so.
func TestUnsureCanaryStays(t *testing.T) {
	t.Parallel()
	m := newMesh(t, 2)
	u := flock(t, m, 1)
	m.part(state(u, 0).Endpoint, true)
	eventually(t, "it is said", func() bool {
		s := state(u, 1)
		return u.Stats().Canary.Unsure && s.Fault == FaultNotRouting && strings.Contains(s.Cause, "the links stay")
	})
	m.part(state(u, 0).Endpoint, false)
	eventually(t, "it is over", func() bool { return !u.Stats().Canary.Unsure && state(u, 1).Cause == "" })
	for i := range 2 {
		if s := state(u, i); s.Reconnects != 0 {
			t.Errorf("link %d: got %d reconnects, want none", i, s.Reconnects)
		}
	}
}

// A canary may wait in the session's queue behind commands that devices are
// slow to take: that it does not come says nothing then.
func TestCanaryBehindCommandsBlamesNobody(t *testing.T) {
	t.Parallel()
	m := newMesh(t, 3)
	cfg := quick(m.urls()...)
	cfg.Down = []Down{{Filter: "cmd/#"}}
	e := &edge{}
	u := flockOf(t, cfg, e.options(), 2)
	for _, c := range m.nodes {
		c.mu.Lock()
		down := slices.DeleteFunc(slices.Clone(c.live), func(s *served) bool { return s.id != "gw-d0" })
		c.mu.Unlock()
		for _, s := range down {
			s.publishDown(1, "cmd/slow", "take it", nil)
		}
	}
	eventually(t, "the device has a command", func() bool { return e.count() > 0 })
	node := state(u, 1).Endpoint
	m.part(node, true)
	before := u.Stats().Canary.Sent
	eventually(t, "canaries are missing", func() bool { return u.Stats().Canary.Sent >= before+2*(canaryMiss+2) })
	if got := u.Stats().Canary; got.Blamed != 0 || state(u, 1).Reconnects != 0 {
		t.Errorf("got %+v, want nobody blamed", got)
	}
	e.mu.Lock()
	for _, ticket := range e.tickets {
		ticket.Owner.Settle(ticket.ID, 0)
	}
	e.mu.Unlock()
	eventually(t, "the node is left", func() bool { return state(u, 1).Faults[FaultNotRouting] == 1 })
}

// A session's subscription of QoS 0 is a queue on one node of RabbitMQ, without
// which no other node takes the session.
func TestOwnTopicsAreSubscribedAtQoS1(t *testing.T) {
	t.Parallel()
	c := newCloud(t).start()
	begin(t, present(c.url()), Options{})
	var got []packets.SubOptions
	eventually(t, "it subscribes", func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, s := range c.subscribed {
			got = append(got, s.Subscriptions...)
		}
		return len(got) > 0
	})
	for _, o := range got {
		if o.QoS != 1 {
			t.Errorf("%q: got QoS %d, want 1", o.Topic, o.QoS)
		}
	}
}

// What never came through proves nothing: perhaps the cloud does not allow it.
func TestCanaryThatNeverFlewBlamesNobody(t *testing.T) {
	t.Parallel()
	m := newMesh(t, 3)
	cfg := quick(m.urls()...)
	cfg.Links, cfg.Canary, cfg.CanaryEvery = 2, true, conf.Duration(time.Second)
	for _, url := range m.urls() {
		m.part(url, true)
	}
	u, _ := begin(t, cfg, Options{})
	eventually(t, "several have flown", func() bool { return u.Stats().Canary.Sent >= 6 })
	if got := u.Stats().Canary; got.Missing != 0 || got.Blamed != 0 {
		t.Errorf("got %+v, want none missing", got)
	}
}
