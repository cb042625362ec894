//go:build soak

package promises

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"tidegate/build/bench/load"
	"tidegate/build/lab/cloud"
	"tidegate/build/lab/presence"
	"tidegate/build/lab/proxy"
)

// The modes that few clouds need, against a real cluster. They take minutes, so
// make soak has them and make test has not (TestOneClientID and TestTwoClouds
// show the same on separate brokers).

const kills = 6 // of nodes, in each

// TestRabbitMQOneClientID has one link for both directions and kills the node
// of the cluster under it, over and over, while devices publish and commands
// come: nothing is lost either way, what goes up is in order, and the cloud
// always knows where the link is.
func TestRabbitMQOneClientID(t *testing.T) {
	w := newWorld(t, options{cloud: "rabbitmq", edge: patient, uplink: `links = 1
single-client = true
client-id = "lab-one"
stable-after = "2s"`})
	said := w.presence()
	const devices, stays = 5, 0
	tr := w.publish(load.FleetConfig{Clients: devices, Rate: 100, Size: 200})
	c := w.commands(load.Client{Addrs: w.cloud.Addrs()[:1]}, 50) // from a node that stays
	all := func() bool { return w.watch.flowing(devices, time.Now().Add(-time.Second)) }
	w.eventually("all topics arrive", time.Minute, all)
	for range kills {
		node := w.elsewhere(stays, "one")
		w.watch.reset()
		began := time.Now()
		w.cloud.Nodes[node].Kill()
		to := w.away(node, "one")
		w.eventually(fmt.Sprintf("all topics arrive without node %d", node), time.Minute,
			func() bool { return w.watch.flowing(devices, began.Add(300*time.Millisecond)) })
		t.Logf("node %d killed under the one link: longest silence of a topic %v", node, w.watch.silence().Round(time.Millisecond))
		w.eventually("the cloud is told where the link is", time.Minute, func() bool {
			last := said.Latest()
			return last.State == presence.Online && last.On("lab-one") == "mqtt://"+w.ways[to].Addr()
		})
		w.must(w.cloud.Nodes[node].Start(w.soon(2 * time.Minute)))
		w.eventually("all topics arrive again", time.Minute, all)
	}
	if words := said.Heard(presence.Offline, time.Time{}); len(words) > 0 {
		t.Errorf("failovers made the gateway offline: %+v", words)
	}
	tr.finish()
	w.settle()
	r := c.account()
	// RabbitMQ itself sends late what was under way to a subscriber that moved:
	// its prefetch, for each time.
	const prefetch = 10
	moves := 1 + w.lostLinks("lab-one")
	if r.Lost > 0 || r.Foreign > 0 || r.Acked == 0 || r.Disorder > uint64(prefetch*moves) {
		t.Errorf("of %d commands: lost %d, out of order %d after %d moves of the link, foreign %d; the gateway's last output:\n%s",
			r.Acked, r.Lost, r.Disorder, moves, r.Foreign, w.gateway.Process().Output())
	}
}

// elsewhere returns the node of the link, which is made to leave node if it is
// there.
func (w *world) elsewhere(node int, link string) int {
	w.t.Helper()
	w.eventually(link+" is connected", time.Minute, func() bool { return w.under(link) >= 0 })
	if w.under(link) == node {
		w.must(w.ways[node].Set(proxy.Fault{Refuse: true}))
		w.ways[node].Cut()
		defer func() { w.must(w.ways[node].Set(proxy.Fault{})) }()
	}
	return w.away(node, link)
}

// TestRabbitMQAndAnotherCloud has two [[uplink]]s, one to a cluster and one to
// separate brokers, and kills a node of each under load, in turns and then both
// at once, and the gateway at the end: each cloud gets everything, in order,
// and the loss in one does not silence the other.
func TestRabbitMQAndAnotherCloud(t *testing.T) {
	s := newSecond(t)
	w := newWorld(t, options{cloud: "rabbitmq", uplink: "stable-after = \"2s\"\n" + s.toml()})
	there := w.ledger.Consumer()
	s.enter(w.ledger, there)
	const devices, stays = 5, 0
	tr := w.publish(load.FleetConfig{Clients: devices, Rate: 100, Size: 200})
	all := func() bool { return w.watch.flowing(devices, time.Now().Add(-time.Second)) }
	w.eventually("both clouds get messages", time.Minute, func() bool { return all() && there.Received() > 100 })
	for i := range kills {
		var killed []*cloud.Node
		if i%3 != 1 {
			killed = append(killed, w.cloud.Nodes[w.away(stays, "u0", "u1")])
		}
		if i%3 != 0 {
			killed = append(killed, s.cloud.Nodes[s.under(t)])
		}
		w.watch.reset()
		began, gone := time.Now(), there.Received()
		for _, n := range killed {
			n.Kill()
		}
		w.eventually("both clouds get messages of after the kill", time.Minute, func() bool {
			return w.watch.flowing(devices, began.Add(300*time.Millisecond)) && there.Received() > gone+100
		})
		t.Logf("%d nodes killed: longest silence of a topic in the cluster %v", len(killed), w.watch.silence().Round(time.Millisecond))
		for _, n := range killed {
			w.must(n.Start(w.soon(2 * time.Minute)))
		}
		w.eventually("all topics arrive again", time.Minute, all)
	}
	w.gateway.Kill()
	w.start()
	time.Sleep(300 * time.Millisecond)
	tr.finish()
	w.settle()
	if _, err := account(t, there); err != nil {
		t.Errorf("second cloud: %v; the gateway's last output:\n%s", err, w.gateway.Process().Output())
	}
}

// under returns the number of a node that has an up link.
func (s *second) under(t *testing.T) int {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		i := slices.IndexFunc(s.ways, func(p *proxy.Proxy) bool {
			return slices.ContainsFunc(p.Greetings(), func(hello string) bool { return strings.Contains(hello, "lab-u") })
		})
		if i >= 0 {
			return i
		}
	}
	t.Fatal("no link is connected to the second cloud")
	return -1
}
