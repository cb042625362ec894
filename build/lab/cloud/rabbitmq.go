package cloud

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"tidegate/build/lab/proc"
)

// newRabbitMQ makes a cluster of three RabbitMQ nodes that run in a Debian 13
// root made by rabbitmq.sh, each in its own mount and pid namespace. They
// share the machine's network: all their ports are on the loopback address.
func newRabbitMQ(ctx context.Context, dir string) (*Cloud, error) {
	root, err := rabbitRoot(ctx)
	if err != nil {
		return nil, err
	}
	sbin, err := filepath.Glob(root + "/usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin")
	if err != nil || len(sbin) != 1 {
		return nil, fmt.Errorf("no single RabbitMQ in %s: %q", root, sbin)
	}
	ports, err := proc.Ports(2*Size + 1)
	if err != nil {
		return nil, err
	}
	c := &Cloud{Cluster: true}
	epmd, err := startEPMD(ctx, root, ports[2*Size])
	if err != nil {
		return nil, err
	}
	c.helpers = append(c.helpers, epmd)
	for i := range Size {
		r := rabbit{
			name: fmt.Sprintf("r%d", i+1),
			root: root,
			sbin: strings.TrimPrefix(sbin[0], root),
			data: filepath.Join(dir, fmt.Sprintf("r%d", i+1)),
			mqtt: ports[i],
			dist: ports[Size+i],
			epmd: ports[2*Size],
		}
		node, err := r.node()
		if err != nil {
			c.Close()
			return nil, err
		}
		c.Nodes = append(c.Nodes, node)
	}
	return c, nil
}

// rabbitRoot runs rabbitmq.sh, which makes the root when it is missing.
func rabbitRoot(ctx context.Context) (string, error) {
	repo, err := proc.Root()
	if err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, filepath.Join(repo, "build/lab/rabbitmq.sh"))
	cmd.Stderr = new(strings.Builder)
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("make the root for RabbitMQ: %w\n%s", err, cmd.Stderr)
	}
	return strings.TrimSpace(string(out)), nil
}

// startEPMD starts Erlang's port mapper apart from the nodes: the node that
// came first would start it, and take it along when it is killed.
func startEPMD(ctx context.Context, root string, port int) (*proc.Process, error) {
	p, err := proc.Start(proc.Command{Name: "epmd", Args: []string{
		"chroot", root, "epmd", "-address", "127.0.0.1", "-port", fmt.Sprint(port),
	}})
	if err != nil {
		return nil, err
	}
	err = p.Ready(ctx, func(ctx context.Context) error {
		var dialer net.Dialer
		conn, err := dialer.DialContext(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			conn.Close()
		}
		return err
	})
	if err != nil {
		p.Kill()
		return nil, err
	}
	return p, nil
}

type rabbit struct {
	name, root string
	sbin       string // inside root
	data       string // outside root; bound to /mnt in it
	mqtt       int    // ports
	dist       int
	epmd       int
}

// enter runs the rest of its arguments in the root $1 with the data $2 bound
// to its /mnt. The mounts are seen by nobody else and end with the process.
const enter = `set -e
mount --make-rprivate /
mount --bind "$2" "$1/mnt"
mount --rbind /dev "$1/dev"
mount -t proc proc "$1/proc"
root=$1; shift 2
exec chroot "$root" "$@"`

func (r rabbit) node() (*Node, error) {
	if err := os.MkdirAll(r.data, 0o700); err != nil {
		return nil, err
	}
	files := map[string]string{
		"rabbitmq.conf":   r.config(),
		"enabled_plugins": "[rabbitmq_mqtt].\n",
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(r.data, name), []byte(text), 0o600); err != nil {
			return nil, err
		}
	}
	return &Node{
		Name: r.name,
		Addr: fmt.Sprintf("127.0.0.1:%d", r.mqtt),
		command: proc.Command{
			Name:      r.name,
			Contained: true,
			Args:      []string{"sh", "-c", enter, "enter", r.root, r.data, r.sbin + "/rabbitmq-server"},
			Env:       r.env(),
		},
	}, nil
}

func (r rabbit) env() []string {
	return []string{
		"HOME=/mnt",
		"LC_ALL=C.UTF-8",
		"RUNNING_UNDER_SYSTEMD=1", // exec Erlang instead of staying in front of it
		"RABBITMQ_NODENAME=" + r.name + "@localhost",
		"RABBITMQ_CONFIG_FILE=/mnt/rabbitmq.conf",
		"RABBITMQ_ENABLED_PLUGINS_FILE=/mnt/enabled_plugins",
		"RABBITMQ_MNESIA_BASE=/mnt/data",
		"RABBITMQ_LOG_BASE=/mnt/log",
		"RABBITMQ_PID_FILE=/mnt/pid",
		fmt.Sprint("RABBITMQ_DIST_PORT=", r.dist),
		fmt.Sprint("ERL_EPMD_PORT=", r.epmd),
		"ERL_EPMD_ADDRESS=127.0.0.1",
		"RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=-setcookie tidegate -start_epmd false" +
			" -kernel inet_dist_use_interface {127,0,0,1} +S 2:2 +sbwt none",
	}
}

func (r rabbit) config() string {
	lines := []string{
		"listeners.tcp = none", // AMQP
		fmt.Sprintf("mqtt.listeners.tcp.1 = 127.0.0.1:%d", r.mqtt),
		"mqtt.allow_anonymous = true",
		"anonymous_login_user = guest",
		"anonymous_login_pass = guest",
		"loopback_users = none",
		// With classic queues a session dies with the node that holds it.
		"mqtt.durable_queue_type = quorum",
		"mqtt.max_session_expiry_interval_seconds = 86400",
		"cluster_formation.peer_discovery_backend = classic_config",
		"log.file = false",
		"log.console = true",
		"log.console.level = warning",
	}
	for i := range Size {
		lines = append(lines, fmt.Sprintf("cluster_formation.classic_config.nodes.%d = r%d@localhost", i+1, i+1))
	}
	return strings.Join(lines, "\n") + "\n"
}
