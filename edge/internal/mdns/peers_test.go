package mdns

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// The peers are processes in network namespaces of their own, on one bridge: this
// test's own program as gateways, and Debian's Avahi and systemd-resolved.

const (
	gatewayEnv = "TIDEGATE_TEST_MDNS"       // host and name; the process tells them until its input ends
	linksEnv   = "TIDEGATE_TEST_MDNS_LINKS" // the process prints the links that it would serve
)

func TestMain(m *testing.M) {
	if what, is := os.LookupEnv(gatewayEnv); is {
		gateway(what)
		return
	}
	if _, is := os.LookupEnv(linksEnv); is {
		all, err := links()
		for _, l := range all {
			fmt.Println(l.name, l.addrs)
		}
		if err != nil {
			fmt.Println(err)
		}
		return
	}
	os.Exit(m.Run())
}

func gateway(what string) {
	ctx, stop := context.WithCancel(context.Background())
	go func() {
		io.Copy(io.Discard, os.Stdin)
		stop()
	}()
	host, name, _ := strings.Cut(what, "/")
	r := New(Options{Host: host, Name: name, Log: slog.New(slog.NewTextHandler(os.Stdout, nil)), Services: []Service{
		{Type: "_mqtt._tcp", Port: 1883, Text: []string{"gateway=x"}}, {Type: "_secure-mqtt._tcp", Port: 8883},
		{Type: "_http._tcp", Port: 8080, Text: []string{"path=/"}},
	}})
	if err := r.Run(ctx); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

// patience is for what takes a second or two.
const patience = time.Minute

// network is the bridge's namespace.
type network struct {
	t     *testing.T
	pid   int
	nodes int
}

// node is a namespace on the bridge, held by a process.
type node struct {
	*network
	pid, n int
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	ended  chan struct{}
	mu     sync.Mutex
	said   bytes.Buffer
}

func newNetwork(t *testing.T) *network {
	for _, program := range []string{"ip", "nsenter", "avahi-daemon", "avahi-browse", "dbus-daemon"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Fatalf("%v; install it with: make setup (apt install iproute2 util-linux avahi-daemon avahi-utils dbus-daemon)", err)
		}
	}
	w := &network{t: t}
	w.pid = (&network{t: t}).start("cat").pid
	w.ip(w.pid, "link add br0 type bridge mcast_snooping 0")
	w.ip(w.pid, "link set br0 up")
	return w
}

// start runs a program in a namespace of its own, until its node is stopped or the
// test ends. It has no interface yet.
func (w *network) start(program string, args ...string) *node {
	w.t.Helper()
	return w.launch(exec.Command(program, args...))
}

func (w *network) launch(cmd *exec.Cmd) *node {
	w.t.Helper()
	w.nodes++
	nd := &node{network: w, n: w.nodes, cmd: cmd, ended: make(chan struct{})}
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Setpgid: true}
	out, err := cmd.StdoutPipe()
	if err != nil {
		w.t.Fatal(err)
	}
	cmd.Stderr = cmd.Stdout
	if nd.stdin, err = cmd.StdinPipe(); err != nil {
		w.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		w.t.Fatalf("%v (network namespaces need root)", err)
	}
	nd.pid = cmd.Process.Pid
	go func() {
		defer close(nd.ended)
		for in := bufio.NewScanner(out); in.Scan(); {
			nd.mu.Lock()
			fmt.Fprintln(&nd.said, in.Text())
			nd.mu.Unlock()
		}
		cmd.Wait()
	}()
	w.t.Cleanup(func() {
		syscall.Kill(-nd.pid, syscall.SIGKILL)
		<-nd.ended
		if w.t.Failed() {
			w.t.Logf("%s %d said:\n%s", filepath.Base(cmd.Path), nd.n, nd.text())
		}
	})
	return nd
}

// gateway starts one of ours.
func (w *network) gateway(host, name string) *node {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), gatewayEnv+"="+host+"/"+name)
	return w.launch(cmd)
}

// plug puts the node on the bridge.
func (nd *node) plug() *node {
	nd.t.Helper()
	return nd.plugWith("addr add " + nd.addr() + "/24 dev eth0")
}

// plugWith plugs it in with what ip does before the interface is up.
func (nd *node) plugWith(args ...string) *node {
	nd.t.Helper()
	nd.ip(nd.network.pid, fmt.Sprintf("link add e%d type veth peer name eth0 netns %d", nd.n, nd.pid))
	nd.ip(nd.network.pid, fmt.Sprintf("link set e%d master br0 up", nd.n))
	for _, a := range args {
		nd.ip(nd.pid, a)
	}
	nd.ip(nd.pid, "link set lo up")
	nd.ip(nd.pid, "link set eth0 up")
	return nd
}

func (nd *node) addr() string { return fmt.Sprintf("10.77.0.%d", nd.n) }

func (w *network) ip(pid int, args string) {
	w.t.Helper()
	if out, err := exec.Command("nsenter", append([]string{"-t", fmt.Sprint(pid), "-n", "ip"}, strings.Fields(args)...)...).CombinedOutput(); err != nil {
		w.t.Fatalf("ip %s: %v: %s", args, err, out)
	}
}

func (nd *node) text() string {
	nd.mu.Lock()
	defer nd.mu.Unlock()
	return nd.said.String()
}

// says waits until the node has said one of some words.
func (nd *node) says(words ...string) {
	nd.t.Helper()
	until(nd.t, fmt.Sprintf("%s %d says %q", nd.cmd.Path, nd.n, words), func() bool {
		return slices.ContainsFunc(words, func(s string) bool { return strings.Contains(nd.text(), s) })
	})
}

// stop ends a gateway in good order.
func (nd *node) stop() {
	nd.t.Helper()
	nd.stdin.Close()
	select {
	case <-nd.ended:
	case <-time.After(patience):
		nd.t.Fatal("does not end")
	}
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

// avahi is a node with Debian's daemon.
type avahi struct {
	*node
	bus string
}

// avahi starts one whose host has this name.
func (w *network) avahi(host string) *avahi {
	w.t.Helper()
	dir := w.t.TempDir()
	a := &avahi{bus: "unix:path=" + filepath.Join(dir, "bus")}
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			w.t.Fatal(err)
		}
		return path
	}
	bus := write("bus.conf", `<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN" "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>session</type><listen>`+a.bus+`</listen><auth>EXTERNAL</auth><policy context="default"><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/></policy></busconfig>`)
	conf := write("avahi.conf", "[server]\nhost-name="+host+"\nuse-ipv4=yes\nuse-ipv6=yes\n")
	// Its files under /run are this one's alone.
	cmd := exec.Command("unshare", "-m", "sh", "-c", `mkdir -p /run/avahi-daemon && mount -t tmpfs run /run/avahi-daemon && dbus-daemon --config-file="$0" --nofork &
until [ -S "$2" ]; do sleep 0.05; done
exec avahi-daemon --no-drop-root --no-chroot --no-rlimits -f "$1"`, bus, conf, filepath.Join(dir, "bus"))
	cmd.Env = append(os.Environ(), "DBUS_SYSTEM_BUS_ADDRESS="+a.bus)
	a.node = w.launch(cmd).plug()
	a.says("Server startup complete")
	return a
}

// ask runs one of Avahi's clients beside it.
func (a *avahi) ask(args ...string) string {
	ctx, stop := context.WithTimeout(context.Background(), 10*time.Second)
	defer stop()
	cmd := exec.CommandContext(ctx, "nsenter", append([]string{"-t", fmt.Sprint(a.pid), "-n"}, args...)...)
	cmd.Env = append(os.Environ(), "DBUS_SYSTEM_BUS_ADDRESS="+a.bus)
	out, _ := cmd.CombinedOutput() // a name that is not found is an error too
	return string(out)
}

// finds waits until Avahi resolves a name, "" for to nothing.
func (a *avahi) finds(name, addr string) {
	a.t.Helper()
	until(a.t, fmt.Sprintf("Avahi finds %s at %q", name, addr), func() bool {
		out := a.ask("avahi-resolve", "-4", "-n", name)
		return addr != "" && strings.TrimSpace(out) == name+"\t"+addr || addr == "" && !strings.Contains(out, "10.77")
	})
}

// browses waits until a list of services has these lines, and no other.
func (a *avahi) browses(kind string, want ...string) {
	a.t.Helper()
	slices.Sort(want)
	var got []string
	defer func() {
		if a.t.Failed() {
			a.t.Logf("got %q\nwant %q", got, want)
		}
	}()
	until(a.t, "Avahi finds the services", func() bool {
		got = nil
		for line := range strings.Lines(a.ask("avahi-browse", "-rpt", kind)) {
			if f := strings.Split(strings.TrimSpace(line), ";"); f[0] == "=" && f[2] == "IPv4" {
				got = append(got, strings.Join([]string{f[3], f[6], f[7], f[8], f[9]}, ";"))
			}
		}
		slices.Sort(got)
		return slices.Equal(got, want)
	})
}

// Avahi sees services and names come, change, double and go; it keeps its own.
func TestAvahi(t *testing.T) {
	w := newNetwork(t)
	a := w.avahi("peer")

	one := w.gateway("tidegate", "Tidegate on pi").plug() // there is no interface when it starts
	one.says("endpoint=tidegate.local")
	a.finds("tidegate.local", one.addr())
	a.browses("_mqtt._tcp", `Tidegate\032on\032pi;tidegate.local;`+one.addr()+`;1883;"gateway=x"`)
	a.browses("_secure-mqtt._tcp", `Tidegate\032on\032pi;tidegate.local;`+one.addr()+`;8883;`)

	two := w.gateway("tidegate", "Tidegate on pi").plug()
	two.says("endpoint=tidegate-2.local services")
	a.finds("tidegate.local", one.addr())
	a.finds("tidegate-2.local", two.addr())
	a.browses("_mqtt._tcp", `Tidegate\032on\032pi;tidegate.local;`+one.addr()+`;1883;"gateway=x"`,
		`Tidegate\032on\032pi\032\0402\041;tidegate-2.local;`+two.addr()+`;1883;"gateway=x"`)

	w.ip(one.pid, "addr add 10.77.0.200/24 dev eth0")
	w.ip(one.pid, "addr del "+one.addr()+"/24 dev eth0") // takes away the others of its net
	w.ip(one.pid, "addr replace 10.77.0.200/24 dev eth0")
	a.finds("tidegate.local", "10.77.0.200")

	two.stop()
	a.finds("tidegate-2.local", "")
	w.ip(one.pid, "link del eth0")
	one.plug()
	a.browses("_mqtt._tcp", `Tidegate\032on\032pi;tidegate.local;`+one.addr()+`;1883;"gateway=x"`)
	one.stop()
	a.browses("_mqtt._tcp")
	a.finds("peer.local", a.addr())
}

// The name of a machine that Avahi tells already is left to it, and its port is
// shared.
func TestBesideAvahi(t *testing.T) {
	w := newNetwork(t)
	a := w.avahi("peer")
	far := w.avahi("far")
	cmd := exec.Command("nsenter", "-t", fmt.Sprint(a.pid), "-n", os.Args[0])
	cmd.Env = append(os.Environ(), gatewayEnv+"=peer/Tidegate")
	beside := w.launch(cmd)
	beside.says("another program of this machine tells the host name")
	far.browses("_mqtt._tcp", `Tidegate;peer.local;`+a.addr()+`;1883;"gateway=x"`)
	far.finds("peer.local", a.addr())
	if strings.Contains(a.text(), "conflict") {
		t.Error("Avahi has found a conflict")
	}
}

// An address that the kernel still looks for elsewhere is none yet: probes could not
// be sent from it, and the name of another machine would be taken. Once it is good
// the link is told.
func TestTentative(t *testing.T) {
	w := newNetwork(t)
	one := w.gateway("tidegate", "T")
	retrans := func(ms string) {
		out, err := exec.Command("nsenter", "-t", fmt.Sprint(one.pid), "-n", "sh", "-c", "echo "+ms+" > /proc/sys/net/ipv6/neigh/eth0/retrans_time_ms").CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	seen := func() string {
		cmd := exec.Command("nsenter", "-t", fmt.Sprint(one.pid), "-n", os.Args[0])
		cmd.Env = append(os.Environ(), linksEnv+"=1")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return strings.TrimSpace(string(out))
	}
	one.ip(one.network.pid, fmt.Sprintf("link add e%d type veth peer name eth0 netns %d", one.n, one.pid))
	one.ip(one.network.pid, fmt.Sprintf("link set e%d master br0 up", one.n))
	retrans("600000") // it looks for ten minutes
	one.ip(one.pid, "link set eth0 up")
	until(t, "there is an address", func() bool {
		out, _ := exec.Command("nsenter", "-t", fmt.Sprint(one.pid), "-n", "ip", "-6", "addr", "show", "tentative").CombinedOutput()
		return strings.Contains(string(out), "fe80::")
	})
	if got := seen(); got != "" {
		t.Errorf("got %s, want no link", got)
	}
	one.ip(one.pid, "addr add fd00::77/64 dev eth0 nodad")
	if got, want := seen(), "eth0 [fd00::77]"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	one.says("endpoint=tidegate.local services")

	later := w.gateway("pump-house", "U").plugWith() // the kernel's own pace
	later.says("endpoint=pump-house.local services")
}

// Of two that come at the same time one gives way.
func TestTwoAtOnce(t *testing.T) {
	w := newNetwork(t)
	a, b := w.gateway("tidegate", "T").plug(), w.gateway("tidegate", "T").plug()
	const first, second = "endpoint=tidegate.local services", "endpoint=tidegate-2.local services"
	a.says(first, second)
	b.says(first, second)
	until(t, "both have a name of their own", func() bool {
		one, two := a.text(), b.text()
		return strings.Contains(one, second) != strings.Contains(two, second)
	})
}
