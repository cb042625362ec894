// Command init is all that the initrd runs: it loads the drivers of the card,
// waits for the root file system that U-Boot names, mounts it read-only, gives
// it the gateway's machine id, and leaves the rest to systemd.
//
//	root=PARTUUID=71de6a7e-02 ro tidegate.from=mmc    the kernel's command line
//	/modules/NN-NAME.ko                               loaded in this order
//
// Every card has the same signature, labels and UUIDs. With a second one in the
// machine, an old card in a reader, root, data and boot partition must still be of
// one card, and of the one that U-Boot started from: udev is told to call the
// partitions of that disk /dev/card/1 to 4, and nothing uses another name.
//
// What goes wrong here cannot be seen by anybody: it says so on the console and
// resets the machine. U-Boot has counted the try, and takes the other slot
// after the third.
package main

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

func main() {
	fmt.Printf("init: %v\ninit: the machine is reset in 5 s\n", start())
	time.Sleep(5 * time.Second)
	unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART)
}

// start only returns with what went wrong.
func start() error {
	for dir, kind := range map[string]string{"/proc": "proc", "/sys": "sysfs", "/dev": "devtmpfs", "/run": "tmpfs"} {
		if err := errors.Join(os.MkdirAll(dir, 0o755), unix.Mount(kind, dir, kind, unix.MS_NOSUID, options[kind])); err != nil {
			return fmt.Errorf("mount %s: %w", dir, err)
		}
	}
	loadModules()
	text, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		return err
	}
	id := regexp.MustCompile(`(?:^|\s)root=PARTUUID=([0-9a-f]{8})-(\d\d)(?:\s|$)`).FindSubmatch(text)
	if id == nil {
		return fmt.Errorf("no root=PARTUUID=... in %q", text)
	}
	signature, _ := strconv.ParseUint(string(id[1]), 16, 32)
	slot, _ := strconv.Atoi(string(id[2]))
	disk, err := find(uint32(signature), slot, kindOf(string(text)))
	if err != nil {
		return err
	}
	if err := link(disk); err != nil {
		return err
	}
	root := "/dev/" + machine.partition(disk, slot)
	if err := os.MkdirAll("/root", 0o755); err != nil {
		return err
	}
	if err := unix.Mount(root, "/root", "ext4", unix.MS_RDONLY|unix.MS_NOATIME, ""); err != nil {
		return fmt.Errorf("mount %s: %w", root, err)
	}
	if err := volatile(); err != nil {
		return err
	}
	if err := machineID(disk); err != nil {
		fmt.Println("init:", err) // one that systemd makes up serves as well
	}
	return leave()
}

var options = map[string]string{"tmpfs": "mode=0755", "devtmpfs": "mode=0755"}

// loadModules goes on when one is refused: which drivers a board needs is
// known only when its card appears or does not.
func loadModules() {
	files, _ := filepath.Glob("/modules/*.ko")
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err == nil {
			err = unix.InitModule(data, "")
		}
		if err != nil && !errors.Is(err, unix.EEXIST) {
			fmt.Printf("init: %s: %v\n", f, err)
		}
	}
}

// volatile mounts what is written to and may be forgotten.
func volatile() error {
	for dir, mode := range map[string]string{"/root/var": "0755", "/root/tmp": "1777"} {
		if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "size=20%,nr_inodes=20k,mode="+mode); err != nil {
			return fmt.Errorf("mount %s: %w", dir, err)
		}
	}
	for dir, mode := range map[string]os.FileMode{"tmp": 0o777 | os.ModeSticky, "log": 0o755, "cache": 0o755, "lib": 0o755, "lib/systemd": 0o755, "lib/private": 0o700} {
		dir = "/root/var/" + dir
		if err := errors.Join(os.MkdirAll(dir, 0o755), os.Chmod(dir, mode)); err != nil {
			return err
		}
	}
	return os.Symlink("/run", "/root/var/run")
}

// machineID puts the id that is kept on the data partition where systemd looks
// for it, or a new one. Nothing is written to the card, nor is its journal
// replayed: that is for the check that follows.
func machineID(disk string) error {
	id := kept(disk)
	if id == "" {
		b := make([]byte, 16)
		if _, err := rand.Read(b); err != nil {
			return err
		}
		// As systemd does: a UUID, version 4 (RFC 9562).
		b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
		id = hex.EncodeToString(b)
	}
	if err := os.WriteFile("/run/machine-id", []byte(id+"\n"), 0o444); err != nil {
		return err
	}
	if err := unix.Mount("/run/machine-id", "/root/etc/machine-id", "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("mount the machine id: %w", err)
	}
	return nil
}

// kept is the machine id on the data partition; "" for none.
func kept(disk string) string {
	device := "/dev/" + machine.partition(disk, 4)
	if err := errors.Join(os.MkdirAll("/data", 0o755), unix.Mount(device, "/data", "ext4", unix.MS_RDONLY, "noload")); err != nil {
		fmt.Printf("init: the data partition cannot be read yet: %v\n", err)
		return ""
	}
	defer unix.Unmount("/data", 0)
	text, _ := os.ReadFile("/data/identity/machine-id")
	id := strings.TrimSpace(string(text))
	if !regexp.MustCompile(`^[0-9a-f]{32}$`).MatchString(id) {
		return ""
	}
	return id
}

// leave makes the mounted file system the root and runs its init.
func leave() error {
	for _, dir := range []string{"/proc", "/sys", "/dev", "/run"} {
		if err := unix.Mount(dir, "/root"+dir, "", unix.MS_MOVE, ""); err != nil {
			return fmt.Errorf("move %s: %w", dir, err)
		}
	}
	// The memory of what is left behind is only given back when it is removed.
	modules, _ := filepath.Glob("/modules/*")
	for _, f := range append(modules, "/init") {
		os.Remove(f)
	}
	if err := errors.Join(os.Chdir("/root"), unix.Mount(".", "/", "", unix.MS_MOVE, ""), unix.Chroot("."), os.Chdir("/")); err != nil {
		return fmt.Errorf("change the root: %w", err)
	}
	return fmt.Errorf("run /sbin/init: %w", unix.Exec("/sbin/init", []string{"/sbin/init"}, []string{"TERM=linux"}))
}
