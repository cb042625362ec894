package image

import (
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// tree is a device tree: node by path, property by name, as fdtdump says them.
type tree map[string]map[string]string

// parseTree reads what dtc writes as text.
func parseTree(text string) tree {
	t, at := tree{}, []string{}
	node := regexp.MustCompile(`^\s*(?:\w+: )?(\S+) \{$`)
	property := regexp.MustCompile(`^\s*(\S+?)(?: = (.*))?;$`)
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		if strings.TrimSpace(line) == "};" {
			at = at[:max(0, len(at)-1)]
		} else if m := node.FindStringSubmatch(line); m != nil {
			at = append(at, strings.Trim(m[1], "/"))
			t["/"+strings.Trim(path.Join(at...), "/")] = map[string]string{}
		} else if m := property.FindStringSubmatch(line); m != nil && len(at) > 0 {
			t["/"+strings.Trim(path.Join(at...), "/")][m[1]] = m[2]
		}
	}
	return t
}

// powers are the properties by which a device names what it needs to run:
// clocks, power, channels of its DMA, pins.
var powers = []string{"clocks", "dmas", "vmmc-supply", "vqmmc-supply", "vin-supply", "gpios", "gpio", "power-domains", "pinctrl-0", "resets", "interrupt-parent", "firmware", "mboxes"}

// needs returns the nodes without which a device does not work, itself and its
// parents among them.
func (t tree) needs(device string) []string {
	handles := map[string]string{}
	for p, props := range t {
		if h := props["phandle"]; h != "" {
			handles[strings.Trim(h, "<>")] = p
		}
	}
	done := map[string]bool{}
	for todo := []string{device}; len(todo) > 0; todo = todo[1:] {
		n := todo[0]
		if done[n] {
			continue
		}
		done[n] = true
		if n != "/" {
			todo = append(todo, path.Dir(n))
		}
		for _, p := range powers {
			// Numbers that are no phandles find no node, or one more than needed.
			if f := strings.Fields(strings.Trim(t[n][p], "<>")); len(f) > 0 {
				if to, ok := handles[f[0]]; ok {
					todo = append(todo, to)
				}
			}
		}
	}
	return slices.Sorted(maps.Keys(done))
}

// Of every board, whatever its card hangs on has a driver in the kernel or in
// the initrd: the only proof, short of the board, that a root file system will
// be found.
func TestEarlyDrivers(t *testing.T) {
	b := look(t)
	dir := t.TempDir()
	version := ""
	for _, f := range b.listing {
		if d := path.Dir(f.path); d == "/usr/lib/modules" {
			version = path.Base(f.path)
		}
	}
	modules := "/usr/lib/modules/" + version
	inInitrd := map[string]bool{}
	for _, m := range initrdModules(t, b, modules) {
		inInitrd[m] = true
	}
	// compatible -> modules; and what is built in.
	drivers := map[string][]string{}
	for _, m := range regexp.MustCompile(`(?m)^alias of:N\*T\*C(\S+?)(?:C\*)? (\S+)$`).FindAllStringSubmatch(b.read(t, modules+"/modules.alias"), -1) {
		drivers[m[1]] = append(drivers[m[1]], m[2])
	}
	inside := map[string]bool{}
	for _, m := range regexp.MustCompile(`alias=of:N\*T\*C([^\x00]+?)(?:C\*)?\x00`).FindAllStringSubmatch(b.read(t, modules+"/modules.builtin.modinfo"), -1) {
		inside[m[1]] = true
	}
	for _, board := range boards {
		file := filepath.Join(dir, board)
		if err := os.WriteFile(file, b.boot(t, board), 0o644); err != nil {
			t.Fatal(err)
		}
		text, err := run(t.Context(), dir, nil, "dtc", "-q", "-I", "dtb", "-O", "dts", file)
		if err != nil {
			t.Fatal(err)
		}
		tree := parseTree(text)
		card := "/soc/mmc@7e202000" // bcm2835-sdhost
		if strings.HasPrefix(board, "bcm2711") {
			card = "/emmc2bus/mmc@7e340000"
		}
		if tree[card] == nil || strings.Contains(tree[card]["status"], "disabled") {
			t.Fatalf("%s: no card at %s", board, card)
		}
		for _, n := range tree.needs(card) {
			var missing []string
			for _, c := range strings.Split(tree[n]["compatible"], `\0`) {
				if c = strings.Trim(c, `" `); c == "" {
					continue
				}
				if inside[c] || slices.ContainsFunc(drivers[c], func(m string) bool { return inInitrd[m] }) {
					missing = nil
					break
				}
				for _, m := range drivers[c] {
					missing = append(missing, fmt.Sprintf("%s (%s)", m, c))
				}
			}
			if missing != nil {
				t.Errorf("%s: %s needs %v, which is not in the initrd", board, n, missing)
			}
		}
	}
}

// initrdModules are the names of the modules in the image's initrd.
func initrdModules(t *testing.T, b *built, _ string) []string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "initrd.zst")
	if err := os.WriteFile(file, []byte(b.read(t, "/boot/initrd.img")), 0o644); err != nil {
		t.Fatal(err)
	}
	text, err := run(t.Context(), "/", nil, "zstd", "-dc", file)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, m := range regexp.MustCompile(`modules/\d\d-([\w-]+)\.ko\x00`).FindAllStringSubmatch(text, -1) {
		names = append(names, strings.ReplaceAll(m[1], "-", "_"))
	}
	if len(names) < 10 {
		t.Fatalf("got the modules %q in the initrd, want more", names)
	}
	return names
}
