package kernel

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

// Options is what one machine is made of.
type Options struct {
	Kernel *Kernel
	Files  Initrd   // with /init
	Memory int      // MiB; 0: 256
	Append string   // further words of the kernel's command line
	QEMU   []string // further arguments: disks, devices
	Dir    string   // a folder for the machine's own files
}

// Machine is a QEMU that runs.
type Machine struct {
	cmd   *exec.Cmd
	stdin io.Writer
	ended chan struct{} // closed when QEMU has ended and all it said is read
	err   error         // of QEMU, after ended
	calls int           // of Do

	mu    sync.Mutex // guards what follows
	lines []string
	more  chan struct{} // closed and made anew when lines grow
}

// greeting is what /init says when it takes verbs.
const greeting = "guest: ready"

// commandLine leaves out what protects kernels from programs: under emulation
// every system call would empty the TLB twice, which doubles the time of all.
// And it leaves out the watchdogs, which bark at a machine that is not let run.
const commandLine = "console=ttyAMA0 loglevel=4 panic=-1 nokaslr kpti=off mitigations=off nowatchdog rcupdate.rcu_cpu_stall_suppress=1"

// fatal is what a kernel says that cannot be trusted any more.
var fatal = regexp.MustCompile(`Kernel panic|Internal error: |Unable to handle kernel|BUG: |Oops|Out of memory: `)

// Boot starts a machine and waits until its /init takes verbs. Whoever calls
// it must Kill the machine.
func Boot(ctx context.Context, o Options) (*Machine, error) {
	initrd := filepath.Join(o.Dir, "initrd")
	if err := os.WriteFile(initrd, o.Files.Archive(), 0o644); err != nil {
		return nil, err
	}
	if o.Memory == 0 {
		o.Memory = 256
	}
	argv := append([]string{"-M", "virt", "-cpu", "cortex-a53", "-accel", "tcg", "-smp", "1", "-m", strconv.Itoa(o.Memory),
		"-nodefaults", "-no-user-config", "-display", "none", "-serial", "stdio", "-nic", "none", "-no-reboot",
		"-kernel", o.Kernel.Image, "-initrd", initrd,
		"-append", commandLine + " " + o.Append}, o.QEMU...)
	m, err := Launch(argv...)
	if err != nil {
		return nil, err
	}
	if _, err := m.Wait(ctx, greeting); err != nil {
		return nil, errors.Join(err, m.Kill())
	}
	return m, nil
}

// Launch starts QEMU with arguments of the caller's, among them "-serial stdio".
// Whoever calls it must Kill the machine. Do is only for guests whose /init is
// that of build/kernel/guest.
func Launch(argv ...string) (*Machine, error) {
	m := &Machine{cmd: exec.Command("qemu-system-aarch64", argv...), ended: make(chan struct{}), more: make(chan struct{})}
	if err := m.start(); err != nil {
		return nil, fmt.Errorf("start a machine: %w; `make setup` installs what is missing", err)
	}
	return m, nil
}

func (m *Machine) start() error {
	var err error
	if m.stdin, err = m.cmd.StdinPipe(); err != nil {
		return err
	}
	console, err := m.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	m.cmd.Stderr = m.cmd.Stdout
	// It does not outlive a test that was killed. The signal follows the thread
	// that started it, so the thread stays to its end.
	m.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := m.cmd.Start()
		started <- err
		if err == nil {
			m.read(console)
			m.err = m.cmd.Wait()
			close(m.ended)
		}
	}()
	return <-started
}

func (m *Machine) read(console io.Reader) {
	s := bufio.NewScanner(console)
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		m.mu.Lock()
		m.lines = append(m.lines, strings.TrimRight(s.Text(), "\r"))
		close(m.more)
		m.more = make(chan struct{})
		m.mu.Unlock()
	}
	io.Copy(io.Discard, console) // a line too long must not stop the guest
}

// Restarted waits, after a reset, until the /init of the machine takes verbs
// again. mark is a place before the reset. A machine ends at a reset unless it
// has "-action reboot=reset" among Options.QEMU.
func (m *Machine) Restarted(ctx context.Context, mark int) error {
	_, err := m.WaitAfter(ctx, mark, greeting)
	return err
}

// Mark is the place after the last line so far, for WaitAfter.
func (m *Machine) Mark() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.lines)
}

// Wait returns the first line of the console, since the start, that has all
// the parts in it.
func (m *Machine) Wait(ctx context.Context, parts ...string) (string, error) {
	return m.WaitAfter(ctx, 0, parts...)
}

// Last returns the newest line after a mark that has all the parts in it; ""
// for none.
func (m *Machine) Last(mark int, parts ...string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, line := range slices.Backward(m.lines[mark:]) {
		if hasAll(line, parts) {
			return line
		}
	}
	return ""
}

// WaitAfter is Wait from a mark on.
func (m *Machine) WaitAfter(ctx context.Context, mark int, parts ...string) (string, error) {
	for {
		m.mu.Lock()
		fresh, more := m.lines[mark:], m.more
		m.mu.Unlock()
		for _, line := range fresh {
			if hasAll(line, parts) {
				return line, nil
			}
			if fatal.MatchString(line) {
				return "", fmt.Errorf("the guest's kernel is broken: %s", line)
			}
		}
		mark += len(fresh)
		select {
		case <-more:
		case <-m.ended:
			return "", fmt.Errorf("the machine ended before it said %q: %w", parts, m.err)
		case <-ctx.Done():
			return "", fmt.Errorf("the machine has not said %q: %w", parts, context.Cause(ctx))
		}
	}
}

func hasAll(line string, parts []string) bool {
	for _, p := range parts {
		if !strings.Contains(line, p) {
			return false
		}
	}
	return true
}

// Do has the guest carry out one verb and returns its answer. Words are
// quoted as in Go on their way, so they may hold anything.
func (m *Machine) Do(ctx context.Context, verb string, words ...string) (string, error) {
	m.calls++
	call := strconv.Itoa(m.calls)
	line := call + " " + strconv.Quote(verb)
	for _, w := range words {
		line += " " + strconv.Quote(w)
	}
	mark := m.Mark()
	if _, err := io.WriteString(m.stdin, line+"\n"); err != nil {
		return "", fmt.Errorf("%s: %w", line, err)
	}
	answer, err := m.WaitAfter(ctx, mark, "guest: answer "+call+" ")
	if err != nil {
		return "", fmt.Errorf("%s: %w", line, err)
	}
	_, answer, _ = strings.Cut(answer, "guest: answer "+call+" ")
	how, quoted, _ := strings.Cut(answer, " ")
	text, err := strconv.Unquote(quoted)
	switch {
	case err != nil:
		return "", fmt.Errorf("%s: answered with %q", line, answer)
	case how != "ok":
		return "", fmt.Errorf("%s: %s", line, text)
	}
	return text, nil
}

// Console is all the machine has said.
func (m *Machine) Console() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return strings.Join(m.lines, "\n")
}

// Ended waits until the machine has switched itself off.
func (m *Machine) Ended(ctx context.Context) error {
	select {
	case <-m.ended:
		return m.err
	case <-ctx.Done():
		return fmt.Errorf("the machine does not end: %w", context.Cause(ctx))
	}
}

// Kill ends the machine as a power cut does. It is no error when it has ended
// already.
func (m *Machine) Kill() error {
	err := m.cmd.Process.Kill()
	<-m.ended
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	return err
}
