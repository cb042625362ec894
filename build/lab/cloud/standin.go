package cloud

import (
	"context"
	"fmt"
	"path/filepath"

	"tidegate/build/lab/proc"
)

// newStandin makes three separate nodes that are the gateway's own edge
// broker: nothing to install. It cannot show a session that moves.
func newStandin(ctx context.Context, dir string, places []Place) (*Cloud, error) {
	program := filepath.Join(dir, "node")
	if err := proc.BuildLab(ctx, "cmd/node", program); err != nil {
		return nil, err
	}
	c := &Cloud{Record: filepath.Join(dir, "record")}
	for i, p := range places {
		n := &Node{Name: fmt.Sprintf("node-%d", i)}
		listen := fmt.Sprintf("%s:%d", p.Host, p.Port)
		n.command = proc.Command{Name: n.Name, Args: []string{program, "-listen", listen, "-record", c.Record}}
		c.Nodes = append(c.Nodes, n)
	}
	return c, nil
}
