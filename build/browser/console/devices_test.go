package console

import (
	"testing"

	"tidegate/build/browser/chrome"
	"tidegate/build/browser/house"
)

// A device that is connected is found, shown with its subscription and its will,
// and disconnected.
func TestDisconnect(t *testing.T) {
	h := house.New(t, house.Config{Program: program, Users: people, More: consoleSection})
	fleet := house.NewFleet(t, h.MQTT, house.Login{}, 70)
	fleet.Publish()
	thermostat := house.Subscribe(t, h.MQTT, house.Login{}, "-i", "thermostat", "-V", "mqttv5", "-t", "home/thermostat/set", "-q", "1",
		"--will-topic", "home/thermostat/state", "--will-payload", "gone", "--will-qos", "1")
	p := login(t, h, chrome.View{}, admin)
	show(p, h, "devices")
	p.Sees("71 devices")
	p.Fill("searchbox", "^Search$", "thermo")
	p.Sees("1 device found")
	p.Click("link", "^thermostat$")
	p.Find("heading", "^thermostat$")
	p.Sees("home/thermostat/set")
	p.Sees("home/thermostat/state, QoS 1")
	p.Sees("MQTT 5")
	inViews(t, p, "device")
	p.Look(views[0])

	p.Forgive(`404 \(Not Found\) \(.*/devices/thermostat\)`) // it is gone, and the page says so
	watch := house.Subscribe(t, h.MQTT, house.Login{}, "-t", "home/thermostat/state", "-q", "1")
	p.Click("button", "^Disconnect$")
	p.Find("heading", "^Disconnect thermostat")
	accessible(t, p, "the question before a disconnect")
	p.ClickLast("button", "^Disconnect$")
	p.Sees("thermostat was disconnected")
	watch.Gets("home/thermostat/state 1 0 gone")
	thermostat.Kill()
	p.Sees("(?i)not connected|away")
}

// What a device has sent and been sent, and what waits for it while it is away, is
// what its clients know.
func TestDeviceNumbers(t *testing.T) {
	h := house.New(t, house.Config{Program: program, Users: people, More: consoleSection})
	house.NewFleet(t, h.MQTT, house.Login{}, 1).Publish()
	away := []string{"-i", "thermostat", "-V", "mqttv5", "-c", "-x", "3600", "-t", "home/thermostat/set", "-q", "1"}
	thermostat := house.Subscribe(t, h.MQTT, house.Login{}, away...)
	set := func(values ...string) {
		for _, v := range values {
			house.Pub(t, h.MQTT, house.Login{}, "-q", "1", "-t", "home/thermostat/set", "-m", v)
		}
	}
	set("20", "21")
	thermostat.Gets("home/thermostat/set 1 0 21")
	p := login(t, h, chrome.View{}, admin)
	show(p, h, "devices")
	p.Click("link", "^device-000$")
	p.Sees(`(?s)Messages from it\s+10\s+Messages to it\s+0\s+Waiting for it\s+nothing`)
	p.Click("link", "^All devices$")
	p.Click("link", "^thermostat$")
	p.Sees(`(?s)Messages from it\s+0\s+Messages to it\s+2\s+Waiting for it\s+nothing\s+Sent, not acknowledged\s+0\s+Dropped for it\s+none`)
	thermostat.Kill()
	p.Sees("(?s)away.*Away for")
	set("22", "23", "24")
	p.Sees(`(?s)Waiting for it\s+3 messages, \d+ B`)
	house.Subscribe(t, h.MQTT, house.Login{}, away...).Gets("home/thermostat/set 1 0 24")
	p.Sees(`(?s)Connected for.*Waiting for it\s+nothing`)
}
