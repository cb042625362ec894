// Package house is what the tests of this module drive: the gateway's real
// binary with the listeners of a home, real clients of its broker, and a cloud
// of Mosquittos behind doors that can be closed.
package house

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tidegate/build/lab/cert"
	"tidegate/build/lab/proc"
)

// patience is how long a program may take. Nothing waits for it to pass.
const patience = 60 * time.Second

// Config says what the gateway has besides its listeners.
type Config struct {
	Program string // the binary, as Build made it
	Users   string // TOML of the users file, passwords in plain as "plain:SECRET"; empty: no users, anybody may come
	More    string // further TOML, from a table header on
}

// House is a running gateway. It keeps its addresses and data through restarts.
type House struct {
	t       testing.TB
	Dir     string
	File    string // of the configuration
	MQTT    string // host:port
	WS, WSS string // host:port of WebSocket, path /mqtt
	Console string // host:port of the console
	command proc.Command
	process *proc.Process
}

// Build compiles the gateway into dir, unless $TIDEGATE names a binary.
func Build(dir string) (program string, err error) {
	if program = os.Getenv("TIDEGATE"); program != "" {
		return program, nil
	}
	program = filepath.Join(dir, "tidegate")
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	return program, proc.Build(ctx, "cmd/tidegate", program)
}

// New writes the configuration and starts the gateway.
func New(t testing.TB, c Config) *House {
	t.Helper()
	ports, err := proc.Ports(4)
	if err != nil {
		t.Fatal(err)
	}
	h := &House{t: t, Dir: t.TempDir()}
	for i, at := range []*string{&h.MQTT, &h.WS, &h.WSS, &h.Console} {
		*at = fmt.Sprintf("127.0.0.1:%d", ports[i])
	}
	if err := os.Mkdir(h.path("data"), 0o700); err != nil {
		t.Fatal(err)
	}
	h.certify()
	h.File = h.write("tidegate.toml", h.toml(c))
	if c.Users != "" {
		h.write("users.toml", hashed(t, c.Program, c.Users))
	}
	h.command = proc.Command{Name: "tidegate", Args: []string{c.Program, "run", h.File}, Dir: h.Dir}
	t.Cleanup(func() {
		if t.Failed() && h.process != nil {
			t.Logf("the gateway said:\n%s", h.process.Output())
		}
		h.Kill()
	})
	h.Start()
	return h
}

func (h *House) toml(c Config) string {
	users := ""
	if c.Users != "" {
		users = filepath.Join(h.Dir, "users.toml")
	}
	return strings.NewReplacer(
		"DATA", h.path("data"), "MQTT", h.MQTT, "WSS", h.WSS, "WS", h.WS, "CONSOLE", h.Console,
		"CERT", h.path("cert.pem"), "KEY", h.path("key.pem"), "USERS", users, "ANYBODY", fmt.Sprint(c.Users == "" || strings.Contains(c.Users, "[anonymous]")),
	).Replace(base + c.More)
}

// base is the configuration of every house. Words in capitals are filled in, in
// Config.More too.
const base = `[gateway]
id = "home-17"
data-dir = "DATA"

[[edge.listener]]
bind = "MQTT"
anonymous = ANYBODY

[[edge.listener]]
bind = "WS"
protocol = "websocket"
anonymous = ANYBODY

[[edge.listener]]
bind = "WSS"
protocol = "websocket"
anonymous = ANYBODY
cert = "CERT"
key = "KEY"

[edge.access]
users-file = "USERS"

[edge.mdns]
enabled = false

`

func (h *House) path(name string) string { return filepath.Join(h.Dir, name) }

func (h *House) write(name, text string) string {
	h.t.Helper()
	if err := os.WriteFile(h.path(name), []byte(text), 0o600); err != nil {
		h.t.Fatal(err)
	}
	return h.path(name)
}

// certify makes a certificate of 127.0.0.1 and the authority behind it, ca.pem.
func (h *House) certify() {
	h.t.Helper()
	authority, err := cert.NewAuthority()
	if err != nil {
		h.t.Fatal(err)
	}
	pair, err := authority.Issue("127.0.0.1", time.Now().Add(24*time.Hour))
	if err == nil {
		err = pair.Write(h.path("cert.pem"), h.path("key.pem"))
	}
	if err != nil {
		h.t.Fatal(err)
	}
	h.write("ca.pem", string(authority.PEM))
}

// hashed replaces each plain:SECRET by what `tidegate passwd` makes of it.
func hashed(t testing.TB, program, users string) string {
	t.Helper()
	for {
		_, rest, found := strings.Cut(users, "plain:")
		if !found {
			return users
		}
		secret, _, _ := strings.Cut(rest, "\"")
		cmd := exec.Command(program, "passwd")
		cmd.Stdin = strings.NewReader(secret + "\n")
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("tidegate passwd: %v", err)
		}
		users = strings.ReplaceAll(users, "plain:"+secret+"\"", string(bytes.TrimSpace(out))+"\"")
	}
}

// Start starts the gateway if it does not run, and returns when devices can
// come in.
func (h *House) Start() {
	h.t.Helper()
	if h.process != nil && h.process.Running() {
		return
	}
	p, err := proc.Start(h.command)
	if err != nil {
		h.t.Fatal(err)
	}
	h.process = p
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	err = p.Ready(ctx, func(ctx context.Context) error {
		c, err := new(net.Dialer).DialContext(ctx, "tcp", h.MQTT)
		if err == nil {
			c.Close()
		}
		return err
	})
	if err != nil {
		h.t.Fatal(err)
	}
}

// Stop ends the gateway as a service manager does.
func (h *House) Stop() {
	h.t.Helper()
	if err := h.process.Terminate(patience); err != nil {
		h.t.Fatal(err)
	}
}

// Kill ends it as a power cut does.
func (h *House) Kill() {
	if h.process != nil {
		h.process.Kill()
	}
}
