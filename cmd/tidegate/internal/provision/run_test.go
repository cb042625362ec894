package provision

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

const cloud = `
[[edge.listener]]
bind = ":1883"
[edge.access]
users-file = "/data/identity/users.toml"
[[uplink]]
password-file = "/etc/tidegate/cloud-password"
`

const aKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDRdgVgAdbhPGc2uxkRQCb1Yb7bWVXGcf9wE8yRe8mQ1 me@home"

func TestFirstBootWithoutAnything(t *testing.T) {
	p := newPlace(t)
	out := p.run()
	if !strings.HasPrefix(out.ID, "tidegate-") || len(out.ID) != 15 {
		t.Errorf("id: got %q", out.ID)
	}
	if len(out.Found) > 0 {
		t.Errorf("got %v, want nothing to put right", out.Found)
	}
	if got := p.read("data/config/tidegate.toml"); got != string(standard) {
		t.Errorf("configuration: got %q, want the standard one", got)
	}
	p.wants("All is well", out.ID+".local", "admin            has the password", "port 8883, TLS", "SSH is off", out.CA[:48])
	passwords := toldIn(p.read("boot/" + reportFile))
	if len(passwords) != 1 || p.has("data/"+tellFile) || strings.Contains(p.read("data/"+usersFile), passwords[0].Password) {
		t.Errorf("got passwords %v, want one, and no copy of it", passwords)
	}
	before := p.all("data")
	again := p.run()
	if after := p.all("data"); !maps.Equal(before, after) || again.ID != out.ID {
		t.Errorf("a second start changed something:\n%v\n%v", before, after)
	}
	if got := toldIn(p.read("boot/" + reportFile)); !slices.Equal(got, passwords) {
		t.Errorf("second report: got passwords %v, want %v", got, passwords)
	}
	if got, want := p.read("root/sys/class/leds/ACT/trigger"), "none timer [mmc0] pattern"; got != want {
		t.Errorf("LED: got %q, want it left alone", got)
	}
}

func TestEverythingFromTheBootPartition(t *testing.T) {
	p := newPlace(t)
	p.write("boot/tidegate.toml", strings.ReplaceAll(cloud, "\n", "\r\n"))
	p.write("boot/Cloud-Password.txt", "hush-hush\r\n")
	p.write("boot/wifi.txt", "\ufeffcountry = de\r\nssid = Our Home\r\npassword = correct horse\r\n")
	p.write("boot/hostname.txt", "Pump-House\r\n")
	p.write("boot/authorized_keys", "# mine\n"+aKey+"\n")
	p.write("boot/devices.txt", "hall-lamp = a long secret\nmeter\n# said\n")
	p.write("boot/admin-password.txt", "my own password\n")
	p.write("boot/._tidegate.toml", "\x00\x05\x16\x07")
	out := p.run()
	if len(out.Found) > 0 {
		t.Errorf("got %v, want nothing to put right", out.Found)
	}
	for name, want := range map[string]string{
		"data/config/cloud-password": "hush-hush\n", "data/system/hostname": "pump-house\n", "data/system/ssh/authorized_keys": aKey + "\n",
	} {
		if got := p.read(name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
		if info, err := os.Stat(filepath.Join(p.dir, name)); err != nil || info.Mode().Perm()&0o077 != 0 && name != "data/system/hostname" {
			t.Errorf("%s: got mode %v, %v, want it to be nobody else's", name, info.Mode(), err)
		}
	}
	if got := p.read("data/system/wifi/wpa_supplicant-wlan0.conf"); !strings.Contains(got, "country=DE\n") || !strings.Contains(got, "ssid=4f757220486f6d65\n") ||
		len(storedSecret(got)) != 64 || strings.Contains(got, "correct") {
		t.Errorf("wpa_supplicant: got %s", got)
	}
	for name, text := range p.all("boot") {
		for _, secret := range plainSecrets {
			if strings.Contains(text, secret) {
				t.Errorf("%s still has %q in it", name, secret)
			}
		}
	}
	p.wants("pump-house.local", "SSH is on, for one key; log in as root", "meter            has the password", "hall-lamp may connect", `joins the Wi-Fi "Our Home"`)
	if users, err := parseUsers([]byte(p.read("data/" + usersFile))); err != nil || len(users) != 3 {
		t.Errorf("users: got %v, %v, want three", users, err)
	}
	p.remove("boot/authorized_keys")
	if out := p.run(); out.SSH != "" || p.has("data/system/ssh/authorized_keys") || out.Wifi == nil || out.Wifi.SSID != "Our Home" {
		t.Errorf("without authorized_keys: got %+v, want SSH off and Wi-Fi as it was", out)
	}
}

// A bad file never replaces a good one.
func TestLastGoodConfiguration(t *testing.T) {
	p := newPlace(t)
	p.write("boot/tidegate.toml", cloud)
	p.write("boot/cloud-password", "first\n")
	p.run()
	p.write("boot/tidegate.toml", "colour = 'blue'\n"+cloud)
	out := p.run()
	if got := p.read("data/config/tidegate.toml"); got != cloud {
		t.Errorf("got %q, want the good one", got)
	}
	p.wants("PLEASE PUT RIGHT", "tidegate.toml:1: colour: must be a key that exists", "last good configuration stays")
	if got, want := worst(out.Found), codeConfig; got != want {
		t.Errorf("LED: got %d, want %d", got, want)
	}
	if got, want := p.read("root/sys/class/leds/ACT/pattern"), pattern(2); got != want {
		t.Errorf("LED: got %q, want %q", got, want)
	}
	p.write("boot/cloud-password", "second\n") // while the other file is still wrong
	p.run()
	if got := p.read("data/config/cloud-password"); got != "second\n" || p.has("boot/cloud-password") {
		t.Errorf("got %q, want the new password beside the old configuration", got)
	}
	p.write("boot/tidegate.toml", cloud+"# right again\n")
	if out := p.run(); worst(out.Found) != 0 || !strings.Contains(p.read("data/config/tidegate.toml"), "right again") {
		t.Errorf("got %v, want the corrected file in use", out.Found)
	}
}

// A secret that comes before the configuration that names it waits, and is not
// lost.
func TestSecretWaitsForItsConfiguration(t *testing.T) {
	p := newPlace(t)
	p.write("boot/cloud-password", "early\n")
	p.write("boot/tidegate.toml", "colour = 1")
	p.run()
	p.wants("tidegate.toml:1:", "cloud-password: was moved into the gateway", "cloud-password: is kept in the gateway, but nothing uses it")
	if p.has("boot/cloud-password") || p.read("data/config/tidegate.toml") != string(standard) {
		t.Error("want the password taken and the standard configuration in use")
	}
	p.write("boot/tidegate.toml", cloud+"[[edge.listener]]\ncert='/etc/tidegate/none.pem'\nkey='/etc/tidegate/none.key'")
	p.run()
	p.wants("none.pem", "cloud-password: is kept in the gateway, and comes into use with")
	p.write("boot/tidegate.toml", cloud)
	out := p.run()
	if got := p.read("data/config/cloud-password"); got != "early\n" || len(out.Found) > 0 {
		t.Errorf("got %q and %v, want the password in use", got, out.Found)
	}
}

func TestMissingFileOfConfiguration(t *testing.T) {
	p := newPlace(t)
	p.write("boot/tidegate.toml", cloud)
	p.run()
	p.wants(`uplink[0].password-file = "/etc/tidegate/cloud-password": there is no such file`, "put the file cloud-password on this partition")
	p.write("boot/tidegate.toml", strings.Replace(cloud, "/etc/tidegate/", "/boot/firmware/", 1))
	p.run()
	p.wants(`write "/etc/tidegate/cloud-password"`)
}

// Windows hides ".txt"; what was saved last is meant.
func TestHiddenTxt(t *testing.T) {
	p := newPlace(t)
	p.run()
	p.write("boot/tidegate.toml.txt", cloud)
	p.write("boot/cloud-password.txt", "x\n")
	p.run()
	if got := p.read("data/config/tidegate.toml"); got != cloud {
		t.Errorf("got %q, want tidegate.toml.txt", got)
	}
	p.wants("tidegate.toml: there is tidegate.toml.txt too, which is newer")
}

func TestNoBootPartition(t *testing.T) {
	p := newPlace(t)
	if err := os.RemoveAll(p.opt.Boot); err != nil {
		t.Fatal(err)
	}
	out, err := Run(p.opt)
	if err == nil || worst(out.Found) != codeBoot || p.read("data/config/tidegate.toml") != string(standard) {
		t.Errorf("got %v and %v, want a configured gateway that complains", err, out.Found)
	}
	if !p.has("data/" + tellFile) {
		t.Error("the password of admin is lost")
	}
	if err := os.Mkdir(p.opt.Boot, 0o755); err != nil {
		t.Fatal(err)
	}
	p.run()
	p.wants("admin            has the password")
	if p.has("data/" + tellFile) {
		t.Error("the password is kept though it was told")
	}
}

// What could not be stored was not made.
func TestNoDataPartition(t *testing.T) {
	for _, toml := range []string{"", cloud} {
		p := newPlace(t)
		if toml != "" {
			p.write("boot/tidegate.toml", toml)
			p.write("boot/cloud-password", "stay")
		}
		p.opt.Data += "/gone"
		out, err := Run(p.opt)
		if err != nil || !slices.ContainsFunc(out.Found, func(f Finding) bool { return f.File == "identity" && f.Code == codeData }) {
			t.Errorf("got %v and %v, want an identity that could not be made", err, out.Found)
		}
		done := strings.Join(out.Done, "\n")
		for _, lie := range []string{"identity", "authority", "admin", "in use"} {
			if strings.Contains(done, lie) {
				t.Errorf("got %s", done)
			}
		}
	}
}

// Where nothing is kept, nothing is taken away either.
func TestDataPartitionForgets(t *testing.T) {
	p := newPlace(t)
	p.opt.Forgets = "it is in memory"
	p.write("boot/tidegate.toml", cloud)
	p.write("boot/cloud-password", "stay\n")
	p.write("boot/wifi.txt", "country=DE\nssid=x\npassword=12345678\n")
	out := p.run()
	if p.read("boot/cloud-password") != "stay\n" || !strings.Contains(p.read("boot/wifi.txt"), "12345678") || worst(out.Found) != codeData {
		t.Errorf("got %v, want the secrets where they were, and code %d", out.Found, codeData)
	}
	if p.read("data/config/tidegate.toml") != cloud {
		t.Error("the configuration is not in use")
	}
}

// One step that fails is told, and the rest is done.
func TestFailingSteps(t *testing.T) {
	for name, c := range map[string]struct {
		path string
		err  error
		want string
		code int
	}{
		"full card":           {"cloud-password" + newEnd, syscall.ENOSPC, "the data partition is full", codeData},
		"read-only FAT":       {"boot/cloud-password", syscall.EROFS, "could not be removed here", codeBoot},
		"certificate":         {"server.pem", syscall.EIO, "could not be stored: input/output error", codeData},
		"wifi":                {"wpa_supplicant", syscall.EIO, "wifi.txt: could not be stored", codeData},
		"report not writable": {reportFile, syscall.EROFS, "", codeBoot},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t)
			p.write("boot/tidegate.toml", cloud)
			p.write("boot/cloud-password", "x\n")
			p.write("boot/wifi.txt", "country=DE\nssid=x\npassword=12345678\n")
			p.opt.before = func(_, path string) error {
				if strings.Contains(path, c.path) {
					return &os.PathError{Op: "write", Path: path, Err: c.err}
				}
				return nil
			}
			out, err := Run(p.opt)
			if c.want != "" {
				p.wants(c.want)
			} else if !errors.Is(err, c.err) {
				t.Errorf("got %v, want %v", err, c.err)
			}
			if got := worst(out.Found); got != c.code {
				t.Errorf("LED: got %d, want %d: %v", got, c.code, out.Found)
			}
			if p.read("data/config/tidegate.toml") == "" {
				t.Error("the gateway has no configuration")
			}
		})
	}
}
