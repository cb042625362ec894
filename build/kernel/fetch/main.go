// Command fetch downloads and builds the kernel that the tests of build/kernel
// boot, unless this machine has it already.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"

	"tidegate/build/kernel"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if _, err := kernel.Fetch(ctx, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
