package edge

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestKilledStore kills a process that commits all the time, at random moments,
// and reads what it left: of each topic the value of the last commit that the
// process reported, or of the next; and all topics of one commit together.
func TestKilledStore(t *testing.T) {
	if dir := os.Getenv("EDGE_STORE_CHILD"); dir != "" {
		commitForEver(t, dir)
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for round := range 12 {
		cmd := exec.Command(exe, "-test.run=^TestKilledStore$")
		cmd.Env = append(os.Environ(), "EDGE_STORE_CHILD="+dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		reported := 0
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			if _, err := fmt.Sscanf(lines.Text(), "committed %d", &reported); err != nil {
				t.Errorf("child: %s", lines.Text())
			}
			if reported == 1 {
				time.AfterFunc(time.Duration(rand.IntN(100_000))*time.Microsecond, func() { cmd.Process.Kill() })
			}
		}
		cmd.Wait()
		checkKilled(t, round, dir, reported)
	}
}

func commitForEver(t *testing.T, dir string) {
	s := storeIn(t, dir)
	content(t, s)
	for n := 1; ; n++ {
		for i := range 40 {
			s.retain(retained(fmt.Sprint("t/", i), fmt.Sprint(n, " ", strings.Repeat("v", rand.IntN(500)))))
		}
		mustWrite(t, s)
		fmt.Println("committed", n)
	}
}

func checkKilled(t *testing.T, round int, dir string, reported int) {
	t.Helper()
	s := storeIn(t, dir)
	defer s.close()
	all := content(t, s)
	if len(all) != 40 || reported == 0 {
		t.Fatalf("round %d: got %d topics after commit %d", round, len(all), reported)
	}
	first := 0
	for i, one := range all {
		var n int
		_, text, _ := strings.Cut(one, "=")
		fmt.Sscan(text, &n)
		if i == 0 {
			first = n
		}
		if n < reported || n > reported+1 || n != first {
			t.Errorf("round %d: %.20s is of commit %d, others of %d, reported was %d", round, one, n, first, reported)
		}
	}
	if aside, _ := filepath.Glob(s.path + ".corrupt-*"); len(aside) > 0 {
		t.Errorf("round %d: got %q set aside", round, aside)
	}
}
