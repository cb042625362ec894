package image

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"tidegate/build/boot"
)

// overlay is what the image has besides packages. Files below usr/lib/tidegate
// can be run.
//
//go:embed all:root
var overlay embed.FS

// links are made in the root: path, and where it leads.
var links = []struct{ name, to string }{
	{"etc/resolv.conf", "/run/systemd/resolve/stub-resolv.conf"},
	{"etc/mtab", "/proc/self/mounts"},
	{"etc/localtime", "/usr/share/zoneinfo/UTC"}, // not there, which means UTC
	{"usr/bin/sh", "dash"},
	{"usr/lib/firmware/regulatory.db", "regulatory.db-debian"},
	{"usr/lib/firmware/regulatory.db.p7s", "regulatory.db.p7s-debian"},
}

// enabled are the units that start, besides those of systemd/ and of the
// overlay that say themselves when. Nothing else does.
var enabled = []string{
	"systemd-networkd.service", "systemd-resolved.service", "systemd-timesyncd.service", "nftables.service",
	"ssh.service", "tidegate.service",
}

// masked would otherwise start: nothing logs in, and what these keep up to
// date cannot change in a read-only root.
var masked = []string{
	"getty.target", "systemd-logind.service", "systemd-user-sessions.service", "systemd-ask-password-wall.path", "systemd-ask-password-console.path",
	"systemd-firstboot.service", "systemd-sysusers.service", "systemd-update-done.service", "systemd-hwdb-update.service", "systemd-journal-catalog-update.service",
	"systemd-journal-flush.service", "systemd-machine-id-commit.service", "systemd-random-seed.service", "systemd-hibernate-clear.service", "ldconfig.service",
	"systemd-pcrphase.service", "systemd-pcrphase-sysinit.service", "systemd-pcrmachine.service", "systemd-tpm2-setup.service", "systemd-tpm2-setup-early.service",
	"systemd-pcrextend.socket", "systemd-pcrlock.socket", "systemd-sysext.socket", "systemd-creds.socket", "systemd-initctl.socket", "systemd-hostnamed.socket",
	// What these mount or make is mounted by the initrd, comes with a module, or
	// is used by nothing here.
	"tmp.mount", "run-lock.mount", "dev-hugepages.mount", "dev-mqueue.mount", "sys-kernel-debug.mount", "sys-kernel-tracing.mount", "sys-kernel-config.mount", "sys-fs-fuse-connections.mount",
	"systemd-binfmt.service", "proc-sys-fs-binfmt_misc.automount", "kmod-static-nodes.service", "systemd-tmpfiles-setup-dev-early.service", "systemd-tmpfiles-setup-dev.service",
	"systemd-remount-fs.service", "systemd-modules-load.service", "systemd-network-generator.service", "systemd-udev-load-credentials.service", "systemd-networkd-persistent-storage.service",
	"systemd-networkd-wait-online.service", "systemd-rfkill.socket", "systemd-rfkill.service",
	"rauc-mark-good.service", "e2scrub_reap.service", "ssh.socket",
	"modprobe@i2c_dev.service", "modprobe@spidev.service",
}

// Gateway is what of this repository goes into the root.
type Gateway struct {
	Package string // the .deb for arm64
	Units   string // the folder systemd/, whose units beyond the package's are the image's
	Boot    string // a folder of files for the boot partition
	Keyring string // PEM: whose bundles RAUC takes; "": nobody's
}

// system makes an unpacked base bootable.
func system(ctx context.Context, root string, g Gateway, date time.Time) error {
	if err := unpack(ctx, []string{g.Package}, root); err != nil {
		return err
	}
	if err := strip(root); err != nil {
		return err
	}
	// The image's own configuration comes from `tidegate provision`.
	if err := os.RemoveAll(filepath.Join(root, "etc/tidegate")); err != nil {
		return err
	}
	for _, d := range []string{"data", "etc/tidegate", "boot/firmware", "proc", "sys", "dev", "run", "tmp", "var", "root"} {
		if err := os.MkdirAll(filepath.Join(root, d), 0o755); err != nil {
			return err
		}
	}
	if err := copyOverlay(root); err != nil {
		return err
	}
	if err := writeUsers(root); err != nil {
		return err
	}
	// The package's default configuration is provisioned onto /data.
	var errs []error
	for _, l := range links {
		name := filepath.Join(root, l.name)
		errs = append(errs, os.RemoveAll(name), os.Symlink(l.to, name))
	}
	errs = append(errs, authorities(root), rauc(root, g.Keyring),
		// Empty: the initrd mounts this gateway's own on it.
		os.WriteFile(filepath.Join(root, "etc/machine-id"), nil, 0o444),
		os.WriteFile(filepath.Join(root, "usr/lib/clock-epoch"), nil, 0o644),
		os.Chtimes(filepath.Join(root, "usr/lib/clock-epoch"), date, date))
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return enable(ctx, root, g.Units)
}

func copyOverlay(root string) error {
	return fs.WalkDir(overlay, "root", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		target := filepath.Join(root, strings.TrimPrefix(name, "root"))
		if d.IsDir() {
			return os.MkdirAll(target, 0o755)
		}
		data, err := overlay.ReadFile(name)
		if err != nil {
			return err
		}
		mode := fs.FileMode(0o644)
		if strings.HasPrefix(name, "root/usr/lib/tidegate/") {
			mode = 0o755
		}
		// What a package has there may be a link.
		return errors.Join(os.RemoveAll(target), os.WriteFile(target, data, mode), os.Chmod(target, mode))
	})
}

// authorities makes the bundle that TLS looks into, as update-ca-certificates
// does.
func authorities(root string) error {
	all, err := filepath.Glob(filepath.Join(root, "usr/share/ca-certificates/mozilla/*.crt"))
	if err != nil || len(all) < 50 {
		return fmt.Errorf("got %d authorities, want some: %v", len(all), err)
	}
	var bundle []byte
	for _, f := range all {
		pem, err := os.ReadFile(f)
		if err != nil {
			return err
		}
		bundle = append(append(bundle, strings.TrimSpace(string(pem))...), '\n')
	}
	dir := filepath.Join(root, "etc/ssl/certs")
	return errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(filepath.Join(dir, "ca-certificates.crt"), bundle, 0o644),
		os.RemoveAll(filepath.Join(root, "usr/share/ca-certificates")))
}

// rauc writes what RAUC reads.
func rauc(root, keyring string) error {
	dir := filepath.Join(root, "etc/rauc")
	err := errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(filepath.Join(dir, "system.conf"), []byte(boot.Config), 0o644),
		os.WriteFile(filepath.Join(root, "usr/lib/tidegate/rauc-bootloader"), []byte(boot.Backend), 0o755))
	if keyring == "" {
		return err
	}
	pem, err2 := os.ReadFile(keyring)
	return errors.Join(err, err2, os.WriteFile(filepath.Join(dir, "keyring.pem"), pem, 0o644))
}

// enable has the host's systemctl make the links that say what starts.
func enable(ctx context.Context, root, units string) error {
	start := slices.Clone(enabled)
	own, err := filepath.Glob(filepath.Join(units, "tidegate-*"))
	if err != nil {
		return err
	}
	dir := filepath.Join(root, "usr/lib/systemd/system")
	for _, f := range own {
		if !isUnit(f) {
			continue
		}
		data, err := os.ReadFile(f)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(f)), data, 0o644); err != nil {
			return err
		}
	}
	ours, err := filepath.Glob(filepath.Join(dir, "tidegate-*"))
	if err != nil {
		return err
	}
	for _, f := range ours {
		if data, _ := os.ReadFile(f); isUnit(f) && strings.Contains(string(data), "\n[Install]") {
			start = append(start, filepath.Base(f))
		}
	}
	// Masked first: what a unit would bring along must not be linked.
	for _, argv := range [][]string{append([]string{"mask"}, masked...), append([]string{"enable"}, start...)} {
		if _, err := run(ctx, root, nil, "systemctl", append([]string{"--root=" + root, "--quiet"}, argv...)...); err != nil {
			return err
		}
	}
	return nil
}

func isUnit(name string) bool {
	return slices.Contains([]string{".service", ".path", ".timer", ".socket", ".mount"}, filepath.Ext(name))
}
