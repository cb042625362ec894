package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// patience bounds what a test waits for; nothing waits for it to pass.
const patience = 3 * time.Minute

// The Debian in which the packages are tried, and the programs besides what
// every Debian has: a service manager, and shells to complete commands in.
const (
	suite    = "trixie"
	packages = "systemd,systemd-sysv,udev,fish,zsh-common,zsh"
	mirror   = "http://deb.debian.org/debian"
)

// root is a folder with a Debian in it.
type root struct {
	t   *testing.T
	dir string
}

// newRoot unpacks a Debian. It is made once and kept in the user's cache folder,
// under the hash of what it is made of.
func newRoot(t *testing.T) root {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("installing packages, chroot and systemd-nspawn need root")
	}
	tar, err := debian()
	if err != nil {
		t.Fatalf("make a Debian: %v (`make setup` installs what is missing)", err)
	}
	r := root{t, t.TempDir()}
	command(t, "tar", "-C", r.dir, "--numeric-owner", "-xf", tar)
	if err := os.Chmod(r.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return r
}

func debian() (tar string, err error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	cache = filepath.Join(cache, "tidegate-image")
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", err
	}
	args := []string{"--mode=root", "--variant=minbase", "--include=" + packages, `--aptopt=Acquire::Languages "none"`, `--aptopt=Acquire::Retries "3"`,
		"--dpkgopt=path-exclude=/usr/share/locale/*", suite}
	tar = filepath.Join(cache, fmt.Sprintf("deb-%x.tar", sha256.Sum256([]byte(strings.Join(args, " "))))[:len("deb-")+12]+".tar")
	lock, err := os.Create(filepath.Join(cache, "deb.lock"))
	if err != nil {
		return "", err
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return "", err
	}
	if _, err := os.Stat(tar); err == nil {
		return tar, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	fresh := tar + ".new"
	defer os.Remove(fresh)
	out, err := exec.CommandContext(ctx, "mmdebstrap", append(args, "--format=tar", fresh, mirror)...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("mmdebstrap: %w: %s", err, out)
	}
	return tar, os.Rename(fresh, tar)
}

// path is a file of the root, as this machine sees it.
func (r root) path(name string) string { return filepath.Join(r.dir, name) }

func (r root) write(name, text string) {
	r.t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(r.path(name)), 0o755), os.WriteFile(r.path(name), []byte(text), 0o644)); err != nil {
		r.t.Fatal(err)
	}
}

func (r root) read(name string) string {
	r.t.Helper()
	data, err := os.ReadFile(r.path(name))
	if err != nil {
		r.t.Fatal(err)
	}
	return string(data)
}

func (r root) has(name string) bool {
	_, err := os.Lstat(r.path(name))
	return err == nil
}

// put copies a package into the root and returns its name there.
func (r root) put(deb string) string {
	r.t.Helper()
	data, err := os.ReadFile(deb)
	if err != nil {
		r.t.Fatal(err)
	}
	r.write("/srv/"+filepath.Base(deb), string(data))
	return "/srv/" + filepath.Base(deb)
}

// Processes in the root see no others, and a network of their own. All of them
// end with the script.
const inRoot = `mount -t proc proc "$0/proc"; mount -t sysfs sysfs "$0/sys"; mount -t tmpfs tmpfs "$0/run"; mount --rbind /dev "$0/dev"
ip link set lo up
exec chroot "$0" /usr/bin/env -i PATH=/usr/sbin:/usr/bin LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive bash -euo pipefail -c "$1"`

// try runs a script in the root, where no service manager runs.
func (r root) try(script string) (string, error) {
	return run("unshare", "--mount", "--pid", "--fork", "--kill-child", "--net", "bash", "-euc", inRoot, r.dir, script)
}

// do is try of what must succeed.
func (r root) do(script string) string {
	r.t.Helper()
	out, err := r.try(script)
	if err != nil {
		r.t.Fatalf("%s: %v: %s", script, err, out)
	}
	return out
}

// run returns what a program says, trimmed.
func run(name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// command is run of what must succeed.
func command(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := run(name, args...)
	if err != nil {
		t.Fatalf("%s %s: %v: %s (`make setup` installs what is missing)", name, strings.Join(args, " "), err, out)
	}
	return out
}
