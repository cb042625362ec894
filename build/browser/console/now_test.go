package console

import (
	"testing"

	"tidegate/build/browser/chrome"
	"tidegate/build/browser/house"
)

// What happens to the cloud is told on the open page in words, without a reload.
func TestLinkFailsUnderAPage(t *testing.T) {
	cloud := house.NewCloud(t)
	h := inhabited(t, cloud)
	house.NewFleet(t, h.MQTT, house.Login{}, 5).Talk(20)
	p := login(t, h, chrome.View{}, admin)
	p.Do("window.__same = true")
	p.Sees("(?i)all is well")
	p.Sees("(?i)flowing")

	cloud.Shut()
	p.Sees("(?i)storing|kept here|cannot be reached|away")
	p.SeesNo("(?i)all is well")
	accessible(t, p, "the cloud away")
	picture(t, p, "now-storing", views[0])

	cloud.Open()
	p.Sees("(?i)all is well")
	p.Sees("(?i)flowing")
	if !chrome.Eval[bool](p, "window.__same === true") {
		t.Error("the page was loaded again")
	}
}
