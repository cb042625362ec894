package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	var err error
	if len(os.Args) > 1 && os.Args[1] == "list" {
		err = list(ctx, os.Args[2:], os.Stdout, os.Stderr)
	} else {
		err = run(ctx, os.Args[1:], os.Stdin, os.Stderr)
	}
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "flash:", err)
		os.Exit(1)
	}
}

// job is one run of the command.
type job struct {
	image, files, yes, even string
	check                   []string
	path                    string
	in                      io.Reader
	out                     io.Writer
	progress                progress
}

func run(ctx context.Context, args []string, in *os.File, out *os.File) error {
	j := job{in: in, out: out, progress: progress{out: out, terminal: isTerminal(out), now: time.Now}}
	flags := flag.NewFlagSet("flash", flag.ContinueOnError)
	flags.SetOutput(out)
	flags.StringVar(&j.image, "image", "dist/tidegate.img.xz", "the image: raw, .xz, .zst or .gz")
	flags.StringVar(&j.files, "files", "", "a `folder` whose files go to the FAT partition")
	flags.StringVar(&j.yes, "yes", "", "do not ask before `disk` is overwritten; must be the same as the argument")
	flags.StringVar(&j.even, "even", "", "overwrite `disk` though it does not look like a card; must be the same as the argument")
	check := flags.String("check", "bin/tidegate check", "`command` that checks tidegate.toml")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() != 1 || flags.Arg(0) == "" {
		return errors.New("name the disk: make flash DEV=/dev/sdX (lsblk lists them)")
	}
	j.path, j.check = flags.Arg(0), strings.Fields(*check)
	return j.do(ctx)
}

// do finds out all that can go wrong before anything is overwritten.
func (j *job) do(ctx context.Context) error {
	d, err := look("/", j.path)
	if err != nil {
		return err
	}
	if err := d.refuse(0, j.resolve(j.even)); err != nil {
		return err
	}
	img, err := j.prepare(ctx)
	if err != nil {
		return err
	}
	if img.over != nil {
		defer img.over.Close()
	}
	dev, err := openDevice(d.Path)
	if err != nil {
		return err
	}
	defer dev.Close()
	// Reading the image took a while. From now on the name stays with what is open.
	before := d
	if d, err = look("/", j.path); err != nil {
		return err
	}
	if err := d.refuse(img.size, j.resolve(j.even)); err != nil {
		return err
	}
	if size, err := dev.size(); err != nil || size != d.Size || !d.same(before) {
		return errors.Join(err, fmt.Errorf("%s is another card than a moment ago; try again", d.Path))
	}
	if err := j.ask(d, dev, img); err != nil {
		return err
	}
	return j.overwrite(ctx, d, dev, img)
}

// resolve makes -yes and -even comparable with the disk, which may be named by a
// link.
func (j *job) resolve(path string) string {
	if path == "" {
		return ""
	}
	if d, err := look("/", path); err == nil {
		return d.Path
	}
	return path
}

// prepare reads the image and lays the user's files over it.
func (j *job) prepare(ctx context.Context) (*image, error) {
	if j.files == "" {
		return readImage(ctx, j.image, nil, &j.progress)
	}
	files, err := userFiles(ctx, j.files, j.check)
	if err != nil {
		return nil, err
	}
	fat, err := os.CreateTemp("", "tidegate-flash-*.fat") // readable by its owner alone: it has secrets
	if err != nil {
		return nil, err
	}
	defer os.Remove(fat.Name())
	img, err := readImage(ctx, j.image, fat, &j.progress)
	if err == nil {
		err = putFiles(ctx, fat.Name(), files)
	}
	if err != nil {
		return nil, errors.Join(err, fat.Close())
	}
	img.over = fat
	return img, nil
}

// ask shows what will be lost, and has the user write the disk's name.
func (j *job) ask(d *disk, dev *device, img *image) error {
	d.show(j.out, bounce{dev})
	fmt.Fprintf(j.out, "will be overwritten with %s (%s)\n", img.file, bytes(img.size))
	switch {
	case j.yes != "" && j.resolve(j.yes) == d.Path:
		return nil
	case j.yes != "":
		return fmt.Errorf("YES names %s, and DEV %s; %w", j.yes, d.Path, errNotAsked)
	}
	fmt.Fprintf(j.out, "all that is on it will be lost. Write its name to go on (%s): ", d.Name)
	line, err := bufio.NewReader(j.in).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if answer := strings.TrimSpace(line); answer != d.Name && answer != d.Path {
		return fmt.Errorf("%q is not %s; %w", answer, d.Name, errNotAsked)
	}
	return nil
}

// overwrite has the card ready when it returns nil.
func (j *job) overwrite(ctx context.Context, d *disk, dev *device, img *image) error {
	for _, step := range []struct {
		do    func(context.Context, card, io.Reader, int64, int64, *progress) error
		state string // of the card when it fails
	}{
		{write, d.Path + " is incomplete and starts no machine; write it again before you use it"},
		{verify, d.Path + " was written, but not found to be good; write it again"},
	} {
		src, err := img.stream(ctx)
		if err == nil {
			err = errors.Join(step.do(ctx, dev, src, img.size, d.Size, &j.progress), src.Close())
		}
		switch {
		case ctx.Err() != nil:
			return fmt.Errorf("interrupted: %s", step.state)
		case err != nil:
			return fmt.Errorf("%w; %s", err, step.state)
		}
	}
	if err := dev.reread(); err != nil {
		fmt.Fprintln(j.out, "flash: the kernel does not take the new partition table yet; put the card in again to see it:", err)
	}
	fmt.Fprintf(j.out, "%s is ready: every byte was read back. Take it out", d.Path)
	if j.files == "" {
		fmt.Fprint(j.out, ", or put tidegate.toml and wifi.txt on its partition TIDEGATE first")
	}
	fmt.Fprintln(j.out, ".")
	return nil
}

// bounce reads anywhere from a file that wants whole pages.
type bounce struct{ r io.ReaderAt }

func (b bounce) ReadAt(p []byte, at int64) (int, error) {
	const page = 4096
	start := at &^ (page - 1)
	whole := aligned(int((at+int64(len(p))+page-1)&^(page-1) - start))
	n, err := b.r.ReadAt(whole, start)
	if have := n - int(at-start); have < len(p) {
		return copy(p, whole[min(int(at-start), n):n]), errors.Join(err, io.ErrUnexpectedEOF)
	}
	return copy(p, whole[at-start:]), nil
}

func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
