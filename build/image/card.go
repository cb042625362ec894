package image

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"tidegate/build/boot"
)

// Where the partitions lie, in MiB. All of it and some room is on a card of
// 2 GB, which has 1907 MiB at the most.
const (
	bootStart, bootSize = 4, 64
	slotSize            = 512
	dataSize            = 64 // in the image; it grows
)

// sectors of 512 bytes in a MiB.
const sectors = 2048

// Partition is one of the four.
type Partition struct {
	Label       string
	Type        byte // of the MBR
	Start, Size int64
}

// Layout is the card's, in bytes.
func Layout() [4]Partition {
	const mib = 1 << 20
	const a = bootStart + bootSize
	return [4]Partition{
		// 0x0c: FAT32. A Pi 3's ROM takes nothing else that a computer would open.
		{"TIDEGATE", 0x0c, bootStart * mib, bootSize * mib},
		{"root-a", 0x83, a * mib, slotSize * mib},
		{"root-b", 0x83, (a + slotSize) * mib, slotSize * mib},
		{"data", 0x83, (a + 2*slotSize) * mib, dataSize * mib},
	}
}

// Options say what an image is made of.
type Options struct {
	Gateway
	Date  time.Time // of every file: the same input makes the same image
	Fresh bool      // take the newest packages instead of those in the cache
	Log   io.Writer
	Dir   string // for what is needed on the way, about 500 MB; "": the system's for temporary files
}

// Build makes an image.
func Build(ctx context.Context, file string, o Options) error {
	if err := build(ctx, file, o); err != nil {
		return fmt.Errorf("make an image: %w", err)
	}
	return nil
}

func build(ctx context.Context, file string, o Options) error {
	base, err := Base(ctx, o.Log, o.Fresh)
	if err != nil {
		return err
	}
	work, err := os.MkdirTemp(o.Dir, "tidegate-image-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	if _, err := run(ctx, work, nil, "tar", "--numeric-owner", "-xpf", base); err != nil {
		return err
	}
	in := func(name string) string { return filepath.Join(work, name) }
	fmt.Fprintln(o.Log, "image: making the root file system")
	if err := system(ctx, in("root"), o.Gateway, o.Date); err != nil {
		return err
	}
	rd, err := initrd(ctx, in("root"), work)
	if err != nil {
		return err
	}
	if err := os.WriteFile(in("root/boot/initrd.img"), rd, 0o644); err != nil {
		return err
	}
	if err := bootTree(ctx, o.Boot, in("firmware"), in("root"), in("boot")); err != nil {
		return err
	}
	p := Layout()
	if err := makeFAT(ctx, in("boot"), in("p0"), p[0].Start/512, p[0].Size/512, o.Date); err != nil {
		return err
	}
	if err := makeExt4(ctx, in("root"), in("p1"), p[1].Label, p[1].Size, o.Date); err != nil {
		return err
	}
	if err := makeExt4(ctx, "", in("p3"), p[3].Label, p[3].Size, o.Date); err != nil {
		return err
	}
	fmt.Fprintln(o.Log, "image: putting the card together")
	return assemble(file, map[int]string{0: in("p0"), 1: in("p1"), 3: in("p3")})
}

// assemble writes the card. Slot B stays empty.
func assemble(file string, parts map[int]string) error {
	out, err := os.Create(file)
	if err != nil {
		return err
	}
	layout := Layout()
	last := layout[3]
	errs := []error{out.Truncate(last.Start + last.Size)}
	_, err = out.WriteAt(mbr(layout), 0)
	errs = append(errs, err)
	for i, name := range parts {
		errs = append(errs, place(out, layout[i].Start, name))
	}
	return errors.Join(append(errs, out.Close())...)
}

// mbr is the first sector: no program, a signature and four partitions.
func mbr(parts [4]Partition) []byte {
	b := make([]byte, 512)
	binary.LittleEndian.PutUint32(b[440:], boot.DiskID)
	for i, p := range parts {
		e := b[446+16*i:]
		// Cylinders, heads and sectors beyond all counting: nobody uses them.
		copy(e, []byte{0, 0xfe, 0xff, 0xff, p.Type, 0xfe, 0xff, 0xff})
		binary.LittleEndian.PutUint32(e[8:], uint32(p.Start/512))
		binary.LittleEndian.PutUint32(e[12:], uint32(p.Size/512))
	}
	b[510], b[511] = 0x55, 0xaa
	return b
}

// place copies a partition's file to its place and leaves out what is zero.
func place(out *os.File, at int64, name string) error {
	in, err := os.Open(name)
	if err != nil {
		return err
	}
	defer in.Close()
	zero, buf := make([]byte, 64<<10), make([]byte, 64<<10)
	for {
		n, err := io.ReadFull(in, buf)
		if n > 0 && !bytes.Equal(buf[:n], zero[:n]) {
			if _, err := out.WriteAt(buf[:n], at); err != nil {
				return err
			}
		}
		if at += int64(n); err == io.EOF || err == io.ErrUnexpectedEOF {
			return nil
		} else if err != nil {
			return err
		}
	}
}
