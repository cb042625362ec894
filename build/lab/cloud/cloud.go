package cloud

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"sync"

	"tidegate/build/lab/proc"
)

// Size is the number of nodes of a cloud.
const Size = 3

// Cloud is a set of nodes.
type Cloud struct {
	Kind    string
	Nodes   []*Node
	Cluster bool   // a client finds its session on every node
	Proxied bool   // the nodes want to hear from a load balancer who the client is: see Dial
	Record  string // the file of accepted messages, of a stand-in cloud; else empty

	helpers []*proc.Process // what the nodes need besides themselves
}

// Kinds returns the kinds that Open knows.
func Kinds() []string {
	return []string{"standin", "mosquitto", "rabbitmq", "rabbitmq-proxied", "rabbitmq-prefetch"}
}

// Open starts a cloud and returns when every node has answered an MQTT
// CONNECT. Its files go to dir. Output gets what the nodes print; it may be
// nil. On an error nothing is left running.
func Open(ctx context.Context, kind, dir string, output io.Writer) (*Cloud, error) {
	ports, err := proc.Ports(Size)
	if err != nil {
		return nil, err
	}
	var places []Place
	for _, port := range ports {
		places = append(places, Place{Host: "127.0.0.1", Port: port})
	}
	return OpenAt(ctx, kind, dir, places, output)
}

// Place is where a node is.
type Place struct {
	Host    string   // IPv4 address
	Port    int      // of plain MQTT
	Network *os.File // namespace of a host that is the node's alone; nil for this process's own
}

// OpenAt is Open with a place for each of the nodes.
func OpenAt(ctx context.Context, kind, dir string, places []Place, output io.Writer) (*Cloud, error) {
	make := map[string]func(context.Context, string, []Place) (*Cloud, error){
		"standin":           newStandin,
		"mosquitto":         newMosquitto,
		"rabbitmq":          newRabbitMQ,
		"rabbitmq-proxied":  newProxiedRabbitMQ,
		"rabbitmq-prefetch": newEagerRabbitMQ,
	}[kind]
	if make == nil {
		return nil, fmt.Errorf("no cloud of kind %q; there are %q", kind, Kinds())
	}
	c, err := make(ctx, dir, places)
	if err != nil {
		return nil, fmt.Errorf("make a cloud of kind %s: %w", kind, err)
	}
	c.Kind = kind
	for i, n := range c.Nodes {
		n.Addr = net.JoinHostPort(places[i].Host, strconv.Itoa(places[i].Port))
		n.dial = c.Dial
		n.command.Network = places[i].Network
		n.command.Output = output
	}
	if err := c.Start(ctx); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// Start starts the nodes that do not run, at once, and returns when all answer.
func (c *Cloud) Start(ctx context.Context) error {
	errs := make([]error, len(c.Nodes))
	var all sync.WaitGroup
	for i, n := range c.Nodes {
		all.Go(func() { errs[i] = n.Start(ctx) })
	}
	all.Wait()
	return errors.Join(errs...)
}

// Kill kills all nodes at once.
func (c *Cloud) Kill() {
	var all sync.WaitGroup
	for _, n := range c.Nodes {
		all.Go(n.Kill)
	}
	all.Wait()
}

// Close kills all that the cloud has started.
func (c *Cloud) Close() {
	c.Kill()
	for _, p := range slices.Backward(c.helpers) {
		p.Kill()
	}
}

// Addrs returns the nodes' addresses.
func (c *Cloud) Addrs() []string {
	var addrs []string
	for _, n := range c.Nodes {
		addrs = append(addrs, n.Addr)
	}
	return addrs
}

// Node is one broker. It keeps its address, and its data where its kind has
// any, through Kill and Start.
type Node struct {
	Name string
	Addr string // host:port, plain MQTT

	command  proc.Command
	dial     dialer
	restarts int // of one that ends before it answers

	mu      sync.Mutex
	process *proc.Process // nil before the first Start
}

// Start starts the node if it does not run and returns when it answers.
func (n *Node) Start(ctx context.Context) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.process != nil && n.process.Running() {
		return nil
	}
	for again := n.restarts; ; again-- {
		p, err := proc.Start(n.command)
		if err != nil {
			return err
		}
		n.process = p
		err = n.ready(ctx, p)
		if err == nil || p.Running() || ctx.Err() != nil || again == 0 {
			return err
		}
	}
}

// Ready waits until the node, which was started before, answers.
func (n *Node) Ready(ctx context.Context) error { return n.ready(ctx, n.Process()) }

func (n *Node) ready(ctx context.Context, p *proc.Process) error {
	return p.Ready(ctx, func(ctx context.Context) error { return probe(ctx, n.Addr, n.dial) })
}

// Process returns the node's process; nil before the first Start.
func (n *Node) Process() *proc.Process {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.process
}

// Kill ends the node with SIGKILL and returns when it is gone.
func (n *Node) Kill() { n.with((*proc.Process).Kill) }

// Pause stops the node with SIGSTOP: it keeps its connections and answers
// nothing.
func (n *Node) Pause() { n.with((*proc.Process).Pause) }

// Resume ends a Pause.
func (n *Node) Resume() { n.with((*proc.Process).Resume) }

func (n *Node) with(do func(*proc.Process)) {
	if p := n.Process(); p != nil {
		do(p)
	}
}
