package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
)

// image is a file that holds a card, perhaps compressed, and what is laid over
// it.
type image struct {
	file   string
	size   int64 // bytes unpacked
	sum    string
	fat    extent
	over   *os.File // in place of the FAT partition; nil: as it is
	packed []string // program that unpacks it to its output; nil for none
}

type extent struct{ start, size int64 }

// packings are told by their first bytes, whatever the file is called.
var packings = []struct {
	magic   string
	program []string
}{
	{"\xfd7zXZ\x00", []string{"xz", "-dc", "-T0"}},
	{"\x28\xb5\x2f\xfd", []string{"zstd", "-qdc"}},
	{"\x1f\x8b", []string{"gzip", "-dc"}},
}

// readImage reads a file to its end, so that one that is damaged is found
// before anything is overwritten, and copies its FAT partition to fat unless
// that is nil.
func readImage(ctx context.Context, file string, fat *os.File, p *progress) (*image, error) {
	i := &image{file: file}
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("%w; make image builds one", err)
	}
	head := make([]byte, 8)
	n, _ := io.ReadFull(f, head)
	f.Close()
	for _, k := range packings {
		if strings.HasPrefix(string(head[:n]), k.magic) {
			i.packed = k.program
		}
	}
	if strings.HasPrefix(string(head[:n]), "PK\x03\x04") {
		return nil, fmt.Errorf("%s is a zip file; unpack it and name the image in it", file)
	}
	r, err := i.open(ctx)
	if err != nil {
		return nil, err
	}
	return i, errors.Join(i.read(ctx, r, fat, p), r.Close())
}

func (i *image) read(ctx context.Context, r io.Reader, fat *os.File, p *progress) error {
	hash := sha256.New()
	all := bufio.NewReaderSize(io.TeeReader(r, hash), chunk)
	first, err := all.Peek(sector)
	if err != nil {
		return fmt.Errorf("%s: %w", i.file, err)
	}
	if i.fat, err = fatOf(first); err != nil {
		return fmt.Errorf("%s %w", i.file, err)
	}
	if fat == nil {
		i.fat.size = 0
	}
	p.begin("read the image", 0)
	for _, step := range []struct {
		to   io.Writer
		most int64
	}{{io.Discard, i.fat.start}, {fat, i.fat.size}, {io.Discard, 1 << 60}} {
		for done := int64(0); done < step.most && ctx.Err() == nil; {
			n, err := io.CopyN(step.to, all, min(chunk, step.most-done))
			done += n
			i.size += n
			p.at(i.size)
			if errors.Is(err, io.EOF) {
				if i.size < i.fat.start+i.fat.size {
					return fmt.Errorf("%s ends within its first partition: it was not copied whole", i.file)
				}
				break
			}
			if err != nil {
				return fmt.Errorf("%s: %w", i.file, err)
			}
		}
	}
	p.end()
	i.sum = hex.EncodeToString(hash.Sum(nil))
	return ctx.Err()
}

// fatOf finds the first partition in an MBR, which must be FAT32.
func fatOf(mbr []byte) (extent, error) {
	const entry, fat32 = 446, 0x0c
	if mbr[510] != 0x55 || mbr[511] != 0xaa {
		return extent{}, errors.New("is no image of a card: it has no partition table")
	}
	e := extent{int64(binary.LittleEndian.Uint32(mbr[entry+8:])) * sector, int64(binary.LittleEndian.Uint32(mbr[entry+12:])) * sector}
	if mbr[entry+4] != fat32 || e.start == 0 || e.size == 0 {
		return extent{}, errors.New("is no image of a gateway: its first partition is not FAT32")
	}
	return e, nil
}

// stream is the whole image with what is laid over it. Whoever reads to the end
// must Close it and look at the error.
func (i *image) stream(ctx context.Context) (io.ReadCloser, error) {
	base, err := i.open(ctx)
	if err != nil || i.over == nil {
		return base, err
	}
	head := io.LimitReader(base, i.fat.start)
	over := io.NewSectionReader(i.over, 0, i.fat.size)
	return &laid{Reader: io.MultiReader(head, over, &skipping{r: base, skip: i.fat.size}), Closer: base}, nil
}

type laid struct {
	io.Reader
	io.Closer
}

// skipping leaves out the first bytes.
type skipping struct {
	r    io.Reader
	skip int64
}

func (s *skipping) Read(p []byte) (int, error) {
	if s.skip > 0 {
		if n, err := io.CopyN(io.Discard, s.r, s.skip); err != nil {
			s.skip -= n
			return 0, err
		}
		s.skip = 0
	}
	return s.r.Read(p)
}

func (i *image) open(ctx context.Context) (io.ReadCloser, error) {
	if i.packed == nil {
		return os.Open(i.file)
	}
	cmd := exec.CommandContext(ctx, i.packed[0], append(i.packed[1:len(i.packed):len(i.packed)], i.file)...)
	u := &unpacking{cmd: cmd}
	cmd.Stderr = &u.said
	var err error
	if u.out, err = cmd.StdoutPipe(); err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("unpack %s: %w; install %s, or unpack it by hand", i.file, err, i.packed[0])
	}
	return u, nil
}

// unpacking is the output of a program. At its end the program's own word
// counts: one that failed has not unpacked everything.
type unpacking struct {
	cmd  *exec.Cmd
	out  io.Reader
	said strings.Builder
	err  error
	done bool
}

func (u *unpacking) Read(p []byte) (int, error) {
	n, err := u.out.Read(p)
	if n == 0 && err != nil {
		if werr := u.wait(); werr != nil {
			return 0, werr
		}
	}
	return n, err
}

func (u *unpacking) wait() error {
	if !u.done {
		u.done = true
		if err := u.cmd.Wait(); err != nil {
			u.err = fmt.Errorf("unpack: %w: %s", err, strings.TrimSpace(u.said.String()))
		}
	}
	return u.err
}

// Close ends the program if it still runs.
func (u *unpacking) Close() error {
	if !u.done {
		u.done = true
		u.cmd.Process.Kill()
		u.cmd.Wait() // killed on purpose
	}
	return u.err
}
