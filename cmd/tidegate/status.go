package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// The status socket gives whoever connects one line of JSON at once and one
// every second, until they hang up:
//
//	socat - UNIX:/run/tidegate/status.sock | jq .
//
// It lies in the directory that systemd made for the run, else in the data
// directory.

const (
	statusName    = "status.sock"
	statusEvery   = time.Second
	statusReaders = 8
)

// statusPath is where the socket goes.
func statusPath(dataDir string) string {
	if dir := os.Getenv("RUNTIME_DIRECTORY"); dir != "" {
		return filepath.Join(dir, statusName)
	}
	return filepath.Join(dataDir, statusName)
}

// listenStatus binds the socket. One that a killed gateway left is taken away:
// the lock on the data directory says that it serves nobody.
func listenStatus(path string) (*net.UnixListener, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("status socket: %w", err)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("status socket: %w", err)
	}
	return l, os.Chmod(path, 0o660)
}

// serveStatus answers until ctx ends.
func serveStatus(ctx context.Context, l *net.UnixListener, now func() any) {
	var wg sync.WaitGroup
	defer wg.Wait()
	defer context.AfterFunc(ctx, func() { l.Close() })()
	places := make(chan struct{}, statusReaders)
	for {
		c, err := l.Accept()
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return
			}
			wait(ctx, statusEvery)
			continue
		}
		select {
		case places <- struct{}{}:
			wg.Go(func() { writeStatus(ctx, c, now); <-places })
		default:
			c.Close()
		}
	}
}

func writeStatus(ctx context.Context, c net.Conn, now func() any) {
	defer c.Close()
	enc := json.NewEncoder(c)
	for ctx.Err() == nil {
		c.SetWriteDeadline(time.Now().Add(statusEvery))
		if enc.Encode(now()) != nil {
			return
		}
		wait(ctx, statusEvery)
	}
}

// wait sleeps for d or until ctx ends.
func wait(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
