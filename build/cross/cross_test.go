package cross

import (
	"debug/elf"
	"fmt"
	"math/rand/v2"
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

// patience bounds what a test waits for; nothing waits for it to pass.
const patience = 90 * time.Second

// Limits of the binaries, in bytes; that of arm64 is the Makefile's. The same
// program is some 3 % larger in the instructions of ARMv6.
const (
	maxARM64 = 16_000_000
	maxARMv6 = 17_000_000
)

// The ARM1176 of a Pi Zero and 1 knows ARMv6 only: an instruction of ARMv7 in the
// binary's way ends it with SIGILL.
func TestOnARM(t *testing.T) {
	dist := t.TempDir()
	script := fmt.Sprintf("make -s cross DIST=%s TARGETS='arm64: arm:6'", dist)
	build := exec.Command("bash", "-euc", "unset MAKEFLAGS MFLAGS MAKELEVEL GNUMAKEFLAGS; exec "+script)
	build.Dir = "../.."
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", script, err, out)
	}
	for _, c := range []struct {
		name, file string
		qemu       []string
		machine    elf.Machine
		most       int64 // bytes
	}{
		{"arm64", "tidegate-linux-arm64", []string{"qemu-aarch64-static", "-cpu", "cortex-a53"}, elf.EM_AARCH64, maxARM64},
		{"armv6", "tidegate-linux-arm6", []string{"qemu-arm-static", "-cpu", "arm1176"}, elf.EM_ARM, maxARMv6},
	} {
		t.Run(c.name, func(t *testing.T) {
			binary := filepath.Join(dist, c.file)
			looksRight(t, binary, c.machine, c.most)
			works(t, append(c.qemu, binary))
		})
	}
}

// looksRight holds a binary to its machine and its size; it needs no library
// and has no symbols.
func looksRight(t *testing.T, binary string, machine elf.Machine, most int64) {
	info, err := os.Stat(binary)
	if err != nil {
		t.Fatal(err)
	}
	if info.Size() >= most {
		t.Errorf("got %d bytes, want less than %d", info.Size(), most)
	}
	f, err := elf.Open(binary)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if f.Machine != machine {
		t.Errorf("got a binary for %v, want %v", f.Machine, machine)
	}
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP || p.Type == elf.PT_DYNAMIC {
			t.Errorf("the binary has %v: it is not static", p.Type)
		}
	}
	if f.Section(".symtab") != nil || f.Section(".debug_info") != nil {
		t.Error("the binary is not stripped")
	}
}

const config = `[gateway]
id = "house"
data-dir = %q
[[edge.listener]]
bind = "127.0.0.1:0"
anonymous = true
[[uplink]]
endpoints = ["mqtt://%s:%s"]
reconnect-max = "200ms"
[[uplink.up]]
filter = "home/#"
add = "houses/17/"
[console]
bind = ""
`

// works takes a message through the broker of the home, and another one to disk
// while the cloud is away, through a stop, and up once the cloud is there.
func works(t *testing.T, program []string) {
	host, cloud := freeAddress(t)
	file := filepath.Join(t.TempDir(), "tidegate.toml")
	if err := os.WriteFile(file, fmt.Appendf(nil, config, t.TempDir(), host, cloud), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(program[0], append(program[1:], "check", file)...).CombinedOutput(); err != nil {
		t.Fatalf("check: %v: %s", err, out)
	}
	gateway := start(t, program[0], append(program[1:], "run", file)...)
	port := gateway.says(`msg=ready.* addresses="?\[127\.0\.0\.1:(\d+)`)
	sub := subscribe(t, port, "garden/#")
	publish(t, port, "garden/tap", "open")
	sub.says(`garden/tap open`)
	publish(t, port, "home/meter", "4711") // acknowledged: it is on disk
	gateway.stop()

	gateway = start(t, program[0], append(program[1:], "run", file)...)
	gateway.says(`msg=ready`)
	broker := filepath.Join(t.TempDir(), "mosquitto.conf")
	if err := os.WriteFile(broker, []byte("listener "+cloud+" "+host+"\nallow_anonymous true\npersistence false\nuser root\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	// The message may come before a subscription that is made after the start; a
	// retained one would not show that it was sent once.
	start(t, mosquitto(), "-c", broker, "-v").says(`Received PUBLISH from house-u\d+ .*'houses/17/home/meter'.*\(4 bytes\)`)
	gateway.stop()
}

// mosquitto is where Debian has it, which is not in everybody's PATH.
func mosquitto() string {
	if name, err := exec.LookPath("mosquitto"); err == nil {
		return name
	}
	return "/usr/sbin/mosquitto"
}

// freeAddress is one of the loopback network that nobody else uses: a port of
// 127.0.0.1 may be taken by the time that it is needed.
func freeAddress(t *testing.T) (host, port string) {
	host = fmt.Sprintf("127.%d.%d.%d", 1+rand.IntN(254), rand.IntN(256), 1+rand.IntN(254))
	l, err := net.Listen("tcp", host+":0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ = net.SplitHostPort(l.Addr().String())
	return host, port
}

func publish(t *testing.T, port, topic, text string) {
	t.Helper()
	out, err := exec.Command("mosquitto_pub", "-h", "127.0.0.1", "-p", port, "-q", "1", "-t", topic, "-m", text).CombinedOutput()
	if err != nil {
		t.Fatalf("publish on %s: %v: %s", topic, err, out)
	}
}

func subscribe(t *testing.T, port, filter string) *process {
	t.Helper()
	p := start(t, "stdbuf", "-oL", "mosquitto_sub", "-d", "-h", "127.0.0.1", "-p", port, "-q", "1", "-F", "%t %p", "-t", filter)
	p.says(`Subscribed`)
	return p
}

// process is a program that the test started and ends.
type process struct {
	t    *testing.T
	cmd  *exec.Cmd
	done chan struct{}

	mu  sync.Mutex
	out strings.Builder
}

func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.Write(b)
}

func (p *process) said() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.String()
}

func start(t *testing.T, name string, args ...string) *process {
	t.Helper()
	p := &process{t: t, cmd: exec.Command(name, args...), done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = p, p
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("start %s: %v (`make setup` installs what is missing)", name, err)
	}
	go func() { p.cmd.Wait(); close(p.done) }()
	t.Cleanup(func() { p.cmd.Process.Kill(); <-p.done })
	return p
}

// says waits until the process has said something that matches, and returns the
// last group of the match.
func (p *process) says(pattern string) string {
	p.t.Helper()
	re := regexp.MustCompile(pattern)
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if m := re.FindStringSubmatch(p.said()); m != nil {
			return m[len(m)-1]
		}
		select {
		case <-p.done:
			deadline = time.Time{}
		default:
		}
	}
	p.t.Fatalf("%s does not say %q, but\n%s", p.cmd.Path, pattern, p.said())
	return ""
}

// stop ends a gateway as systemd does.
func (p *process) stop() {
	p.t.Helper()
	p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(patience):
		p.t.Fatalf("%s does not end:\n%s", p.cmd.Path, p.said())
	}
	if code := p.cmd.ProcessState.ExitCode(); code != 0 {
		p.t.Fatalf("%s: exit code %d:\n%s", p.cmd.Path, code, p.said())
	}
}
