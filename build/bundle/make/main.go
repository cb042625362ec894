// Command make makes a signed bundle out of an image. With -cert it only says
// which certificate an image is to trust, for its keyring.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"

	"tidegate/build/bundle"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := makeBundle(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func makeBundle(ctx context.Context) error {
	var pair bundle.Pair
	image := flag.String("image", "dist/tidegate.img", "the image whose root file system is taken")
	version := flag.String("version", "", "of the software in it")
	out := flag.String("o", "dist/tidegate.raucb", "the bundle")
	flag.StringVar(&pair.Key, "key", "", "file with the key, PEM; without one, a key for development is made")
	flag.StringVar(&pair.Cert, "certificate", "", "file with the key's certificate, PEM")
	keyring := flag.Bool("cert", false, "print the certificate's file and make nothing")
	flag.Parse()
	if (pair.Key == "") != (pair.Cert == "") && !(*keyring && pair.Cert != "") {
		return errors.New("a key and its certificate belong together: KEY=FILE CERT=FILE")
	}
	if pair.Cert == "" {
		var err error
		if pair, err = bundle.DevelopmentPair(os.Stderr); err != nil {
			return err
		}
	}
	if *keyring {
		fmt.Println(pair.Cert)
		return nil
	}
	work, err := os.MkdirTemp(filepath.Dir(*out), ".bundle-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	root := filepath.Join(work, "root.ext4")
	if err := bundle.Slot(*image, root); err != nil {
		return err
	}
	if err := bundle.Make(ctx, *out, bundle.Options{Root: root, Version: *version, Pair: pair, Dir: work}); err != nil {
		return err
	}
	info, err := os.Stat(*out)
	if err == nil {
		fmt.Printf("%s: version %s, %d bytes\n", *out, *version, info.Size())
	}
	return err
}
