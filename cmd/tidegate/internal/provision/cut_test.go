package provision

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

var errCut = errors.New("the power is gone")

// cutAfter lets n changes happen and none after.
func cutAfter(n int, steps *int) func(what, path string) error {
	return func(_, path string) error {
		*steps++
		if *steps > n {
			return errCut
		}
		return nil
	}
}

// everything is a boot partition with a file of each kind.
func everything(t *testing.T) *place {
	p := newPlace(t)
	p.write("boot/tidegate.toml", cloud)
	p.write("boot/cloud-password", "hush-hush\n")
	p.write("boot/wifi.txt", "country=DE\nssid=home\npassword=correct horse\n")
	p.write("boot/hostname.txt", "pump-house\n")
	p.write("boot/authorized_keys", aKey+"\n")
	p.write("boot/devices.txt", "hall-lamp = a long secret\nmeter\n")
	p.write("boot/admin-password.txt", "my own password\n")
	return p
}

var plainSecrets = []string{"hush-hush", "correct horse", "a long secret", "my own password"}

// What is chosen by chance differs between two runs; where it is and what it
// looks like does not.
var chance = regexp.MustCompile(`(?s)tidegate-[2-9a-z]{6}|-----BEGIN.*-----END [A-Z ]+-----|\$tg-fast\$[^"]*|[0-9a-f]{32}|[A-Z2-7]{32}|([0-9A-F]{2}:){15}[0-9A-F]{2}|SHA256:[A-Za-z0-9+/]+|([2-9a-z]{5}-){3}[2-9a-z]{5}`)

func (p *place) shape() map[string]string {
	shape := map[string]string{}
	for name, text := range p.all(".") {
		switch {
		case name == "boot/"+reportFile:
			text = strings.Join(toldNames(text), ",") // what was done differs: some of it was done before
		case strings.HasPrefix(name, "root/"):
			continue
		}
		shape[name] = chance.ReplaceAllString(text, "*")
	}
	return shape
}

func toldNames(report string) (names []string) {
	for _, t := range toldIn(report) {
		names = append(names, t.Name)
	}
	slices.Sort(names)
	return names
}

// cutEverywhere runs with a cut after each step, then again whole; then all must
// be as if there had been no cut, and no secret lost or left in any run.
func cutEverywhere(t *testing.T, make func(t *testing.T) *place, inspect func(t *testing.T, p *place)) {
	whole, steps := make(t), 0
	whole.opt.before = cutAfter(1<<30, &steps)
	whole.run()
	want := whole.shape()
	if steps < 20 {
		t.Fatalf("got %d steps, want more to cut at", steps)
	}
	for n := range steps {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			p, done := make(t), 0
			p.opt.before = cutAfter(n, &done)
			if _, err := Run(p.opt); err == nil && done > n {
				t.Error("a cut run ended well")
			}
			if inspect != nil {
				inspect(t, p)
			}
			p.opt.before = nil
			out := p.run()
			if worst(out.Found) != 0 {
				t.Errorf("after the cut: got %v", out.Found)
			}
			got := p.shape()
			if !maps.Equal(got, want) {
				for name := range want {
					if got[name] != want[name] {
						t.Errorf("%s: got %q, want %q", name, got[name], want[name])
					}
					delete(got, name)
				}
				for name := range got {
					t.Errorf("%s is left over", name)
				}
			}
			for name, text := range p.all("boot") {
				for _, secret := range plainSecrets {
					if strings.Contains(text, secret) {
						t.Errorf("%s has the secret %q", name, secret)
					}
				}
			}
		})
	}
}

func TestPowerCutAtEveryStepOfTheFirstBoot(t *testing.T) {
	cutEverywhere(t, everything, func(t *testing.T, p *place) {
		// Wherever the cut was, the password of the cloud is somewhere whole.
		all := p.all(".")
		if !slices.ContainsFunc(slices.Collect(maps.Values(all)), func(s string) bool { return s == "hush-hush\n" }) {
			t.Errorf("the cloud's password is lost: %v", slices.Sorted(maps.Keys(all)))
		}
	})
}

// A second configuration replaces the first whole: never one's file with the
// other's.
func TestPowerCutAtEveryStepOfAChange(t *testing.T) {
	cutEverywhere(t, func(t *testing.T) *place {
		p := everything(t)
		p.run()
		p.write("boot/tidegate.toml", cloud+"# second\n")
		p.write("boot/cloud-password", "second\n")
		return p
	}, func(t *testing.T, p *place) {
		second := strings.Contains(p.read("data/config/tidegate.toml"), "second")
		if second && p.read("data/config/cloud-password") != "second\n" && !p.has("data/"+commitFile) {
			t.Error("the new configuration with the old password, and nobody who knows")
		}
	})
}

func TestPowerCutAtEveryStepOfAReset(t *testing.T) {
	identities := map[string]bool{}
	cutEverywhere(t, func(t *testing.T) *place {
		p := everything(t)
		before := p.run()
		identities[before.ID] = true
		p.write("data/tidegate/edge.db", "retained")
		p.write("data/tidegate/users.toml", "hashes")
		p.write("boot/factory-reset", "")
		return p
	}, nil)
	p := everything(t)
	before := p.run()
	for _, name := range []string{"edge.db", "users.toml", "administrator"} {
		p.write("data/tidegate/"+name, "of the gateway of before")
	}
	p.write("boot/factory-reset.txt", "please\r\n")
	out := p.run()
	if out.ID == before.ID || p.has("data/tidegate/edge.db") || p.has("data/tidegate/users.toml") || p.has("data/tidegate/administrator") || p.has("boot/factory-reset.txt") || !out.Reset || out.SSH != "" || out.Wifi != nil {
		t.Errorf("got %+v, want another gateway", out)
	}
	if got := p.read("boot/tidegate.toml"); got != windowsLines(string(standard)) {
		t.Errorf("got %q, want the standard configuration on the boot partition", got)
	}
	p.wants("Factory reset (the file factory-reset.txt)", "admin            has the password")
	if out := p.run(); out.Reset {
		t.Error("reset again")
	}
}

// A wish that cannot be taken away is obeyed once.
func TestResetFileThatStays(t *testing.T) {
	p := everything(t)
	p.run()
	p.write("boot/factory-reset", "")
	p.opt.before = func(what, path string) error {
		if what == "remove" && strings.HasSuffix(path, resetFile) {
			return errors.New("read-only")
		}
		return nil
	}
	first, second := p.run(), p.run()
	if first.ID != second.ID || !first.Reset || second.Reset {
		t.Errorf("got %s and %s, want one reset", first.ID, second.ID)
	}
	p.wants("was obeyed already")
	p.remove("boot/factory-reset")
	p.run()
	p.write("boot/factory-reset", "")
	if third := p.run(); !third.Reset {
		t.Error("a new wish was not obeyed")
	}
}

// What the user puts there together with the wish is for the new gateway.
func TestResetKeepsWhatIsNew(t *testing.T) {
	p := everything(t)
	p.run()
	p.write("boot/factory-reset", "")
	p.write("boot/hostname.txt", "greenhouse\n")
	p.write("boot/wifi.txt", "country=DE\nssid=other\npassword=12345678\n")
	out := p.run()
	if out.Host != "greenhouse" || out.Wifi == nil || out.Wifi.SSID != "other" {
		t.Errorf("got %+v, want the new name and Wi-Fi", out)
	}
}

func TestResetByLine(t *testing.T) {
	p := newPlace(t)
	p.write("boot/tidegate.toml", "[gateway]\nreset-line = 'GPIO21'\n[[edge.listener]]\nbind=':1'\nanonymous=true\n")
	held := false
	p.opt.LineHeld = func(line string, _ time.Duration) (bool, error) { return held && line == "GPIO21", nil }
	first := p.run()
	second := p.run()
	held = true
	third := p.run()
	if first.ID != second.ID || third.ID == first.ID || !third.Reset {
		t.Errorf("got %s, %s, %s, want the third to be new", first.ID, second.ID, third.ID)
	}
}
