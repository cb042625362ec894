package main

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// What the packages of the tests are.
const (
	described = "v1.2.0"
	version   = "1.2.0"
	epoch     = 1_790_000_000
)

// TestPackages builds the packages once, looks at them, and installs them.
func TestPackages(t *testing.T) {
	dist := t.TempDir()
	order := order{source: copySource(t), dist: dist, describe: described, epoch: time.Unix(epoch, 0).UTC()}
	makeDeb(t, order.source, dist, "umask 022; TZ=Asia/Tokyo LC_ALL=C.UTF-8")
	t.Run("twice the same", func(t *testing.T) { testTwice(t, dist) })
	t.Run("contents", func(t *testing.T) { testContents(t, order) })
	t.Run("lintian", func(t *testing.T) {
		out, err := run("lintian", append([]string{"--allow-root", "--fail-on", "error,warning"}, debs(t, dist)...)...)
		if err != nil {
			t.Errorf("%v: %s", err, out)
		}
	})
	r := newRoot(t)
	t.Run("manual pages", func(t *testing.T) { testManuals(t, order) })
	t.Run("units", func(t *testing.T) { testUnits(t, r, order) })
	t.Run("installed", func(t *testing.T) { testInstalled(t, r, order) })
}

// copySource copies what is, or could be, under version control to a folder of
// its own, with times of its own.
func copySource(t *testing.T) string {
	t.Helper()
	to := t.TempDir()
	cmd := exec.Command("git", "ls-files", "-co", "--exclude-standard", "-z")
	cmd.Dir = "../.."
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("git ls-files: %v", err)
	}
	for _, name := range strings.Split(strings.TrimRight(string(out), "\x00"), "\x00") {
		from := filepath.Join("../..", name)
		info, err := os.Lstat(from)
		if errors.Is(err, fs.ErrNotExist) || err == nil && !info.Mode().IsRegular() {
			continue
		}
		data, err := os.ReadFile(from)
		if err == nil {
			err = errors.Join(os.MkdirAll(filepath.Dir(filepath.Join(to, name)), 0o755), os.WriteFile(filepath.Join(to, name), data, info.Mode().Perm()))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return to
}

// makeDeb does what a user does, after some words of shell.
func makeDeb(t *testing.T, source, dist, before string) {
	t.Helper()
	script := fmt.Sprintf("%s make -s deb DIST=%s VERSION=%s COUNT=7 SOURCE_DATE_EPOCH=%d TARGETS='amd64: arm64: arm:6'", before, dist, described, epoch)
	cmd := exec.Command("bash", "-euc", script)
	cmd.Dir = source
	for _, e := range os.Environ() { // not what a make around this test says
		if name, _, _ := strings.Cut(e, "="); !strings.HasPrefix(name, "MAKE") && name != "MFLAGS" && name != "GNUMAKEFLAGS" {
			cmd.Env = append(cmd.Env, e)
		}
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("make deb: %v: %s", err, out)
	}
}

func debs(t *testing.T, dist string) []string {
	t.Helper()
	all, err := filepath.Glob(filepath.Join(dist, "*.deb"))
	if err != nil || len(all) != len(targets) {
		t.Fatalf("got packages %q, %v, want %d", all, err, len(targets))
	}
	return all
}

// Another folder, another umask, another time zone, language and time of day.
func testTwice(t *testing.T, dist string) {
	again := t.TempDir()
	makeDeb(t, copySource(t), again, "umask 077; TZ=America/New_York LC_ALL=POSIX")
	for _, deb := range debs(t, dist) {
		first, err := os.ReadFile(deb)
		second, err2 := os.ReadFile(filepath.Join(again, filepath.Base(deb)))
		if err := errors.Join(err, err2); err != nil {
			t.Fatal(err)
		}
		if sha256.Sum256(first) != sha256.Sum256(second) {
			t.Errorf("%s differs when built again", filepath.Base(deb))
		}
	}
}

// installs is every file of a package, with its mode.
const installs = `
-rw-r--r-- ./etc/tidegate/tidegate.toml
-rwxr-xr-x ./usr/bin/tidegate
-rw-r--r-- ./usr/lib/systemd/system/tidegate.service
-rw-r--r-- ./usr/lib/sysusers.d/tidegate.conf
-rw-r--r-- ./usr/lib/tmpfiles.d/tidegate.conf
-rw-r--r-- ./usr/lib/udev/rules.d/60-tidegate.rules
-rw-r--r-- ./usr/share/bash-completion/completions/tidegate
-rw-r--r-- ./usr/share/doc/tidegate/CONFIGURATION.md
-rw-r--r-- ./usr/share/doc/tidegate/GUIDE.md
-rw-r--r-- ./usr/share/doc/tidegate/README.md
-rw-r--r-- ./usr/share/doc/tidegate/SENSORS.md
-rw-r--r-- ./usr/share/doc/tidegate/changelog.gz
-rw-r--r-- ./usr/share/doc/tidegate/copyright
-rw-r--r-- ./usr/share/doc/tidegate/examples/alerts.yml
-rw-r--r-- ./usr/share/doc/tidegate/examples/grafana.json
-rw-r--r-- ./usr/share/doc/tidegate/examples/prometheus.yml
-rw-r--r-- ./usr/share/fish/vendor_completions.d/tidegate.fish
-rw-r--r-- ./usr/share/lintian/overrides/tidegate
-rw-r--r-- ./usr/share/man/man1/tidegate.1.gz
-rw-r--r-- ./usr/share/man/man5/tidegate.toml.5.gz
-rw-r--r-- ./usr/share/zsh/vendor-completions/_tidegate
`

func testContents(t *testing.T, o order) {
	for _, target := range targets {
		t.Run(target.arch, func(t *testing.T) {
			deb := filepath.Join(o.dist, fmt.Sprintf("tidegate_%s_%s.deb", version, target.arch))
			files, list := unpack(t, deb)
			if got := "\n" + strings.Join(list, "\n") + "\n"; got != installs {
				t.Errorf("got%s\nwant%s", got, installs)
			}
			for field, want := range map[string]string{"Package": "tidegate", "Version": version, "Architecture": target.arch} {
				if got := command(t, "dpkg-deb", "-f", deb, field); got != want {
					t.Errorf("%s: got %q, want %q", field, got, want)
				}
			}
			if got, want := command(t, "dpkg-deb", "-I", deb, "conffiles"), "/etc/tidegate/tidegate.toml"; got != want {
				t.Errorf("conffiles: got %q, want %q", got, want)
			}
			testBinary(t, files["./usr/bin/tidegate"], target.arch)
			config := string(files["./etc/tidegate/tidegate.toml"])
			if strings.Contains(config, "\nanonymous = true") || !strings.Contains(config, "\nanonymous = false\n") {
				t.Error("the default configuration lets somebody in without a name")
			}
			for _, want := range []string{"Apache-2.0", "The Go standard library", "Copyright 2009 The Go Authors", "go.etcd.io/bbolt", "mochi-mqtt", "Eclipse Public License"} {
				if !bytes.Contains(files["./usr/share/doc/tidegate/copyright"], []byte(want)) {
					t.Errorf("the licences have no %q", want)
				}
			}
		})
	}
}

// unpack returns the files of a package and a line for each, in the order of
// their names. It holds every entry to its owner and its time.
func unpack(t *testing.T, deb string) (map[string][]byte, []string) {
	t.Helper()
	out, err := exec.Command("dpkg-deb", "--fsys-tarfile", deb).Output()
	if err != nil {
		t.Fatal(err)
	}
	files, list := map[string][]byte{}, []string{}
	for r := tar.NewReader(bytes.NewReader(out)); ; {
		h, err := r.Next()
		if err == io.EOF {
			slices.SortFunc(list, func(a, b string) int { return strings.Compare(a[len("-rw-r--r-- "):], b[len("-rw-r--r-- "):]) })
			return files, list
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Uname != "root" || h.Gname != "root" || h.Uid != 0 || h.Gid != 0 || h.ModTime.Unix() != epoch {
			t.Errorf("%s: got %s:%s at %v, want root:root at %v", h.Name, h.Uname, h.Gname, h.ModTime, time.Unix(epoch, 0))
		}
		if h.Typeflag == tar.TypeDir {
			if h.Mode != 0o755 {
				t.Errorf("%s: got mode %o, want 755", h.Name, h.Mode)
			}
			continue
		}
		if files[h.Name], err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
		list = append(list, h.FileInfo().Mode().String()+" "+h.Name)
	}
}

// The binary is for its architecture, needs no library and has no symbols.
func testBinary(t *testing.T, data []byte, arch string) {
	f, err := elf.NewFile(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64, "armhf": elf.EM_ARM}[arch]
	if f.Machine != want {
		t.Errorf("got a binary for %v, want %v", f.Machine, want)
	}
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP || p.Type == elf.PT_DYNAMIC {
			t.Errorf("the binary has %v: it is not static", p.Type)
		}
	}
	if f.Section(".symtab") != nil {
		t.Error("the binary is not stripped")
	}
}

// The formatter has nothing to complain of, and says what the program says.
func testManuals(t *testing.T, o order) {
	words, err := o.ask()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		page []byte
		want []string
	}{
		{"tidegate.1", manual(words.help, words.flags, version, o.epoch), []string{"spool dead retry", "[FILE]", "-watch", "control.sock", "/etc/tidegate/tidegate.toml"}},
		{"tidegate.toml.5", manualOfConfig(words.sample, version, o.epoch), []string{`anonymous = false`, `#filter = "home/#"`, "[[uplink]]", "°C"}},
	} {
		file := filepath.Join(t.TempDir(), c.name)
		if err := os.WriteFile(file, c.page, 0o644); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("man", "--warnings", "-l", file)
		var warnings bytes.Buffer
		cmd.Stderr = &warnings
		cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "MANWIDTH=100")
		text, err := cmd.Output()
		if err != nil || warnings.Len() > 0 {
			t.Errorf("%s: %v: %s", c.name, err, &warnings)
		}
		for _, want := range c.want {
			if !strings.Contains(string(text), want) {
				t.Errorf("%s has no %q:\n%.600s", c.name, want, text)
			}
		}
	}
}
