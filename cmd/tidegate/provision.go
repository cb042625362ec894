package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"tidegate/cmd/tidegate/internal/backup"
	"tidegate/cmd/tidegate/internal/provision"
	"tidegate/hw"
	"tidegate/internal/conf"
	"tidegate/internal/wall"
)

// provisionCommand makes a gateway out of the image and the user's files, at each
// boot; with -report it only writes the report again.
func provisionCommand(env environment, args []string) int {
	f := newFlags(env, "provision")
	boot := f.String("boot", "/boot/firmware", "the boot partition, with the user's files")
	data := f.String("data", "/data", "the data partition")
	root := f.String("root", "/", "where everything else is")
	late := f.Bool("report", false, "only write the report again, with what is known of the network")
	if code, ok := f.parse(args, 0, 0); !ok {
		return code
	}
	if err := onImage(*root); err != nil {
		return failed(env, exitBad, err)
	}
	opt := provision.Options{
		Boot: *boot, Data: *data, Root: *root, Version: version, Check: checkProvisioned,
		Now: time.Now, Synced: func() bool { set, _ := wall.Set(); return set },
	}
	if filepath.Clean(*root) == "/" {
		opt.SetHostname = func(name string) error { return syscall.Sethostname([]byte(name)) }
		opt.LineHeld, opt.Announced = hw.LineHeld, announcedName
		opt.Forgets = forgets(*data)
		opt.Wait = time.Minute
		opt.Free = func() int64 { return freeIn(*data) }
	}
	opt.Restore = func(before string) (provision.Restored, error) { return restoreOnBoot(*boot, *data, before) }
	if *late {
		out, net, err := provision.Report(opt)
		if err != nil {
			return failed(env, exitBad, err)
		}
		for _, f := range net.Found {
			fmt.Fprintf(env.out, "%s\n", f)
		}
		fmt.Fprintf(env.out, "%s: %s\n", out.Host, strings.Join(net.Addresses, ", "))
		return exitOK
	}
	// Before a factory reset, which would otherwise be undone.
	if ended, err := backup.Finish(backup.CardPlaces(*data), *data); err != nil {
		fmt.Fprintln(env.err, err)
	} else if ended {
		fmt.Fprintln(env.out, "Restored a backup: one that a power cut had interrupted.")
	}
	out, err := provision.Run(opt)
	for _, line := range out.Done {
		fmt.Fprintln(env.out, line)
	}
	for _, f := range out.All() {
		fmt.Fprintln(env.err, f)
	}
	if err != nil {
		return failed(env, exitBad, err)
	}
	return exitOK
}

// onImage keeps another machine's name, its /data and its boot partition from being
// taken for the gateway's. The image alone has the program that brings its data
// partition up.
func onImage(root string) error {
	if _, err := os.Stat(filepath.Join(root, "usr/lib/tidegate/data")); err != nil {
		return errors.New("this is not the SD-card image, which alone is provisioned: edit /etc/tidegate/tidegate.toml instead")
	}
	return nil
}

// restoreOnBoot puts a backup in place that lies on the boot partition, unless it
// is the one whose digest is before.
func restoreOnBoot(boot, data, before string) (provision.Restored, error) {
	var r provision.Restored
	b, err := backup.FindOnBoot(boot)
	if errors.Is(err, fs.ErrNotExist) || err == nil && b == nil {
		return r, nil
	}
	if err != nil {
		return r, err
	}
	sum, err := b.Digest()
	if err != nil {
		return r, err
	}
	r.Files, r.Digest = b.Files, sum
	if sum == before {
		return r, nil
	}
	m, err := b.Restore(data, goodConfig)
	if err != nil {
		return provision.Restored{}, err
	}
	r.What = "configuration and identity of " + m.Gateway
	return r, nil
}

// checkProvisioned is load for provisioning: files that the configuration names
// may still lie elsewhere.
func checkProvisioned(text []byte, place func(string) string) (provision.Config, []provision.Problem) {
	moved := map[string]string{}
	var c Config
	_, problems := parse(text, func(parsed Config) []conf.Problem {
		c = parsed
		here := parsed
		here.Edge.Listeners = append(here.Edge.Listeners[:0:0], here.Edge.Listeners...)
		to := func(path *string) {
			if *path != "" {
				moved[place(*path)] = *path
				*path = place(*path)
			}
		}
		for i := range here.Edge.Listeners {
			l := &here.Edge.Listeners[i]
			to(&l.Cert)
			to(&l.Key)
			to(&l.ClientCA)
		}
		to(&here.Edge.Access.UsersFile)
		to(&here.Console.Cert)
		to(&here.Console.Key)
		here.Uplink = slices.Clone(here.Uplink)
		for i := range here.Uplink {
			u := &here.Uplink[i]
			to(&u.PasswordFile)
			to(&u.CAFile)
			to(&u.CertFile)
			to(&u.KeyFile)
			to(&u.ProxyPasswordFile)
		}
		return here.checkStart()
	})
	var found []provision.Problem
	for _, p := range problems {
		what := p.String()
		for now, written := range moved {
			what = strings.ReplaceAll(what, now, written)
		}
		found = append(found, provision.Problem{Line: p.line, Text: what})
	}
	return provisionConfig(c), found
}

// provisionConfig is what provisioning needs to know.
func provisionConfig(c Config) provision.Config {
	p := provision.Config{ID: c.Gateway.ID, UsersFile: c.Edge.Access.UsersFile, ResetLine: c.Gateway.ResetLine}
	add := func(key, path string, use provision.Use, with string) {
		if path != "" {
			p.Files = append(p.Files, provision.File{Key: key, Path: path, Use: use, With: with})
		}
	}
	for i, l := range c.Edge.Listeners {
		if _, port, err := net.SplitHostPort(l.Bind); err == nil { // else a unix socket
			p.Listeners = append(p.Listeners, provision.Listener{Port: port, TLS: l.Cert != "", Anonymous: l.Anonymous, WebSocket: l.Protocol == "websocket"})
		}
		at := fmt.Sprintf("edge.listener[%d].", i)
		add(at+"cert", l.Cert, provision.Certificate, l.Key)
		add(at+"key", l.Key, provision.Key, "")
		add(at+"client-ca", l.ClientCA, provision.Authorities, "")
	}
	add("edge.access.users-file", c.Edge.Access.UsersFile, provision.Users, "")
	if _, port, err := net.SplitHostPort(c.Console.Bind); err == nil { // else there is none
		p.Console = provision.Console{Port: port, TLS: c.Console.Cert != ""}
	}
	add("console.cert", c.Console.Cert, provision.Certificate, c.Console.Key)
	add("console.key", c.Console.Key, provision.Key, "")
	for i, u := range c.Uplink {
		at := fmt.Sprintf("uplink[%d].", i)
		add(at+"password-file", u.PasswordFile, provision.Secret, "")
		add(at+"ca-file", u.CAFile, provision.Authorities, "")
		add(at+"cert-file", u.CertFile, provision.Certificate, u.KeyFile)
		add(at+"key-file", u.KeyFile, provision.Key, "")
		add(at+"proxy-password-file", u.ProxyPasswordFile, provision.Secret, "")
	}
	add("update.key", c.Update.Key, provision.PublicKey, "")
	return p
}

// forgets says why a folder keeps nothing over a restart; "" when it does.
func forgets(dir string) string {
	const tmpfs, ramfs, overlay = 0x01021994, 0x858458f6, 0x794c7630
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return fmt.Sprintf("there is no data partition (%v)", err)
	}
	switch uint32(st.Type) {
	case tmpfs, ramfs, overlay:
		return "the data partition cannot be used: the gateway works from memory and forgets everything at a restart"
	}
	const readOnly = 1 // ST_RDONLY, statvfs(3)
	if st.Flags&readOnly != 0 {
		return "the data partition cannot be written: the gateway keeps nothing"
	}
	return ""
}

// freeIn is the room in a folder's file system, in bytes; much when it is not known.
func freeIn(dir string) int64 {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return math.MaxInt64
	}
	return int64(st.Bavail) * int64(st.Bsize)
}

// announcedName asks systemd-resolved under what name it answers to mDNS: after a
// conflict it is another than the host's.
func announcedName() string {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, "busctl", "get-property", "org.freedesktop.resolve1", "/org/freedesktop/resolve1", "org.freedesktop.resolve1.Manager", "LLMNRHostname")
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	out, err := cmd.Output()
	if err != nil {
		return ""
	}
	_, name, _ := strings.Cut(strings.TrimSpace(string(out)), "s ") // s "house"
	return strings.Trim(name, `"`)
}
