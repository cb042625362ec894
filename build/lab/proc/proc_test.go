package proc

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func start(t *testing.T, c Command) *Process {
	t.Helper()
	p, err := Start(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Kill)
	return p
}

func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !cond(); {
		if time.Now().After(deadline) {
			t.Fatalf("not within 20s: %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// state returns the letter of /proc/PID/stat: R, S, T (stopped), Z; 0 when gone.
func state(pid int) byte {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0
	}
	return b[strings.LastIndexByte(string(b), ')')+2]
}

func TestKillTakesTheGroup(t *testing.T) {
	for _, contained := range []bool{false, true} {
		t.Run("contained="+strconv.FormatBool(contained), func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "pid")
			// The grandchild is in the same group; its number is read from
			// outside, for in a container it has another. The shell starts
			// nothing else, so it is the only child.
			p := start(t, Command{Contained: contained, Args: []string{"sh", "-c", "sleep 1000 & : >" + file + "; wait"}})
			eventually(t, "the grandchild runs", func() bool { _, err := os.Stat(file); return err == nil })
			out, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", p.PID(), p.PID()))
			if err != nil {
				t.Fatal(err)
			}
			child, err := strconv.Atoi(strings.TrimSpace(string(out)))
			if err != nil {
				t.Fatal(err)
			}
			p.Pause()
			eventually(t, "the grandchild stopped", func() bool { return state(child) == 'T' })
			p.Resume()
			eventually(t, "the grandchild goes on", func() bool { return state(child) == 'S' })
			p.Kill()
			eventually(t, "the grandchild is gone", func() bool { s := state(child); return s == 0 || s == 'Z' })
			if p.Running() {
				t.Error("running after Kill")
			}
		})
	}
}

func TestTerminate(t *testing.T) {
	good := start(t, Command{Args: []string{"sh", "-c", "trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.01; done"}})
	eventually(t, "up", func() bool { return strings.Contains(good.Output(), "up") })
	if err := good.Terminate(20 * time.Second); err != nil {
		t.Errorf("a clean end: got %v", err)
	}
	if got, want := good.Output(), "up\nbye\n"; got != want {
		t.Errorf("output: got %q, want %q", got, want)
	}
	deaf := start(t, Command{Name: "deaf", Args: []string{"sh", "-c", "trap '' TERM; echo up; while :; do sleep 0.01; done"}})
	eventually(t, "up", func() bool { return strings.Contains(deaf.Output(), "up") })
	if err := deaf.Terminate(50 * time.Millisecond); err == nil || !strings.Contains(err.Error(), "deaf") {
		t.Errorf("one that ignores SIGTERM: got %v, want an error with its name", err)
	}
}

func TestReady(t *testing.T) {
	p := start(t, Command{Args: []string{"sleep", "1000"}})
	tries := 0
	err := p.Ready(t.Context(), func(context.Context) error {
		if tries++; tries < 3 {
			return errors.New("not yet")
		}
		return nil
	})
	if err != nil || tries != 3 {
		t.Errorf("got %v after %d tries, want nil after 3", err, tries)
	}
	never := func(context.Context) error { return errors.New("never") }
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := p.Ready(ctx, never); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("past the deadline: got %v", err)
	}
	dead := start(t, Command{Args: []string{"sh", "-c", "echo no such file; exit 3"}})
	if err := dead.Ready(t.Context(), never); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("a child that ended: got %v, want its output", err)
	}
}

// TestDeathOfTheParent runs this test binary as a parent that dies of a
// panic and leaves a child.
func TestDeathOfTheParent(t *testing.T) {
	if file := os.Getenv("PROC_TEST_PARENT"); file != "" {
		p, err := Start(Command{Args: []string{"sleep", "1000"}})
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(strconv.Itoa(p.PID())), 0o600); err != nil {
			t.Fatal(err)
		}
		go panic("the parent dies") // no cleanup runs
		select {}
	}
	file := filepath.Join(t.TempDir(), "pid")
	parent := exec.Command(os.Args[0], "-test.run=^TestDeathOfTheParent$")
	parent.Env = append(os.Environ(), "PROC_TEST_PARENT="+file)
	if err := parent.Run(); err == nil {
		t.Fatal("the parent did not panic")
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(string(text))
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the orphan is gone", func() bool { s := state(pid); return s == 0 || s == 'Z' })
}

func TestRead(t *testing.T) {
	file := filepath.Join(t.TempDir(), "written")
	p := start(t, Command{Args: []string{"sh", "-c", "head -c 1000000 /dev/zero >" + file + "; sync " + file + "; echo done; sleep 1000"}})
	eventually(t, "written", func() bool { return strings.Contains(p.Output(), "done") })
	u, err := Read(p.PID())
	if err != nil {
		t.Fatal(err)
	}
	if u.RSS <= 0 || u.Anon <= 0 || u.Anon > u.RSS || u.FDs < 3 {
		t.Errorf("usage of a shell: got %+v", u)
	}
	if _, err := Read(1 << 30); err == nil {
		t.Error("usage of no process: no error")
	}
	var self Usage
	for began := time.Now(); time.Since(began) < 20*time.Second && self.CPU == 0; {
		if self, err = Read(os.Getpid()); err != nil {
			t.Fatal(err)
		}
	}
	if self.CPU == 0 {
		t.Error("CPU time of a busy process: got 0")
	}
}

func TestPorts(t *testing.T) {
	ports, err := Ports(50)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[int]bool{}
	for _, p := range ports {
		seen[p] = true
	}
	if len(seen) != 50 {
		t.Errorf("got %d different ports, want 50", len(seen))
	}
}

func TestStartWithoutProgram(t *testing.T) {
	if _, err := Start(Command{}); err == nil {
		t.Error("no program: no error")
	}
	if _, err := Start(Command{Args: []string{"/no/such/program"}}); !errors.Is(err, syscall.ENOENT) {
		t.Errorf("no such program: got %v", err)
	}
}
