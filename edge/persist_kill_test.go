package edge

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"
)

// TestKilledSessions kills a broker that queues all the time, and finds in its
// directory the session with all that was in a commit, in order.
func TestKilledSessions(t *testing.T) {
	if dir := os.Getenv("EDGE_SESSION_CHILD"); dir != "" {
		queueForEver(t, dir)
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cmd := exec.Command(exe, "-test.run=^TestKilledSessions$")
	cmd.Env = append(os.Environ(), "EDGE_SESSION_CHILD="+dir)
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	safe, reports := 0, 0
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if n, _ := fmt.Sscanf(lines.Text(), "safe %d", &safe); n != 1 {
			t.Errorf("child: %s", lines.Text())
		}
		if reports++; reports == 4 {
			cmd.Process.Kill()
		}
	}
	cmd.Wait()
	if reports < 4 {
		t.Fatalf("the child ended after %d reports", reports)
	}
	b, _ := startIn(t, dir, every(20*time.Millisecond), deep)
	s := dial(t, b)
	if ack := s.connect("s", version(4), resume()); !ack.SessionPresent {
		t.Fatal("the session is gone")
	}
	for i := range safe {
		s.message("a", fmt.Sprint(i))
	}
}

func deep(c *Config) { c.Session.Queue = 100_000 }

// queueForEver reports how many messages were there before the last whole
// commit began.
func queueForEver(t *testing.T, dir string) {
	b, _ := startIn(t, dir, every(20*time.Millisecond), deep)
	s := connect(t, b, "s", version(4), resume())
	s.subscribe(sub{filter: "a", qos: 1})
	s.bye()
	from := connect(t, b, "from")
	noted, commits := 0, b.Stats().DiskCommits
	for i := range 100_000 {
		from.publish("a", fmt.Sprint(i), 1)
		// The commit that was under way may have been without it; the next is not.
		if now := b.Stats().DiskCommits; now >= commits+2 {
			if noted > 0 {
				fmt.Println("safe", noted)
			}
			noted, commits = i+1, now
		}
	}
	os.Exit(1)
}
