package main

import (
	"fmt"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
)

// A reload switches the page off and on; the home notices nothing.
func TestReloadSwitchesThePage(t *testing.T) {
	file, dir := house(t, openHouse+watched)
	g := startGateway(t, file, dir)
	page := g.page()
	if code, body := get(t, page+"/"); code != http.StatusOK || !strings.Contains(body, "<title>Tidegate</title>") {
		t.Fatalf("got %d %s", code, body)
	}
	home := subscribe(t, g.port(), "#")
	with := func(bind string) {
		configure(t, file, fmt.Sprintf("[gateway]\nid = \"house\"\ndata-dir = %q\n%s[console]\nbind = %q\n", dir, openHouse, bind))
		g.signal(syscall.SIGHUP)
	}
	with("")
	address := strings.TrimPrefix(page, "http://")
	eventually(t, func() bool { return !listens(address) }, func() string { return "the page is still there:\n" + g.out.String() })
	with(address)
	eventually(t, func() bool { return listens(address) }, func() string { return "the page does not come back:\n" + g.out.String() })
	publish(t, g.port(), "a", []string{"still here"})
	home.says(`got a still here`)
}

func listens(address string) bool {
	c, err := net.Dial("tcp", address)
	if err != nil {
		return false
	}
	return c.Close() == nil
}

// A page that cannot be had takes nothing down: neither a port that another
// program has, nor a certificate that is missing.
func TestHomeWorksWithoutThePage(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for name, c := range map[string]struct{ section, says string }{
		"port":        {fmt.Sprintf("bind = %q", taken.Addr()), `no console for now`},
		"certificate": {"bind = \"127.0.0.1:0\"\ncert = \"/nothing/cert.pem\"\nkey = \"/nothing/key.pem\"", `no console.*no such file`},
	} {
		t.Run(name, func(t *testing.T) {
			g := newHouse(t, openHouse+"\n[console]\n"+c.section+"\n")
			g.says(c.says)
			home := subscribe(t, g.port(), "#")
			publish(t, g.port(), "a", []string{"works"})
			home.says(`got a works`)
		})
	}
}
