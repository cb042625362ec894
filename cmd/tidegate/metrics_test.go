package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"tidegate/cmd/tidegate/internal/metrics"
)

// watched is a house whose page is on a free port.
const watched = "\n[console]\nbind = \"127.0.0.1:0\"\n"

// page is the address of the console.
func (g *gatewayProcess) page() string {
	g.t.Helper()
	return "http://" + g.says(`msg=console.* endpoint=(127\.0\.0\.1:\d+)`)
}

func get(t *testing.T, address string) (int, string) {
	t.Helper()
	client := &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	r, err := client.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r.StatusCode, string(body)
}

// ready waits until /readyz answers so, and returns what it says.
func ready(t *testing.T, page string, code int) (said metrics.Readiness) {
	t.Helper()
	got, body := 0, ""
	eventually(t, func() bool { got, body = get(t, page+"/readyz"); return got == code },
		func() string { return fmt.Sprintf("readyz: got %d, want %d: %s", got, code, body) })
	if err := json.Unmarshal([]byte(body), &said); err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	return said
}

// A cloud that hangs is not one that is there: its TCP lives, and nothing is
// acknowledged.
func TestReadinessTellsTheTruth(t *testing.T) {
	cloud, port := startCloud(t, "")
	g := newHouse(t, openHouse+towards(port)+watched)
	page := g.page()
	if said := ready(t, page, http.StatusOK); !said.Ready || len(said.Uplinks) != 1 || !said.Uplinks[0].Ready || said.Listeners != 1 {
		t.Errorf("got %+v", said)
	}
	cloud.signal(syscall.SIGSTOP)
	publish(t, g.port(), "home/meter", numbered(20)) // acknowledged: they are on disk
	said := ready(t, page, http.StatusServiceUnavailable)
	if said.Ready || said.Uplinks[0].Ready || !strings.Contains(said.Words, "messages are kept") {
		t.Errorf("of a cloud that hangs: got %+v", said)
	}
	if code, body := get(t, page+"/healthz"); code != http.StatusOK {
		t.Errorf("healthz of a gateway whose cloud hangs: got %d %s", code, body)
	}
	if _, text := get(t, page+"/metrics"); !strings.Contains(text, `tidegate_uplink_flowing{uplink="cloud"} 0`) {
		t.Errorf("metrics do not say that nothing flows")
	}
	cloud.signal(syscall.SIGCONT)
	ready(t, page, http.StatusOK)
	cloud.signal(syscall.SIGSTOP) // and nobody sends anything
	ready(t, page, http.StatusServiceUnavailable)
	cloud.signal(syscall.SIGCONT)
	ready(t, page, http.StatusOK)
}

func TestReadyWithoutCloud(t *testing.T) {
	g := newHouse(t, openHouse+watched)
	if said := ready(t, g.page(), http.StatusOK); len(said.Uplinks) != 0 {
		t.Errorf("got %+v", said)
	}
}

// Who may read the numbers is for the configuration to say, also while the
// gateway runs.
func TestMetricsCanBeSwitchedOff(t *testing.T) {
	g := newHouse(t, openHouse+watched)
	if code, _ := get(t, g.page()+"/metrics"); code != http.StatusOK {
		t.Errorf("got %d", code)
	}
	text, err := os.ReadFile(g.file)
	if err != nil {
		t.Fatal(err)
	}
	configure(t, g.file, strings.Replace(string(text), watched, watched+"metrics = \"off\"\n", 1))
	g.signal(syscall.SIGHUP)
	g.says("msg=reloaded")
	var last string
	eventually(t, func() bool {
		all := regexp.MustCompile(`msg=console.* endpoint=(127\.0\.0\.1:\d+)`).FindAllStringSubmatch(g.out.String(), -1)
		last = all[len(all)-1][1]
		return len(all) == 2
	}, func() string { return "no new console:\n" + g.out.String() })
	if code, _ := get(t, "http://"+last+"/metrics"); code != http.StatusNotFound {
		t.Errorf("off: got %d, want 404", code)
	}
}

// A real Prometheus scrapes a real gateway; what the dashboard and the alerts
// ask for, it has, and promtool finds nothing to say about the names.
func TestPrometheusAndDashboard(t *testing.T) {
	_, port := startCloud(t, "")
	g := newHouse(t, openHouse+towards(port)+watched+`
[[hw.sensor]]
kind = "simulated"
name = "thermometer"
`)
	page := g.page()
	ready(t, page, http.StatusOK)
	_, scraped := get(t, page+"/metrics")
	check := exec.Command("promtool", "check", "metrics")
	check.Stdin = strings.NewReader(scraped)
	if out, err := check.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("promtool check metrics: %v\n%s", err, out)
	}
	prometheus := startPrometheus(t, strings.TrimPrefix(page, "http://"))
	publish(t, g.port(), "home/meter", numbered(50))
	for _, q := range append(dashboardQueries(t), alertMetrics(t)...) {
		ask := prometheus + "/api/v1/query?query=" + url.QueryEscape(q)
		body := ""
		eventually(t, func() bool {
			var code int
			code, body = get(t, ask)
			return code == http.StatusOK && strings.Contains(body, `"value":[`)
		}, func() string { return fmt.Sprintf("no data for %s: %s", q, body) })
	}
}

// startPrometheus scrapes an address each second.
func startPrometheus(t *testing.T, target string) string {
	t.Helper()
	dir := t.TempDir()
	rules, err := filepath.Abs("../../monitoring/alerts.yml")
	if err != nil {
		t.Fatal(err)
	}
	config, err := os.ReadFile("../../monitoring/prometheus.yml")
	if err != nil {
		t.Fatal(err)
	}
	configure(t, filepath.Join(dir, "prometheus.yml"), strings.NewReplacer(
		"tidegate.local:8080", target, "scrape_interval: 15s", "scrape_interval: 1s", "[alerts.yml]", "["+rules+"]").Replace(string(config)))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	p := run(t, nil, "prometheus", "--config.file="+filepath.Join(dir, "prometheus.yml"), "--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+address)
	p.says("Server is ready to receive web requests")
	return "http://" + address
}

// dashboardQueries are those of the dashboard, as Grafana would send them.
func dashboardQueries(t *testing.T) (all []string) {
	t.Helper()
	var board struct {
		Panels []struct{ Targets []struct{ Expr string } }
	}
	data, err := os.ReadFile("../../monitoring/grafana.json")
	if err == nil {
		err = json.Unmarshal(data, &board)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range board.Panels {
		for _, q := range p.Targets {
			all = append(all, strings.NewReplacer("$instance", ".*", "$__rate_interval", "30s").Replace(q.Expr))
		}
	}
	if len(all) < 30 {
		t.Fatalf("got %d queries", len(all))
	}
	return all
}

// unmet are metrics that are there only when something was met.
var unmet = map[string]bool{
	"tidegate_uplink_dropped_messages_total": true, // a drop
	"tidegate_card_life_used_ratio":          true, // an eMMC
	"tidegate_line_state":                    true, // an input or actuator
}

// alertMetrics are the metrics that alerts are about.
func alertMetrics(t *testing.T) (all []string) {
	t.Helper()
	data, err := os.ReadFile("../../monitoring/alerts.yml")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for line := range strings.Lines(string(data)) {
		for _, name := range regexp.MustCompile(`\b(tidegate_|process_)[a-z_]+`).FindAllString(line, -1) {
			if !unmet[name] && !seen[name] && !strings.Contains(line, "action:") {
				all, seen[name] = append(all, name), true
			}
		}
	}
	return all
}

// Prints what a scrape costs: its time, its size, and what the gateway holds
// more for it.
func TestCostOfAScrape(t *testing.T) {
	_, port := startCloud(t, "")
	g := newHouse(t, openHouse+towards(port)+watched)
	page := g.page()
	ready(t, page, http.StatusOK)
	before := resident(t, g.cmd.Process.Pid)
	begin, size := time.Now(), 0
	for range 50 {
		_, text := get(t, page+"/metrics")
		size = len(text)
	}
	t.Logf("50 scrapes of %d bytes: %v each; resident before %.1f MB, after %.1f MB", size, time.Since(begin)/50,
		float64(before)/1e6, float64(resident(t, g.cmd.Process.Pid))/1e6)
	if size < 10_000 || size > 200_000 {
		t.Errorf("a scrape is %d bytes", size)
	}
}
