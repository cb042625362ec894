package promises

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"tidegate/build/bench/load"
	"tidegate/build/lab/gateway"
	"tidegate/build/lab/presence"
	"tidegate/build/lab/proxy"
)

// under returns the number of the node that the link is connected to, or -1.
func (w *world) under(link string) int {
	return slices.IndexFunc(w.ways, func(p *proxy.Proxy) bool {
		return slices.ContainsFunc(p.Greetings(), func(hello string) bool { return strings.Contains(hello, "lab-"+link) })
	})
}

// away waits until one of the links is connected to a node that is not node,
// and returns that node.
func (w *world) away(node int, links ...string) (other int) {
	w.t.Helper()
	w.eventually(fmt.Sprintf("one of %q is connected, not to node %d", links, node), time.Minute, func() bool {
		return slices.ContainsFunc(links, func(link string) bool {
			other = w.under(link)
			return other >= 0 && other != node
		})
	})
	return other
}

// lostLinks returns how often this run of the gateway has lost the link, by its
// log.
func (w *world) lostLinks(id string) (n int) {
	for line := range strings.Lines(w.gateway.Process().Output()) {
		if strings.Contains(line, "link lost") && strings.Contains(line, id) {
			n++
		}
	}
	return n
}

// nowhere is the number of no node.
const nowhere = -1

// TestRabbitMQFailover kills nodes of a real cluster under the up links, one
// after the other, under load. The node where the account's subscriber is
// stays: a subscriber whose node dies gets what was under way to it late, from
// RabbitMQ itself (seen without a gateway). Links return soon to nodes that are
// back, so that there is one to kill elsewhere.
func TestRabbitMQFailover(t *testing.T) {
	w := newWorld(t, options{cloud: "rabbitmq", uplink: `stable-after = "2s"`})
	const devices, account = 10, 0
	tr := w.publish(load.FleetConfig{Clients: devices, Rate: 200, Size: 200})
	all := func() bool { return w.watch.flowing(devices, time.Now().Add(-time.Second)) }
	w.eventually("all topics arrive", time.Minute, all)
	for range rounds(2) {
		node := w.away(account, "u0", "u1")
		w.watch.reset()
		began := time.Now()
		w.cloud.Nodes[node].Kill()
		time.Sleep(300 * time.Millisecond)
		w.eventually(fmt.Sprintf("all topics arrive without node %d", node), time.Minute,
			func() bool { return w.watch.flowing(devices, began.Add(300*time.Millisecond)) })
		t.Logf("node %d killed under an up link: longest silence of a topic %v", node, w.watch.silence().Round(time.Millisecond))
		w.must(w.cloud.Nodes[node].Start(w.soon(2 * time.Minute)))
		w.eventually("all topics arrive again", time.Minute, all)
	}
	tr.finish()
	w.settle()
}

// TestRabbitMQDownLink publishes commands in the cloud while
// the node under the down link is killed, then while the gateway restarts and
// is killed: the session is found on another node, or later, with the commands
// that came meanwhile.
func TestRabbitMQDownLink(t *testing.T) {
	w := newWorld(t, options{cloud: "rabbitmq", edge: patient, uplink: `offline-after = "5s"`})
	said := w.presence()
	a := w.commands(load.Client{Addrs: w.cloud.Addrs()}, 100)
	kills := rounds(2)
	for range kills {
		time.Sleep(time.Second)
		node := w.away(nowhere, "d0")
		began := time.Now()
		w.cloud.Nodes[node].Kill()
		to := w.away(node, "d0")
		w.eventually("the cloud is told where the down link is", time.Minute, func() bool {
			last := said.Latest()
			return last.State == presence.Online && last.On("lab-d0") == "mqtt://"+w.ways[to].Addr()
		})
		t.Logf("node %d killed under the down link: on another after %v", node, time.Since(began).Round(time.Millisecond))
		w.must(w.cloud.Nodes[node].Start(w.soon(2 * time.Minute)))
	}
	if words := said.Heard(presence.Offline, time.Time{}); len(words) > 0 {
		t.Errorf("failovers made the gateway offline: %+v", words)
	}
	epoch := said.Latest().Epoch
	moves := 1 + w.lostLinks("lab-d0")
	w.restart((*gateway.Gateway).Kill)
	w.eventually("the cloud is told of the restart", time.Minute, func() bool { return said.Latest().Epoch > epoch })
	r := a.account()
	// RabbitMQ itself sends late what was under way to a subscriber that died, or
	// whose node did: its prefetch, for each time.
	const prefetch = 10
	moves += w.lostLinks("lab-d0")
	if r.Lost > 0 || r.Foreign > 0 || r.Acked == 0 || r.Disorder > uint64(prefetch*moves) {
		t.Errorf("of %d commands: lost %d, out of order %d after %d moves of the down link, foreign %d; the gateway's last output:\n%s",
			r.Acked, r.Lost, r.Disorder, moves, r.Foreign, w.gateway.Process().Output())
	}
	a = w.commands(load.Client{Addrs: w.cloud.Addrs()}, 100)
	time.Sleep(500 * time.Millisecond)
	w.restart(stop)
	if len(said.Heard(presence.Offline, time.Time{})) == 0 {
		t.Error("the cloud was not told of the stop")
	}
	r = a.account()
	if r.Lost > 0 || r.Foreign > 0 || r.Acked == 0 || r.Disorder > prefetch || r.Duplicates > 0 {
		t.Errorf("of %d commands: lost %d, twice %d, out of order %d, foreign %d; the gateway's last output:\n%s",
			r.Acked, r.Lost, r.Duplicates, r.Disorder, r.Foreign, w.gateway.Process().Output())
	}
	w.gateway.Kill()
	w.eventually("the will speaks", time.Minute, func() bool {
		last := said.Latest()
		return last.State == presence.Offline && last.Reason == "the connection was lost"
	})
}

// listen starts a device that subscribes to commands, until the test ends.
func (w *world) listen(id, filter string, c *load.Consumer) {
	w.t.Helper()
	w.device(load.SubscriberConfig{
		Client:   load.Client{ID: id},
		Filters:  []load.Filter{{Topic: gateway.Down + filter, QoS: 1}},
		Consumer: c,
	})
}

// prime publishes commands of its own until one comes through: the down link's
// subscription is there then.
func (w *world) prime(app load.Client) {
	w.t.Helper()
	ledger := load.NewLedger()
	home := ledger.Consumer()
	n := fleets.Add(1)
	w.listen(fmt.Sprintf("primed%d", n), fmt.Sprintf("prime/%d", n), home)
	app.ID = fmt.Sprintf("prime%d", n)
	fleet := load.NewFleet(load.FleetConfig{
		Client: app, QoS: 1, Rate: 10,
		Topic: func(int, int) string { return fmt.Sprintf("%sprime/%d", gateway.Cmd, n) },
	}, ledger)
	done := make(chan error, 1)
	ctx := w.t.Context()
	go func() { done <- fleet.Run(ctx) }()
	w.eventually("a command comes down", time.Minute, func() bool { return home.Received() > 0 })
	fleet.Stop()
	w.must(<-done)
}
