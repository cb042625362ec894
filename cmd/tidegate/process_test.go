package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience is how long a test waits for what must come. It is long, because
// the machine may be slow; nothing waits for it to pass.
const patience = 30 * time.Second

var program string // of the gateway, built for the tests

// TestMain builds the gateway. Somebody who is not root gets a user namespace
// in which to mount the small and read-only file systems of the tests.
func TestMain(m *testing.M) {
	os.Exit(func() int {
		if os.Geteuid() != 0 {
			return asRoot()
		}
		dir, err := os.MkdirTemp("", "tidegate-test-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		program = filepath.Join(dir, "tidegate")
		build := exec.Command("go", "build", "-ldflags", "-s -w", "-o", program, ".")
		build.Stderr = os.Stderr
		if err := build.Run(); err != nil {
			fmt.Fprintln(os.Stderr, "build the gateway:", err)
			return 1
		}
		return m.Run()
	}())
}

func asRoot() int {
	again := exec.Command("/proc/self/exe", os.Args[1:]...)
	again.Stdin, again.Stdout, again.Stderr = os.Stdin, os.Stdout, os.Stderr
	again.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
	if err := again.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "run the tests as root, or where users may make namespaces:", err)
		return 1
	}
	return 0
}

// output collects what a process says, line by line.
type output struct {
	mu  sync.Mutex
	all []string
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.all = append(o.all, string(p))
	return len(p), nil
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return strings.Join(o.all, "")
}

// process is a program that the test started and ends.
type process struct {
	t    *testing.T
	cmd  *exec.Cmd
	out  *output
	done chan struct{} // closed when it has ended
}

func run(t *testing.T, env []string, name string, args ...string) *process {
	t.Helper()
	p := &process{t: t, cmd: exec.Command(name, args...), out: &output{}, done: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stdout, p.cmd.Stderr = p.out, p.out
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("start %s: %v (build/setup.sh installs what is missing)", name, err)
	}
	go func() { p.cmd.Wait(); close(p.done) }()
	t.Cleanup(p.kill)
	return p
}

func (p *process) kill() {
	p.cmd.Process.Kill()
	<-p.done
}

func (p *process) signal(s os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// exit waits for the end and returns the exit code; -1 when a signal ended it.
func (p *process) exit() int {
	p.t.Helper()
	select {
	case <-p.done:
	case <-time.After(patience):
		p.t.Fatalf("%s does not end; it said\n%s", p.cmd.Path, p.out)
	}
	return p.cmd.ProcessState.ExitCode()
}

// says waits until the process has said something that matches, and returns the
// first group of the match, or all of it.
func (p *process) says(pattern string) string {
	p.t.Helper()
	re := regexp.MustCompile(pattern)
	var found []string
	eventually(p.t, func() bool {
		found = re.FindStringSubmatch(p.out.String())
		return found != nil
	}, func() string { return fmt.Sprintf("%s does not say %q, but\n%s", p.cmd.Path, pattern, p.out) })
	return found[len(found)-1]
}

// eventually waits until ok.
func eventually(t *testing.T, ok func() bool, what func() string) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal(what())
		}
	}
}

// gatewayProcess is a running gateway.
type gatewayProcess struct {
	*process
	file, dir string
}

// house is a configuration with a data directory of its own; more is appended.
func house(t *testing.T, more string) (file, dir string) {
	t.Helper()
	dir = t.TempDir()
	file = filepath.Join(t.TempDir(), "tidegate.toml")
	if !strings.Contains(more, "[console]") {
		more += noPage
	}
	configure(t, file, fmt.Sprintf("[gateway]\nid = \"house\"\ndata-dir = %q\n%s", dir, more))
	return file, dir
}

// noPage keeps a gateway off the port that the page has otherwise.
const noPage = "\n[console]\nbind = \"\"\n"

func configure(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// openHouse lets anybody in on a free port.
const openHouse = `
[[edge.listener]]
bind = "127.0.0.1:0"
anonymous = true
`

// towards is an uplink to the cloud on port.
func towards(port string) string {
	return fmt.Sprintf(`
[[uplink]]
endpoints = ["mqtt://127.0.0.1:%s"]
reconnect-max = "200ms"
[[uplink.up]]
filter = "home/#"
strip = "home/"
add = "houses/17/"
[[uplink.down]]
filter = "houses/17/commands/#"
strip = "houses/17/"
add = "home/"
`, port)
}

func startGateway(t *testing.T, file, dir string, env ...string) *gatewayProcess {
	t.Helper()
	g := &gatewayProcess{run(t, env, program, "run", file), file, dir}
	g.says(`msg=ready`)
	return g
}

// port is that of the first listener.
func (g *gatewayProcess) port() string {
	g.t.Helper()
	return g.says(`msg=ready.* addresses="?\[[0-9.]+:(\d+)`)
}

// stats returns one line of the status socket.
func (g *gatewayProcess) stats() (s struct {
	Epoch   uint64
	RSS     int64
	Uptime  float64
	Gateway string
	HW      struct{ Readings int64 }
	Card    struct{ Days int64 }
}) {
	g.t.Helper()
	c, err := net.Dial("unix", filepath.Join(g.dir, statusName))
	if err != nil {
		g.t.Fatal(err)
	}
	defer c.Close()
	line, err := bufio.NewReader(c).ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &s)
	}
	if err != nil {
		g.t.Fatalf("status: %v: %s", err, line)
	}
	return s
}

// startCloud runs Mosquitto on port, or on a free one, with more lines of
// configuration.
func startCloud(t *testing.T, port string, more ...string) (*process, string) {
	t.Helper()
	if port == "" {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		_, port, _ = net.SplitHostPort(l.Addr().String())
		l.Close()
	}
	file := filepath.Join(t.TempDir(), "mosquitto.conf")
	configure(t, file, fmt.Sprintf("listener %s 127.0.0.1\nallow_anonymous true\nuser root\nmax_inflight_messages 0\nmax_queued_messages 0\nset_tcp_nodelay true\n%s", port, strings.Join(more, "\n")))
	name, err := exec.LookPath("mosquitto")
	if err != nil {
		name = "/usr/sbin/mosquitto"
	}
	p := run(t, nil, name, "-c", file)
	eventually(t, func() bool {
		c, err := net.Dial("tcp", "127.0.0.1:"+port)
		if err == nil {
			c.Close()
		}
		return err == nil
	}, func() string { return "mosquitto does not listen:\n" + p.out.String() })
	return p, port
}

// subscribe runs mosquitto_sub and returns when it is subscribed.
func subscribe(t *testing.T, port, filter string, more ...string) *process {
	t.Helper()
	p := run(t, nil, "stdbuf", append([]string{"-oL", "mosquitto_sub", "-d", "-h", "127.0.0.1", "-p", port, "-q", "1", "-F", "got %t %p", "-t", filter}, more...)...)
	p.says(`Subscribed`)
	return p
}

// publish runs mosquitto_pub, which ends when everything was acknowledged; one
// message a line.
func publish(t *testing.T, port, topic string, lines []string, more ...string) {
	t.Helper()
	cmd := exec.Command("mosquitto_pub", append([]string{"-h", "127.0.0.1", "-p", port, "-q", "1", "-t", topic, "-l"}, more...)...)
	cmd.Stdin = strings.NewReader(strings.Join(lines, "\n") + "\n")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	late := time.AfterFunc(patience, func() { cmd.Process.Kill() })
	defer late.Stop()
	if err := cmd.Wait(); err != nil {
		t.Fatalf("publish %d messages on %s: %v: %s", len(lines), topic, err, &out)
	}
}

func numbered(n int) []string {
	lines := make([]string, n)
	for i := range lines {
		lines[i] = fmt.Sprintf("m%d", i)
	}
	return lines
}

// receivesAll waits until all lines were received on the topic.
func receivesAll(p *process, topic string, lines []string) {
	p.t.Helper()
	missing := ""
	eventually(p.t, func() bool {
		out := p.out.String()
		for _, l := range lines {
			if !strings.Contains(out, "got "+topic+" "+l+"\n") {
				missing = l
				return false
			}
		}
		return true
	}, func() string { return fmt.Sprintf("%s on %s was not received; got\n%s", missing, topic, p.out) })
}

// connects says whether an MQTT client gets in, as one that keeps trying sees
// it.
func connects(address string) bool {
	c, err := net.Dial("tcp", address)
	if err != nil {
		return false
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	if _, err := c.Write([]byte("\x10\x10\x00\x04MQTT\x04\x02\x00\x3c\x00\x04test")); err != nil {
		return false
	}
	var connack [4]byte
	_, err = io.ReadFull(c, connack[:])
	return err == nil && connack == [4]byte{0x20, 2, 0, 0}
}

// newHouse starts a gateway with a configuration and a data directory of its
// own.
func newHouse(t *testing.T, more string) *gatewayProcess {
	t.Helper()
	file, dir := house(t, more)
	return startGateway(t, file, dir)
}
