// Package clients tests the broker with clients that browsers and their like
// have: MQTT.js in Chromium, and Node-RED.
package clients

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
		dir, err := os.MkdirTemp("", "tidegate-clients-")
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

// who may do what in these tests.
const users = `
[[user]]
name = "panel"
password = "plain:secret"
publish = ["home/#"]
subscribe = ["home/#"]
`

var panel = house.Login{User: "panel", Password: "secret"}
