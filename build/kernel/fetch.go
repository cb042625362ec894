package kernel

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
)

// Kernel is a Debian kernel for arm64, unpacked on this machine.
type Kernel struct {
	Version string // "6.1.0-56-arm64_6.1.192-2": name and version of the package
	Image   string // file
	modules string // folder of NAME.ko
}

// stock are the modules taken from Debian's kernel, besides those that they
// need themselves.
var stock = []string{
	"configfs",                 // how gpio-sim is told its lines
	"i2c-dev",                  // /dev/i2c-N
	"vhci-hcd", "i2c-tiny-usb", // an I2C adapter on a USB socket that a program serves
	"ds2482", "w1_therm", // 1-Wire behind a bridge on that adapter
	"virtio_pci", "virtio_mmio", // the machine's own way to its devices
	"virtio_net",                                              // a network
	"virtio_blk", "ext4", "crc32c_generic", "vfat", "softdog", // disks and the watchdog
	"xhci_pci", "usb-storage", "sd_mod", // a card in a reader on USB
}

// built are the modules that Debian leaves out, built from its own source.
var built = []string{"gpio-sim", "irq_sim", "i2c-stub"}

// recipe changes when something is fetched or built in another way.
const recipe = 1

// Fetch returns the kernel of this machine's Debian release for arm64. It is
// downloaded through apt and built once, and then kept in the user's cache
// folder until that is removed. It says on log what it does.
func Fetch(ctx context.Context, log io.Writer) (*Kernel, error) {
	k, err := fetch(ctx, log)
	if err != nil {
		return nil, fmt.Errorf("fetch a kernel to test with: %w", err)
	}
	return k, nil
}

func fetch(ctx context.Context, log io.Writer) (*Kernel, error) {
	release, err := codename()
	if err != nil {
		return nil, err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return nil, err
	}
	cache = filepath.Join(cache, "tidegate-kernel")
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return nil, err
	}
	unlock, err := lock(filepath.Join(cache, "lock"))
	if err != nil {
		return nil, err
	}
	defer unlock()
	key := sha256.Sum256(fmt.Append(nil, recipe, stock, built))
	current := filepath.Join(cache, fmt.Sprintf("%s-%x", release, key[:4]))
	if version, err := os.Readlink(current); err == nil {
		return open(filepath.Join(cache, version))
	}
	work, err := os.MkdirTemp(cache, "new-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(work)
	version, err := (&kitchen{dir: work, log: log}).cook(ctx)
	if err != nil {
		return nil, err
	}
	version = fmt.Sprintf("%s_%x", version, key[:4])
	done := filepath.Join(cache, version)
	if err := errors.Join(os.RemoveAll(done), os.Rename(filepath.Join(work, "out"), done), os.Symlink(version, current)); err != nil {
		return nil, err
	}
	return open(done)
}

func open(dir string) (*Kernel, error) {
	k := &Kernel{Version: filepath.Base(dir), Image: filepath.Join(dir, "vmlinuz"), modules: filepath.Join(dir, "modules")}
	for _, f := range []string{k.Image, k.modules} {
		if _, err := os.Stat(f); err != nil {
			return nil, fmt.Errorf("%w; remove %s and try again", err, filepath.Dir(dir))
		}
	}
	return k, nil
}

// lock keeps two tests from fetching at the same time.
func lock(name string) (unlock func(), err error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", name, err)
	}
	return func() { f.Close() }, nil
}

func codename() (string, error) {
	data, err := os.ReadFile("/etc/os-release")
	if err != nil {
		return "", err
	}
	if !regexp.MustCompile(`(?m)^ID=debian$`).Match(data) {
		return "", errors.New("this needs Debian's packages, and this machine is not Debian (/etc/os-release)")
	}
	m := regexp.MustCompile(`(?m)^VERSION_CODENAME=(\w+)$`).FindSubmatch(data)
	if m == nil {
		return "", errors.New("/etc/os-release has no VERSION_CODENAME")
	}
	return string(m[1]), nil
}

// kitchen is a folder in which one kernel is prepared: deb (packages), tree
// (unpacked), src (modules to build), out (what is kept).
type kitchen struct {
	dir string
	log io.Writer
}

func (k *kitchen) path(elem ...string) string {
	return filepath.Join(append([]string{k.dir}, elem...)...)
}

// cook fills out and returns the version of what is in it.
func (k *kitchen) cook(ctx context.Context) (version string, err error) {
	for _, d := range []string{"lists/partial", "cache/archives/partial", "deb", "tree", "src", "out/modules"} {
		if err := os.MkdirAll(k.path(d), 0o755); err != nil {
			return "", err
		}
	}
	name, version, err := k.download(ctx)
	if err != nil {
		return "", err
	}
	if err := k.unpack(ctx); err != nil {
		return "", err
	}
	if err := k.build(ctx, name); err != nil {
		return "", err
	}
	if err := k.collect(name); err != nil {
		return "", err
	}
	return name + "_" + version, nil
}

// apt answers with what apt knows of packages for this machine and for arm64.
// It has lists of its own, so that the machine's own setup stays as it is.
func (k *kitchen) apt(ctx context.Context, argv0 string, argv ...string) (string, error) {
	host, err := k.run(ctx, "dpkg", "--print-architecture")
	if err != nil {
		return "", err
	}
	opt := []string{"-o", "Dir::State::Lists=" + k.path("lists"), "-o", "Dir::Cache=" + k.path("cache"),
		"-o", "APT::Architectures::=" + strings.TrimSpace(host), "-o", "APT::Architectures::=arm64",
		"-o", "Acquire::Languages=none", "-o", "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false",
		"-o", "Acquire::Retries=3"}
	if os.Geteuid() == 0 {
		opt = append(opt, "-o", "APT::Sandbox::User=root") // the folder is not for _apt
	}
	return k.run(ctx, argv0, append(opt, argv...)...)
}

var (
	imageDependency = regexp.MustCompile(`(?m)^Depends: linux-image-(\S+) \(= (\S+)\)`)
	sourceOf        = regexp.MustCompile(`^\d+\.\d+`)
)

// download brings the packages: the kernel of the release, the headers that
// match it, and its source. name is "6.1.0-56-arm64", version the package's.
func (k *kitchen) download(ctx context.Context) (name, version string, err error) {
	fmt.Fprintln(k.log, "kernel: looking for Debian's kernel for arm64")
	if _, err := k.apt(ctx, "apt-get", "update", "-qq"); err != nil {
		return "", "", err
	}
	text, err := k.apt(ctx, "apt-cache", "show", "--no-all-versions", "linux-image-arm64:arm64")
	if err != nil {
		return "", "", err
	}
	m := imageDependency.FindStringSubmatch(text)
	if m == nil {
		return "", "", fmt.Errorf("linux-image-arm64 depends on no kernel:\n%s", text)
	}
	name, version = m[1], m[2]
	series := sourceOf.FindString(name)
	fmt.Fprintln(k.log, "kernel: downloading", name, version)
	packages := []string{
		"linux-image-" + name + ":arm64", "linux-headers-" + name + ":arm64",
		"linux-headers-" + strings.TrimSuffix(name, "arm64") + "common", "linux-kbuild-" + series, "linux-source-" + series,
	}
	for i := range packages {
		packages[i] += "=" + version
	}
	_, err = k.apt(ctx, "apt-get", append([]string{"download", "-qq"}, packages...)...)
	return name, version, err
}

// run runs a program in the folder deb and returns what it prints.
func (k *kitchen) run(ctx context.Context, argv0 string, argv ...string) (string, error) {
	cmd := exec.CommandContext(ctx, argv0, argv...)
	cmd.Dir = k.path("deb")
	cmd.Env = append(os.Environ(), "LC_ALL=C", "DEB_BUILD_OPTIONS=", "MAKEFLAGS=", "MFLAGS=")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s: %w\n%s%s", cmd, err, tail(stdout.Bytes()), tail(stderr.Bytes()))
	}
	return stdout.String(), nil
}

func tail(b []byte) []byte { return b[max(0, len(b)-4000):] }
