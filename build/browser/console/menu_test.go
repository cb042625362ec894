package console

import (
	"testing"

	"tidegate/build/browser/chrome"
	"tidegate/build/browser/house"
)

// On a telephone all pages are reached by the menu, which fits and closes behind
// who has chosen.
func TestMenuOnATelephone(t *testing.T) {
	h := inhabited(t, house.NewCloud(t))
	v := chrome.View{Width: 360, Height: 740}
	p := login(t, h, v, admin)
	for _, page := range pages {
		p.Click("button", "^Menu$")
		if page == pages[0] {
			fits(t, p, "the menu")
			accessible(t, p, "the menu")
			picture(t, p, "menu", v)
			if low := chrome.Eval[int](p, "Math.round(Math.max(...[...document.querySelectorAll('nav a')].map(a => a.getBoundingClientRect().bottom)) - innerHeight)"); low > 0 {
				t.Errorf("the menu ends %d pixels below the window", low)
			}
		}
		p.Click("link", "(?i)^"+page+"$")
		p.Find("heading", "(?i)^"+page+"$")
		p.Until("!document.getElementById('nav').classList.contains('open')")
	}
}
