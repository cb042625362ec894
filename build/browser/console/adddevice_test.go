package console

import (
	"bytes"
	"image/png"
	"os/exec"
	"strings"
	"testing"

	"github.com/makiuchi-d/gozxing"
	"github.com/makiuchi-d/gozxing/qrcode"

	"tidegate/build/browser/chrome"
	"tidegate/build/browser/house"
)

// nobodyElse are people of a house where devices need a password.
const nobodyElse = `
[[user]]
name = "admin"
password = "plain:tide and gate"
console = "admin"
publish = ["#"]
subscribe = ["#"]
`

// A device is added on the page: its password is there as text and as a code, and
// the line for mosquitto_pub, run as it stands, works. Another password ends the
// first; removed, the device is cut off and stays out.
func TestAddADevice(t *testing.T) {
	h := house.New(t, house.Config{Program: program, Users: nobodyElse, More: consoleSection})
	p := login(t, h, chrome.View{}, admin)
	show(p, h, "devices")
	p.Click("link", "^Add a device$")
	p.Fill("textbox", "^Name$", "hall-lamp")
	inViews(t, p, "add-device")
	p.Look(views[0])
	p.Click("button", "^Add the device$")
	p.Find("heading", "hall-lamp may connect now")
	p.Find("image", "(?i)QR code")
	inViews(t, p, "added-device")
	p.Look(views[0])
	password := shownPassword(p)
	if len(password) < 20 {
		t.Errorf("the password is %q, want one that cannot be guessed", password)
	}
	if got := scanned(t, p); got != password {
		t.Errorf("a telephone reads %q, want %q", got, password)
	}

	for _, kind := range []string{"ESPHome", "Tasmota", "Shelly", "Zigbee2MQTT", "mosquitto_pub"} {
		if line := lines(p, kind); !strings.Contains(line, password) || !strings.Contains(line, "hall-lamp") {
			t.Errorf("the lines for %s lack name or password: %s", kind, line)
		}
	}
	sub := house.Subscribe(t, h.MQTT, house.Login{User: admin, Password: secret}, "-t", "home/#", "-q", "1")
	line := lines(p, "mosquitto_pub")
	if out, err := exec.Command("sh", "-c", line).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", line, err, out)
	}
	sub.Gets("home/hall-lamp/test 1 0 hello")

	showUsers(p)
	p.Click("button", "^New password$")
	p.Click("button", "^Make a new password$")
	p.Find("heading", "The new password of hall-lamp")
	accessible(t, p, "a new password")
	second := shownPassword(p)
	p.Click("button", "^I have it$")
	lamp := house.Login{User: "hall-lamp", Password: second}
	house.Pub(t, h.MQTT, lamp, "-t", "home/hall-lamp/state", "-q", "1", "-m", "on")
	sub.Gets("home/hall-lamp/state 1 0 on")
	if out, err := house.TryPub(h.MQTT, house.Login{User: "hall-lamp", Password: password}, "-t", "home/hall-lamp/state", "-q", "1", "-m", "old"); err == nil {
		t.Errorf("the first password still works: %s", out)
	}

	inViews(t, p, "users")
	p.Look(views[0])
	p.Click("button", "^Remove$")
	p.Find("heading", "Remove hall-lamp")
	p.ClickLast("button", "^Remove$")
	p.Sees("hall-lamp was removed")
	if out, err := house.TryPub(h.MQTT, lamp, "-t", "home/hall-lamp/state", "-q", "1", "-m", "removed"); err == nil {
		t.Errorf("a removed device comes in: %s", out)
	}
}

// What a device may do is changed on the page: what it could not before it can at
// once, and what it could no more. Who writes nonsense is told what is wrong, and
// nothing typed is lost.
func TestPermitADevice(t *testing.T) {
	h := house.New(t, house.Config{Program: program, Users: nobodyElse, More: consoleSection})
	p := login(t, h, chrome.View{}, admin)
	p.Forgive(`400 \(.*\) \(.*/api/v1/users/pump\)`)
	show(p, h, "devices")
	p.Click("link", "^Add a device$")
	for name, good := range map[string]bool{"-pump": false, ".pump": false, "_pump": false, "pump room": false, "Pump.2_": true, "2": true, strings.Repeat("p", 33): false} {
		p.Fill("textbox", "^Name$", name)
		if got := chrome.Eval[bool](p, "document.querySelector('#name').checkValidity()"); got != good && len(name) <= 32 {
			t.Errorf("name %q: got %v, want %v", name, got, good)
		}
	}
	p.Fill("textbox", "^Name$", "pump")
	p.Click("button", "^Add the device$")
	p.Find("heading", "pump may connect now")
	pump := house.Login{User: "pump", Password: shownPassword(p)}
	may := func(topic string) bool {
		t.Helper()
		out, err := house.TryPub(h.MQTT, pump, "-V", "5", "-t", topic, "-q", "1", "-m", "x")
		refused := strings.Contains(out, "Not authorized")
		if err != nil && !refused {
			t.Fatalf("%v: %s", err, out)
		}
		return !refused
	}
	if !may("home/pump/state") || may("garden/pump") {
		t.Error("at first: want its own topics alone")
	}
	showUsers(p)
	p.Click("button", "^What it may do$")
	p.Find("heading", "^Change what pump may do$")
	if got := chrome.Eval[string](p, "document.querySelector('dialog :checked').value"); got != "own" {
		t.Errorf("chosen is %q, want own", got)
	}
	p.Click("radio", "^What I write here")
	inViews(t, p, "permit")
	p.Look(views[0])
	p.Fill("textbox", "^May publish to", "garden/#/wrong")
	p.Click("button", "^Change it$")
	p.Sees("that is no topic filter. Write topics such as")
	p.Fill("textbox", "^May publish to", "garden/#")
	p.Click("button", "^Change it$")
	p.Sees("Publishes garden/#")
	if may("home/pump/state") || !may("garden/pump") {
		t.Error("at last: want the garden alone")
	}

	p.Click("button", "^What it may do$")
	if got := chrome.Eval[string](p, "document.querySelector('dialog #publish').value"); got != "garden/#" {
		t.Errorf("the dialog has %q, want what it may now", got)
	}
	p.Click("button", "^Cancel$")
	p.Gone("heading", "^Change what pump may do$")
}

// Who makes a mistake is told what is wrong, and what to do; who adds a device
// where none needs a password, that this is still so.
func TestAddADeviceToAnOpenHouse(t *testing.T) {
	h := house.New(t, house.Config{Program: program, Users: people, More: consoleSection})
	p := login(t, h, chrome.View{}, admin)
	p.Forgive(`(409|400) \(.*\) \(.*/api/v1/users\)`)
	show(p, h, "devices")
	p.Click("link", "^Add a device$")
	p.Fill("textbox", "^Name$", watcher)
	p.Click("button", "^Add the device$")
	p.Sees("There is a user grandma already. Take another name")
	p.Fill("textbox", "^Name$", "display")
	p.Click("radio", "^What I write here")
	p.Fill("textbox", "^May subscribe to$", "home/#/wrong")
	p.Click("button", "^Add the device$")
	p.Sees("that is no topic filter. Write topics such as")
	p.Fill("textbox", "^May subscribe to$", "home/#")
	p.Click("button", "^Add the device$")
	p.Find("heading", "display may connect now")
	p.Sees("Devices without a password still come in")
	house.Subscribe(t, h.MQTT, house.Login{User: "display", Password: shownPassword(p)}, "-t", "home/#", "-q", "1")

	looks := login(t, h, chrome.View{}, watcher)
	show(looks, h, "devices")
	looks.Do(`document.querySelector('details').open = true`)
	looks.Sees("display")
	for _, what := range []string{"^Add a device$", "^Remove$", "^New password$", "^What it may do$"} {
		if found := append(looks.All("button", what), looks.All("link", what)...); len(found) > 0 {
			t.Errorf("who may look only is offered %v", found)
		}
	}
}

// showUsers goes from a device that was added to the list of all.
func showUsers(p *chrome.Page) {
	p.Click("link", "^Done, I have the password$")
	p.Find("link", "^Add a device$")
	p.Do(`document.querySelector('details').open = true`)
}

// lines are what the page tells to write into a kind of device.
func lines(p *chrome.Page, kind string) string {
	p.Choose("Kind of device", kind)
	return chrome.Eval[string](p, "document.querySelector('pre').textContent")
}

func shownPassword(p *chrome.Page) string {
	return chrome.Eval[string](p, "document.querySelector('.secret .password').textContent")
}

// scanned is what a telephone reads off the screen.
func scanned(t *testing.T, p *chrome.Page) string {
	t.Helper()
	p.Do(`document.querySelector('.secret svg').scrollIntoView({ block: 'center' })`)
	seen, err := png.Decode(bytes.NewReader(p.Screenshot(false)))
	if err != nil {
		t.Fatal(err)
	}
	bits, err := gozxing.NewBinaryBitmapFromImage(seen)
	if err != nil {
		t.Fatal(err)
	}
	code, err := qrcode.NewQRCodeReader().Decode(bits, map[gozxing.DecodeHintType]any{gozxing.DecodeHintType_TRY_HARDER: true})
	if err != nil {
		t.Fatalf("no code can be read off the screen: %v", err)
	}
	return code.GetText()
}
