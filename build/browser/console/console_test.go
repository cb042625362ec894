// Package console tests the gateway's page as a person uses it: in Chromium,
// served by the real gateway, with real devices and a real cloud.
package console

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"tidegate/build/browser/chrome"
	"tidegate/build/browser/house"
)

var (
	browser *chrome.Browser // of all tests
	program string          // of the gateway
)

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "tidegate-console-")
		if err == nil {
			defer os.RemoveAll(dir)
			program, err = house.Build(dir)
		}
		if err == nil {
			browser, err = chrome.Start()
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer browser.Close()
		return m.Run()
	}())
}

// Views in which every page must be right.
var views = []chrome.View{
	{Width: 1280, Height: 800}, {Width: 1280, Height: 800, Dark: true},
	{Width: 360, Height: 740}, {Width: 360, Height: 740, Dark: true},
}

// pages by the name in their address.
var pages = []string{"now", "devices", "topics", "uplink", "sensors", "settings", "log"}

const (
	admin   = "admin"
	secret  = "tide and gate" // of the users of these tests
	watcher = "grandma"       // may look only
)

// people are users of the console and of the broker.
const people = `
[[user]]
name = "admin"
password = "plain:tide and gate"
console = "admin"
publish = ["#"]
subscribe = ["#"]

[[user]]
name = "grandma"
password = "plain:tide and gate"
console = "read"

[anonymous]
publish = ["home/#"]
subscribe = ["home/#"]
`

const consoleSection = `
[console]
bind = "CONSOLE"
`

// inhabited is a house with sensors, a cloud, and routes to it.
func inhabited(t *testing.T, cloud *house.Cloud, more ...string) *house.House {
	t.Helper()
	return house.New(t, house.Config{Program: program, Users: people, More: consoleSection + strings.Join(more, "") + `
[[uplink]]
name = "cloud"
endpoints = ` + cloud.Endpoints() + `
cluster = false
stable-after = "2s"
up = [{filter = "home/#", add = "houses/17/"}, {filter = "sensors/#", add = "houses/17/"}]
down = [{filter = "houses/17/commands/#", strip = "houses/17/"}]

[[hw.sensor]]
kind = "simulated"
name = "living-room"
unit = "°C"
wave = "sine"
low = 19.5
high = 23.0
period = "2m"
every = "1s"

[[hw.sensor]]
kind = "simulated"
name = "cellar"
unit = "%"
wave = "triangle"
low = 40.0
high = 65.0
period = "3m"
every = "1s"

[[hw.sensor]]
kind = "pi"
name = "pi"
every = "5s"

[[hw.actuator]]
kind = "simulated"
name = "fan"
`})
}

// login opens the console as somebody.
func login(t *testing.T, h *house.House, v chrome.View, user string) *chrome.Page {
	t.Helper()
	p := browser.Open(t, v)
	p.Go("http://" + h.Console + "/")
	enter(p, user, secret)
	p.Find("heading", "^Now$")
	return p
}

func enter(p *chrome.Page, user, password string) {
	p.Fill("textbox", "^Name$", user)
	p.Fill("textbox", "^Password$", password)
	p.Click("button", "^Log in$")
}
