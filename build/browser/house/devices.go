package house

import (
	"context"
	"net"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"tidegate/build/lab/proc"
)

// Login is who a client says it is; the zero Login is nobody.
type Login struct{ User, Password string }

func (l Login) args(address string) []string {
	host, port, _ := net.SplitHostPort(address)
	args := []string{"-h", host, "-p", port}
	if l.User != "" {
		args = append(args, "-u", l.User, "-P", l.Password)
	}
	return args
}

// TryPub runs mosquitto_pub with further arguments, and returns what it said.
func TryPub(address string, l Login, more ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	out, err := exec.CommandContext(ctx, "mosquitto_pub", append(l.args(address), more...)...).CombinedOutput()
	return string(out), err
}

// Pub is TryPub that must work.
func Pub(t testing.TB, address string, l Login, more ...string) {
	t.Helper()
	if out, err := TryPub(address, l, more...); err != nil {
		t.Fatalf("mosquitto_pub %q: %v: %s", more, err, out)
	}
}

// Sub is a running mosquitto_sub; each message is a line: topic qos retained
// payload.
type Sub struct {
	t       testing.TB
	process *proc.Process
	seen    *lines
}

// Subscribe starts mosquitto_sub, until the end of the test, and waits until it
// has subscribed.
func Subscribe(t testing.TB, address string, l Login, more ...string) *Sub {
	t.Helper()
	s := &Sub{t: t, seen: &lines{}}
	args := append([]string{"stdbuf", "-oL", "mosquitto_sub"}, l.args(address)...)
	args = append(args, "-d", "-F", "MSG %t %q %r %p")
	p, err := proc.Start(proc.Command{Name: "mosquitto_sub", Args: append(args, more...), Output: s.seen})
	if err != nil {
		t.Fatal(err)
	}
	s.process = p
	t.Cleanup(p.Kill)
	s.wait("Subscribed (mid: 1)")
	return s
}

// Kill ends the client as a cut cable does.
func (s *Sub) Kill() { s.process.Kill() }

// Gets waits for a message: topic qos retained payload.
func (s *Sub) Gets(message string) {
	s.t.Helper()
	s.wait("MSG " + message + "\n")
}

// Messages returns what came so far, as in Gets.
func (s *Sub) Messages() (all []string) {
	for line := range strings.Lines(s.seen.String()) {
		if m, ok := strings.CutPrefix(line, "MSG "); ok {
			all = append(all, strings.TrimSuffix(m, "\n"))
		}
	}
	return all
}

func (s *Sub) wait(want string) {
	s.t.Helper()
	for end := time.Now().Add(patience); !strings.Contains(s.seen.String(), want); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			s.t.Fatalf("mosquitto_sub has not said %q in %v, but:\n%s", want, patience, s.seen)
		}
	}
}

type lines struct {
	mu  sync.Mutex
	all strings.Builder
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.String()
}
