package image

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"tidegate/build/boot"
	"tidegate/internal/slots"
)

// bootFiles are the files of the boot partition that are written here; those
// in .dtso are compiled.
//
//go:embed boot
var bootFiles embed.FS

// bootTree fills a folder with all that the boot partition has. Files of the
// folder user come before those of the same name from here.
func bootTree(ctx context.Context, user, firmware, root, dir string) error {
	if err := os.MkdirAll(filepath.Join(dir, "overlays"), 0o755); err != nil {
		return err
	}
	own, err := bootFiles.ReadDir("boot")
	if err != nil {
		return err
	}
	for _, e := range own {
		data, err := bootFiles.ReadFile("boot/" + e.Name())
		if err != nil {
			return err
		}
		name, source := strings.CutSuffix(e.Name(), ".dtso")
		if source {
			err = compile(ctx, data, filepath.Join(dir, "overlays", name+".dtbo"))
		} else {
			err = writeText(filepath.Join(dir, name), data)
		}
		if err != nil {
			return err
		}
	}
	theirs, err := filepath.Glob(filepath.Join(user, "*"))
	for _, f := range theirs {
		data, err2 := os.ReadFile(f)
		err = errors.Join(err, err2, writeText(filepath.Join(dir, filepath.Base(f)), data))
	}
	if err != nil {
		return err
	}
	if err := mergeDir(firmware, dir); err != nil {
		return err
	}
	licence, err := os.ReadFile(filepath.Join(root, "usr/share/doc/raspi-firmware/copyright"))
	return errors.Join(err, os.WriteFile(filepath.Join(dir, "LICENCE.broadcom.txt"), licence, 0o644),
		os.WriteFile(filepath.Join(dir, "boot.scr"), boot.Script(), 0o644),
		os.WriteFile(filepath.Join(dir, "slots.0"), slots.Fresh().Encode(), 0o644),
		os.WriteFile(filepath.Join(dir, "slots.1"), make([]byte, slots.Size), 0o644))
}

// writeText writes a text for the editors of every computer.
func writeText(name string, text []byte) error {
	unix := strings.ReplaceAll(string(text), "\r\n", "\n")
	return os.WriteFile(name, []byte(strings.ReplaceAll(unix, "\n", "\r\n")), 0o644)
}

// compile makes a device tree overlay.
func compile(ctx context.Context, source []byte, out string) error {
	f := out + ".dtso"
	if err := os.WriteFile(f, source, 0o644); err != nil {
		return err
	}
	defer os.Remove(f)
	_, err := run(ctx, filepath.Dir(out), nil, "dtc", "-q", "-@", "-I", "dts", "-O", "dtb", "-o", out, f)
	return err
}

// makeFAT makes the file of a boot partition from a folder. sector is where it
// will begin on the card: that stands in its first sector.
func makeFAT(ctx context.Context, dir, file string, sector, sectors int64, date time.Time) error {
	if err := blank(file, sectors*512); err != nil {
		return err
	}
	env := []string{"MTOOLS_SKIP_CHECK=1", "MTOOLSRC=/dev/null", "TZ=UTC", "SOURCE_DATE_EPOCH=" + strconv.FormatInt(date.Unix(), 10)}
	mtools := func(argv0 string, argv ...string) error {
		_, err := run(ctx, dir, env, argv0, append([]string{"-i", file}, argv...)...)
		return err
	}
	if err := mtools("mformat", "-F", "-c", "1", "-H", strconv.FormatInt(sector, 10), "-N", fmt.Sprintf("%08x", boot.DiskID), "-v", "TIDEGATE",
		"-T", strconv.FormatInt(sectors, 10), "-h", "255", "-s", "63", "::"); err != nil {
		return err
	}
	if err := stamp(dir, date); err != nil {
		return err
	}
	// What is read first lies first; the rest in the order of names.
	all, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	argv := []string{"-s", "-m", "-Q"}
	for _, e := range all {
		argv = append(argv, e.Name())
	}
	return mtools("mcopy", append(argv, "::")...)
}

// makeExt4 makes the file of a partition: with the files of a folder, or none
// for "". A root is never written to, and so has no journal.
func makeExt4(ctx context.Context, dir, file, label string, size int64, date time.Time) error {
	if err := blank(file, size); err != nil {
		return err
	}
	// Derived from the label, so that two builds are the same.
	uuid := fmt.Sprintf("%08x-7469-4465-8761-%012x", boot.DiskID, []byte((label + "______")[:6]))
	argv := []string{"-q", "-F", "-t", "ext4", "-L", label, "-U", uuid, "-m", "0", "-b", "4096", "-I", "256"}
	extended := "hash_seed=" + uuid + ",root_owner=0:0"
	if dir != "" {
		if err := stamp(dir, date); err != nil {
			return err
		}
		argv = append(argv, "-d", dir, "-O", "^has_journal,^resize_inode", "-i", "16384", "-E", extended)
	} else {
		// Few inodes: the table is written when the partition has grown. Room for
		// the descriptors of 256 GiB, so that it can.
		argv = append(argv, "-J", "size=8", "-i", "65536", "-E", extended+",resize=67108864")
	}
	epoch := strconv.FormatInt(date.Unix(), 10)
	fake := []string{"E2FSPROGS_FAKE_TIME=" + epoch, "SOURCE_DATE_EPOCH=" + epoch}
	if _, err := run(ctx, filepath.Dir(file), fake, "mke2fs", append(argv, file)...); err != nil || dir == "" {
		return err
	}
	return forgetTimes(ctx, file, fake, epoch)
}

// forgetTimes sets the times that no program can set on the files that mke2fs
// copied. Newer versions of mke2fs do that themselves.
func forgetTimes(ctx context.Context, file string, env []string, epoch string) error {
	text, err := run(ctx, "/", env, "dumpe2fs", "-h", file)
	if err != nil {
		return err
	}
	count := func(name string) (n int) {
		if m := regexp.MustCompile(`(?m)^` + name + `:\s+(\d+)$`).FindStringSubmatch(text); m != nil {
			n, _ = strconv.Atoi(m[1])
		}
		return n
	}
	// mke2fs takes the inodes in their order. The 2nd is the root's, and the
	// first that is free for files the 11th.
	var commands strings.Builder
	for i := 2; i <= count("Inode count")-count("Free inodes"); i++ {
		if i == 2 || i >= 11 {
			fmt.Fprintf(&commands, "sif <%d> ctime @%s\nsif <%d> atime @%s\n", i, epoch, i, epoch)
		}
	}
	script := file + ".debugfs"
	if err := os.WriteFile(script, []byte(commands.String()), 0o644); err != nil {
		return err
	}
	_, err = run(ctx, "/", env, "debugfs", "-w", "-f", script, file)
	return errors.Join(err, os.Remove(script))
}

// stamp gives every file of a folder the same time.
func stamp(dir string, date time.Time) error {
	_, err := run(context.Background(), dir, nil, "find", ".", "-exec", "touch", "-h", "-d", "@"+strconv.FormatInt(date.Unix(), 10), "{}", "+")
	return err
}

// blank makes a file of zeros that takes no room.
func blank(name string, size int64) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	return errors.Join(f.Truncate(size), f.Close())
}
