package metrics

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const monitoring = "../../../../monitoring"

func promtool(t *testing.T, args ...string) {
	t.Helper()
	cmd := exec.Command("promtool", args...)
	cmd.Dir = monitoring
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("promtool %s (make setup installs it): %v\n%s", strings.Join(args, " "), err, out)
	}
}

func file(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(monitoring, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestAlertsFireAndAreSilent(t *testing.T) {
	promtool(t, "check", "rules", "alerts.yml")
	promtool(t, "test", "rules", "alerts_test.yml")
	promtool(t, "check", "config", "--syntax-only", "prometheus.yml")
	find := func(text, pattern string) (all []string) {
		for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1) {
			all = append(all, m[1])
		}
		return all
	}
	alerts, tests := find(file(t, "alerts.yml"), `- alert: (\w+)`), find(file(t, "alerts_test.yml"), `exp_samples:.*alertname="(\w+)"`)
	if !slices.Equal(alerts, tests) {
		t.Errorf("got tests of %v\nwant one for each of %v", tests, alerts)
	}
}

// What the alerts and the dashboard ask for, a scrape has.
func TestAlertsAndDashboardAskForWhatThereIs(t *testing.T) {
	text, names := scrape(t, full()), regexp.MustCompile(`\b(tidegate|process|go)_[a-z_]+\b`)
	for _, name := range []string{"alerts.yml", "grafana.json"} {
		found := names.FindAllString(strings.ReplaceAll(file(t, name), "journalctl -u tidegate", ""), -1)
		if len(found) < 20 {
			t.Errorf("%s: got %d metrics, want more", name, len(found))
		}
		for _, metric := range found {
			if !strings.Contains(text, "\n"+metric+"{") && !strings.Contains(text, "\n"+metric+" ") {
				t.Errorf("%s asks for %s, which is not told", name, metric)
			}
		}
	}
}

// Grafana shows panels where they say: none may lie on another or have its id.
func TestDashboardIsWhole(t *testing.T) {
	var board struct {
		UID    string
		Panels []struct {
			ID          int
			Type, Title string
			GridPos     struct{ X, Y, W, H int }
			Targets     []struct{ Expr, RefID string }
		}
	}
	if err := json.Unmarshal([]byte(file(t, "grafana.json")), &board); err != nil {
		t.Fatal(err)
	}
	ids, taken := map[int]bool{}, map[[2]int]string{}
	for _, p := range board.Panels {
		if ids[p.ID] || p.Title == "" || p.Type != "row" && len(p.Targets) == 0 {
			t.Errorf("panel %d %q: it needs an id of its own, a title and a query", p.ID, p.Title)
		}
		ids[p.ID] = true
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if other := taken[[2]int{x, y}]; other != "" || x >= 24 {
					t.Fatalf("panel %q at %d,%d lies on %q or outside", p.Title, x, y, other)
				}
				taken[[2]int{x, y}] = p.Title
			}
		}
	}
	if len(board.Panels) < 20 || board.UID == "" {
		t.Errorf("got %d panels and uid %q", len(board.Panels), board.UID)
	}
}
