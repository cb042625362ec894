package image

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// useless is what nobody reads on a gateway; globs below the root. Copyright
// files stay.
var useless = []string{
	"usr/share/man", "usr/share/info", "usr/share/locale", "usr/share/i18n", "usr/share/lintian", "usr/share/bug",
	"usr/share/bash-completion", "usr/share/zsh", "usr/share/fish", "usr/share/perl5", "usr/share/menu", "usr/share/pixmaps", "usr/share/gdb",
	"usr/share/initramfs-tools", "usr/share/polkit-1", "usr/share/gcc", "usr/share/mime", "usr/share/icons",
	"usr/lib/aarch64-linux-gnu/gconv", "usr/lib/aarch64-linux-gnu/perl-base", "usr/lib/aarch64-linux-gnu/systemd/libsystemd-core*.a",
	"usr/lib/udev/hwdb.d", "usr/lib/systemd/catalog", "usr/lib/systemd/boot", "usr/lib/kernel", "usr/lib/systemd/user*", "etc/systemd/user",
	"usr/lib/linux-image-*", "boot/System.map-*", "boot/config-*",
	"etc/cron*", "etc/init.d", "etc/rc*.d", "etc/initramfs-tools", "etc/logrotate.d", "etc/kernel", "etc/pam.d", "etc/update-motd.d", "etc/ufw", "etc/default",
	"usr/lib/modules/*/build", "usr/lib/modules/*/source",
	// Nobody logs in with a password: nothing here may ask for one or change one.
	"usr/bin/passwd", "usr/bin/chfn", "usr/bin/chsh", "usr/bin/gpasswd", "usr/bin/newgrp", "usr/bin/su", "usr/bin/login", "usr/bin/chage", "usr/bin/expiry",
	"var/*",
}

// kept says what stays in folders most of which is for desktops and servers:
// each file there costs time at every start.
var kept = map[string][]string{
	"usr/lib/systemd/system-generators": {"systemd-fstab-generator"},
	"usr/lib/udev/rules.d": {
		"50-udev-default.rules", "60-block.rules", "60-persistent-storage.rules", "60-serial.rules", "60-tidegate.rules",
		"75-net-description.rules", "80-drivers.rules", "80-net-setup-link.rules", "99-systemd.rules",
	},
	"usr/lib/tmpfiles.d":      {"var.conf", "systemd-network.conf", "tidegate.conf"},
	"usr/lib/systemd/network": {"99-default.link"},
}

// boards are the device trees of the boards that the image is for, as the
// firmware asks for them.
var boards = []string{
	"bcm2837-rpi-3-b.dtb", "bcm2837-rpi-3-b-plus.dtb", "bcm2837-rpi-3-a-plus.dtb", "bcm2837-rpi-cm3-io3.dtb", "bcm2837-rpi-zero-2-w.dtb",
	"bcm2711-rpi-4-b.dtb", "bcm2711-rpi-400.dtb", "bcm2711-rpi-cm4-io.dtb",
}

// wifiFirmware says which files of the driver brcmfmac are for these boards:
// the chips 43430 (Pi 3B, some Zero 2 W), 43455 (3B+, 4, CM4) and 43456 (400), and
// 43436, which many a Zero 2 W has and for which Debian has no file so far.
const wifiFirmware = `^(brcm/brcmfmac43(430|436|436s|455|456)-sdio\.|cypress/cyfmac43(430|455)-sdio\.|regulatory\.db)`

// sortBoard takes out of the boot packages what the card needs: the firmware's
// stages, U-Boot and device trees into the folder out, files for Wi-Fi and
// copyright into the root.
func sortBoard(pieces, root, out string) error {
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	trees, err := filepath.Glob(filepath.Join(root, "usr/lib/linux-image-*/broadcom"))
	if err != nil || len(trees) != 1 {
		return fmt.Errorf("want the device trees of one kernel, got %q", trees)
	}
	from := map[string]string{"u-boot.bin": filepath.Join(pieces, "usr/lib/u-boot/rpi_arm64/u-boot.bin")}
	for _, f := range stages {
		from[f] = filepath.Join(pieces, "usr/lib/raspi-firmware", f)
	}
	for _, b := range boards {
		from[b] = filepath.Join(trees[0], b)
	}
	for name, file := range from {
		if err := os.Rename(file, filepath.Join(out, name)); err != nil {
			return err
		}
	}
	for _, dir := range []string{"usr/lib/firmware/brcm", "usr/share/doc"} {
		if err := mergeDir(filepath.Join(pieces, dir), filepath.Join(root, dir)); err != nil {
			return err
		}
	}
	return nil
}

// mergeDir moves what a folder has into another one that lacks it.
func mergeDir(from, to string) error {
	all, err := os.ReadDir(from)
	for _, e := range all {
		if target := filepath.Join(to, e.Name()); !exists(target) {
			err = errors.Join(err, os.Rename(filepath.Join(from, e.Name()), target))
		}
	}
	return err
}

// thin removes from the root what a gateway does not need.
func thin(ctx context.Context, root string) error {
	for _, l := range []string{"bin", "lib", "sbin"} {
		if to, err := os.Readlink(filepath.Join(root, l)); err != nil || to != "usr/"+l {
			return fmt.Errorf("/%s is no link to usr/%s: a package is older than the merge", l, l)
		}
	}
	if err := strip(root); err != nil {
		return err
	}
	wifi := regexp.MustCompile(wifiFirmware)
	if err := keepFiles(filepath.Join(root, "usr/lib/firmware"), wifi.MatchString); err != nil {
		return err
	}
	return thinModules(ctx, root)
}

// strip removes what is useless, and documentation but for copyright.
func strip(root string) error {
	for _, pattern := range useless {
		all, err := filepath.Glob(filepath.Join(root, pattern))
		for _, name := range all {
			err = errors.Join(err, os.RemoveAll(name))
		}
		if err != nil {
			return err
		}
	}
	if err := lower(root); err != nil {
		return err
	}
	for dir, names := range kept {
		if err := keepFiles(filepath.Join(root, dir), func(rel string) bool { return slices.Contains(names, rel) }); err != nil {
			return err
		}
	}
	return keepFiles(filepath.Join(root, "usr/share/doc"), func(rel string) bool { return filepath.Base(rel) == "copyright" })
}

// lower takes the rights of their owners away from programs: whoever is not
// root here has no use for them.
func lower(root string) error {
	return filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		if err != nil || info.Mode()&(fs.ModeSetuid|fs.ModeSetgid) == 0 {
			return err
		}
		return os.Chmod(name, info.Mode().Perm())
	})
}

// keepFiles removes all files of a tree but those that keep knows by their
// path in it, and folders that are empty then.
func keepFiles(dir string, keep func(rel string) bool) error {
	var folders []string
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		rel, _ := filepath.Rel(dir, name)
		switch {
		case err != nil:
			return err
		case d.IsDir():
			folders = append(folders, name)
			return nil
		case keep(rel):
			return nil
		}
		return os.Remove(name)
	})
	for _, f := range slices.Backward(folders) {
		if left, _ := os.ReadDir(f); len(left) == 0 {
			err = errors.Join(err, os.Remove(f))
		}
	}
	return err
}

// keptModules are the kernel's modules that stay, by what their paths below
// kernel/ begin with, and with whatever they depend on: the buses, disks and networks of the
// boards and of QEMU's, what sits on I2C, SPI, 1-Wire and USB, the firewall,
// and what RAUC uses.
var keptModules = []string{
	"arch/", "block/", "crypto/", "lib/", "mm/",
	"fs/configfs", "fs/ext4", "fs/fat", "fs/nls/nls_ascii", "fs/nls/nls_cp437", "fs/nls/nls_utf8", "fs/overlayfs", "fs/squashfs",
	"net/8021q", "net/ipv4/netfilter/nf_", "net/ipv6/netfilter/nf_", "net/netfilter/nf_", "net/netfilter/nfnetlink", "net/netfilter/nft_",
	"net/rfkill", "net/sched/sch_fq", "net/sched/sch_netem", "net/sched/sch_cake", "net/tls", "net/wireless", "net/dns_resolver",
	"drivers/block/loop", "drivers/block/nbd", "drivers/block/virtio_blk", "drivers/block/zram", "drivers/char/hw_random/bcm2835", "drivers/char/hw_random/iproc",
	"drivers/char/hw_random/virtio", "drivers/clk/bcm", "drivers/cpufreq", "drivers/dma", "drivers/firmware", "drivers/gpio",
	"drivers/i2c/i2c-dev", "drivers/i2c/i2c-mux", "drivers/i2c/busses/i2c-bcm", "drivers/i2c/busses/i2c-gpio", "drivers/i2c/busses/i2c-tiny-usb", "drivers/i2c/algos",
	"drivers/leds/leds-gpio", "drivers/leds/trigger", "drivers/mailbox", "drivers/md/dm-mod", "drivers/md/dm-verity", "drivers/md/dm-flakey", "drivers/mfd",
	"drivers/mmc/host/bcm2835", "drivers/mmc/host/sdhci-iproc", "drivers/net/ethernet/broadcom/genet", "drivers/net/mdio", "drivers/net/phy/bcm", "drivers/net/phy/broadcom",
	"drivers/net/phy/microchip", "drivers/net/phy/smsc", "drivers/net/phy/realtek", "drivers/net/usb", "drivers/net/veth", "drivers/net/virtio_net", "drivers/net/wireless/broadcom/brcm80211",
	"drivers/nvmem", "drivers/pps", "drivers/pwm", "drivers/regulator", "drivers/reset", "drivers/rtc/rtc-ds", "drivers/rtc/rtc-pcf", "drivers/rtc/rtc-rv",
	"drivers/scsi/sd_mod", "drivers/soc/bcm", "drivers/spi/spi-bcm", "drivers/spi/spidev", "drivers/thermal/broadcom",
	"drivers/usb/class/cdc-acm", "drivers/usb/common", "drivers/usb/core", "drivers/usb/dwc2", "drivers/usb/host/xhci", "drivers/usb/phy", "drivers/usb/roles",
	"drivers/usb/serial", "drivers/usb/storage/uas", "drivers/usb/storage/usb-storage", "drivers/virtio",
	"drivers/w1/masters/ds2482", "drivers/w1/masters/ds2490", "drivers/w1/masters/w1-gpio", "drivers/w1/slaves", "drivers/w1/wire",
	"drivers/watchdog/bcm2835_wdt", "drivers/watchdog/i6300esb", "drivers/watchdog/softdog",
}

func thinModules(ctx context.Context, root string) error {
	all, err := filepath.Glob(filepath.Join(root, "usr/lib/modules/*"))
	if err != nil || len(all) != 1 {
		return fmt.Errorf("want the modules of one kernel, got %q", all)
	}
	version := filepath.Base(all[0])
	if _, err := run(ctx, root, nil, "depmod", "-b", root, version); err != nil {
		return err
	}
	needs, err := dependencies(filepath.Join(all[0], "modules.dep"))
	if err != nil {
		return err
	}
	keep := map[string]bool{}
	for file, those := range needs {
		for _, prefix := range keptModules {
			if strings.HasPrefix(file, "kernel/"+prefix) {
				keep[file] = true
				for _, n := range those {
					keep[n] = true
				}
			}
		}
	}
	err = keepFiles(filepath.Join(all[0], "kernel"), func(rel string) bool { return keep["kernel/"+rel] })
	if err != nil {
		return err
	}
	if _, err := run(ctx, root, nil, "depmod", "-b", root, version); err != nil {
		return err
	}
	return os.Rename(filepath.Join(root, "boot/vmlinuz-"+version), filepath.Join(root, "boot/vmlinuz"))
}

// dependencies reads modules.dep: file, and the files that it needs, all of
// them and not only its own.
func dependencies(file string) (map[string][]string, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	needs := map[string][]string{}
	for line := range strings.Lines(string(text)) {
		if name, rest, ok := strings.Cut(line, ":"); ok {
			needs[name] = strings.Fields(rest)
		}
	}
	return needs, nil
}
