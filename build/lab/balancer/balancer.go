package balancer

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"text/template"
	"time"

	"tidegate/build/lab/proc"
)

//go:embed haproxy.cfg.tmpl nginx.conf.tmpl
var templates embed.FS

// kind is what the load balancers do not have in common.
type kind struct {
	template string
	command  func(dir, config string) []string
	reload   syscall.Signal        // to the master: read the configuration again
	loaded   string                // what the master prints whenever a worker has begun
	listens  func(*Balancer) error // whether the master takes signals
}

func kinds() map[string]kind {
	return map[string]kind{
		"haproxy": {"haproxy.cfg.tmpl", func(dir, config string) []string {
			return []string{"/usr/sbin/haproxy", "-W", "-db", "-S", "unix@" + masterSocket(dir), "-f", config}
		}, syscall.SIGUSR2, "Loading success.", (*Balancer).masterListens},
		"nginx": {"nginx.conf.tmpl", func(_, config string) []string {
			return []string{"/usr/sbin/nginx", "-e", "stderr", "-c", config}
		}, syscall.SIGHUP, "start worker process ", func(*Balancer) error { return nil }},
	}
}

// Kinds returns the kinds that Start knows.
func Kinds() []string { return []string{"haproxy", "nginx"} }

// Options say how to balance.
type Options struct {
	Cert   []byte    // PEM, certificate and key: listen for TLS too; nil for plain MQTT only
	Proxy  bool      // tell the nodes who the clients are, by the PROXY protocol
	Output io.Writer // gets what it prints; may be nil
	Host   string    // IPv4 address to listen on; the loopback address when empty
}

// Balancer is one load balancer. It keeps its addresses to Close.
type Balancer struct {
	Kind    string
	Addr    string // host:port, plain MQTT
	TLSAddr string // MQTT over TLS; empty without Options.Cert

	kind   kind
	dir    string
	values values
	output io.Writer

	mu      sync.Mutex // guards what follows
	process *proc.Process
}

// values are what the templates are filled with.
type values struct {
	Dir, Addr, TLSAddr, PeerAddr string
	Cert                         string // file; empty: no TLS
	Modules                      string // directory
	Proxy                        bool
	Nodes                        []string
}

// Start starts a load balancer in front of the nodes ("host:port") and returns
// when it accepts connections, whether or not a node is there.
func Start(ctx context.Context, name string, nodes []string, o Options) (*Balancer, error) {
	k, ok := kinds()[name]
	if !ok {
		return nil, fmt.Errorf("no load balancer of kind %q; there are %q", name, Kinds())
	}
	ports, err := proc.Ports(3)
	if err != nil {
		return nil, err
	}
	// Not below TMPDIR, which may be closed to nobody.
	dir, err := os.MkdirTemp("/tmp", "tidegate-balancer-")
	if err != nil {
		return nil, err
	}
	b := &Balancer{Kind: name, Addr: o.at(ports[0]), kind: k, dir: dir, output: o.Output}
	b.values = values{Dir: dir, Addr: b.Addr, PeerAddr: o.at(ports[2]), Modules: "/usr/lib/nginx/modules", Proxy: o.Proxy, Nodes: nodes}
	if o.Cert != nil {
		b.TLSAddr = o.at(ports[1])
		b.values.TLSAddr, b.values.Cert = b.TLSAddr, filepath.Join(dir, "cert.pem")
		err = os.WriteFile(b.values.Cert, o.Cert, 0o600)
	}
	if err = errors.Join(err, b.configure()); err == nil {
		err = b.start(ctx)
	}
	if err != nil {
		b.Close()
		return nil, err
	}
	return b, nil
}

func (o Options) at(port int) string {
	host := o.Host
	if host == "" {
		host = "127.0.0.1"
	}
	return fmt.Sprintf("%s:%d", host, port)
}

// configure writes the configuration and gives the directory to nobody.
func (b *Balancer) configure() error {
	t, err := template.ParseFS(templates, b.kind.template)
	if err != nil {
		return err
	}
	var text bytes.Buffer
	if err := t.Execute(&text, b.values); err != nil {
		return fmt.Errorf("fill in the configuration of %s: %w", b.Kind, err)
	}
	if err := os.WriteFile(b.config(), text.Bytes(), 0o600); err != nil {
		return err
	}
	if os.Geteuid() != 0 {
		return nil
	}
	for _, path := range []string{b.dir, b.config(), b.values.Cert} {
		if path == "" {
			continue
		}
		if err := os.Chown(path, proc.Nobody, proc.Nobody); err != nil {
			return err
		}
	}
	return nil
}

func (b *Balancer) config() string {
	return filepath.Join(b.dir, strings.TrimSuffix(b.kind.template, ".tmpl"))
}

func (b *Balancer) start(ctx context.Context) error {
	root := os.Geteuid() == 0
	p, err := proc.Start(proc.Command{
		Name: b.Kind, Args: b.kind.command(b.dir, b.config()), Dir: b.dir, Output: b.output,
		Contained: root, Unprivileged: root,
	})
	if err != nil {
		return err
	}
	b.mu.Lock()
	b.process = p
	b.mu.Unlock()
	return b.loads(ctx, p, 0)
}

// loads waits until a worker has begun besides so many before, connections are
// accepted, and signals too: one that comes earlier is lost.
func (b *Balancer) loads(ctx context.Context, p *proc.Process, before int) error {
	return p.Ready(ctx, func(ctx context.Context) error {
		if strings.Count(p.Output(), b.kind.loaded) == before {
			return errors.New("no worker yet")
		}
		if err := b.kind.listens(b); err != nil {
			return err
		}
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", b.Addr)
		if err == nil {
			conn.Close()
		}
		return err
	})
}

// Process returns the master process, whose children do the work.
func (b *Balancer) Process() *proc.Process {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.process
}

// Restart ends the load balancer as a service manager does, with SIGTERM, and
// starts it again: every connection is closed, and what it knew is forgotten.
func (b *Balancer) Restart(ctx context.Context) error {
	_ = b.Process().Terminate(10 * time.Second) // gone either way
	return b.start(ctx)
}

// Reload puts it in front of other nodes and returns when the new worker is
// there. Connections live on, with the nodes that they have.
func (b *Balancer) Reload(ctx context.Context, nodes []string) error {
	b.values.Nodes = nodes
	if err := b.configure(); err != nil {
		return err
	}
	p := b.Process()
	before := strings.Count(p.Output(), b.kind.loaded)
	p.Signal(b.kind.reload)
	return b.loads(ctx, p, before)
}

// Kill ends it with SIGKILL and returns when it is gone.
func (b *Balancer) Kill() {
	if p := b.Process(); p != nil {
		p.Kill()
	}
}

// Begin starts it again after Kill.
func (b *Balancer) Begin(ctx context.Context) error { return b.start(ctx) }

// Close ends it and removes its files.
func (b *Balancer) Close() {
	b.Kill()
	os.RemoveAll(b.dir)
}
