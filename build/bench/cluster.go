package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"tidegate/build/bench/load"
)

// cluster is three RabbitMQ nodes behind HAProxy: a process of the lab, which
// is a module of its own.
type cluster struct {
	cmd      *exec.Cmd
	in       io.WriteCloser
	out      *bufio.Scanner
	balancer string // addresses
	nodes    []string
}

func startCluster(ctx context.Context, dir string) (*cluster, error) {
	program := filepath.Join(dir, "cluster")
	build := exec.CommandContext(ctx, "go", "build", "-o", program, "./cmd/cluster")
	build.Dir = "build/lab"
	if said, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build the lab's cluster, in the repository's directory: %w\n%s", err, said)
	}
	c := &cluster{cmd: exec.Command(program)}
	c.cmd.Stderr = os.Stderr
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // it ends with its input, after us
	in, err1 := c.cmd.StdinPipe()
	out, err2 := c.cmd.StdoutPipe()
	c.cmd.Dir = "build/lab"
	if err := errors.Join(err1, err2, c.cmd.Start()); err != nil {
		return nil, err
	}
	c.in, c.out = in, bufio.NewScanner(out)
	words, err := c.answer("ready")
	if err == nil && len(words) < 3 {
		err = errors.New("the cluster has no nodes")
	}
	if err != nil {
		return nil, errors.Join(err, c.close())
	}
	c.balancer, c.nodes = words[0], words[1:]
	return c, nil
}

// answer reads one line, which must begin with that word, and returns the rest.
func (c *cluster) answer(word string) ([]string, error) {
	if !c.out.Scan() {
		return nil, errors.Join(errors.New("the cluster has ended; it says why above"), c.out.Err())
	}
	words := strings.Fields(c.out.Text())
	if len(words) == 0 || words[0] != word {
		return nil, fmt.Errorf("the cluster says %q, want %q", c.out.Text(), word)
	}
	return words[1:], nil
}

func (c *cluster) kill(node int) error {
	if _, err := fmt.Fprintln(c.in, "kill", node); err != nil {
		return err
	}
	_, err := c.answer("killed")
	return err
}

// under returns the node of the first client in HAProxy's table, which knows
// those that came through it.
func (c *cluster) under() (node int, ok bool, err error) {
	if _, err := fmt.Fprintln(c.in, "at"); err != nil {
		return 0, false, err
	}
	clients, err := c.answer("at")
	if err != nil || len(clients) == 0 {
		return 0, false, err
	}
	slices.Sort(clients)
	_, at, _ := strings.Cut(clients[0], "=")
	node, err = strconv.Atoi(at)
	return node, err == nil, err
}

func (c *cluster) close() error {
	return errors.Join(c.in.Close(), c.cmd.Wait())
}

const clusterRate = 300 // messages a second; the cluster takes 1500 to 2600 on two CPUs

// balanced kills the node of a cluster behind a load balancer that the first
// link, or the bridge, is connected to. The consumer is on another node.
func balanced(ctx context.Context, b broker, r *run) (values []float64, err error) {
	c, err := startCluster(ctx, r.dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, c.close()) }()
	if r.broker, err = b.start(ctx, r.dir, remote{endpoints: []string{c.balancer}, cluster: true}); err != nil {
		return nil, err
	}
	dead, err := r.find(c)
	if err != nil {
		return nil, err
	}
	consumer := r.ledger.Consumer()
	if err := r.subscribe(c.nodes[(dead+1)%len(c.nodes)], 1, 1, consumer); err != nil {
		return nil, err
	}
	if err := r.through(consumer); err != nil {
		return nil, err
	}
	fleet := load.NewFleet(load.FleetConfig{
		Client: load.Client{Addrs: []string{r.broker.addr}}, Clients: 10, Topics: 4, QoS: 1, Window: 200, Rate: clusterRate, Size: small, CatchUp: -1,
	}, r.ledger)
	done := make(chan error, 1)
	go func() { done <- fleet.Run(r.ctx) }()
	err = r.sleep(12 * time.Second) // a connection that has proved itself
	calm := consumer.Report()
	err = errors.Join(err, c.kill(dead), r.sleep(12*time.Second))
	fleet.Stop()
	if err = errors.Join(err, <-done); err != nil {
		return nil, err
	}
	if err := r.drained(60 * time.Second); err != nil {
		return nil, err
	}
	report := consumer.Report()
	return []float64{milli(report.Latency.Max()), milli(calm.Latency.Max()), float64(report.Lost), float64(report.Disorder), float64(report.Duplicates)}, nil
}

// find waits until HAProxy knows where the broker under test is connected.
func (r *run) find(c *cluster) (node int, err error) {
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); {
		node, ok, err := c.under()
		if ok || err != nil {
			return node, err
		}
		if err := r.sleep(50 * time.Millisecond); err != nil {
			return 0, err
		}
	}
	return 0, errors.New("the broker does not connect to the load balancer")
}
