package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"tidegate/cmd/tidegate/internal/control"
)

// What the command says of a real gateway is what the API says.
func TestStatusCommand(t *testing.T) {
	_, port := startCloud(t, "")
	g := newHouse(t, openHouse+towards(port))
	c := g.ask()
	becomes(t, c, "well", func(s *control.Status) bool { return s.Uplinks[0].State == control.Flowing })
	code, out, errs := invoke(t, "status", "-config", g.file)
	if code != exitOK || errs != "" || !strings.Contains(out, "house") || !strings.Contains(out, "flowing: The cloud acknowledges what is sent") || strings.Contains(out, "\x1b") {
		t.Errorf("got %d, %s\n%s\nwant all well", code, errs, out)
	}
	code, out, _ = invoke(t, "status", "-socket", filepath.Join(g.dir, control.SocketName), "-json")
	var s control.Status
	if err := json.Unmarshal([]byte(out), &s); err != nil || code != exitOK || s.Gateway != "house" || len(s.Uplinks) != 1 {
		t.Errorf("got %d, %v, %s; want the API's answer", code, err, out)
	}
}

// It goes on over a restart of the gateway, and ends when it is told to.
func TestStatusWatched(t *testing.T) {
	g := newHouse(t, openHouse)
	p := run(t, nil, program, "status", "-config", g.file, "-watch")
	p.says(`(?s)home  .*home  `)
	g.signal(os.Interrupt)
	g.exit()
	p.says(`the gateway does not run`)
	startGateway(t, g.file, g.dir)
	eventually(t, func() bool { return !strings.Contains(last(p.out.String(), 200), "does not run") }, p.out.String)
	p.signal(syscall.SIGTERM)
	if code := p.exit(); code != exitOK {
		t.Errorf("got exit code %d, want 0:\n%s", code, p.out)
	}
}

func last(s string, n int) string { return s[max(len(s)-n, 0):] }

func TestStatusOfNobody(t *testing.T) {
	file, _ := house(t, openHouse)
	if code, _, errs := invoke(t, "status", "-config", file); code != exitUsage || !strings.Contains(errs, "systemctl start tidegate") {
		t.Errorf("got %d, %q; want what to do", code, errs)
	}
}

// Somebody who may not use the socket is told who may.
func TestStatusNotAllowed(t *testing.T) {
	g := newHouse(t, openHouse)
	socket := filepath.Join(g.dir, control.SocketName)
	if err := os.Chmod(socket, 0); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("setpriv", "--bounding-set", "-all", program, "status", "-socket", socket) // root without its powers
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "use sudo, or join its group") {
		t.Errorf("got %v, %s; want to be told who may", err, out)
	}
}
