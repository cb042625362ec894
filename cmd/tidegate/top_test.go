package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// screen is a terminal of the kernel with a program on it.
type screen struct {
	t      *testing.T
	master *os.File
	slave  *os.File
	cmd    *exec.Cmd
	done   chan error

	mu  sync.Mutex // guards what follows
	out bytes.Buffer
}

// onScreen runs the program in a terminal of 80 columns and 24 rows, as its
// controlling one.
func onScreen(t *testing.T, args ...string) *screen {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	fd := int(master.Fd())
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	s := &screen{t: t, master: master, slave: slave, done: make(chan error, 1)}
	s.size(80, 24)
	s.cmd = exec.Command(program, args...)
	s.cmd.Env = append(os.Environ(), "TERM=xterm-256color", "NO_COLOR=")
	s.cmd.Stdin, s.cmd.Stdout, s.cmd.Stderr = slave, slave, slave
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 0}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { s.done <- s.cmd.Wait() }()
	go func() {
		b := make([]byte, 4096)
		for {
			n, err := master.Read(b)
			s.mu.Lock()
			s.out.Write(b[:n])
			s.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() { s.cmd.Process.Kill(); slave.Close(); master.Close() })
	return s
}

func (s *screen) size(columns, rows uint16) {
	s.t.Helper()
	if err := unix.IoctlSetWinsize(int(s.slave.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Col: columns, Row: rows}); err != nil {
		s.t.Fatal(err)
	}
}

func (s *screen) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.out.String()
}

// latest is the last frame that is whole.
func (s *screen) latest() string {
	all := strings.Split(s.text(), "\x1b[H")
	if len(all) < 3 {
		return ""
	}
	return all[len(all)-2]
}

func (s *screen) shows(what string) {
	s.t.Helper()
	eventually(s.t, func() bool { return strings.Contains(s.latest(), what) }, func() string { return fmt.Sprintf("%q is not shown, but %q", what, s.latest()) })
}

func (s *screen) mode() unix.Termios {
	s.t.Helper()
	m, err := unix.IoctlGetTermios(int(s.slave.Fd()), unix.TCGETS)
	if err != nil {
		s.t.Fatal(err)
	}
	return *m
}

// ends waits for the end of the program, and holds the terminal to how it was.
func (s *screen) ends(before unix.Termios) {
	s.t.Helper()
	ended := false
	eventually(s.t, func() bool {
		select {
		case <-s.done:
			ended = true
		default:
		}
		return ended
	}, s.text)
	if code := s.cmd.ProcessState.ExitCode(); code != exitOK {
		s.t.Errorf("got exit code %d, want 0: %q", code, s.text())
	}
	if got := s.mode(); got != before {
		s.t.Errorf("got the terminal %+v\nwant it as before %+v", got, before)
	}
	eventually(s.t, func() bool { return strings.HasSuffix(s.text(), "\x1b[?25h\x1b[?1049l") }, func() string { return fmt.Sprintf("the screen is not given back: %q", last(s.text(), 80)) })
}

func TestTop(t *testing.T) {
	g := newHouse(t, openHouse)
	device := subscribe(t, g.port(), "a/#", "-i", "kitchen-lamp")
	s := onScreen(t, "top", "-config", g.file)
	s.shows("devices 1")
	s.shows("kitchen-lamp")
	raw := s.mode()
	if raw.Lflag&(unix.ECHO|unix.ICANON) != 0 {
		t.Error("got a terminal that echoes, want it taken over")
	}
	if lines := strings.Count(s.latest(), "\r\n"); lines != 23 {
		t.Errorf("got %d ends of lines, want 23 in 24 rows", lines)
	}
	s.size(60, 10)
	eventually(t, func() bool { return strings.Count(s.latest(), "\r\n") == 9 }, func() string { return "it does not follow the size: " + s.latest() })
	if _, err := s.master.WriteString("w"); err != nil {
		t.Fatal(err)
	}
	s.shows("[w waiting]")
	device.kill()
	s.shows("devices 0")

	g.signal(os.Interrupt)
	g.exit()
	s.shows("what follows is old")
	startGateway(t, g.file, g.dir)
	eventually(t, func() bool { return !strings.Contains(s.latest(), "is old") }, s.latest)

	before := raw
	before.Lflag |= unix.ECHO | unix.ICANON
	if _, err := s.master.WriteString("q"); err != nil {
		t.Fatal(err)
	}
	s.ends(before)
}

// However it ends, the terminal is as it was.
func TestTopGivesTheTerminalBack(t *testing.T) {
	g := newHouse(t, openHouse)
	for _, end := range []syscall.Signal{syscall.SIGTERM, syscall.SIGHUP, syscall.SIGINT} {
		s := onScreen(t, "top", "-config", g.file)
		s.shows("devices 0")
		before := s.mode()
		before.Lflag |= unix.ECHO | unix.ICANON
		if err := s.cmd.Process.Signal(end); err != nil {
			t.Fatal(err)
		}
		s.ends(before)
	}
}

func TestTopWithoutATerminal(t *testing.T) {
	g := newHouse(t, openHouse)
	if code, _, errs := invoke(t, "top", "-config", g.file); code != exitUsage || !strings.Contains(errs, "tidegate status -watch") {
		t.Errorf("got %d, %q; want what to use instead", code, errs)
	}
}
