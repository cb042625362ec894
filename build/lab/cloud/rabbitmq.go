package cloud

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"tidegate/build/lab/proc"
)

// newRabbitMQ makes a cluster of three RabbitMQ nodes that run in a Debian 13
// root made by rabbitmq.sh, each in its own mount and pid namespace. They
// share one host, or have one each.
func newRabbitMQ(ctx context.Context, dir string, places []Place) (*Cloud, error) {
	return newRabbits(ctx, dir, places, nil)
}

// newProxiedRabbitMQ is the same for nodes behind a load balancer: they want
// the PROXY protocol, and write down who connects.
func newProxiedRabbitMQ(ctx context.Context, dir string, places []Place) (*Cloud, error) {
	c, err := newRabbits(ctx, dir, places, []string{"mqtt.proxy_protocol = true", "log.console.level = info"})
	if err == nil {
		c.Proxied = true
	}
	return c, err
}

// newEagerRabbitMQ is the same for a subscriber of 1000 messages a second.
func newEagerRabbitMQ(ctx context.Context, dir string, places []Place) (*Cloud, error) {
	return newRabbits(ctx, dir, places, []string{"mqtt.prefetch = 1000"})
}

func newRabbits(ctx context.Context, dir string, places []Place, more []string) (*Cloud, error) {
	root, err := RabbitRoot(ctx)
	if err != nil {
		return nil, err
	}
	sbin, err := filepath.Glob(root + "/usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin")
	if err != nil || len(sbin) != 1 {
		return nil, fmt.Errorf("no single RabbitMQ in %s: %q", root, sbin)
	}
	members, mappers, err := cluster(places)
	if err != nil {
		return nil, err
	}
	c := &Cloud{Cluster: true}
	for _, m := range mappers {
		epmd, err := startEPMD(ctx, root, m)
		if err != nil {
			c.Close()
			return nil, err
		}
		c.helpers = append(c.helpers, epmd)
	}
	for _, r := range members {
		r.root, r.sbin, r.data = root, strings.TrimPrefix(sbin[0], root), filepath.Join(dir, r.name)
		r.more = more
		node, err := r.node(members)
		if err != nil {
			c.Close()
			return nil, err
		}
		c.Nodes = append(c.Nodes, node)
	}
	return c, nil
}

// cluster plans the nodes, and where Erlang's port mapper must run: once for
// each host.
func cluster(places []Place) (members, mappers []rabbit, err error) {
	apart := places[0].Network != nil
	taken := func(port int) bool {
		return slices.ContainsFunc(places, func(p Place) bool { return p.Port == port })
	}
	ports, err := proc.Ports(2*len(places) + 1)
	if err != nil {
		return nil, nil, err
	}
	ports = slices.DeleteFunc(ports, taken) // by the nodes' own, which do not run yet
	for i, p := range places {
		r := rabbit{name: fmt.Sprintf("r%d", i+1), host: "localhost", place: p, dist: ports[i], epmd: ports[len(places)]}
		if apart {
			r.host = fmt.Sprintf("host%d", i+1)
		}
		members = append(members, r)
	}
	if apart {
		return members, members, nil
	}
	return members, members[:1], nil
}

// RabbitRoot returns the root that RabbitMQ runs in. It is made when it is
// missing: a minute, with root's rights and the machine's network.
func RabbitRoot(ctx context.Context) (string, error) {
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
func startEPMD(ctx context.Context, root string, r rabbit) (*proc.Process, error) {
	p, err := proc.Start(proc.Command{Name: "epmd", Network: r.place.Network, Args: []string{
		"chroot", root, "epmd", "-address", r.place.Host, "-port", fmt.Sprint(r.epmd),
	}})
	if err != nil {
		return nil, err
	}
	err = p.Ready(ctx, func(ctx context.Context) error {
		var dialer net.Dialer
		conn, err := dialer.DialContext(ctx, "tcp", fmt.Sprintf("%s:%d", r.place.Host, r.epmd))
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
	name, host string // its Erlang name is name@host
	root       string
	sbin       string // inside root
	data       string // outside root; bound to /mnt in it
	place      Place
	more       []string // lines of configuration
	dist       int      // ports
	epmd       int
}

// enter runs the rest of its arguments in the root $1 with the data $2 bound
// to its /mnt. The mounts are seen by nobody else and end with the process.
const enter = `set -e
mount --make-rprivate /
mount --bind "$2" "$1/mnt"
mount --bind "$2/hosts" "$1/etc/hosts"
mount --rbind /dev "$1/dev"
mount -t proc proc "$1/proc"
root=$1; shift 2
exec chroot "$root" "$@"`

func (r rabbit) node(members []rabbit) (*Node, error) {
	if err := os.MkdirAll(r.data, 0o700); err != nil {
		return nil, err
	}
	files := map[string]string{
		"rabbitmq.conf":   r.config(members),
		"hosts":           hosts(members),
		"enabled_plugins": "[rabbitmq_mqtt].\n",
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(r.data, name), []byte(text), 0o600); err != nil {
			return nil, err
		}
	}
	return &Node{
		Name: r.name,
		// After a kill of all nodes at once, Mnesia now and then fails to start
		// while the others start too; a service manager would try again.
		restarts: 5,
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
		"RABBITMQ_NODENAME=" + r.name + "@" + r.host,
		"RABBITMQ_CONFIG_FILE=/mnt/rabbitmq.conf",
		"RABBITMQ_ENABLED_PLUGINS_FILE=/mnt/enabled_plugins",
		"RABBITMQ_MNESIA_BASE=/mnt/data",
		"RABBITMQ_LOG_BASE=/mnt/log",
		"RABBITMQ_PID_FILE=/mnt/pid",
		fmt.Sprint("RABBITMQ_DIST_PORT=", r.dist),
		fmt.Sprint("ERL_EPMD_PORT=", r.epmd),
		"ERL_EPMD_ADDRESS=" + r.place.Host,
		"RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=-setcookie tidegate -start_epmd false" +
			" -kernel inet_dist_use_interface {" + strings.ReplaceAll(r.place.Host, ".", ",") + "} +S 2:2 +sbwt none",
	}
}

func hosts(members []rabbit) string {
	lines := []string{"127.0.0.1 localhost"}
	for _, m := range members {
		lines = append(lines, m.place.Host+" "+m.host)
	}
	return strings.Join(lines, "\n") + "\n"
}

func (r rabbit) config(members []rabbit) string {
	lines := []string{
		"listeners.tcp = none", // AMQP
		fmt.Sprintf("mqtt.listeners.tcp.1 = %s:%d", r.place.Host, r.place.Port),
		"mqtt.allow_anonymous = true",
		"anonymous_login_user = guest",
		"anonymous_login_pass = guest",
		"loopback_users = none",
		// With classic queues a session dies with the node that holds it.
		"mqtt.durable_queue_type = quorum",
		"mqtt.max_session_expiry_interval_seconds = 86400",
		// A node cut off from its peers stops serving instead of going its own way.
		"cluster_partition_handling = pause_minority",
		"cluster_formation.peer_discovery_backend = classic_config",
		"log.file = false",
		"log.console = true",
		"log.console.level = warning",
	}
	for i, m := range members {
		lines = append(lines, fmt.Sprintf("cluster_formation.classic_config.nodes.%d = %s@%s", i+1, m.name, m.host))
	}
	return strings.Join(append(lines, r.more...), "\n") + "\n"
}
