package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"tidegate/build/bench/load"
)

// process is one broker that runs for one measurement.
type process struct {
	cmd     *exec.Cmd
	addr    string
	ready   time.Duration // from the start to the first accepted CONNECT
	stderr  string        // file with what it said
	ended   chan struct{} // closed when the process has ended, with err
	err     error
	restart func(ctx context.Context) (*process, error)
}

// spawn starts argv and waits until it accepts a CONNECT at addr.
func spawn(ctx context.Context, dir, addr string, argv ...string) (*process, error) {
	log, err := os.OpenFile(filepath.Join(dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	p := &process{cmd: exec.Command(argv[0], argv[1:]...), addr: addr, stderr: log.Name()}
	p.cmd.Dir, p.cmd.Stdout, p.cmd.Stderr = dir, log, log
	p.restart = func(ctx context.Context) (*process, error) { return spawn(ctx, dir, addr, argv...) }
	begin := time.Now()
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("%w; `make build` makes bin/tidegate, Mosquitto is Debian's package mosquitto", err)
	}
	p.ended = make(chan struct{})
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	go func() {
		p.err = p.cmd.Wait()
		close(p.ended)
		cancel() // nobody will accept a client
	}()
	err = load.Ping(ctx, load.Client{Addrs: []string{addr}, ID: "bench-first", Retry: time.Millisecond})
	if err != nil {
		said, _ := os.ReadFile(p.stderr)
		return nil, errors.Join(fmt.Errorf("%s does not accept a client: %w\n%s", argv[0], err, tail(said)), p.kill())
	}
	p.ready = time.Since(begin)
	return p, nil
}

func tail(b []byte) []byte { return b[max(0, len(b)-2000):] }

// stop ends the process in an orderly way, in bounded time.
func (p *process) stop() error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return fmt.Errorf("%s has ended before it was stopped: %w, %w", p.cmd.Path, p.err, err)
	}
	timer := time.AfterFunc(20*time.Second, func() { p.cmd.Process.Kill() })
	defer timer.Stop()
	<-p.ended
	err := p.err
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) && exit.ExitCode() < 0 && killedBy(exit) == syscall.SIGTERM {
		return nil // it has no handler, or ends by the signal
	}
	if err != nil {
		said, _ := os.ReadFile(p.stderr)
		return fmt.Errorf("%s: %w\n%s", p.cmd.Path, err, tail(said))
	}
	return nil
}

func killedBy(e *exec.ExitError) syscall.Signal { return e.Sys().(syscall.WaitStatus).Signal() }

// kill ends it as a crash would.
func (p *process) kill() error {
	err := p.cmd.Process.Kill()
	if errors.Is(err, os.ErrProcessDone) {
		err = nil
	}
	<-p.ended // its error says that it was killed
	return err
}

// ticks is the unit of CPU time in /proc/*/stat, USER_HZ, the same on every
// Linux that Go runs on.
const ticks = 100

// cpu returns the CPU time, user and system, of all threads of a process: to
// the nanosecond from /proc/PID/task/*/schedstat where the kernel has it, else
// in hundredths of a second from /proc/PID/stat, fields 14 and 15 [proc(5)].
func cpu(pid int) (time.Duration, error) {
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	if err != nil {
		return 0, err
	}
	var sum time.Duration
	for _, task := range tasks {
		b, err := os.ReadFile(task)
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
			continue // the thread has ended
		}
		ns, err := firstNumber(string(b), err)
		if err != nil {
			return 0, err
		}
		sum += time.Duration(ns)
	}
	if len(tasks) > 0 {
		return sum, nil
	}
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:])) // from field 3
	return hundredths(fields[11:13])
}

func firstNumber(line string, err error) (int64, error) {
	if err != nil {
		return 0, err
	}
	first, _, _ := strings.Cut(line, " ")
	return strconv.ParseInt(first, 10, 64)
}

func hundredths(fields []string) (time.Duration, error) {
	var sum int64
	for _, field := range fields {
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return time.Duration(sum) * time.Second / ticks, nil
}

// machine returns the CPU time that everything on this machine used so far:
// all of the first line of /proc/stat but idle and iowait. What the hypervisor
// took away (steal) counts: we did not have it.
func machine() (time.Duration, error) {
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, err
	}
	line, _, _ := strings.Cut(string(b), "\n")
	fields := strings.Fields(line) // cpu user nice system idle iowait irq softirq steal
	if len(fields) < 9 {
		return 0, fmt.Errorf("/proc/stat begins with %q", line)
	}
	return hundredths([]string{fields[1], fields[2], fields[3], fields[6], fields[7], fields[8]})
}

// resident returns the resident memory of a process in MB (10^6 bytes), peak
// the most it ever was.
func resident(pid int) (float64, error) { return memory(pid, "VmRSS:") }

func peak(pid int) (float64, error) { return memory(pid, "VmHWM:") }

func memory(pid int, field string) (float64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, field); ok {
			kib, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			return kib * 1024 / 1e6, err
		}
	}
	return 0, fmt.Errorf("process %d has no %s", pid, field)
}

// own returns the CPU time of the generator itself.
func own() time.Duration {
	var r syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &r) // cannot fail with these arguments
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// freePort returns an address that nothing listens on. Another process can take
// it before the broker does; the run then fails and says so.
func freePort() (string, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer ln.Close()
	return ln.Addr().String(), nil
}
