// Command lab runs the scenarios in which the world breaks around the gateway,
// each on every kind of cloud asked for, and prints one row for each.
//
//	lab [-scenario NAME,...] [-cloud rabbitmq,mosquitto] [-kill no|yes|both]
//
// It needs root and /dev/net/tun. The exit code is 0 when every promise was
// kept.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"tidegate/build/lab/cloud"
	"tidegate/build/lab/network"
	"tidegate/build/lab/proc"
	"tidegate/build/lab/scenario"
)

// place is the environment variable that tells the inner program where the
// outer one put what it built.
const place = "TIDEGATE_LAB_DIR"

type options struct {
	scenarios []scenario.Scenario
	clouds    []string
	kills     []bool
	verbose   bool
}

func main() {
	code, err := run()
	if err != nil {
		fmt.Fprintln(os.Stderr, "lab:", err)
		code = max(code, 1)
	}
	os.Exit(code)
}

func run() (code int, err error) {
	names := flag.String("scenario", "all", "the `names`, separated by commas; \"all\", or \"list\"")
	clouds := flag.String("cloud", "rabbitmq,mosquitto", "the `kinds` of cloud, separated by commas: "+strings.Join(cloud.Kinds(), ", "))
	kill := flag.String("kill", "both", "whether the gateway is killed in the middle: no, yes or both; NAME+kill in -scenario does the same for one")
	verbose := flag.Bool("v", false, "print what gateway and nodes print")
	flag.Parse()
	if *names == "list" {
		for _, sc := range scenario.All() {
			fmt.Printf("%-20s %s\n", sc.Name, sc.Says)
		}
		return 0, nil
	}
	o := options{clouds: strings.Split(*clouds, ","), verbose: *verbose}
	if o.kills = map[string][]bool{"no": {false}, "yes": {true}, "both": {false, true}}[*kill]; o.kills == nil {
		return 2, fmt.Errorf("-kill %s: no, yes or both", *kill)
	}
	for _, c := range o.clouds {
		if !slices.Contains(cloud.Kinds(), c) {
			return 2, fmt.Errorf("no cloud of kind %q; there are %q", c, cloud.Kinds())
		}
	}
	if o.scenarios, err = pick(*names); err != nil {
		return 2, err
	}
	if !network.Inside() {
		return prepare(o)
	}
	return play(o)
}

// pick returns the scenarios of a list of names.
func pick(names string) (chosen []scenario.Scenario, err error) {
	for name := range strings.SplitSeq(names, ",") {
		found := false
		for _, sc := range scenario.All() {
			if name == "all" || name == sc.Name {
				chosen, found = append(chosen, sc), true
			}
		}
		if !found {
			return nil, fmt.Errorf("no scenario %q; see lab -scenario list", name)
		}
	}
	return chosen, nil
}

// prepare does what needs the machine's own network, and goes inside.
func prepare(o options) (code int, err error) {
	dir, err := os.MkdirTemp("", "tidegate-lab-")
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil { // a node may run as another user
		return 1, err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := proc.Build(ctx, "cmd/tidegate", filepath.Join(dir, "tidegate")); err != nil {
		return 1, err
	}
	if slices.Contains(o.clouds, "rabbitmq") {
		if _, err := cloud.RabbitRoot(ctx); err != nil {
			return 1, err
		}
	}
	return network.Enter(place + "=" + dir)
}

// play runs what was asked for.
func play(o options) (code int, err error) {
	if err := network.Settle(); err != nil {
		return 1, err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var rows []scenario.Row
	scenario.Header(os.Stdout)
	for _, kind := range o.clouds {
		more, err := playOn(ctx, o, kind)
		rows = append(rows, more...)
		if err != nil {
			return 1, err
		}
	}
	broken := slices.DeleteFunc(rows, scenario.Row.Kept)
	for _, r := range broken {
		fmt.Printf("\n%s on %s: %s\nfirst sign: %s\nthe gateway's last output:\n%s\n",
			r.Scenario, r.Cloud, strings.Join(r.Broken, "; "), r.Sign, last(r.Tail, 40))
	}
	if len(broken) > 0 {
		return 1, fmt.Errorf("%d scenarios broke a promise", len(broken))
	}
	return 0, ctx.Err()
}

func playOn(ctx context.Context, o options, kind string) (rows []scenario.Row, err error) {
	dir := filepath.Join(os.Getenv(place), kind)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	var output io.Writer
	if o.verbose {
		output = os.Stderr
	}
	begin, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	stage, err := scenario.Open(begin, scenario.StageConfig{Cloud: kind, Program: filepath.Join(os.Getenv(place), "tidegate"), Dir: dir, Output: output})
	if err != nil {
		return nil, err
	}
	defer stage.Close()
	for _, sc := range o.scenarios {
		for _, kill := range o.kills {
			if kill && sc.Alone {
				continue
			}
			if ctx.Err() != nil {
				return rows, ctx.Err()
			}
			row := stage.Play(ctx, sc, kill)
			row.Print(os.Stdout)
			rows = append(rows, row)
		}
	}
	return rows, nil
}

// last returns the last n lines.
func last(text string, n int) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
