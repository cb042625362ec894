package cloud

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"tidegate/build/lab/proc"
)

// newMosquitto makes three separate Mosquittos whose queues have no limit.
func newMosquitto(_ context.Context, dir string, places []Place) (*Cloud, error) {
	c := &Cloud{}
	for i, p := range places {
		name := fmt.Sprintf("mosquitto-%d", i)
		file := filepath.Join(dir, name+".conf")
		conf := fmt.Sprintf("listener %d %s\nallow_anonymous true\nmax_queued_messages 0\nset_tcp_nodelay true\n", p.Port, p.Host)
		if err := os.WriteFile(file, []byte(conf), 0o644); err != nil { // read by Mosquitto's own user
			return nil, err
		}
		c.Nodes = append(c.Nodes, &Node{
			Name:    name,
			command: proc.Command{Name: name, Args: []string{"/usr/sbin/mosquitto", "-c", file}},
		})
	}
	return c, nil
}
