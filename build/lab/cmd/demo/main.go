// Command demo runs the gateway between real MQTT clients and a real cloud,
// breaks the world around it, and accounts for every message.
//
//	demo [-cloud standin|rabbitmq] [-rate 200] [-outage 20s]
//
// It needs nothing but Go; the rabbitmq cloud installs itself. The exit code is
// 0 when every promise was kept.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"tidegate/build/bench/load"
	"tidegate/build/lab/cloud"
	"tidegate/build/lab/gateway"
	"tidegate/build/lab/proc"
)

func main() {
	kind := flag.String("cloud", "standin", "what stands for the cloud: standin (three brokers of our own) or rabbitmq (a real cluster)")
	rate := flag.Float64("rate", 200, "messages a second, of all devices together")
	outage := flag.Duration("outage", 20*time.Second, "how long the whole cloud is away")
	verbose := flag.Bool("v", false, "print what gateway and nodes log")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	logs := io.Discard
	if *verbose {
		logs = os.Stderr
	}
	kept, err := run(ctx, *kind, *rate, *outage, logs)
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
	}
	if err != nil || !kept {
		os.Exit(1)
	}
}

// thermometer is the sensor of the scene.
const thermometerConfig = `
[[hw.sensor]]
kind = "simulated"
name = "thermometer"
topic = "` + thermometer + `"
wave = "sine"
low = 26.0
high = 36.0
period = "20s"
every = "1s"
unit = "°C"
`

// run builds the stage and gives the play; it says whether every promise was
// kept.
func run(ctx context.Context, kind string, rate float64, outage time.Duration, logs io.Writer) (kept bool, err error) {
	dir, err := os.MkdirTemp("", "tidegate-demo-")
	if err != nil {
		return false, err
	}
	defer os.RemoveAll(dir)
	fmt.Println("building the gateway")
	binary := filepath.Join(dir, "tidegate")
	if err := proc.Build(ctx, "cmd/tidegate", binary); err != nil {
		return false, err
	}
	fmt.Printf("starting a cloud of %d nodes (%s)\n", cloud.Size, kind)
	s := &stage{}
	if s.cloud, err = cloud.Open(ctx, kind, dir, logs); err != nil {
		return false, err
	}
	defer s.cloud.Close()
	s.data = filepath.Join(dir, "data")
	if err := os.Mkdir(s.data, 0o700); err != nil {
		return false, err
	}
	s.gateway, err = gateway.New(gateway.Config{
		Program: binary, Dir: dir, DataDir: s.data, ID: "demo",
		Endpoints: s.cloud.Addrs(), Cluster: s.cloud.Cluster, Uplink: thermometerConfig, Output: logs,
	})
	if err != nil {
		return false, err
	}
	if err := s.gateway.Start(ctx); err != nil {
		return false, err
	}
	defer s.gateway.Kill()

	s.ledger = load.NewLedger()
	audience, err := listen(ctx, s.cloud, s.ledger)
	if err != nil {
		return false, err
	}
	defer audience.close()
	s.consumer = audience.consumer
	if s.home, err = enterHome(ctx, s.gateway.Addr); err != nil {
		return false, err
	}
	defer s.home.close()
	s.fleet = load.NewFleet(load.FleetConfig{
		Client:  load.Client{Addrs: []string{s.gateway.Addr}, ID: "device-", KeepAlive: 10 * time.Second},
		Clients: 10, Topics: 5, QoS: 1, Window: 20, Rate: rate, Size: 200, CatchUp: -1,
		Topic: func(p, t int) string { return fmt.Sprintf(devices+"%d/sensor-%d", p, t) },
	}, s.ledger)
	return s.play(ctx, outage)
}
