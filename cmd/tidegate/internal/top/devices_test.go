package top

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"

	"tidegate/cmd/tidegate/internal/control"
	"tidegate/edge"
)

// Whoever is busiest is shown, however many there are: the API gives a thousand at
// a time.
func TestAllDevicesAreAskedFor(t *testing.T) {
	const many = 2*devicesPage + 7
	api := control.New(control.Options{Clients: func() []edge.Client {
		all := make([]edge.Client, many)
		for i := range all {
			all[i].ID = fmt.Sprint("device-", i)
		}
		return all
	}})
	path := filepath.Join(t.TempDir(), control.SocketName)
	l, err := control.ListenSocket(path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- api.Serve(ctx, l) }()
	c, err := control.Dial(path)
	if err != nil {
		t.Fatal(err)
	}
	var got news
	if err := devices(ctx, c, func(n news) { got = n }); err != nil || len(got.devices) != many || got.devices[many-1].ClientID != fmt.Sprint("device-", many-1) {
		t.Errorf("got %d devices, %v, want %d", len(got.devices), err, many)
	}
	c.Close()
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
