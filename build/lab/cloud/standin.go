package cloud

import (
	"context"
	"fmt"
	"path/filepath"

	"tidegate/build/lab/proc"
)

// newStandin makes three separate nodes that are the gateway's own edge
// broker: nothing to install. It cannot show a session that moves.
func newStandin(ctx context.Context, dir string) (*Cloud, error) {
	program := filepath.Join(dir, "node")
	if err := proc.BuildLab(ctx, "cmd/node", program); err != nil {
		return nil, err
	}
	ports, err := proc.Ports(Size)
	if err != nil {
		return nil, err
	}
	c := &Cloud{Record: filepath.Join(dir, "record")}
	for i, port := range ports {
		n := &Node{Name: fmt.Sprintf("node-%d", i), Addr: fmt.Sprintf("127.0.0.1:%d", port)}
		n.command = proc.Command{Name: n.Name, Args: []string{program, "-listen", n.Addr, "-record", c.Record}}
		c.Nodes = append(c.Nodes, n)
	}
	return c, nil
}
