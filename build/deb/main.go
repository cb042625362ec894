package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// target is one package and the binary in it.
type target struct {
	arch   string // Debian's name
	binary string // of `make cross`
}

var targets = []target{{"amd64", "tidegate-linux-amd64"}, {"arm64", "tidegate-linux-arm64"}, {"armhf", "tidegate-linux-arm6"}}

// order is what the command line asks for.
type order struct {
	source   string // the root of the source
	dist     string // has the binaries, gets the packages
	describe string // the version, as git describe says it
	count    int    // commits so far: orders versions before the first tag
	epoch    time.Time
}

func main() {
	var o order
	var epoch int64
	flag.StringVar(&o.source, "source", ".", "the root of the source")
	flag.StringVar(&o.dist, "dist", "dist", "the folder of the binaries and of the packages")
	flag.StringVar(&o.describe, "version", "", "the version, as `git describe --tags --always --dirty` says it")
	flag.IntVar(&o.count, "count", 0, "how many commits the version has")
	flag.Int64Var(&epoch, "epoch", 0, "the time of all files, in seconds (SOURCE_DATE_EPOCH)")
	flag.Parse()
	o.epoch = time.Unix(epoch, 0).UTC()
	if err := o.fill(); err != nil {
		fmt.Fprintln(os.Stderr, "deb:", err)
		os.Exit(1)
	}
}

// fill makes all the packages. Those of other versions are taken away: who
// looks for a package in the folder finds one of each architecture.
func (o order) fill() error {
	version, err := debianVersion(o.describe, o.count)
	if err != nil {
		return err
	}
	old, err := filepath.Glob(filepath.Join(o.dist, "tidegate_*.deb"))
	if err != nil {
		return err
	}
	for _, name := range old {
		err = errors.Join(err, os.Remove(name))
	}
	words, wordsErr := o.ask()
	if err := errors.Join(err, wordsErr); err != nil {
		return err
	}
	for _, t := range targets {
		out := filepath.Join(o.dist, fmt.Sprintf("tidegate_%s_%s.deb", version, t.arch))
		if err := o.pack(t, version, words, out); err != nil {
			return fmt.Errorf("package for %s: %w", t.arch, err)
		}
		fmt.Println(out)
	}
	return nil
}

// said is what the program prints about itself.
type said struct {
	help, sample    []byte
	bash, zsh, fish []byte
	flags           map[string][]byte // -h of each command
}

// ask runs this machine's own binary.
func (o order) ask() (said, error) {
	program, err := filepath.Abs(filepath.Join(o.dist, "tidegate-linux-"+strings.Replace(runtime.GOARCH, "arm", "arm6", 1)))
	if runtime.GOARCH == "arm64" {
		program, err = filepath.Abs(filepath.Join(o.dist, "tidegate-linux-arm64"))
	}
	if err != nil {
		return said{}, err
	}
	s := said{flags: map[string][]byte{}}
	for _, q := range []struct {
		to   *[]byte
		args []string
	}{
		{&s.help, []string{"help"}}, {&s.sample, []string{"sample"}}, {&s.bash, []string{"completion", "bash"}},
		{&s.zsh, []string{"completion", "zsh"}}, {&s.fish, []string{"completion", "fish"}},
	} {
		out, err := exec.Command(program, q.args...).Output()
		if err != nil {
			return said{}, fmt.Errorf("%s %s: %w", program, strings.Join(q.args, " "), err)
		}
		*q.to = out
	}
	for _, m := range usageLine.FindAllSubmatch(s.help, -1) {
		name := string(m[1])
		out, err := exec.Command(program, append(strings.Fields(name), "-h")...).Output()
		if err != nil {
			return said{}, fmt.Errorf("%s %s -h: %w", program, name, err)
		}
		s.flags[name] = out
	}
	return s, nil
}
