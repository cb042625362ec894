package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"tidegate/build/bench/load"
)

// options are the command line.
type options struct {
	rounds    int
	figures   []figure
	short     bool
	time      time.Duration // of one measurement
	away      time.Duration // of the cloud, in an outage
	subject   broker
	peer      broker
	keep      string
	sinkAddr  string
	mosquitto string
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := bench(ctx, os.Args[1:]); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func bench(ctx context.Context, args []string) error {
	o, err := parse(args)
	if err != nil {
		return err
	}
	if o.sinkAddr != "" {
		sink, err := load.NewSink(o.sinkAddr)
		if err != nil {
			return err
		}
		return sink.Run(ctx)
	}
	results, err := measure(ctx, o)
	if len(results) > 0 {
		fmt.Print(render(o, results))
	}
	return err
}

func parse(args []string) (o options, err error) {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.Usage = func() {
		fmt.Fprint(flags.Output(), "Compares Tidegate with Mosquitto, in turns, on this machine.\n\nusage: go run ./build/bench [flags]\n\n")
		flags.PrintDefaults()
		fmt.Fprintln(flags.Output(), "\nfigures:")
		for _, f := range figures {
			fmt.Fprintf(flags.Output(), "  %-9s %s\n", f.name, f.about)
		}
	}
	binary := flags.String("tidegate", "bin/tidegate", "the gateway's binary")
	subject := flags.String("subject", "", "in place of Tidegate the broker that this command starts; {addr}, {port} and {dir} are filled in; or \"mosquitto\"")
	peer := flags.String("peer", "", "in place of Mosquitto the broker that this command starts; or \"tidegate\"")
	flags.StringVar(&o.mosquitto, "mosquitto", mosquittoPath, "the Mosquitto to compare with")
	names := flags.String("figures", "", "which figures, separated by commas; empty: all but balanced")
	flags.IntVar(&o.rounds, "rounds", 0, "rounds of every figure; 0: five, or two with -short")
	flags.DurationVar(&o.time, "time", 0, "length of one measurement; 0: 4s, or 1s with -short")
	flags.DurationVar(&o.away, "outage", 0, "how long the cloud is away in outage and crash; 0: 20s, or 3s with -short")
	flags.BoolVar(&o.short, "short", false, "the whole table in some minutes")
	flags.StringVar(&o.keep, "keep", "", "directory in which configurations and logs are kept; empty: none are")
	flags.StringVar(&o.sinkAddr, "sink", "", "be a broker that only acknowledges and copies, at this address: the calibration starts it")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	o.subject, o.peer = tidegate(absolute(*binary)), mosquitto(absolute(o.mosquitto))
	if *subject == "mosquitto" {
		o.subject = mosquitto(absolute(o.mosquitto))
	} else if *subject != "" {
		o.subject = command("subject", *subject)
	}
	if *peer == "tidegate" {
		o.peer = tidegate(absolute(*binary))
	} else if *peer != "" {
		o.peer = command("peer", *peer)
	}
	if o.rounds == 0 {
		o.rounds = choose(o.short, 2, 5)
	}
	if o.time == 0 {
		o.time = choose(o.short, time.Second, 4*time.Second)
	}
	if o.away == 0 {
		o.away = choose(o.short, 3*time.Second, 20*time.Second)
	}
	o.figures, err = pick(*names)
	return o, err
}

func choose[T any](short bool, a, b T) T {
	if short {
		return a
	}
	return b
}

// pick returns the figures of that names; for "" all that need not be asked for.
func pick(names string) (picked []figure, err error) {
	if names == "" {
		return slices.DeleteFunc(slices.Clone(figures), func(f figure) bool { return f.asked }), nil
	}
	for name := range strings.SplitSeq(names, ",") {
		i := slices.IndexFunc(figures, func(f figure) bool { return f.name == name })
		if i < 0 {
			return nil, fmt.Errorf("no figure is called %q; -help lists them", name)
		}
		picked = append(picked, figures[i])
	}
	return picked, nil
}
