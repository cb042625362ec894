package provision

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"tidegate/internal/inorder"
)

// The files of the user, and what is written back.
const (
	tomlFile     = "tidegate.toml"
	wifiFile     = "wifi.txt"
	keysFile     = "authorized_keys"
	hostFile     = "hostname.txt"
	devicesFile  = "devices.txt"
	passwordFile = "admin-password.txt"
	resetFile    = "factory-reset"
	reportFile   = "tidegate-report.txt"
	authority    = "tidegate-ca.pem"
)

// Finding is one thing that a person should know or put right.
type Finding struct {
	File string `json:"file,omitempty"` // on the boot partition, or a part of the gateway
	Line int    `json:"line,omitempty"` // from 1; 0: none
	What string `json:"what"`           // what is wrong; never a secret
	Do   string `json:"do,omitempty"`   // what to do
	Code int    `json:"code"`           // blinks of the LED; 0: worth knowing, not wrong
}

func (f Finding) String() string {
	var b strings.Builder
	if f.File != "" {
		b.WriteString(f.File)
		if f.Line > 0 {
			fmt.Fprintf(&b, ":%d", f.Line)
		}
		b.WriteString(": ")
	}
	b.WriteString(f.What)
	return b.String()
}

// fragment is a file that fsck.fat makes of clusters that belong to none: of a file
// whose name was lost, which may have been a secret.
var fragment = regexp.MustCompile(`(?i)^fsck[0-9]{4}\.rec$`)

// entry is one file of the boot partition.
type entry struct {
	name  string // as it is there
	mod   time.Time
	size  int64
	isDir bool
}

// listing is the boot partition's own folder.
type listing struct {
	dir string
	all []entry
}

// list reads the folder, without what computers leave behind.
func list(dir string) (listing, error) {
	l := listing{dir: dir}
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") || strings.HasPrefix(e.Name(), "~$") || strings.HasSuffix(e.Name(), newEnd) || strings.HasSuffix(e.Name(), erasedEnd) {
			continue // ._wifi.txt of macOS, for one, is not wifi.txt
		}
		if info, err := e.Info(); err == nil {
			l.all = append(l.all, entry{e.Name(), info.ModTime(), info.Size(), e.IsDir()})
		}
	}
	return l, err
}

func (l listing) path(e entry) string { return filepath.Join(l.dir, e.name) }

// find returns the files that may be meant by a name, the one to take first: in
// any case, and with ".txt" behind it, which Windows adds and does not show. Of
// several the latest is taken: it is what the user saved.
func (l listing) find(name string) []entry {
	var found []entry
	for _, e := range l.all {
		if !e.isDir && meant(e.name, name) {
			found = append(found, e)
		}
	}
	inorder.Sort(found, func(a, b entry) int {
		if c := b.mod.Compare(a.mod); c != 0 {
			return c
		}
		return len(b.name) - len(a.name)
	})
	return found
}

func meant(have, want string) bool {
	return strings.EqualFold(have, want) || strings.EqualFold(have, want+".txt") || strings.EqualFold(have+".txt", want)
}

// canonical is the name without the ".txt" of Windows, in small letters.
func canonical(name string) string {
	return strings.TrimSuffix(strings.ToLower(name), ".txt")
}

// secretKind says whether a file looks like one that belongs into the gateway,
// by its name alone.
func secretKind(name string) bool {
	name = canonical(name)
	switch filepath.Ext(name) {
	case ".pem", ".key", ".crt", ".cer":
		return name != authority
	}
	return name == "cloud-password" || name == "users.toml"
}
