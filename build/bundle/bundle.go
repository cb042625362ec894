package bundle

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"

	"tidegate/internal/formats"
)

// Compatible is what bundles and gateways must have in common.
const Compatible = "tidegate-arm64"

// Options is what a bundle is made of.
type Options struct {
	Root    string // file with the root file system (ext4); it is changed
	Version string // of the software in it
	Pair    Pair
	Formats formats.Set // nil for those of this source
	Quick   bool        // compress little: for tests
	Dir     string      // for what is needed on the way; "": the system's for temporary files
}

// Make makes a bundle. The file appears when it is whole.
func Make(ctx context.Context, file string, o Options) error {
	if err := makeBundle(ctx, file, o); err != nil {
		return fmt.Errorf("make a bundle: %w", err)
	}
	return nil
}

func makeBundle(ctx context.Context, file string, o Options) error {
	if o.Version == "" {
		return errors.New("it needs a version")
	}
	if o.Formats == nil {
		o.Formats = formats.Ours()
	}
	work, err := os.MkdirTemp(o.Dir, "tidegate-bundle-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	if err := shrink(ctx, o.Root); err != nil {
		return err
	}
	in := filepath.Join(work, "in")
	if err := os.Mkdir(in, 0o755); err != nil {
		return err
	}
	root, err := filepath.Abs(o.Root)
	if err != nil {
		return err
	}
	// A name that RAUC takes for an ext4 image, whatever the file is called.
	if err := link(root, filepath.Join(in, "rootfs.ext4")); err != nil {
		return err
	}
	manifest := fmt.Sprintf("[update]\ncompatible=%s\nversion=%s\nbuild=formats %s\n\n[bundle]\nformat=verity\n\n[image.rootfs]\nfilename=rootfs.ext4\n",
		Compatible, o.Version, o.Formats)
	if err := os.WriteFile(filepath.Join(in, "manifest.raucm"), []byte(manifest), 0o644); err != nil {
		return err
	}
	made := filepath.Join(work, "made.raucb")
	// zstd: a Pi unpacks it several times as fast as xz, for a tenth more bytes.
	level := 19
	if o.Quick {
		level = 1
	}
	err = run(ctx, "rauc", "bundle", "--cert="+o.Pair.Cert, "--key="+o.Pair.Key, fmt.Sprintf("--mksquashfs-args=-comp zstd -Xcompression-level %d -b 1M -quiet -no-progress", level), in, made)
	if err != nil {
		return err
	}
	return move(made, file)
}

// shrink makes the file system as small as what it holds, because all of it is
// written to the card at each update, and cuts the file to that.
func shrink(ctx context.Context, file string) error {
	if err := run(ctx, "e2fsck", "-f", "-y", file); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() > 1 { // 1: put right
			return err
		}
	}
	if err := run(ctx, "resize2fs", "-M", file); err != nil {
		return err
	}
	f, err := os.OpenFile(file, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	size, err := extSize(f)
	if err == nil {
		err = f.Truncate(size)
	}
	return errors.Join(err, f.Close())
}

// extSize is the size of an ext4 file system, in bytes, from its superblock
// (Documentation/filesystems/ext4/super.rst).
func extSize(f io.ReaderAt) (int64, error) {
	b := make([]byte, 1024)
	if _, err := f.ReadAt(b, 1024); err != nil {
		return 0, err
	}
	if binary.LittleEndian.Uint16(b[0x38:]) != 0xef53 {
		return 0, errors.New("no ext4 file system")
	}
	blocks := int64(binary.LittleEndian.Uint32(b[0x4:]))
	if binary.LittleEndian.Uint32(b[0x60:])&0x80 != 0 { // 64bit
		blocks |= int64(binary.LittleEndian.Uint32(b[0x150:])) << 32
	}
	return blocks << (10 + binary.LittleEndian.Uint32(b[0x18:])), nil
}

// Slot copies the root file system out of an image: the second partition.
func Slot(image, file string) (err error) {
	in, err := os.Open(image)
	if err != nil {
		return err
	}
	defer in.Close()
	mbr := make([]byte, 512)
	if _, err := in.ReadAt(mbr, 0); err != nil {
		return err
	}
	entry := mbr[446+16:]
	start, size := int64(binary.LittleEndian.Uint32(entry[8:]))*512, int64(binary.LittleEndian.Uint32(entry[12:]))*512
	if mbr[510] != 0x55 || mbr[511] != 0xaa || size == 0 {
		return fmt.Errorf("%s has no partition for slot A", image)
	}
	return copySparse(io.NewSectionReader(in, start, size), size, file)
}

// copySparse leaves out what is zero.
func copySparse(in io.Reader, size int64, file string) (err error) {
	out, err := os.Create(file)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	buf, zero := make([]byte, 64<<10), make([]byte, 64<<10)
	for at := int64(0); ; {
		n, err := io.ReadFull(in, buf)
		if n > 0 && !bytes.Equal(buf[:n], zero[:n]) {
			if _, err := out.WriteAt(buf[:n], at); err != nil {
				return err
			}
		}
		at += int64(n)
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			return out.Truncate(size)
		} else if err != nil {
			return err
		}
	}
}

func link(from, to string) error {
	if os.Link(from, to) == nil {
		return nil
	}
	in, err := os.Open(from) // on another disk
	if err != nil {
		return err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	return copySparse(in, info.Size(), to)
}

func move(from, to string) error {
	if os.Rename(from, to) == nil {
		return nil
	}
	if err := link(from, to+".new"); err != nil {
		return err
	}
	return os.Rename(to+".new", to)
}

func run(ctx context.Context, argv ...string) error {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), "PATH="+os.Getenv("PATH")+":/usr/sbin:/sbin", "LC_ALL=C")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s; `make setup` installs what is missing", argv[0], err, out[max(0, len(out)-2000):])
	}
	return nil
}
