package image

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// recipe changes when the base is made in another way from the same packages.
const recipe = 1

// Base returns an archive (tar) with two folders: root, Debian's packages
// unpacked and thinned out, and firmware, what goes to the boot partition. It
// is made once and kept in the user's cache folder, by the hash of what it is
// made from; fresh has it made again, from the newest packages. It says on log
// what it does.
func Base(ctx context.Context, log io.Writer, fresh bool) (string, error) {
	file, err := base(ctx, log, fresh)
	if err != nil {
		return "", fmt.Errorf("make the base of the image: %w", err)
	}
	return file, nil
}

func base(ctx context.Context, log io.Writer, fresh bool) (string, error) {
	cache, err := cacheDir()
	if err != nil {
		return "", err
	}
	unlock, err := lock(filepath.Join(cache, "lock"))
	if err != nil {
		return "", err
	}
	defer unlock()
	key := sha256.Sum256(fmt.Append(nil, recipe, release, wanted, firmware, unwanted, useless, keptModules, wifiFirmware))
	file := filepath.Join(cache, fmt.Sprintf("base-%x.tar", key[:6]))
	if exists(file) && !fresh {
		return file, nil
	}
	if os.Geteuid() != 0 && os.Getenv("FAKEROOTKEY") == "" {
		return "", errors.New("the files of the image must be root's: run this as root, or through fakeroot")
	}
	work, err := os.MkdirTemp(cache, "new-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(work)
	if err := bake(ctx, apt{dir: filepath.Join(cache, "apt"), log: log}, work); err != nil {
		return "", err
	}
	made := filepath.Join(work, "base.tar")
	if _, err := run(ctx, work, nil, "tar", "--sort=name", "--numeric-owner", "-cf", made, "root", "firmware"); err != nil {
		return "", err
	}
	return file, os.Rename(made, file)
}

func cacheDir() (string, error) {
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	dir = filepath.Join(dir, "tidegate-image")
	return dir, os.MkdirAll(dir, 0o755)
}

// lock keeps two builds apart.
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

// bake fills the folders root and firmware of work.
func bake(ctx context.Context, a apt, work string) error {
	fmt.Fprintln(a.log, "image: looking for Debian's packages")
	if err := a.prepare(); err != nil {
		return err
	}
	if _, err := a.run(ctx, "apt-get", "update", "-qq"); err != nil {
		return err
	}
	system, err := a.fetch(ctx, wanted, true)
	if err != nil {
		return err
	}
	board, err := a.fetch(ctx, firmware, false)
	if err != nil {
		return err
	}
	fmt.Fprintf(a.log, "image: unpacking %d packages\n", len(system)+len(board))
	root, pieces := filepath.Join(work, "root"), filepath.Join(work, "pieces")
	if err := unpack(ctx, first(system, "base-files"), root); err != nil {
		return err
	}
	if err := unpack(ctx, board, pieces); err != nil {
		return err
	}
	if err := listPackages(ctx, root, append(system, board...)); err != nil {
		return err
	}
	if err := sortBoard(pieces, root, filepath.Join(work, "firmware")); err != nil {
		return err
	}
	if err := thin(ctx, root); err != nil {
		return err
	}
	return os.RemoveAll(pieces)
}

// first moves one package to the front: base-files makes /bin, /lib and /sbin
// links, through which the others unpack.
func first(debs []string, name string) []string {
	var front, rest []string
	for _, d := range debs {
		if strings.HasPrefix(filepath.Base(d), name+"_") {
			front = append(front, d)
		} else {
			rest = append(rest, d)
		}
	}
	return append(front, rest...)
}

func unpack(ctx context.Context, debs []string, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, d := range debs {
		// --keep-directory-symlink: /lib stays a link whatever an archive says.
		script := `dpkg-deb --fsys-tarfile "$1" | tar -x --keep-directory-symlink --numeric-owner -p -f - -C "$2"`
		if _, err := run(ctx, "", nil, "bash", "-c", "set -o pipefail; "+script, "unpack", d, dir); err != nil {
			return err
		}
	}
	return nil
}

// listPackages keeps what an image was made of: name, version and source, one
// package a line. The copyright files are under /usr/share/doc.
func listPackages(ctx context.Context, root string, debs []string) error {
	var b strings.Builder
	for _, d := range debs {
		line, err := run(ctx, root, nil, "dpkg-deb", "--show", "--showformat", `${Package}\t${Version}\t${source:Package}\n`, d)
		if err != nil {
			return err
		}
		b.WriteString(line)
	}
	dir := filepath.Join(root, "usr/share/tidegate")
	return errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(filepath.Join(dir, "packages.txt"), []byte(b.String()), 0o644))
}
