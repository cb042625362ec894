package network

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"
)

// marker is set in the environment of a program that Enter runs.
const marker = "TIDEGATE_LAB_NETWORK"

// Inside says whether this program was started by Enter.
func Inside() bool { return os.Getenv(marker) != "" }

// Enter runs this program again with the same arguments, in network, mount and
// process namespaces of its own, and returns its exit code. env is added to
// its environment. All that it starts dies with it, and it dies with this
// process.
func Enter(env ...string) (code int, err error) {
	// The child's death signal follows the thread that started it.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Args[0] = os.Args[0]
	cmd.Env = append(append(os.Environ(), marker+"=1"), env...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Pdeathsig:  syscall.SIGKILL,
		Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS | syscall.CLONE_NEWPID,
	}
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	if err := cmd.Start(); err != nil {
		return 0, fmt.Errorf("enter a network of its own (needs root): %w", err)
	}
	ended := make(chan struct{})
	defer close(ended)
	go func() {
		for {
			select {
			case <-ended:
				return
			case s := <-signals:
				_ = cmd.Process.Signal(s)
			}
		}
	}()
	err = cmd.Wait()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return max(exit.ExitCode(), 1), nil // -1: a signal
	}
	return 0, err
}

// Settle makes the namespaces that Enter made habitable: a /proc that shows
// their processes, and a loopback device that is up. It is an error outside.
// To be called by main, or TestMain: the program's first thread, whose
// namespaces /proc/self shows, becomes that goroutine's own, so that In never
// takes it elsewhere.
func Settle() error {
	if !Inside() || os.Getpid() != 1 {
		return errors.New("settle in a network of its own: this program was not started by network.Enter")
	}
	runtime.LockOSThread()
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	if err := syscall.Mount("proc", "/proc", "proc", syscall.MS_NOSUID|syscall.MS_NODEV|syscall.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	return ip("link", "set", "lo", "up")
}

// ip runs ip(8) in the namespace of the calling thread.
func ip(args ...string) error {
	path, err := exec.LookPath("ip")
	if err != nil {
		path = "/sbin/ip" // not on every user's path
	}
	if out, err := exec.Command(path, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("ip %q: %w: %s", args, err, out)
	}
	return nil
}
