// Package proc runs child processes that are there to be broken: it starts
// them, waits until they are ready, stops, resumes and kills them, keeps their
// last output, and reads from /proc what they cost. No child outlives the
// process that started it, not even after a panic.
package proc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Command says what to run.
type Command struct {
	Name   string    // in errors; the program's path when empty
	Args   []string  // the program and its arguments
	Env    []string  // added to this process's own, "KEY=value"
	Dir    string    // working directory; this process's own when empty
	Output io.Writer // gets what the child prints, besides Process.Output; may be nil

	// Contained gives the child its own mount and pid namespaces (needs
	// root): what it mounts goes when it goes, and killing it kills all that
	// it started.
	Contained bool

	// Network is the network namespace to run in; nil for this process's own.
	Network *os.File

	// Unprivileged runs the child as nobody (needs root).
	Unprivileged bool
}

// Nobody is the user and the group without privileges.
const Nobody = 65534

// Process is a running child, or one that has ended.
type Process struct {
	name  string
	pid   int
	out   *tail
	ended chan struct{}
	err   error // how it ended; to be read after ended is closed
}

// Start runs the command. Its process group gets SIGKILL from Kill, and the
// child itself also when this process dies.
func Start(c Command) (*Process, error) {
	if len(c.Args) == 0 {
		return nil, errors.New("start a process: no program given")
	}
	p := &Process{name: c.Name, out: &tail{also: c.Output}, ended: make(chan struct{})}
	if p.name == "" {
		p.name = c.Args[0]
	}
	cmd := exec.Command(c.Args[0], c.Args[1:]...)
	cmd.Env = append(os.Environ(), c.Env...)
	cmd.Dir = c.Dir
	cmd.Stdout, cmd.Stderr = p.out, p.out
	cmd.WaitDelay = time.Second // a grandchild may still hold the pipe
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if c.Contained {
		cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWNS | syscall.CLONE_NEWPID
	}
	if c.Unprivileged {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: Nobody, Gid: Nobody}
	}
	started := make(chan error)
	go func() {
		// Pdeathsig follows the thread that started the child, so the thread
		// stays with it to its end.
		runtime.LockOSThread()
		if c.Network == nil {
			defer runtime.UnlockOSThread()
		} else if err := unix.Setns(int(c.Network.Fd()), unix.CLONE_NEWNET); err != nil {
			started <- fmt.Errorf("enter a network namespace: %w", err)
			return // the thread ends with its goroutine, wherever it is
		}
		err := cmd.Start()
		started <- err
		if err == nil {
			p.err = cmd.Wait()
			close(p.ended)
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", p.name, err)
	}
	p.pid = cmd.Process.Pid
	return p, nil
}

// PID returns the child's process id.
func (p *Process) PID() int { return p.pid }

// Ended is closed when the child has ended and its output is complete.
func (p *Process) Ended() <-chan struct{} { return p.ended }

// Running says whether the child has not ended yet.
func (p *Process) Running() bool {
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// Err says how an ended child ended: nil for exit code 0. It must not be
// called before Ended is closed.
func (p *Process) Err() error { return p.err }

// Output returns the last 64 KiB of what the child printed.
func (p *Process) Output() string { return p.out.String() }

// Signal sends sig to the child alone; to one that has ended, nothing.
func (p *Process) Signal(sig syscall.Signal) { p.signal(p.pid, sig) }

// Pause stops the child and its group with SIGSTOP: the kernel goes on
// accepting connections and acknowledging bytes for it, as for a hung machine.
func (p *Process) Pause() { p.signal(-p.pid, syscall.SIGSTOP) }

// Resume ends a Pause.
func (p *Process) Resume() { p.signal(-p.pid, syscall.SIGCONT) }

// Kill ends the child and its group with SIGKILL and returns when it is gone.
func (p *Process) Kill() {
	p.signal(-p.pid, syscall.SIGKILL)
	<-p.ended
}

// Terminate asks the child to end with SIGTERM. After the given time it is
// killed, which is the error.
func (p *Process) Terminate(within time.Duration) error {
	p.Signal(syscall.SIGTERM)
	select {
	case <-p.ended:
		return p.err
	case <-time.After(within):
		p.Kill()
		return fmt.Errorf("%s did not end within %v of SIGTERM; its last output:\n%s", p.name, within, p.Output())
	}
}

// signal leaves out an ended child: its number may be another's by now.
func (p *Process) signal(pid int, sig syscall.Signal) {
	if p.Running() {
		_ = syscall.Kill(pid, sig)
	}
}

// Ready asks ready every 20 ms until it returns nil. It is an error, with the
// child's output in it, when ctx ends or the child does.
func (p *Process) Ready(ctx context.Context, ready func(context.Context) error) error {
	for {
		err := ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-p.ended:
			return fmt.Errorf("%s ended before it was ready (%v); its last output:\n%s", p.name, p.err, p.Output())
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready: %w: %w; its last output:\n%s", p.name, err, ctx.Err(), p.Output())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// tail keeps the end of what is written to it.
type tail struct {
	also io.Writer

	mu  sync.Mutex
	buf []byte
}

const tailSize = 64 << 10

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	t.buf = append(t.buf, b...)
	if len(t.buf) > 2*tailSize {
		t.buf = append(t.buf[:0], t.buf[len(t.buf)-tailSize:]...)
	}
	t.mu.Unlock()
	if t.also != nil {
		_, _ = t.also.Write(b) // a full terminal must not end the child
	}
	return len(b), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.buf[max(0, len(t.buf)-tailSize):])
}
