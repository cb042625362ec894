package conformance

import (
	"context"

	"tidegate/edge"
)

// private runs an edge broker that lets nobody in without a password.
func private(x *exam, f func(address string)) {
	x.Helper()
	cfg := edge.DefaultConfig()
	cfg.Listeners = []edge.ListenerConfig{{Bind: "127.0.0.1:0"}}
	b, err := edge.New(cfg, edge.Options{})
	if err == nil {
		err = b.Listen()
	}
	if err != nil {
		x.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- b.Run(ctx) }()
	f(b.Addrs()[0].String())
	stop()
	if err := <-ended; err != nil {
		x.Error(err)
	}
}
