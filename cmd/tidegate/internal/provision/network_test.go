package provision

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// supplicant answers on a control socket as wpa_supplicant does.
func supplicant(t *testing.T, root string, answers map[string]string) {
	t.Helper()
	for _, d := range []string{"run/wpa_supplicant", "sys/class/net/wlan0"} {
		if err := os.MkdirAll(filepath.Join(root, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(root, "run/wpa_supplicant/wlan0"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { c.Close(); <-done })
	go func() {
		defer close(done)
		b := make([]byte, 100)
		for {
			n, from, err := c.ReadFromUnix(b)
			if err != nil {
				return
			}
			if _, err := c.WriteToUnix([]byte(answers[string(b[:n])]), from); err != nil {
				t.Error(err)
			}
		}
	}()
}

func TestWifiTrouble(t *testing.T) {
	const seen = "bssid / frequency / signal level / flags / ssid\n00:11:22:33:44:55\t2437\t-50\t[WPA2-PSK-CCMP][ESS]\tCaf\\xc3\\xa9 \\\"x\\\"\n"
	w := wifi{SSID: `Café "x"`}
	for name, c := range map[string]struct{ status, networks, seen, want string }{
		"joined":         {"wpa_state=COMPLETED\n", "0\tx\tany\t[CURRENT]\n", seen, ""},
		"wrong password": {"wpa_state=SCANNING\n", "0\tx\tany\t[TEMP-DISABLED]\n", seen, "the password is wrong, most likely"},
		"not there":      {"wpa_state=SCANNING\n", "0\tx\tany\t\n", "bssid\n", "look at its spelling"},
		"other security": {"wpa_state=SCANNING\n", "0\tx\tany\t\n", seen, "secured in another way"},
	} {
		t.Run(name, func(t *testing.T) {
			root, err := os.MkdirTemp("", "tg") // a socket's path has 107 bytes at most
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { os.RemoveAll(root) })
			supplicant(t, root, map[string]string{"STATUS": c.status, "LIST_NETWORKS": c.networks, "SCAN_RESULTS": c.seen})
			if got := joined(wifiTrouble(root, w)); !strings.Contains(got, c.want) || c.want == "" && got != "" {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
	if got := joined(wifiTrouble(t.TempDir(), w)); !strings.Contains(got, "has no Wi-Fi that works") {
		t.Errorf("without an interface: got %q", got)
	}
	zero := t.TempDir()
	if err := os.MkdirAll(zero+"/proc/device-tree", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(zero+"/proc/device-tree/model", []byte("Raspberry Pi Zero 2 W Rev 1.0\x00"), 0o644); err != nil {
		t.Fatal(err)
	}
	if found := wifiTrouble(zero, w); len(found) != 1 || !strings.Contains(found[0].Do, "network adapter on USB") {
		t.Errorf("a Zero 2 W: got %v", found)
	}
}

// The report of a minute later has the network, keeps the passwords, and is not
// written again when nothing is new.
func TestReportLater(t *testing.T) {
	p := newPlace(t)
	p.write("boot/wifi.txt", "country=DE\nssid=x\npassword=12345678\n")
	p.run()
	passwords := toldIn(p.read("boot/" + reportFile))
	p.opt.Announced = func() string { return "other" }
	p.opt.Synced = func() bool { return true }
	if _, _, err := Report(p.opt); err != nil {
		t.Fatal(err)
	}
	p.wants("this machine has no Wi-Fi that works", "this gateway answers to other.local", "Time       2026-06-01", "the clock is right now", passwords[0].Password)
	if got, want := p.read("root/sys/class/leds/ACT/pattern"), pattern(codeWifi); got != want {
		t.Errorf("LED: got %q, want %q", got, want)
	}
	p.opt.before = func(what, path string) error { t.Errorf("%s %s, though nothing is new", what, path); return nil }
	p.opt.Now = func() time.Time { return time.Date(2026, 6, 2, 0, 0, 0, 0, time.UTC) }
	if _, _, err := Report(p.opt); err != nil {
		t.Fatal(err)
	}
}

// Another device has the name: the report does not send its owner there, where the
// password would be another one's to read.
func TestAnotherHasTheName(t *testing.T) {
	p := newPlace(t)
	p.write("boot/hostname.txt", "pump-house")
	p.write("boot/authorized_keys", aKey)
	p.run()
	name := "pump-house9"
	p.opt.Announced = func() string { return name }
	report := func() string {
		if _, _, err := Report(p.opt); err != nil {
			t.Fatal(err)
		}
		return p.read("boot/" + reportFile)
	}
	before := report()
	p.wants("Something needs your attention", "another device here is called pump-house.local already; this gateway answers to pump-house9.local",
		"find pump-house.local in the certificate", "Name       pump-house9.local", "In a browser: http://pump-house9.local:8080", "MQTT at pump-house9.local, port 8883, TLS", "ssh root@pump-house9.local")
	if got, want := p.read("root/sys/class/leds/ACT/pattern"), pattern(codeOther); got != want {
		t.Errorf("LED: got %q, want %q", got, want)
	}
	_, connect, _ := strings.Cut(before, "HOW TO CONNECT")
	if strings.Contains(connect, "pump-house.local") {
		t.Errorf("its owner is sent to the other device: %s", connect)
	}
	name = "pump-house" // the other one has gone
	if got := report(); !strings.Contains(got, "MQTT at pump-house.local") || strings.Contains(got, "pump-house9") {
		t.Errorf("alone again: got %s", got)
	}
}

func TestCertificateOfTheGateway(t *testing.T) {
	p := newPlace(t)
	p.run()
	read := func() tls.Certificate {
		pair, err := tls.X509KeyPair([]byte(p.read("data/identity/server.pem")), []byte(p.read("data/identity/server.key")))
		if err != nil {
			t.Fatal(err)
		}
		return pair
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM([]byte(p.read("boot/" + authority))) {
		t.Fatal("no authority on the boot partition")
	}
	first := read().Leaf
	for _, when := range []time.Time{caBegin, time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), caEnd} {
		if _, err := first.Verify(x509.VerifyOptions{Roots: pool, DNSName: "tidegate.local", CurrentTime: when}); err != nil {
			t.Errorf("made without a clock, at %v: %v", when, err)
		}
	}
	p.opt.Synced = func() bool { return true }
	p.run()
	second := read().Leaf
	if got := second.NotAfter.Sub(second.NotBefore); got > 825*24*time.Hour || second.Equal(first) {
		t.Errorf("made with a clock: got %v, want what phones take", got)
	}
	p.run()
	if !read().Leaf.Equal(second) {
		t.Error("made anew without a reason")
	}
	p.opt.Now = func() time.Time { return second.NotAfter.AddDate(0, -8, 0) }
	p.opt.Synced = func() bool { return false }
	p.run()
	third := read().Leaf
	if third.Equal(second) || !third.NotAfter.Equal(caEnd) {
		t.Errorf("its end near by a clock that is at least so late: got an end at %v, want %v", third.NotAfter, caEnd)
	}
	p.write("boot/hostname.txt", "attic")
	p.run()
	if err := read().Leaf.VerifyHostname("attic.local"); err != nil {
		t.Error(err)
	}
}

// A card that fills up is told of before something cannot be stored, and no more
// once there is room.
func TestFullDataPartition(t *testing.T) {
	p := newPlace(t)
	free := int64(leastRoom - 1)
	p.opt.Free = func() int64 { return free }
	out := p.run()
	p.wants("Something needs your attention", "data partition: is full: 33 MB are left", "Take a larger card")
	if got := worst(out.Found); got != 0 {
		t.Errorf("got code %d in what stays, want 0", got)
	}
	if got, want := p.read("root/sys/class/leds/ACT/pattern"), pattern(codeData); got != want {
		t.Errorf("LED: got %q, want %q", got, want)
	}
	free = leastRoom
	if _, _, err := Report(p.opt); err != nil {
		t.Fatal(err)
	}
	if report := p.read("boot/" + reportFile); strings.Contains(report, "is full") {
		t.Errorf("got %s", report)
	}
}
