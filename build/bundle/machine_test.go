//go:build image

package bundle

import (
	"bufio"
	"context"
	"flag"
	"fmt"
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

	"tidegate/build/power"
)

// firmware is Debian's U-Boot for QEMU's virt machine; what it reads and does
// is what a Pi's does.
const firmware = "/usr/lib/u-boot/qemu_arm64/u-boot.bin"

// patience is five times what the slowest step takes on two cores: three tries of
// four minutes, and their starts.
const patience = 60 * time.Minute

// machine is a computer with U-Boot, a card and a network, to be switched on
// and off. The card has a write cache that a power cut drops.
type machine struct {
	t    *testing.T
	disk *power.Disk
	dir  string
	port int // of this machine, for the gateway's 1883

	copy *os.File // nil: the console is only kept

	cmd  *exec.Cmd
	done chan struct{} // closed when QEMU has ended

	mu    sync.Mutex
	lines []string
	more  chan struct{}
}

const cardSize = 2_000_000_000 / 4096 * 4096 // the smallest that is promised to do

func newMachine(t *testing.T, card string) *machine {
	t.Helper()
	dir, err := os.MkdirTemp("", "update-")
	must(t, err)
	m := &machine{t: t, disk: power.New(cardSize, 1), dir: dir, more: make(chan struct{})}
	must(t, m.disk.Load(card))
	if *console != "" {
		m.copy, err = os.Create(*console)
		must(t, err)
		t.Cleanup(func() { m.copy.Close() })
	}
	server, err := power.Listen(filepath.Join(dir, "nbd"), m.disk)
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx) }()
	// A port that is free; QEMU takes it at once.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	m.port = l.Addr().(*net.TCPAddr).Port
	must(t, l.Close())
	t.Cleanup(func() {
		m.kill()
		cancel()
		<-ended
		if t.Failed() {
			t.Logf("console:\n%s", m.tail(400))
		}
		must(t, os.RemoveAll(dir))
	})
	return m
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// on switches the machine on.
func (m *machine) on() {
	m.t.Helper()
	m.cmd = exec.Command("qemu-system-aarch64", "-M", "virt", "-cpu", "cortex-a53", "-smp", "2", "-m", "1024", "-nodefaults", "-display", "none",
		"-serial", "stdio", "-bios", firmware,
		"-drive", "file=nbd:unix:"+filepath.Join(m.dir, "nbd")+",format=raw,if=none,id=card,cache=none", "-device", "virtio-blk-pci,drive=card",
		"-netdev", fmt.Sprintf("user,id=net,hostfwd=tcp:127.0.0.1:%d-:1883", m.port), "-device", "virtio-net-pci,netdev=net,romfile=",
		"-device", "virtio-rng-pci", "-device", "i6300esb")
	m.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := m.cmd.StdoutPipe()
	must(m.t, err)
	m.cmd.Stderr = m.cmd.Stdout
	must(m.t, m.cmd.Start())
	done, cmd := make(chan struct{}), m.cmd
	m.done = done
	go func() {
		for in := bufio.NewScanner(out); in.Scan(); {
			m.hear(in.Text())
		}
		cmd.Wait()
		close(done)
	}()
}

// console copies what machines say into a file, to be read while they run.
var console = flag.String("console", "", "file to which the console is copied")

func (m *machine) hear(line string) {
	if m.copy != nil {
		fmt.Fprintln(m.copy, line)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.lines = append(m.lines, strings.TrimRight(line, "\r"))
	close(m.more)
	m.more = make(chan struct{})
}

// kill takes the plug out. What the card's cache has is decided by cut.
func (m *machine) kill() {
	if m.cmd == nil {
		return
	}
	m.cmd.Process.Kill()
	<-m.done
	m.cmd = nil
}

// cut takes the power away from the machine and the card, and gives it back to
// the card.
func (m *machine) cut(mode power.Mode) {
	m.disk.Off()
	m.kill()
	m.disk.Cut(mode)
	m.disk.On()
}

func (m *machine) mark() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.lines)
}

// console waits for a line after a mark and returns it.
func (m *machine) console(mark int, pattern string) string {
	m.t.Helper()
	want := regexp.MustCompile(pattern)
	late := time.After(patience)
	for {
		m.mu.Lock()
		fresh, more := m.lines[mark:], m.more
		m.mu.Unlock()
		for _, line := range fresh {
			if want.MatchString(line) {
				return line
			}
		}
		mark += len(fresh)
		select {
		case <-more:
		case <-m.done:
			m.t.Fatalf("the machine ended before it said %q", pattern)
		case <-late:
			m.t.Fatalf("the machine has not said %q for %v", pattern, patience)
		}
	}
}

// count says how many lines after a mark match.
func (m *machine) count(mark int, pattern string) (n int) {
	want := regexp.MustCompile(pattern)
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, line := range m.lines[mark:] {
		if want.MatchString(line) {
			n++
		}
	}
	return n
}

func (m *machine) tail(n int) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return strings.Join(m.lines[max(0, len(m.lines)-n):], "\n")
}

// publish publishes a message at QoS 1 and waits for its acknowledgement.
func (m *machine) publish(topic, payload string, more ...string) error {
	name := filepath.Join(m.dir, "payload")
	if err := os.WriteFile(name, []byte(payload), 0o600); err != nil {
		return err
	}
	argv := append([]string{"-h", "127.0.0.1", "-p", fmt.Sprint(m.port), "-q", "1", "-t", topic, "-f", name}, more...)
	ctx, cancel := context.WithTimeout(m.t.Context(), time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, "mosquitto_pub", argv...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("publish %s: %w: %s", topic, err, out)
	}
	return nil
}

// retained returns what a topic holds; "" for nothing.
func (m *machine) retained(topic string) string {
	ctx, cancel := context.WithTimeout(m.t.Context(), time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, "mosquitto_sub", "-h", "127.0.0.1", "-p", fmt.Sprint(m.port), "-t", topic, "-C", "1", "-W", "15", "-F", "%p").Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}

// eventually waits until f is true.
func (m *machine) eventually(what string, f func() bool) {
	m.t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(time.Second) {
		if f() {
			return
		}
	}
	m.t.Fatalf("not so for %v: %s", patience, what)
}

// serves waits until the broker takes a message.
func (m *machine) serves() {
	m.t.Helper()
	m.eventually("the broker takes messages", func() bool { return m.publish("test/alive", "x") == nil })
}
