package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const guideFile = "../../docs/GUIDE.md"

func guide(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(guideFile)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

var fenced = regexp.MustCompile("(?ms)^```([^\n]*)\n(.*?)^```$")

// blocks returns what stands between fences, by the word behind the first.
func blocks(text, kind string) (all []string) {
	for _, m := range fenced.FindAllStringSubmatch(text, -1) {
		if m[1] == kind {
			all = append(all, m[2])
		}
	}
	return all
}

// Each configuration of the guide passes tidegate check once the files that it
// names are there.
func TestGuideConfigurations(t *testing.T) {
	dir := t.TempDir()
	cert, key := authority(t)
	for from, to := range map[string]string{cert: "gateway.pem", key: "gateway.key"} {
		if err := os.Link(from, filepath.Join(dir, to)); err != nil {
			t.Fatal(err)
		}
	}
	configure(t, filepath.Join(dir, "cloud-password"), "secret\n")
	text := guide(t)
	for _, users := range blocks(text, "toml users") {
		configure(t, filepath.Join(dir, "users.toml"), users)
		file := filepath.Join(dir, "with-users.toml")
		configure(t, file, fmt.Sprintf("[edge.access]\nusers-file = %q\n", filepath.Join(dir, "users.toml")))
		printed(t, "", "check", file)
	}
	all := blocks(text, "toml")
	for i, block := range all {
		file := filepath.Join(dir, fmt.Sprintf("%d.toml", i))
		configure(t, file, strings.ReplaceAll(block, "/etc/tidegate/", dir+"/"))
		printed(t, "", "check", file)
	}
	if len(all) < 5 {
		t.Errorf("got %d configurations, want one for each cloud", len(all))
	}
}

// elsewhere are commands of the guide that are tried elsewhere, or are
// Debian's.
var elsewhere = map[string]string{
	"apt":       "installing the package is tried in build/deb",
	"systemctl": "the unit is tried in build/deb",
	"install":   "coreutils",
}

// Each command of the guide is run, in its order: against the gateway that
// tidegate init of the guide itself has configured, and a real cloud.
func TestGuideCommands(t *testing.T) {
	_, cloud := startCloud(t, "")
	dir, data := t.TempDir(), t.TempDir()
	h := &guideHouse{t: t, dir: dir, file: filepath.Join(dir, "tidegate.toml"), data: data, cloud: cloud}
	configure(t, filepath.Join(dir, "password.txt"), "secret\n")
	ran := 0
	for _, block := range blocks(guide(t), "sh") {
		for line := range strings.Lines(block) {
			words := shellWords(strings.TrimSpace(line))
			if words[0] == "sudo" {
				words = words[1:]
			}
			if elsewhere[words[0]] == "" {
				h.run(words)
				ran++
			}
		}
	}
	for _, p := range h.listening {
		if code := p.exit(); code != 0 || !strings.Contains(p.out.String(), "world") {
			t.Errorf("mosquitto_sub: got %d %s", code, p.out)
		}
	}
	if ran < 10 || len(h.listening) == 0 {
		t.Errorf("ran %d commands", ran)
	}
}

// guideHouse is what the commands of the guide are about.
type guideHouse struct {
	t                      *testing.T
	dir, file, data, cloud string
	device                 string // its password
	gateway                *gatewayProcess
	listening              []*process
}

func (h *guideHouse) run(words []string) {
	h.t.Helper()
	switch {
	case words[0] == "tidegate" && words[1] == "init" && len(words) == 2: // it asks
		out, code := initialise(h.t, "house-17\n\nhome\n", "-config", filepath.Join(h.dir, "first.toml"))
		if code != 0 {
			h.t.Errorf("init: got %d %s", code, out)
		}
		os.Remove(filepath.Join(h.dir, "users.toml"))
	case words[0] == "tidegate" && words[1] == "init":
		h.init(words[2:])
	case words[0] == "tidegate":
		h.tidegate(words[1:])
	case words[0] == "mosquitto_sub":
		p := run(h.t, nil, "stdbuf", append([]string{"-oL"}, h.here(append(words, "-d"))...)...)
		p.says("Subscribed")
		h.listening = append(h.listening, p)
	case words[0] == "mosquitto_pub":
		here := h.here(words)
		if out, err := exec.Command(here[0], here[1:]...).CombinedOutput(); err != nil || len(out) > 0 {
			h.t.Errorf("%v: %v %s", words, err, out)
		}
	case words[0] == "curl":
		if !slices.Equal(words[:2], []string{"curl", "-s"}) || len(words) != 3 {
			h.t.Fatalf("%v: how would that be run?", words)
		}
		address := strings.Replace(words[2], "http://tidegate.local:8080", h.gateway.page(), 1)
		eventually(h.t, func() bool { code, _ := get(h.t, address); return code == 200 }, func() string { return address + " is not 200" })
	default:
		h.t.Errorf("%v: the test does not know how to run it", words)
	}
}

// init writes the configuration as the guide says, towards a real cloud, and
// starts the gateway with it.
func (h *guideHouse) init(flags []string) {
	h.t.Helper()
	for i, f := range flags {
		flags[i] = strings.NewReplacer("mqtts://broker.example.com:8883", "mqtt://127.0.0.1:"+h.cloud, "password.txt", filepath.Join(h.dir, "password.txt")).Replace(f)
	}
	out, code := initialise(h.t, "", append([]string{"-config", h.file}, flags...)...)
	_, after, found := strings.Cut(out, ", password ")
	if code != 0 || !found {
		h.t.Fatalf("init: got %d %s", code, out)
	}
	h.device, _, _ = strings.Cut(after, " ")
	text, err := os.ReadFile(h.file)
	if err != nil {
		h.t.Fatal(err)
	}
	configure(h.t, h.file, strings.NewReplacer("[gateway]\n", fmt.Sprintf("[gateway]\ndata-dir = %q\n", h.data), `":1883"`, `"127.0.0.1:0"`).Replace(string(text))+watched)
	h.gateway = startGateway(h.t, h.file, h.data)
}

func (h *guideHouse) tidegate(args []string) {
	h.t.Helper()
	switch {
	case slices.Equal(args, []string{"check"}):
		args = append(args, h.file)
	case args[0] == "doctor": // this machine may have its troubles
		if code, out, errs := invoke(h.t, "doctor", "-config", h.file); code > exitBad || !strings.Contains(out, "good") {
			h.t.Errorf("doctor: got %d %s%s", code, out, errs)
		}
		return
	case args[0] == "device":
		args = slices.Insert(args, 2, "-config", h.file)
	case args[0] == "status":
		args = append(args, "-config", h.file)
	case args[0] == "uplink":
		args = slices.Insert(args, 2, "-config", h.file)
	case args[0] == "spool":
		at := 2
		if args[1] == "dead" {
			at = 3
		}
		args = slices.Insert(args, at, "-config", h.file)
	}
	printed(h.t, "", args...)
}

// here has a client of the guide come to this gateway, with the patience of a
// test.
func (h *guideHouse) here(words []string) (out []string) {
	for i, w := range words {
		switch {
		case w == "tidegate.local":
			out = append(out, "127.0.0.1", "-p", h.gateway.port())
		case w == "PASSWORD":
			out = append(out, h.device)
		case i > 0 && words[i-1] == "-W":
			out = append(out, fmt.Sprint(int(patience.Seconds())))
		default:
			out = append(out, w)
		}
	}
	return out
}

// shellWords splits a line that has nothing of the shell in it but quotes.
func shellWords(line string) (words []string) {
	for _, m := range regexp.MustCompile(`'([^']*)'|(\S+)`).FindAllStringSubmatch(line, -1) {
		words = append(words, m[1]+m[2])
	}
	return words
}

// Each promise of the guide names the tests that show it, and they exist.
func TestGuidePromisesHaveTests(t *testing.T) {
	named := 0
	for _, part := range regexp.MustCompile("`([a-z/]+)` (Test\\w+(?:, Test\\w+)*)").FindAllStringSubmatch(guide(t), -1) {
		for name := range strings.SplitSeq(part[2], ", ") {
			named++
			if !hasTest(t, filepath.Join("../..", part[1]), name) {
				t.Errorf("%s has no %s", part[1], name)
			}
		}
	}
	if named < 20 {
		t.Errorf("got %d tests", named)
	}
}

func hasTest(t *testing.T, dir, name string) bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	return slices.ContainsFunc(files, func(file string) bool {
		data, err := os.ReadFile(file)
		return err == nil && strings.Contains(string(data), "func "+name+"(")
	})
}

// What the guide links to within the repository is there, headings too.
func TestGuideLinks(t *testing.T) {
	text := guide(t)
	for _, m := range regexp.MustCompile(`\]\(([^)\s]+)\)`).FindAllStringSubmatch(text, -1) {
		path, heading, _ := strings.Cut(m[1], "#")
		if strings.HasPrefix(path, "https://") {
			continue
		}
		target := text
		if path != "" {
			info, err := os.Stat(filepath.Join("../../docs", path))
			if err != nil {
				t.Error(err)
				continue
			}
			if info.IsDir() {
				continue
			}
			data, err := os.ReadFile(filepath.Join("../../docs", path))
			if err != nil {
				t.Fatal(err)
			}
			target = string(data)
		}
		if heading != "" && !hasHeading(target, heading) {
			t.Errorf("%s: there is no such heading", m[1])
		}
	}
}

func hasHeading(text, anchor string) bool {
	for _, m := range regexp.MustCompile(`(?m)^#+ (.+)$`).FindAllStringSubmatch(text, -1) {
		if strings.ReplaceAll(regexp.MustCompile(`[^a-z0-9 -]`).ReplaceAllString(strings.ToLower(m[1]), ""), " ", "-") == anchor {
			return true
		}
	}
	return false
}
