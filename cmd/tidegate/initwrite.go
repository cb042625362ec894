package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"

	"tidegate/internal/whole"
)

// The parts of the configuration that init writes: short, every line explained.
const (
	beginning = `# Written by tidegate init. tidegate sample explains every key there is;
# tidegate check says what is wrong after a change, and systemctl reload tidegate
# applies it.

[gateway]
# The name of this gateway in the cloud. No two gateways may share it.
id = %q

# Where devices at home connect.
[[edge.listener]]
bind = ":1883"
`
	openToAll = `# Anybody in your network may read and write everything.
anonymous = true
`
	withUsers = `
# Who may. tidegate passwd hashes a password.
[edge.access]
users-file = %q
`
	towardsCloud = `
# The cloud. Several addresses are nodes of one cluster.
[[uplink]]
endpoints = [%s]
`
	upAndDown = `
# What goes up: home/lamp is %[1]s/home/lamp in the cloud.
[[uplink.up]]
filter = %[2]q
add = %[3]q

# What comes down: %[1]s/commands/lamp in the cloud is commands/lamp at home.
[[uplink.down]]
filter = %[4]q
strip = %[3]q
`
)

// text is the configuration, with the password in a file.
func (h *firstHour) text(password string) []byte {
	b := fmt.Appendf(nil, beginning, h.id)
	if h.open {
		b = append(b, openToAll...)
	} else {
		b = fmt.Appendf(b, withUsers, h.usersFile())
	}
	if h.local {
		return b
	}
	var quoted []string
	for _, e := range h.endpoints() {
		quoted = append(quoted, strconv.Quote(e))
	}
	b = fmt.Appendf(b, towardsCloud, strings.Join(quoted, ", "))
	if h.user != "" {
		b = fmt.Appendf(b, "user = %q\npassword-file = %q\n", h.user, password)
	}
	for _, f := range []struct{ key, path string }{{"ca-file", h.ca}, {"cert-file", h.cert}, {"key-file", h.key}} {
		if f.path != "" {
			b = fmt.Appendf(b, "%s = %q\n", f.key, absolute(f.path))
		}
	}
	return fmt.Appendf(b, upAndDown, h.id, h.up, h.id+"/", h.id+"/commands/#")
}

func absolute(path string) string {
	if path == "" {
		return ""
	}
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return path
}

func (h *firstHour) beside(name string) string {
	return filepath.Join(filepath.Dir(absolute(h.config)), name)
}
func (h *firstHour) secretFile() string { return h.beside("cloud-password") }
func (h *firstHour) usersFile() string  { return h.beside("users.toml") }

const firstUser = `# Who may connect, and what each may do: tidegate sample explains it under
# [edge.access]. "#" is everything.
[[user]]
name = %q
password = %q
publish = ["#"]
subscribe = ["#"]
`

// write puts the files in place, those first that the configuration names.
func (h *firstHour) write() error {
	text := h.text(h.secretFile())
	if err := os.MkdirAll(filepath.Dir(absolute(h.config)), 0o755); err != nil {
		return err
	}
	uid, gid := h.runner()
	if h.password != "" {
		if err := h.put(h.secretFile(), []byte(h.password+"\n"), 0o400, uid, gid); err != nil {
			return err
		}
	}
	if h.device != "" && !mayRead(h.usersFile()) {
		if err := h.put(h.usersFile(), fmt.Appendf(nil, firstUser, h.device, h.hashOf()), 0o600, uid, gid); err != nil {
			return err
		}
	}
	if old, err := os.ReadFile(h.config); err == nil && !bytes.Equal(old, text) && string(old) != sample {
		if err := h.put(h.kept(), old, 0o600, -1, -1); err != nil {
			return err
		}
	}
	if err := h.put(h.config, text, 0o644, -1, -1); err != nil {
		return err
	}
	_, problems, err := load(h.config, Config.checkAll)
	if err == nil && len(problems) > 0 {
		err = errors.New(strings.TrimSuffix(report(h.config, problems), "\n"))
	}
	return err
}

// runner is who runs the gateway: only root can give files away, and on a
// machine where Tidegate is not installed there is nobody to give them to.
func (h *firstHour) runner() (uid, gid int) {
	uid, gid = -1, -1
	u, err := user.Lookup(h.owner)
	switch {
	case os.Geteuid() != 0:
		h.say("You are not root: the passwords are yours to read, and not the user %s's.", h.owner)
	case err != nil:
		h.say("There is no user %s here: the passwords are root's to read.", h.owner)
	default:
		uid, _ = strconv.Atoi(u.Uid)
		gid, _ = strconv.Atoi(u.Gid)
	}
	return uid, gid
}

// put makes a file whole or not at all, with its owner and mode from the first
// byte on.
func (h *firstHour) put(path string, data []byte, mode os.FileMode, uid, gid int) (err error) {
	err = whole.Write(path, func(f *os.File) error {
		return errors.Join(whole.Bytes(data)(f), f.Chown(uid, gid), f.Chmod(mode))
	})
	if err == nil {
		h.say("wrote %s (mode %04o)", path, mode)
	}
	return err
}
