package scenario

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"tidegate/build/lab/cloud"
	"tidegate/build/lab/network"
)

// StageConfig says what to build.
type StageConfig struct {
	Cloud   string    // kind, one of cloud.Kinds
	Program string    // the gateway's binary
	Dir     string    // for everything
	Output  io.Writer // gets what gateway and nodes print; may be nil
}

// Stage is a network with a cloud in it, whole again after every scenario.
type Stage struct {
	StageConfig
	net   *network.Network
	home  *network.Host   // where the gateway runs
	hosts []*network.Host // of the cloud's nodes, in the order of cloud.Nodes
	cloud *cloud.Cloud
	takes int
}

const mqttPort = 1883

// Open makes the network and starts the cloud. The program must have been
// started by network.Enter.
func Open(ctx context.Context, cfg StageConfig) (*Stage, error) {
	s := &Stage{StageConfig: cfg}
	var err error
	if s.net, err = network.New(); err != nil {
		return nil, err
	}
	if s.home, err = s.net.Host("gateway"); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	var places []cloud.Place
	for i := range cloud.Size {
		h, err := s.net.Host(fmt.Sprintf("node%d", i+1))
		if err != nil {
			return nil, errors.Join(err, s.Close())
		}
		s.hosts = append(s.hosts, h)
		places = append(places, cloud.Place{Host: h.Addr.String(), Port: mqttPort, Network: h.Namespace()})
	}
	dir := filepath.Join(cfg.Dir, "cloud")
	if err := os.MkdirAll(dir, 0o755); err != nil { // a node may run as another user
		return nil, errors.Join(err, s.Close())
	}
	if s.cloud, err = cloud.OpenAt(ctx, cfg.Cloud, dir, places, cfg.Output); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// Close ends everything.
func (s *Stage) Close() error {
	if s.cloud != nil {
		s.cloud.Close()
	}
	return s.net.Close()
}

// uplink makes up and down the states of the ways between the gateway and all
// nodes.
func (s *Stage) uplink(up, down network.Fault) {
	for i := range s.hosts {
		s.way(i, up, down)
	}
}

// way makes up and down the states of the ways between the gateway and a node.
func (s *Stage) way(node int, up, down network.Fault) {
	s.net.Way(s.home, s.hosts[node], up)
	s.net.Way(s.hosts[node], s.home, down)
}

// peers makes f the state of the ways between a node and the other nodes.
func (s *Stage) peers(node int, f network.Fault) {
	for i, h := range s.hosts {
		if i != node {
			s.net.Between(s.hosts[node], h, f)
		}
	}
}

// mend makes everything whole.
func (s *Stage) mend(ctx context.Context) error {
	s.uplink(network.Fault{}, network.Fault{})
	for i := range s.hosts {
		s.peers(i, network.Fault{})
	}
	for _, n := range s.cloud.Nodes {
		n.Resume()
	}
	if err := s.cloud.Start(ctx); err != nil {
		return err
	}
	for _, n := range s.cloud.Nodes { // one that was cut off may have stopped serving
		if err := n.Ready(ctx); err != nil {
			return err
		}
	}
	return nil
}
