//go:build image

package trial

import (
	"context"
	"flag"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"tidegate/build/image"
)

var (
	imageFile = flag.String("image", "", "the image to try; else one is made from the source")
	relay     = flag.String("relay", "", "copy between this program's standard input and output and that address, and nothing else")
	counted   = flag.Bool("counted", false, "the guest's time is counted by its instructions in every trial")
	measure   = flag.Duration("measure", 20*time.Minute, "how long the writes to the card are counted")
)

// folder holds the image, and is removed in the end.
var folder string

func TestMain(m *testing.M) {
	flag.Parse()
	if *relay != "" {
		pass(*relay)
		return
	}
	dir, err := os.MkdirTemp("", "trial-")
	if err != nil {
		panic(err)
	}
	folder = dir
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// pass is how the guest reaches a port of this machine: QEMU starts this program
// for each connection.
func pass(addr string) {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return
	}
	go func() {
		io.Copy(c, os.Stdin)
		c.(*net.TCPConn).CloseWrite()
	}()
	io.Copy(os.Stdout, c)
}

// theImage is made once.
var theImage = sync.OnceValues(func() (string, error) {
	if *imageFile != "" {
		return filepath.Abs(*imageFile)
	}
	return image.FromSource(context.Background(), "../../..", folder, "", os.Stderr)
})

// expected is how long a boot takes on two busy cores; time-outs are five times
// as long.
const expected = 3 * time.Minute

func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*expected)
	t.Cleanup(cancel)
	return ctx
}

// eventually waits until something is so.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for ctx := within(t); !is(); time.Sleep(500 * time.Millisecond) {
		if ctx.Err() != nil {
			t.Fatal("not so in time: " + what)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// shown puts text into the log, line by line.
func shown(t *testing.T, what, text string) {
	t.Helper()
	t.Logf("%s:\n%s", what, text)
}
