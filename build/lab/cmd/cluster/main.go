// Command cluster starts a cloud with a load balancer in front and obeys lines
// on its standard input, until that ends:
//
//	at        who is on which node: "at CLIENT=NODE ..."
//	kill N    kill -9 of a node: "killed N"
//	start N   start it again: "started N"
//
// Its first line is "ready BALANCER NODE NODE NODE", addresses all.
package main

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"tidegate/build/lab/balancer"
	"tidegate/build/lab/cloud"
)

func main() {
	kind := flag.String("cloud", "rabbitmq", "the kind of cloud: "+strings.Join(cloud.Kinds(), ", "))
	front := flag.String("balancer", "haproxy", "the kind of load balancer: "+strings.Join(balancer.Kinds(), ", "))
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *kind, *front); err != nil {
		fmt.Fprintln(os.Stderr, "cluster:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, kind, front string) error {
	dir, err := os.MkdirTemp("", "tidegate-cluster-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil { // a node may run as another user
		return err
	}
	c, err := cloud.Open(ctx, kind, dir, nil)
	if err != nil {
		return err
	}
	defer c.Close()
	b, err := balancer.Start(ctx, front, c.Addrs(), balancer.Options{Proxy: c.Proxied})
	if err != nil {
		return err
	}
	defer b.Close()
	fmt.Println("ready", b.Addr, strings.Join(c.Addrs(), " "))
	lines := make(chan string)
	go func() {
		defer close(lines)
		for in := bufio.NewScanner(os.Stdin); in.Scan(); {
			lines <- in.Text()
		}
	}()
	for {
		select {
		case line, ok := <-lines:
			if !ok {
				return nil
			}
			if err := obey(ctx, c, b, line); err != nil {
				return err
			}
		case <-ctx.Done():
			return nil
		}
	}
}

func obey(ctx context.Context, c *cloud.Cloud, b *balancer.Balancer, line string) error {
	word, rest, _ := strings.Cut(line, " ")
	if word == "at" {
		table, err := b.Table()
		if err != nil {
			return err
		}
		fmt.Print("at")
		for _, client := range slices.Sorted(maps.Keys(table)) {
			fmt.Printf(" %s=%d", client, table[client])
		}
		fmt.Println()
		return nil
	}
	n, err := strconv.Atoi(rest)
	if err != nil || n < 0 || n >= len(c.Nodes) {
		return fmt.Errorf("%q names no node", line)
	}
	switch word {
	case "kill":
		c.Nodes[n].Kill()
		fmt.Println("killed", n)
	case "start":
		if err := c.Nodes[n].Start(ctx); err != nil {
			return err
		}
		fmt.Println("started", n)
	default:
		return fmt.Errorf("%q is no command", line)
	}
	return nil
}
