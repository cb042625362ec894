package scenario

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tidegate/build/lab/network"
	"tidegate/build/lab/proc"
)

// program is where the environment says that the gateway's binary is.
const program = "TIDEGATE_LAB_PROGRAM"

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (int, error) {
	if network.Inside() {
		if err := network.Settle(); err != nil {
			return 1, err
		}
		return m.Run(), nil
	}
	dir, err := os.MkdirTemp("", "tidegate-scenario-")
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(dir)
	binary := filepath.Join(dir, "tidegate")
	if err := proc.Build(context.Background(), "cmd/tidegate", binary); err != nil {
		return 1, err
	}
	return network.Enter(program + "=" + binary)
}

// TestQuickScenarios plays the ones that take seconds. What they measure is
// printed; what they promise is asserted.
func TestQuickScenarios(t *testing.T) {
	quick := []struct {
		name string
		kill bool
	}{
		{"gateway-away", false},
		{"node-killed", false},
		{"node-stopped", true},
		{"node-mute", false},
		{"node-drained", false},
		{"uplink-up-lost", true},
		{"hundred-failovers", false},
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	stage, err := Open(ctx, StageConfig{Cloud: "standin", Program: os.Getenv(program), Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := stage.Close(); err != nil {
			t.Error(err)
		}
	}()
	for _, q := range quick {
		sc, ok := find(q.name)
		if !ok {
			t.Errorf("no scenario %q", q.name)
			continue
		}
		row := stage.Play(t.Context(), sc, q.kill)
		var text strings.Builder
		row.Print(&text)
		t.Log(strings.TrimSpace(text.String()), row.Sign)
		if !row.Kept() || row.Published == 0 {
			t.Errorf("%s: %q; the gateway's last output:\n%s", row.Scenario, row.Broken, row.Tail)
		}
	}
}

// TestNotApplicable: what there is nothing to see of says why.
func TestNotApplicable(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	stage, err := Open(ctx, StageConfig{Cloud: "standin", Program: os.Getenv(program), Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer stage.Close()
	sc, _ := find("node-partitioned")
	row := stage.Play(ctx, sc, false)
	if row.NotApplicable == "" || !row.Kept() {
		t.Errorf("got %+v, want a reason", row)
	}
}

func find(name string) (Scenario, bool) {
	for _, sc := range All() {
		if sc.Name == name {
			return sc, true
		}
	}
	return Scenario{}, false
}

// TestScenariosAreNamed: names are unique and every one says what it is.
func TestScenariosAreNamed(t *testing.T) {
	seen := map[string]bool{}
	for _, sc := range All() {
		if sc.Name == "" || sc.Says == "" || seen[sc.Name] || sc.Break == nil || sc.Heal == nil || sc.Whole && sc.Hold == 0 {
			t.Errorf("%q: nameless, twice, or not whole", sc.Name)
		}
		seen[sc.Name] = true
	}
}
