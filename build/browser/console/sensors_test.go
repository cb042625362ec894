package console

import (
	"fmt"
	"testing"

	"tidegate/build/browser/chrome"
	"tidegate/build/browser/house"
)

// wired is what is not there, and a pump that keeps its times.
const wired = `
[[hw.sensor]]
kind = "bme280"
name = "attic"
bus = "i2c-9999"

[[hw.actuator]]
kind = "relay"
name = "boiler"
line = "gpiochip99:0"

[[hw.actuator]]
kind = "simulated"
name = "pump"
min-off = "1h"
`

// inked counts the pixels of the first drawing that have a colour, within a little.
func inked(r, g, b int) string {
	return fmt.Sprintf(`(() => {
		const drawn = document.querySelector('.sensor canvas')
		const c = new OffscreenCanvas(drawn.width, drawn.height), at = c.getContext('2d', { willReadFrequently: true })
		at.drawImage(drawn, 0, 0)
		const d = at.getImageData(0, 0, c.width, c.height).data
		let n = 0
		for (let i = 0; i < d.length; i += 4) if (Math.abs(d[i] - %d) < 24 && Math.abs(d[i+1] - %d) < 24 && Math.abs(d[i+2] - %d) < 24 && d[i+3] > 200) n++
		return n
	})()`, r, g, b)
}

// What a sensor says is shown and drawn, in the colours of the day and the night
// and in any width; one that is not there says why.
func TestSensors(t *testing.T) {
	h := inhabited(t, house.NewCloud(t), wired)
	p := login(t, h, chrome.View{}, admin)
	p.Click("link", "^Sensors$")
	p.Sees(`(?s)living-room.*works.*\d °C`)
	p.Sees(`(?s)attic.*not there.*i2c-9999`)
	p.Until(drawn(2))
	p.Find("image", `^value of living-room\. Least [\d.]+ °C at \d\d:\d\d, most`)
	p.Click("button", "^15 min$")
	p.Until("document.querySelector('.sensor canvas').width > 300")
	light, dark := inked(0x0b, 0x6b, 0x7a), inked(0x55, 0xc6, 0xd6) // --line-0 of app.css
	p.Until(light + " > 3")
	p.Click("button", "^Make it dark$")
	p.Until(dark + " > 3 && " + light + " === 0")
	inViews(t, p, "sensors-wired")
	p.Until(`(() => { const c = document.querySelector('.sensor canvas'); return c.clientWidth <= innerWidth && c.clientWidth > 200 })()`)
}

// A switch shows what the actuator does, whoever commanded it, and not what was
// wished; what is not there cannot be switched, nor by who may look only.
func TestActuators(t *testing.T) {
	h := inhabited(t, house.NewCloud(t), wired)
	p := login(t, h, chrome.View{}, admin)
	p.Click("link", "^Sensors$")
	state := func(name, want string) {
		t.Helper()
		p.Until(fmt.Sprintf(`[...document.querySelectorAll('.actuator')].some(a => a.querySelector('h3').innerText === '%s' && a.querySelector('.state').innerText === '%s')`, name, want))
	}
	device := house.Subscribe(t, h.MQTT, house.Login{User: admin, Password: secret}, "-t", "simulated/fan/set")
	state("fan", "is off")
	p.Click("button", "^On: fan$")
	device.Gets("simulated/fan/set 0 0 ON")
	state("fan", "is on")
	p.Until(`document.querySelector('[aria-label="On: fan"]').getAttribute('aria-pressed') === 'true'`)
	p.Click("button", "^Toggle: fan$")
	state("fan", "is off")
	house.Pub(t, h.MQTT, house.Login{User: admin, Password: secret}, "-t", "simulated/fan/set", "-m", "ON")
	state("fan", "is on")

	p.Click("button", "^On: pump$")
	p.Sees("Asked for On, and it is off still")
	state("pump", "is off")

	p.Sees(`(?s)boiler.*not there.*gpiochip99`)
	for _, name := range []string{"On", "Off", "Toggle"} {
		if !p.Find("button", "^"+name+": boiler$").Disabled() {
			t.Errorf("%s of an actuator that is not there can be pressed", name)
		}
	}
	reader := login(t, h, chrome.View{}, watcher)
	reader.Click("link", "^Sensors$")
	reader.Sees("You may look only")
	for _, b := range reader.All("button", "^(On|Off|Toggle): ") {
		if !b.Disabled() {
			t.Errorf("who may look only is offered %v", b)
		}
	}
	p.Click("button", "^Off: fan$")
	reader.Until(`[...document.querySelectorAll('.actuator')].some(a => a.innerText.startsWith('fan') && a.querySelector('.state').innerText === 'is off')`)
}
