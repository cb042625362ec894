// Package gateway runs the gateway's real binary as a home would, and ends it
// as a power failure would.
package gateway

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"tidegate/build/lab/cloud"
	"tidegate/build/lab/proc"
)

// Config says what to run. The routes are: home/# goes up as cloud/home/#;
// cloud/commands/# comes down as commands/#.
type Config struct {
	Program   string   // the binary, as proc.Build("cmd/tidegate") made it
	Dir       string   // for the configuration file
	DataDir   string   // what must survive
	ID        string   // gateway id; the links are called ID-u0, ID-d0, ...
	Endpoints []string // of the cloud's nodes: "host:port", plain MQTT, or a URL
	Cluster   bool     // the endpoints share sessions
	Gateway   string   // further lines of TOML for [gateway]
	Up        string   // up routes that come before home/#, as inline tables, each with a comma behind it
	Uplink    string   // further lines of TOML for [[uplink]]; may end in its subtables
	Edge      string   // the same for [edge]
	Output    io.Writer
	Bind      string   // "host:port" where devices connect; a free port of the loopback address when empty
	Network   *os.File // namespace to run in; nil for this process's own
}

// Topics of the routes.
const (
	Up   = "home/"           // what devices publish to
	Sent = "cloud/home/"     // where it arrives
	Cmd  = "cloud/commands/" // what the cloud publishes to
	Down = "commands/"       // where it arrives
)

// Gateway is the gateway and its place. It keeps its address through Kill and
// Start.
type Gateway struct {
	Addr    string // where devices connect
	command proc.Command

	mu      sync.Mutex
	process *proc.Process
	starts  int
}

// New writes the configuration and starts nothing.
func New(c Config) (*Gateway, error) {
	g := &Gateway{Addr: c.Bind}
	if g.Addr == "" {
		ports, err := proc.Ports(1)
		if err != nil {
			return nil, err
		}
		g.Addr = fmt.Sprintf("127.0.0.1:%d", ports[0])
	}
	file := filepath.Join(c.Dir, "tidegate.toml")
	if err := os.WriteFile(file, []byte(c.toml(g.Addr)), 0o600); err != nil {
		return nil, fmt.Errorf("write the gateway's configuration: %w", err)
	}
	g.command = proc.Command{Name: "tidegate", Args: []string{c.Program, "run", file}, Output: c.Output, Network: c.Network}
	return g, nil
}

func (c Config) toml(addr string) string {
	urls := make([]string, len(c.Endpoints))
	for i, e := range c.Endpoints {
		if !strings.Contains(e, "://") {
			e = "mqtt://" + e
		}
		urls[i] = fmt.Sprintf("%q", e)
	}
	return fmt.Sprintf(`[gateway]
id = %q
data-dir = %q
%s
[edge]
%s
[[edge.listener]]
bind = %q
anonymous = true

[[uplink]]
name = "cloud"
endpoints = [%s]
cluster = %v
up = [%s{filter = "home/#", add = "cloud/"}]
down = [{filter = "cloud/commands/#", strip = "cloud/"}]
%s
[console]
bind = ""
`, c.ID, c.DataDir, c.Gateway, c.Edge, addr, strings.Join(urls, ", "), c.Cluster, c.Up, c.Uplink)
}

// Start starts the gateway if it does not run and returns when it lets a
// device in.
func (g *Gateway) Start(ctx context.Context) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.process != nil && g.process.Running() {
		return nil
	}
	p, err := proc.Start(g.command)
	if err != nil {
		return err
	}
	g.process = p
	g.starts++
	return p.Ready(ctx, func(ctx context.Context) error { return cloud.Probe(ctx, g.Addr) })
}

// Process returns the process; nil before the first Start.
func (g *Gateway) Process() *proc.Process {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.process
}

// Starts returns how often the gateway was started.
func (g *Gateway) Starts() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.starts
}

// Kill ends it with SIGKILL and returns when it is gone.
func (g *Gateway) Kill() {
	if p := g.Process(); p != nil {
		p.Kill()
	}
}

// Stop ends it with SIGTERM, as a service manager does.
func (g *Gateway) Stop(within time.Duration) error {
	if p := g.Process(); p != nil && p.Running() {
		return p.Terminate(within)
	}
	return nil
}
