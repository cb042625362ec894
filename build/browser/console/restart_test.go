package console

import (
	"testing"

	"tidegate/build/browser/chrome"
	"tidegate/build/browser/house"
)

// The gateway is started anew under an open page: the page says that it does not
// answer, then asks for the password, and goes on where it was.
func TestRestartUnderAPage(t *testing.T) {
	h := house.New(t, house.Config{Program: program, Users: people, More: consoleSection})
	p := login(t, h, chrome.View{}, admin)
	p.Forgive("ERR_CONNECTION|ERR_INCOMPLETE_CHUNKED|ERR_EMPTY_RESPONSE|" + refusedLogin)
	p.Click("link", "^Devices$")
	p.Find("heading", "^Devices$")
	h.Kill()
	p.Sees("(?i)does not answer")
	h.Start()
	p.SeesNo("(?i)does not answer")
	p.Until(`document.querySelector('input[type=password]') || document.querySelector('main h1')?.textContent === 'Devices'`)
	if len(p.All("button", "^Log in$")) > 0 {
		p.Sees("(?i)log-in has ended|started anew")
		enter(p, admin, secret)
	}
	p.Find("heading", "^Devices$")
	device := house.Subscribe(t, h.MQTT, house.Login{}, "-i", "after-the-restart", "-t", "home/lamp/set")
	p.Sees("after-the-restart")
	device.Kill()
}
