package main

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"tidegate/internal/formats"
)

// Software meets a spool in a form that it does not read, serves the home
// beside it, and when software that reads it comes, all that waited goes up:
// what was set aside first, then what came meanwhile. So a downgrade, too,
// loses nothing.
func TestSpoolOfOtherSoftware(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, away, _ := net.SplitHostPort(l.Addr().String())
	l.Close()
	file, dir := outbound(t, away, "500ms", "50ms")
	lines := numbered(40)
	keep := func(lines []string) {
		t.Helper()
		g := startGateway(t, file, dir)
		publish(t, g.port(), "home/meter", lines)
		g.signal(syscall.SIGTERM)
		if code := g.exit(); code != exitOK {
			t.Fatalf("got exit code %d\n%s", code, g.out)
		}
	}
	keep(lines[:20])
	marker := filepath.Join(dir, "formats")
	if got, err := os.ReadFile(marker); err != nil || string(got) != "edge 1\nspool 1\n" {
		t.Fatalf("got %q, %v", got, err)
	}
	configure(t, marker, "edge 1\nspool 2\n") // as newer software would have left it
	keep(lines[20:])
	aside, err := filepath.Glob(filepath.Join(dir, "spool.format-2", "uplink-*", "*.spool"))
	if err != nil || len(aside) == 0 {
		t.Fatalf("got %q, %v set aside", aside, err)
	}

	// Newer software that wrote version 2 would read it; its rows are really of
	// version 1, so let it be that which waits.
	if err := os.Rename(filepath.Join(dir, "spool.format-2"), filepath.Join(dir, "spool.format-1")); err != nil {
		t.Fatal(err)
	}
	_, cloud := startCloud(t, "")
	up := subscribe(t, cloud, "home/#")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	configure(t, file, strings.ReplaceAll(string(text), ":"+away, ":"+cloud))
	startGateway(t, file, dir).says("are back")
	receivesAll(up, "home/meter", lines)
	last := -1
	for _, line := range lines {
		at := strings.Index(up.out.String(), "got home/meter "+line+"\n")
		if at < last {
			t.Errorf("%s came before the one before it\n%s", line, up.out)
		}
		last = at
	}
}

// The versions that this software says it writes are those of its stores.
func TestFormatsAreThoseOfTheStores(t *testing.T) {
	for _, st := range stores {
		if _, ok := formats.Ours()[st.Name]; !ok {
			t.Errorf("%s has no version", st.Name)
		}
	}
}
