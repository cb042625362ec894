// Package console tests the gateway's page as a person uses it: in Chromium,
// served by the real gateway, with real devices and a real cloud.
package console

import (
	"fmt"
	"os"
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

const consoleSection = `
[console]
bind = "CONSOLE"
`
