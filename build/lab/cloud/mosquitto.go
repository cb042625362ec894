package cloud

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"tidegate/build/lab/proc"
)

// newMosquitto makes three separate Mosquittos whose queues have no limit.
func newMosquitto(_ context.Context, dir string) (*Cloud, error) {
	ports, err := proc.Ports(Size)
	if err != nil {
		return nil, err
	}
	c := &Cloud{}
	for i, port := range ports {
		name := fmt.Sprintf("mosquitto-%d", i)
		file := filepath.Join(dir, name+".conf")
		conf := fmt.Sprintf("listener %d 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\nset_tcp_nodelay true\n", port)
		if err := os.WriteFile(file, []byte(conf), 0o644); err != nil { // read by Mosquitto's own user
			return nil, err
		}
		c.Nodes = append(c.Nodes, &Node{
			Name:    name,
			Addr:    fmt.Sprintf("127.0.0.1:%d", port),
			command: proc.Command{Name: name, Args: []string{"/usr/sbin/mosquitto", "-c", file}},
		})
	}
	return c, nil
}
