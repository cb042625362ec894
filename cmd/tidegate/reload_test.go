package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestReloadAppliesWhatChanged(t *testing.T) {
	file, dir := house(t, openHouse)
	g := startGateway(t, file, dir)
	home := subscribe(t, g.port(), "#")
	good := func(more string) string {
		return fmt.Sprintf("[gateway]\nid = \"house\"\ndata-dir = %q\n%s%s", dir, more, openHouse+noPage)
	}
	configure(t, file, good("")+"[[hw.sensor]]\nkind = \"simulated\"\nname = \"attic\"\nevery = \"20ms\"\n")
	g.signal(syscall.SIGHUP)
	g.says(`msg=reloaded`)
	home.says(`got simulated/attic {"value":0,"unit":"°C","simulated":true}`) // and still connected

	configure(t, file, good("log-level = \"loud\"\ncolour = 1\n"))
	g.signal(syscall.SIGHUP)
	g.says(`line=4 problem=.*log-level`)
	g.says(`line=5 problem=.*colour`)
	g.says(`nothing changed`)

	configure(t, file, good("log-format = \"json\"\n"))
	g.signal(syscall.SIGHUP)
	g.says(`take effect at the next start`)
	publish(t, g.port(), "a", []string{"still here"})
	home.says(`got a still here`)
}

// A reload moves the links to another cloud while the home stays connected.
func TestReloadMovesTheUplink(t *testing.T) {
	_, old := startCloud(t, "")
	_, next := startCloud(t, "")
	file, dir := house(t, openHouse+towards(old))
	g := startGateway(t, file, dir)
	up := subscribe(t, old, "houses/17/#")
	publish(t, g.port(), "home/a", []string{"before"})
	receivesAll(up, "houses/17/a", []string{"before"})

	up = subscribe(t, next, "houses/17/#")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	configure(t, file, strings.ReplaceAll(string(text), ":"+old, ":"+next))
	g.signal(syscall.SIGHUP)
	g.says(`msg=reloaded`)
	eventually(t, func() bool { // links roll one by one
		publish(t, g.port(), "home/a", []string{"after"})
		return strings.Contains(up.out.String(), "got houses/17/a after")
	}, func() string { return "the links did not move:\n" + g.out.String() })
}

func TestReloadReadsTheUsersFileAgain(t *testing.T) {
	users := filepath.Join(t.TempDir(), "users.toml")
	hash := strings.TrimSpace(printed(t, "secret\n", "passwd"))
	configure(t, users, "")
	file, dir := house(t, fmt.Sprintf("[edge.access]\nusers-file = %q\n[[edge.listener]]\nbind = \"127.0.0.1:0\"\n", users))
	g := startGateway(t, file, dir)
	configure(t, users, fmt.Sprintf("[[user]]\nname = \"anna\"\npassword = %q\npublish = [\"#\"]\n", hash))
	g.signal(syscall.SIGHUP)
	g.says(`msg=reloaded`)
	publish(t, g.port(), "a", []string{"x"}, "-u", "anna", "-P", "secret")
}
