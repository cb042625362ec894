// Package doctor looks at the machine that a gateway runs on, as somebody would
// who was called for help: clock, disk and card, power and heat, memory, files
// and their rights, ports, certificates, buses, network, the unit, damage. It
// reads files of the kernel and of the system, changes nothing, and says of each
// thing what it found and what to do.
package doctor

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"tidegate/internal/wall"
)

// The levels of a finding.
const (
	OK        = "ok"
	Info      = "info"      // worth knowing; nothing to do
	Attention = "attention" // the gateway works, and may not for long
	Trouble   = "trouble"   // something does not work
)

// Finding is one thing about the machine.
type Finding struct {
	Level string `json:"level"`
	About string `json:"about"` // clock, disk, card, heat, power, memory, files, ports, certificates, buses, network, service, damage
	What  string `json:"what"`
	Do    string `json:"do"` // "" when there is nothing to do
}

// File is one that the configuration names.
type File struct {
	Key         string // of the configuration
	Path        string
	Secret      bool
	Certificate bool
	Authority   bool // certificates of others
}

// Listener is an address that the gateway takes.
type Listener struct{ Key, Bind string }

// Room is what statfs says.
type Room struct {
	Free, Total int64 // bytes; free for users
	Files       int64 // that may still be made; -1: as many as there is room for
}

// Options say what to look at. Start from Here.
type Options struct {
	Root      string // "/", or a folder that looks like it
	DataDir   string
	Files     []File
	Listeners []Listener
	Hosts     []string // names of the cloud's endpoints, which this machine must find
	Uplinks   int
	Buses     []string // as hw.Config.Buses has them: those that the configuration uses
	User      string   // that runs the gateway
	Unit      string
	Running   bool // the gateway runs
	PID       int  // as which process; 0: not known

	Now       func() time.Time
	Synced    func() (synced, known bool) // whether the clock is
	Room      func(path string) (Room, error)
	Systemctl func(ctx context.Context, args ...string) (string, error)
	Resolve   func(ctx context.Context, host string) error
}

// Here returns Options for the machine that this program runs on.
func Here() Options {
	return Options{
		Root: "/", User: "tidegate", Unit: "tidegate.service",
		Now: time.Now, Synced: wall.Set, Room: room,
		Systemctl: func(ctx context.Context, args ...string) (string, error) {
			out, err := exec.CommandContext(ctx, "systemctl", args...).Output()
			return string(out), err
		},
		Resolve: func(ctx context.Context, host string) error {
			_, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
			return err
		},
	}
}

func room(path string) (Room, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(path, &s); err != nil {
		return Room{}, err
	}
	r := Room{Free: int64(s.Bavail) * int64(s.Bsize), Total: int64(s.Blocks) * int64(s.Bsize), Files: int64(s.Ffree)}
	if s.Files == 0 {
		r.Files = -1
	}
	return r, nil
}

// Examine looks at everything. It takes seconds at most.
func Examine(ctx context.Context, o Options) []Finding {
	m := &machine{Options: o, found: []Finding{}}
	for _, look := range []func(*machine, context.Context){
		clock, disks, card, heat, power, memory, files, certificates, ports, buses, network, service, damage,
	} {
		look(m, ctx)
	}
	return m.found
}

// Bad says whether there is trouble.
func Bad(found []Finding) bool {
	for _, f := range found {
		if f.Level == Trouble {
			return true
		}
	}
	return false
}

// machine is what is looked at, and what was found.
type machine struct {
	Options
	found []Finding
}

func (m *machine) say(level, about, do, format string, args ...any) {
	m.found = append(m.found, Finding{level, about, fmt.Sprintf(format, args...), do})
}

func (m *machine) path(name string) string { return filepath.Join(m.Root, name) }

// read returns a small file without the white space around it; "" when there is
// none.
func (m *machine) read(name string) string {
	b, err := os.ReadFile(m.path(name))
	if err != nil || len(b) > 1<<20 {
		return ""
	}
	return strings.TrimSpace(strings.Trim(string(b), "\x00"))
}

// glob returns paths below Root, as the machine calls them.
func (m *machine) glob(pattern string) []string {
	all, _ := filepath.Glob(m.path(pattern)) // the patterns are ours, and good
	for i := range all {
		all[i] = "/" + strings.TrimPrefix(strings.TrimPrefix(all[i], filepath.Clean(m.Root)), "/")
	}
	return all
}

func (m *machine) is(name string) bool {
	_, err := os.Stat(m.path(name))
	return err == nil
}
