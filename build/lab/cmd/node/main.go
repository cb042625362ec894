// Command node is one node of the stand-in cloud: the gateway's own edge
// broker, open to everybody on one loopback address.
package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"tidegate/build/lab/cloud"
	"tidegate/edge"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:1883", "the `address` to listen on")
	record := flag.String("record", "", "the `file` to which every accepted message is appended before it is acknowledged; empty for none")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *listen, *record); err != nil {
		fmt.Fprintln(os.Stderr, "node:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, listen, record string) error {
	cfg := edge.DefaultConfig()
	cfg.Listeners = []edge.ListenerConfig{{Bind: listen, Anonymous: true}}
	opt := edge.Options{Log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))}
	if record != "" {
		r, err := cloud.NewRecorder(record, listen)
		if err != nil {
			return err
		}
		defer r.Close()
		opt.Forward = forward(r)
	}
	broker, err := edge.New(cfg, opt)
	if err != nil {
		return err
	}
	if err := broker.Listen(); err != nil {
		return err
	}
	return broker.Run(ctx)
}

// forward writes a message down while its PUBLISH is being handled, which is
// before its acknowledgement. A node that cannot write has no right to go on.
func forward(r *cloud.Recorder) func(*edge.Message, edge.Ticket) bool {
	var mu sync.Mutex
	return func(m *edge.Message, _ edge.Ticket) bool {
		mu.Lock()
		defer mu.Unlock()
		if err := r.Write(m.Topic, m.Payload, m.Properties); err != nil {
			fmt.Fprintln(os.Stderr, "node:", err)
			os.Exit(1)
		}
		return false
	}
}
