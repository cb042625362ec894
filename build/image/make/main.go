// Command make builds the image: dist/tidegate.img and the same compressed.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"time"

	"tidegate/build/image"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := makeImage(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func makeImage(ctx context.Context) error {
	var o image.Options
	out := flag.String("o", "dist/tidegate.img", "the image")
	compress := flag.Bool("compress", true, "compress it too, as FILE.xz")
	flag.StringVar(&o.Package, "deb", "", "the gateway's package for arm64")
	flag.StringVar(&o.Units, "units", "systemd", "the folder of units")
	flag.StringVar(&o.Boot, "boot", "cmd/tidegate/internal/provision/boot", "the folder of files for the boot partition")
	flag.StringVar(&o.Keyring, "keyring", "", "a PEM file: whose updates are taken; without one, nobody's")
	flag.BoolVar(&o.Fresh, "fresh", false, "take the newest packages of Debian, not those that were taken last time")
	fetch := flag.Bool("fetch", false, "only bring Debian's packages into the cache")
	flag.Parse()
	o.Log = os.Stderr
	if *fetch {
		_, err := image.Base(ctx, o.Log, o.Fresh)
		return err
	}
	date, err := date(ctx)
	if err != nil {
		return err
	}
	o.Date = date
	if err := image.Build(ctx, *out, o); err != nil {
		return err
	}
	if !*compress {
		return nil
	}
	fmt.Fprintln(os.Stderr, "image: compressing")
	cmd := exec.CommandContext(ctx, "xz", "-k", "-f", "-6", "-T2", *out)
	cmd.Stderr = os.Stderr
	return cmd.Run()
}

// date is SOURCE_DATE_EPOCH, or that of the last commit.
func date(ctx context.Context) (time.Time, error) {
	text := os.Getenv("SOURCE_DATE_EPOCH")
	if text == "" {
		out, err := exec.CommandContext(ctx, "git", "log", "-1", "--format=%ct").Output()
		if err != nil {
			return time.Time{}, fmt.Errorf("ask git for the date of the image, or set SOURCE_DATE_EPOCH: %w", err)
		}
		text = string(out[:len(out)-1])
	}
	seconds, err := strconv.ParseInt(text, 10, 64)
	return time.Unix(seconds, 0), err
}
