package scenario

import (
	"context"
	"fmt"
	"time"

	"tidegate/build/lab/gateway"
	"tidegate/build/lab/network"
)

// Scenario is one way in which the world breaks, and heals.
type Scenario struct {
	Name string
	Says string // in a line

	// Whole: nothing can flow before it heals. Recovery and drain then count
	// from there, else from the break, and must come while it is still broken.
	Whole    bool
	Alone    bool          // never with a kill of the gateway besides
	Away     bool          // the down link may be gone for longer than the will waits
	Draining bool          // a kill of the gateway in the middle may fall into a drain
	Hold     time.Duration // how long it stays broken at least
	Within   time.Duration // the bound of the recovery; a minute when zero

	NotFor  func(t *take) string // why it does not apply; "" when it does
	Prepare func(ctx context.Context, t *take, cfg *gateway.Config) error
	Break   func(ctx context.Context, t *take) error
	Heal    func(ctx context.Context, t *take) error
}

var open = network.Fault{}

// All returns the scenarios in the order in which they run.
func All() []Scenario {
	return []Scenario{
		{
			Name: "gateway-killed", Says: "kill -9 of the gateway, nothing else",
			Alone: true,
			Break: func(ctx context.Context, t *take) error { return t.killGateway(ctx) },
			Heal:  nothing,
		},
		away("gateway-away", "kill -9 of the gateway, which stays away for longer than its will waits", willReason,
			func(t *take) error { t.gateway.Kill(); return nil }),
		away("gateway-stopped", "the gateway is stopped as a service manager does, and started later", stopReason,
			func(t *take) error { return t.gateway.Stop(settled) }),
		{
			Name: "node-killed", Says: "kill -9 of a node under an up link",
			Break: func(_ context.Context, t *take) error { t.cloud.Nodes[t.victim].Kill(); return nil },
			Heal:  func(ctx context.Context, t *take) error { return t.startNode(ctx, t.victim) },
		},
		{
			Name: "node-stopped", Says: "SIGSTOP of a node: TCP lives, nothing answers",
			Break: func(_ context.Context, t *take) error { t.cloud.Nodes[t.victim].Pause(); return nil },
			Heal:  func(_ context.Context, t *take) error { t.cloud.Nodes[t.victim].Resume(); return nil },
		},
		{
			Name: "node-blackholed", Says: "packets to and from a node vanish",
			Break: func(_ context.Context, t *take) error { t.way(t.victim, network.Hole, network.Hole); return nil },
			Heal:  healWay,
		},
		{
			Name: "node-mute", Says: "packets from a node vanish: it takes everything and answers nothing",
			Hold:  6 * time.Second,
			Break: func(_ context.Context, t *take) error { t.way(t.victim, open, network.Hole); return nil },
			Heal:  healWay,
		},
		{
			Name: "node-deaf", Says: "packets to a node vanish",
			Break: func(_ context.Context, t *take) error { t.way(t.victim, network.Hole, open); return nil },
			Heal:  healWay,
		},
		{
			Name: "node-partitioned", Says: "a node is cut off from its peers, not from the gateway",
			Hold: 20 * time.Second, Within: 2 * time.Minute,
			NotFor: needsCluster,
			Break:  func(_ context.Context, t *take) error { t.peers(t.victim, network.Hole); return nil },
			Heal:   func(_ context.Context, t *take) error { t.peers(t.victim, open); return nil },
		},
		drained(),
		certificateRotated(),
		nameChanged(),
		balancerRestarted(),
		uplinkBroken("uplink-blackholed", "all packets vanish, both ways", network.Hole, network.Hole),
		uplinkBroken("uplink-up-lost", "all packets up vanish", network.Hole, open),
		uplinkBroken("uplink-down-lost", "all packets down vanish", open, network.Hole),
		{
			Name: "uplink-flapping", Says: "all packets vanish for a second of every two, ten times",
			Whole: true, Draining: true, Hold: 5 * time.Second,
			Break: flap,
			Heal:  healUplink,
		},
		uplinkSlow("uplink-latency", "300 ms each way", network.Fault{Delay: 300 * time.Millisecond}),
		uplinkSlow("uplink-loss", "5 % of packets lost, 20 ms each way", network.Fault{Loss: 0.05, Delay: 20 * time.Millisecond}),
		uplinkSlow("uplink-64k", "64 kbit/s each way and node, 50 ms", network.Fault{Rate: 8000, Delay: 50 * time.Millisecond}),
		{
			Name: "cloud-killed", Says: "kill -9 of all nodes; they come back",
			Whole: true, Away: true, Hold: 10 * time.Second, Within: 3 * time.Minute,
			Break: func(_ context.Context, t *take) error { t.cloud.Kill(); return nil },
			Heal:  func(ctx context.Context, t *take) error { return t.startCloud(ctx) },
		},
		failovers("hundred-failovers", 100),
		failovers("thousand-failovers", 1000),
	}
}

func nothing(context.Context, *take) error { return nil }

func healWay(_ context.Context, t *take) error { t.way(t.victim, open, open); return nil }

func healUplink(_ context.Context, t *take) error { t.uplink(open, open); return nil }

func needsCluster(t *take) string {
	if !t.cloud.Cluster {
		return "separate brokers have no peers to be cut off from"
	}
	return ""
}

// uplinkBroken is an outage of the whole uplink.
func uplinkBroken(name, says string, up, down network.Fault) Scenario {
	return Scenario{
		Name: name, Says: says, Whole: true, Hold: 10 * time.Second,
		Break: func(_ context.Context, t *take) error { t.uplink(up, down); return nil },
		Heal:  healUplink,
	}
}

// uplinkSlow is a bad line that carries what it can: the gateway must stay,
// and catch up when the line is good again.
func uplinkSlow(name, says string, f network.Fault) Scenario {
	return Scenario{
		Name: name, Says: says, Whole: true, Draining: true, Hold: 15 * time.Second,
		Break: func(_ context.Context, t *take) error { t.uplink(f, f); return nil },
		Heal:  healUplink,
	}
}

func flap(ctx context.Context, t *take) error {
	for i := range 10 {
		t.uplink(network.Hole, network.Hole)
		pause(ctx, time.Second)
		t.uplink(open, open)
		if t.kill && i == 4 {
			if err := t.killGateway(ctx); err != nil {
				return err
			}
		}
		pause(ctx, time.Second)
	}
	t.uplink(network.Hole, network.Hole)
	return ctx.Err()
}

// startNode starts a node. A separate one is shown to the gateway when the
// account is subscribed there: what came sooner would reach nobody.
func (t *take) startNode(ctx context.Context, node int) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	if len(t.account.subs) < 2 {
		return t.cloud.Nodes[node].Start(ctx)
	}
	t.way(node, network.Hole, network.Hole)
	defer t.way(node, open, open)
	greeted := t.account.greetings(node)
	if err := t.cloud.Nodes[node].Start(ctx); err != nil {
		return err
	}
	return t.until(ctx, settled, fmt.Sprintf("the account is subscribed on node %d again", node), func() bool {
		return t.account.greetings(node) > greeted
	})
}

// startCloud starts all nodes that do not run. The recovery counts from then.
func (t *take) startCloud(ctx context.Context) error {
	if len(t.account.subs) < 2 {
		ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
		defer cancel()
		return t.cloud.Start(ctx)
	}
	for i := range t.cloud.Nodes {
		if err := t.startNode(ctx, i); err != nil {
			return err
		}
	}
	return nil
}
