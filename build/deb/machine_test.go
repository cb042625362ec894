package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// machine is a root whose own systemd is its process 1.
type machine struct {
	root
	nspawn *exec.Cmd
	said   string // file
	ended  chan struct{}
	init   string // number of process 1
}

// inMachine boots a root with a network of its own, loopback only. systemd wants
// cgroups of the second version, which not every machine has at /sys/fs/cgroup;
// a cgroup of its own keeps it from other machines.
const inMachine = `mount --make-rprivate /
umount -R /sys/fs/cgroup || true
mount -t cgroup2 none /sys/fs/cgroup
mkdir "/sys/fs/cgroup/$1"
echo $$ >"/sys/fs/cgroup/$1/cgroup.procs"
exec systemd-nspawn --quiet --directory="$0" --machine="$1" --boot --register=no --keep-unit --private-network --console=read-only --link-journal=no`

// leaveMachine takes away the cgroup of a machine that has ended.
const leaveMachine = `mount --make-rprivate /
umount -R /sys/fs/cgroup || true
mount -t cgroup2 none /sys/fs/cgroup
find "/sys/fs/cgroup/$1" -depth -type d -exec rmdir {} +`

func (r root) boot() *machine {
	r.t.Helper()
	name := fmt.Sprintf("tidegate-test-%d", os.Getpid())
	m := &machine{root: r, said: filepath.Join(r.t.TempDir(), "console"), ended: make(chan struct{})}
	console, err := os.Create(m.said)
	if err != nil {
		r.t.Fatal(err)
	}
	defer console.Close()
	m.nspawn = exec.Command("unshare", "--mount", "bash", "-euc", inMachine, r.dir, name)
	m.nspawn.Stdout, m.nspawn.Stderr = console, console
	m.nspawn.Env = []string{"PATH=" + os.Getenv("PATH")}
	if err := m.nspawn.Start(); err != nil {
		r.t.Fatal(err)
	}
	go func() { m.nspawn.Wait(); close(m.ended) }()
	r.t.Cleanup(func() {
		m.nspawn.Process.Kill()
		<-m.ended
		if out, err := run("unshare", "--mount", "bash", "-euc", leaveMachine, r.dir, name); err != nil {
			r.t.Logf("remove the machine's cgroup: %v: %s", err, out)
		}
	})
	m.eventually("the machine is up", func() error {
		select {
		case <-m.ended:
			return errors.New("systemd-nspawn has ended")
		default:
		}
		children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", m.nspawn.Process.Pid))
		if m.init = strings.TrimSpace(string(children)); err != nil || m.init == "" {
			return fmt.Errorf("no process 1: %v", err)
		}
		state, err := m.try("systemctl is-system-running")
		if state != "running" {
			failed, _ := m.try("systemctl --failed --plain --no-legend")
			return fmt.Errorf("%s, %v; failed: %s", state, err, failed)
		}
		return nil
	})
	return m
}

// off switches the machine off, in order.
func (m *machine) off() {
	m.t.Helper()
	m.nspawn.Process.Signal(syscall.SIGTERM)
	select {
	case <-m.ended:
	case <-time.After(patience):
		m.t.Errorf("the machine does not switch off: %s", m.console())
	}
}

func (m *machine) console() string {
	data, _ := os.ReadFile(m.said)
	return string(data)
}

func (m *machine) try(script string) (string, error) {
	return run("nsenter", "--all", "--target", m.init, "--root", "--wdns=/", "/usr/bin/env", "-i", "PATH=/usr/sbin:/usr/bin", "LC_ALL=C.UTF-8",
		"DEBIAN_FRONTEND=noninteractive", "bash", "-euo", "pipefail", "-c", script)
}

func (m *machine) do(script string) string {
	m.t.Helper()
	out, err := m.try(script)
	if err != nil {
		m.t.Fatalf("%s: %v: %s\n%s", script, err, out, m.log())
	}
	return out
}

// client runs a program of this machine in the network of the other.
func (m *machine) client(name string, args ...string) (string, error) {
	return run("nsenter", append([]string{"--net", "--target", m.init, name}, args...)...)
}

// log is what the gateway said.
func (m *machine) log() string {
	out, _ := m.try("journalctl -u tidegate --no-pager -o cat")
	return out
}

// property is one of the gateway's unit.
func (m *machine) property(name string) string {
	m.t.Helper()
	return m.do("systemctl show --value -p " + name + " tidegate.service")
}

// eventually waits until ok has nothing to say.
func (m *machine) eventually(what string, ok func() error) {
	m.t.Helper()
	var err error
	for deadline := time.Now().Add(patience); ; time.Sleep(100 * time.Millisecond) {
		if err = ok(); err == nil {
			return
		}
		if time.Now().After(deadline) {
			m.t.Fatalf("%s: %v\n%s\n%s", what, err, m.console(), m.log())
		}
	}
}

// with is the machine in a part of a test.
func (m *machine) with(t *testing.T) *machine {
	part := *m
	part.t = t
	return &part
}
