package image

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// release is Debian's, whatever this machine runs.
const release = "trixie"

const mirror = "http://deb.debian.org"

// wanted are the packages of the root file system; apt adds what they depend on.
var wanted = []string{
	"base-files", "netbase", "libc-bin", // libc-bin: ldd and locale's C.UTF-8
	"bash", "coreutils", "dash", "findutils", "grep", "gzip", "sed", "procps", // for the few scripts, and for who comes in by SSH
	"util-linux", "mount", "fdisk", "e2fsprogs", "dosfstools", "kmod", "iproute2",
	"systemd", "systemd-sysv", "systemd-resolved", "systemd-timesyncd", "udev", "dbus",
	"wpasupplicant", "iw", "wireless-regdb", "firmware-brcm80211", "nftables", "openssh-server", "ca-certificates",
	"rauc", "rauc-service",
	"linux-image-arm64",
}

// firmware are the packages whose files go to the boot partition. raspi-firmware
// has a few files for Wi-Fi besides.
var firmware = []string{"raspi-firmware", "u-boot-rpi"}

// unwanted are packages that others depend on for scripts that never run here.
var unwanted = []string{
	"adduser", "cpio", "debconf", "debianutils", "dracut-install", "gcc-14-base", "init-system-helpers",
	"initramfs-tools", "initramfs-tools-bin", "initramfs-tools-core", "klibc-utils", "libklibc",
	"libtext-charwidth-perl", "libtext-wrapi18n-perl", "linux-base", "linux-image-arm64", "perl-base", "runit-helper", "sensible-utils", "ucf",
}

// apt is a folder in which Debian's package lists for arm64 are kept, apart
// from this machine's own.
type apt struct {
	dir string
	log io.Writer
}

// sources names the key file, so that this machine's trust in others is not
// extended to the image.
func sources() string {
	var b strings.Builder
	for _, s := range []string{"debian " + release, "debian " + release + "-updates", "debian-security " + release + "-security"} {
		fmt.Fprintf(&b, "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] %s/%s main non-free-firmware\n", mirror, s)
	}
	return b.String()
}

func (a apt) prepare() error {
	for _, d := range []string{"lists/partial", "cache/archives/partial", "none"} {
		if err := os.MkdirAll(filepath.Join(a.dir, d), 0o755); err != nil {
			return err
		}
	}
	conf := fmt.Sprintf(`Dir::State::Lists %[1]q;
Dir::Cache %[2]q;
Dir::State::status %[3]q;
Dir::Etc::SourceList %[4]q;
Dir::Etc::SourceParts %[5]q;
Dir::Etc::PreferencesParts %[5]q;
APT::Architecture "arm64";
APT::Architectures { "arm64"; };
APT::Install-Recommends "false";
APT::Sandbox::User "root";
Acquire::Languages "none";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
Acquire::Retries "3";
`, a.path("lists"), a.path("cache"), a.path("status"), a.path("sources.list"), a.path("none"))
	for name, text := range map[string]string{"apt.conf": conf, "sources.list": sources(), "status": ""} {
		if err := os.WriteFile(a.path(name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

func (a apt) path(elem ...string) string { return filepath.Join(append([]string{a.dir}, elem...)...) }

func (a apt) run(ctx context.Context, argv0 string, argv ...string) (string, error) {
	return a.runIn(ctx, "cache/archives", argv0, argv...)
}

func (a apt) runIn(ctx context.Context, dir, argv0 string, argv ...string) (string, error) {
	return run(ctx, a.path(dir), []string{"APT_CONFIG=" + a.path("apt.conf")}, argv0, argv...)
}

// fetch downloads packages, with all that they depend on if so wished, and
// returns the files. Those that are there already stay.
func (a apt) fetch(ctx context.Context, packages []string, depends bool) ([]string, error) {
	names := slices.Clone(packages)
	if depends {
		text, err := a.run(ctx, "apt-get", append([]string{"install", "--simulate", "-qq"}, packages...)...)
		if err != nil {
			return nil, err
		}
		names = names[:0]
		for _, m := range regexp.MustCompile(`(?m)^Inst (\S+) `).FindAllStringSubmatch(text, -1) {
			names = append(names, m[1])
		}
	}
	names = slices.DeleteFunc(names, func(n string) bool { return slices.Contains(unwanted, n) })
	// In an empty folder it names each file; in the other it leaves out those that
	// are there.
	text, err := a.runIn(ctx, "none", "apt-get", append([]string{"download", "--print-uris", "-qq"}, names...)...)
	if err != nil {
		return nil, err
	}
	if _, err := a.run(ctx, "apt-get", append([]string{"download", "-qq"}, names...)...); err != nil {
		return nil, err
	}
	var files []string
	for line := range strings.Lines(text) {
		if f := strings.Fields(line); len(f) >= 2 {
			files = append(files, a.path("cache", "archives", f[1]))
		}
	}
	if len(files) != len(names) {
		return nil, fmt.Errorf("apt names %d files for %d packages:\n%s", len(files), len(names), text)
	}
	slices.Sort(files)
	return files, nil
}

// run runs a program in a folder and returns what it prints.
func run(ctx context.Context, dir string, env []string, argv0 string, argv ...string) (string, error) {
	cmd := exec.CommandContext(ctx, argv0, argv...)
	cmd.Dir = dir
	// Debian keeps mkfs and its like where only root looks.
	cmd.Env = append(os.Environ(), "LC_ALL=C", "PATH="+os.Getenv("PATH")+":/usr/sbin:/sbin")
	cmd.Env = append(cmd.Env, env...)
	if cmd.Err != nil {
		if sbin := "/usr/sbin/" + argv0; exists(sbin) {
			cmd.Path, cmd.Err = sbin, nil
		}
	}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s: %w; `make setup` installs what is missing\n%s%s", strings.Join(cmd.Args, " "), err, tail(stdout.Bytes()), tail(stderr.Bytes()))
	}
	return stdout.String(), nil
}

func exists(name string) bool {
	_, err := os.Lstat(name)
	return err == nil
}

func tail(b []byte) []byte { return b[max(0, len(b)-4000):] }
