package bus

import (
	"cmp"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// tree is the folder that has a machine's /sys, /proc and /dev.
type tree string

// system is this machine's.
const system tree = "/"

func (t tree) path(parts ...string) string {
	return filepath.Join(append([]string{string(t)}, parts...)...)
}

// text is what a file of the kernel says; "" when there is none. Those of the
// device tree end in a zero.
func (t tree) text(parts ...string) string {
	b, err := os.ReadFile(t.path(parts...))
	if err != nil {
		return ""
	}
	return strings.TrimRight(string(b), "\x00\n ")
}

// link is the last element of what a link points to; "" when there is none.
func (t tree) link(parts ...string) string {
	to, err := os.Readlink(t.path(parts...))
	if err != nil {
		return ""
	}
	return filepath.Base(to)
}

func (t tree) has(parts ...string) bool {
	_, err := os.Stat(t.path(parts...))
	return err == nil
}

// list returns the names in a folder, "i2c-9" before "i2c-10"; none when there
// is no such folder.
func (t tree) list(parts ...string) []string {
	entries, err := os.ReadDir(t.path(parts...))
	if err != nil {
		return nil
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	slices.SortFunc(names, natural)
	return names
}

var endsInNumber = regexp.MustCompile(`^(.*?)(\d+)$`)

func natural(a, b string) int {
	x, y := endsInNumber.FindStringSubmatch(a), endsInNumber.FindStringSubmatch(b)
	if x == nil || y == nil || x[1] != y[1] {
		return cmp.Compare(a, b)
	}
	n, _ := strconv.ParseUint(x[2], 10, 64)
	m, _ := strconv.ParseUint(y[2], 10, 64)
	return cmp.Or(cmp.Compare(n, m), cmp.Compare(a, b))
}

// model is what the machine calls itself, if it has a device tree.
func (t tree) model() string { return t.text(deviceTree, "model") }

const (
	deviceTree = "proc/device-tree"
	i2cFolder  = "sys/bus/i2c/devices"
)

// node is where a device is in the device tree: "/soc/i2c@7e804000".
func (t tree) node(parts ...string) string {
	to, err := os.Readlink(t.path(append(parts, "of_node")...))
	if err != nil {
		return ""
	}
	_, node, _ := strings.Cut(to, "devicetree/base")
	return node
}

// aliases are the names that the device tree has for a node: its aliases, and
// the labels of its source, where an overlay may have put them.
func (t tree) aliases(node string) []string {
	names := []string{}
	if node == "" {
		return names
	}
	for _, folder := range []string{"aliases", "__symbols__"} {
		for _, name := range t.list(deviceTree, folder) {
			if !slices.Contains(names, name) && t.text(deviceTree, folder, name) == node {
				names = append(names, name)
			}
		}
	}
	return names
}

// numbered finds the I2C bus with an alias of the device tree: the kernel
// numbers buses by their aliases of the form i2c1.
func (t tree) numbered(alias string) (name string, ok bool) {
	node := cmp.Or(t.text(deviceTree, "aliases", alias), t.text(deviceTree, "__symbols__", alias))
	if node == "" {
		return "", false
	}
	for _, name := range t.list(i2cFolder) {
		if i2cName.MatchString(name) && t.node(i2cFolder, name) == node {
			return name, true
		}
	}
	for _, other := range t.aliases(node) {
		if m := i2cName.FindStringSubmatch(other); m != nil {
			return "i2c-" + m[1], true
		}
	}
	return "", false
}
