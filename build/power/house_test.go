package power

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"tidegate/build/bench/load"
)

// house is a home whose gateway runs on a bench, with its data on the disk.
// The devices and the cloud are on this side of the machine's network.
type house struct {
	*bench
	rng     *rand.Rand
	away    *cloud
	host    string       // the gateway's program for this machine
	ledger  *load.Ledger // of what goes up
	devices *devices
	cloud   *load.Consumer  // what came there; nil: nobody looks
	states  states          // the retained messages that the last cut left
	gone    <-chan struct{} // closed when the power went by itself; nil: it stays
	reset   bool            // the last cut was a reset
	mark    int             // of the console, before it

	mu      sync.Mutex // guards what follows
	addr    string     // of the gateway's broker; "": it is off
	conns   map[net.Conn]bool
	arrived []row // in the cloud
}

const configuration = `[gateway]
id = "house"
data-dir = "/data/tidegate"
[edge]
sync-interval = "1s"
[[edge.listener]]
bind = ":1883"
anonymous = true
[[uplink]]
name = "cloud"
endpoints = ["mqtt://10.0.2.2:%d"]
links = 2
up = [{filter = "home/#", add = "cloud/"}]
[uplink.spool]
spill-after = "200ms"
[uplink.spool.normal]
overflow = "reject"
`

// mountOptions are those of the image's data partition.
const mountOptions = "noatime,nosuid,nodev,noexec,commit=30,noinit_itable,errors=remount-ro"

// newHouse makes a file system of megabytes on a new disk, and switches the
// machine on.
func newHouse(t *testing.T, megabytes int, more string) *house {
	t.Helper()
	d := New(int64(megabytes)<<20, *seed)
	d.SetFlushDelay(30 * time.Millisecond)
	h := &house{bench: newBench(t, d, "none"), rng: rand.New(rand.NewPCG(*seed, 1)), away: newCloud(t), ledger: load.NewLedger(), conns: map[net.Conn]bool{}}
	image := h.dir + "/image"
	h.run("truncate", "-s", fmt.Sprint(d.size), image)
	h.run("mkfs.ext4", "-q", "-b", fmt.Sprint(blockSize), "-I", "256", "-J", "size=8", "-m", "0", "-L", "data", image)
	must(t, d.Load(image))
	h.host = h.dir + "/tidegate"
	h.run("go", "build", "-o", h.host, "tidegate/cmd/tidegate")
	must(t, h.files.AddProgram(t.Context(), "/tidegate", "tidegate/cmd/tidegate", h.dir))
	h.files["/etc/tidegate.toml"] = fmt.Appendf(nil, configuration+more, h.away.port)
	h.qemu = append(h.qemu, "-netdev", "user,id=net,hostfwd=tcp:127.0.0.1:0-:1883", "-device", "virtio-net-pci,netdev=net,romfile=")
	h.boot()
	must(t, h.start())
	h.open()
	return h
}

// run runs a program of this machine; its output is the error's.
func (h *house) run(argv ...string) string {
	h.t.Helper()
	out, err := command(argv...)
	if err != nil {
		h.t.Fatal(err)
	}
	return out
}

func command(argv ...string) (string, error) {
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), "PATH="+os.Getenv("PATH")+":/usr/sbin:/sbin")
	if path, err := exec.LookPath(argv[0]); err != nil {
		for _, dir := range []string{"/usr/sbin", "/sbin"} {
			if _, err := os.Stat(filepath.Join(dir, argv[0])); err == nil {
				path = filepath.Join(dir, argv[0])
			}
		}
		if path == "" {
			return "", fmt.Errorf("%w; `make setup` installs what is missing", err)
		}
		cmd.Path, cmd.Err = path, nil
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%q: %w\n%s", argv, err, out)
	}
	return string(out), err
}

// start brings the network up, mounts the disk and starts the gateway. The power may go meanwhile, which is an error.
func (h *house) start() error {
	for _, line := range [][]string{
		{"load", "virtio_pci", "virtio_blk", "virtio_net", "crc32c_generic", "ext4"},
		{"address", "eth0", "10.0.2.15/24"},
		{"mount", "/dev/vda", "/data", "ext4", mountOptions},
		{"mkdir", "/data/tidegate"},
		{"start", "tidegate", "/tidegate", "run", "/etc/tidegate.toml"},
	} {
		if _, err := h.machine.Do(within(h.t), line[0], line[1:]...); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithCancel(within(h.t))
	defer cancel()
	go func() {
		select {
		case <-h.gone:
			cancel()
		case <-ctx.Done():
		}
	}()
	if err := load.Ping(ctx, load.Client{Addrs: []string{h.forwarded()}, ID: "ping"}); err != nil {
		return fmt.Errorf("the gateway lets no device in: %w", err)
	}
	return nil
}

var forward = regexp.MustCompile(`TCP\[HOST_FORWARD\]\s+\d+\s+127\.0\.0\.1\s+(\d+)\s+\S+\s+1883`)

// forwarded returns where the guest's port is on this machine.
func (h *house) forwarded() string {
	h.t.Helper()
	text, err := h.qmp.Do(within(h.t), "human-monitor-command", map[string]string{"command-line": "info usernet"})
	must(h.t, err)
	m := forward.FindStringSubmatch(strings.ReplaceAll(string(text), `\r\n`, "\n"))
	if m == nil {
		h.t.Fatalf("no port is forwarded: %s", text)
	}
	return "127.0.0.1:" + m[1]
}

// open lets the devices in.
func (h *house) open() {
	h.t.Helper()
	addr := h.forwarded()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.addr = addr
}

// dial is how devices connect, while there is something to connect to.
func (h *house) dial(ctx context.Context, _ string) (net.Conn, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.addr == "" {
		return nil, errors.New("the gateway is off")
	}
	c, err := new(net.Dialer).DialContext(ctx, "tcp", h.addr)
	if err == nil {
		c = &line{c, h}
		h.conns[c] = true
	}
	return c, err
}

// line is a connection that the house knows of.
type line struct {
	net.Conn
	h *house
}

func (l *line) Close() error {
	l.h.mu.Lock()
	defer l.h.mu.Unlock()
	delete(l.h.conns, l)
	return l.Conn.Close()
}

// publish has devices publish what goes up, and others keep retained messages
// up to date that stay at home.
func (h *house) publish(rate float64, size int) {
	h.t.Helper()
	h.devices = h.fleet(load.FleetConfig{
		Client:  load.Client{ID: "device-"},
		Clients: 5, Topics: 4, Rate: rate, Size: size,
		Topic: func(p, t int) string { return fmt.Sprintf("home/%d/%d", p, t) },
	}, h.ledger)
	h.fleet(load.FleetConfig{
		Client:  load.Client{ID: "lamp-"},
		Clients: 2, Topics: 10, Rate: 40, Retain: true,
		Topic: func(p, t int) string { return fmt.Sprintf("state/%d/%d", p, t) },
	}, load.NewLedger())
}

// fleet runs devices that survive the house. It returns when they are
// connected: one that waits for the others does not notice that the power goes.
func (h *house) fleet(c load.FleetConfig, l *load.Ledger) *devices {
	h.t.Helper()
	c.Addrs, c.Dial, c.Retry, c.QoS, c.CatchUp = []string{"gateway"}, h.dial, 50*time.Millisecond, 1, 100*time.Millisecond
	d := &devices{load.NewFleet(c, l), make(chan struct{}), nil}
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		d.err = d.Run(ctx)
		close(d.ended)
	}()
	h.t.Cleanup(func() { cancel(); <-d.ended })
	eventually(h.t, "all devices are connected", func() bool { return d.Stats().Connects >= int64(c.Clients) })
	return d
}

// devices is a fleet that runs.
type devices struct {
	*load.Fleet
	ended chan struct{}
	err   error // after ended
}

// finish ends publishing when all is acknowledged.
func (h *house) finish() {
	h.t.Helper()
	h.devices.Stop()
	select {
	case <-h.devices.ended:
		must(h.t, h.devices.err)
	case <-within(h.t).Done():
		h.t.Fatalf("%d messages are not acknowledged\nconsole:\n%s", h.devices.InFlight(), h.machine.Console())
	}
}

// listen runs a subscriber and returns when it has subscribed.
func (h *house) listen(c load.SubscriberConfig) (stop func()) {
	h.t.Helper()
	s := load.NewSubscriber(c)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	select {
	case <-s.Ready():
	case <-within(h.t).Done():
		h.t.Errorf("%s does not become a subscriber", c.ID)
	}
	return sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			h.t.Error(err)
		}
	})
}

// hangUp ends all connections, after what was sent on them has been read.
func (h *house) hangUp() {
	h.t.Helper()
	h.mu.Lock()
	h.addr = ""
	for c := range h.conns {
		c.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
	}
	h.mu.Unlock()
	eventually(h.t, "devices have noticed", func() bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		return len(h.conns) == 0
	})
}

// arm has the power go at one of the next so many requests that reach the disk.
func (h *house) arm(most int64) { h.gone = h.disk.OffAfter(1 + h.rng.Int64N(most)) }

// cut is a power cut, by a reset of the machine or by an end of it. What then is
// on the disk is the cut's; the machine is not switched on again.
func (h *house) cut(m Mode, reset bool) {
	h.t.Helper()
	h.disk.Off()
	h.reset = reset
	if reset {
		h.mark = h.machine.Mark()
		_, err := h.qmp.Do(within(h.t), "system_reset", nil)
		must(h.t, err)
		must(h.t, h.qmp.Event(within(h.t), "RESET"))
	} else {
		h.kill()
	}
	h.disk.Cut(m)
	h.hangUp()
}

// back switches the machine on after a cut. It returns why the gateway is not
// back.
func (h *house) back() error {
	h.t.Helper()
	h.disk.On()
	if h.reset {
		must(h.t, h.machine.Restarted(within(h.t), h.mark))
	} else {
		h.boot()
	}
	return h.start()
}
