package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// provisioned is a fake machine after `tidegate provision` with these files on
// its boot partition.
func provisioned(t *testing.T, files map[string]string) (dir, printed string) {
	t.Helper()
	dir = t.TempDir()
	for _, d := range []string{"boot", "data", "root/run", "root/etc", "root/usr/lib/tidegate"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	configure(t, filepath.Join(dir, "root/usr/lib/tidegate/data"), "")
	for name, text := range files {
		configure(t, filepath.Join(dir, "boot", name), text)
	}
	out := &output{}
	args := []string{"provision", "-boot", dir + "/boot", "-data", dir + "/data", "-root", dir + "/root"}
	if code := dispatch(environment{in: strings.NewReader(""), out: out, err: out}, args); code != exitOK {
		t.Fatalf("got exit code %d: %s", code, out)
	}
	return dir, out.String()
}

func contents(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// The configuration of the image is good as the gateway itself judges, with the
// certificate and the users that provisioning makes for it.
func TestProvisionStandardConfiguration(t *testing.T) {
	dir, printed := provisioned(t, map[string]string{"config.txt": ""})
	if !strings.Contains(printed, "the standard configuration: is good and in use") {
		t.Errorf("got %s", printed)
	}
	report := contents(t, dir+"/boot/tidegate-report.txt")
	for _, want := range []string{"All is well.", "port 8883, TLS", "port 1883", "admin            has the password"} {
		if !strings.Contains(report, want) {
			t.Errorf("the report lacks %q: %s", want, report)
		}
	}
}

// The files of a cloud come from the boot partition together with the
// configuration that names them.
func TestProvisionCloudPassword(t *testing.T) {
	dir, printed := provisioned(t, map[string]string{
		"tidegate.toml": openHouse + `[[uplink]]
endpoints = ["mqtts://cloud.example.com"]
user = "house-17"
password-file = "/etc/tidegate/cloud-password"
up = [{filter = "home/#"}]
`, "cloud-password": "hush\n"})
	if want := "tidegate.toml: is good and in use"; !strings.Contains(printed, want) || strings.Contains(printed, "standard") {
		t.Errorf("the output lacks %q, or has more: %s", want, printed)
	}
	if got, want := contents(t, dir+"/data/config/cloud-password"), "hush\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if _, err := os.Stat(dir + "/boot/cloud-password"); err == nil {
		t.Error("the password is still on the boot partition")
	}
}

// What `tidegate check` says is in the report, with line, key and hint.
func TestProvisionBadConfiguration(t *testing.T) {
	_, printed := provisioned(t, map[string]string{"Tidegate.toml": "[gateway]\r\nlog-levle = \"info\"\r\n[[edge.listener]]\r\nbind = \"1883\"\r\n"})
	for _, want := range []string{
		`Tidegate.toml:2: gateway.log-levle = "info": must be a key that exists; did you mean log-level?`,
		`Tidegate.toml:4: edge.listener[0].bind = "1883": must be host:port, :port for every address, or unix:/path; for example ":1883"`,
		"The standard configuration is in use.",
	} {
		if !strings.Contains(printed, want) {
			t.Errorf("the output lacks %q: %s", want, printed)
		}
	}
}

// Notepad's UTF-16, and the quotation marks of a word processor.
func TestProvisionCurlyQuotes(t *testing.T) {
	text := "[gateway]\r\nid = “house-17”\r\n[[edge.listener]]\r\nbind = “:1883”\r\nanonymous = true\r\n"
	utf16 := []byte{0xff, 0xfe}
	for _, r := range text {
		utf16 = append(utf16, byte(r), byte(r>>8))
	}
	dir, printed := provisioned(t, map[string]string{"tidegate.toml": string(utf16)})
	if got := contents(t, dir+"/data/config/tidegate.toml"); !strings.Contains(got, `id = "house-17"`) || !strings.Contains(printed, "curly") {
		t.Errorf("got %q and %s", got, printed)
	}
	if got := contents(t, dir+"/boot/tidegate-report.txt"); !strings.Contains(got, "Gateway    house-17") {
		t.Errorf("got %s", got)
	}
}

func TestProvisionMistakesInTheCommand(t *testing.T) {
	out := &output{}
	if code := dispatch(environment{out: out, err: out}, []string{"provision", "now"}); code != exitUsage {
		t.Errorf("got %d, want %d", code, exitUsage)
	}
	dir, _ := provisioned(t, nil)
	if err := os.RemoveAll(dir + "/root/run"); err != nil {
		t.Fatal(err)
	}
	if code := dispatch(environment{out: out, err: out}, []string{"provision", "-report", "-root", dir + "/root"}); code != exitBad || !strings.Contains(out.String(), "no start was provisioned") {
		t.Errorf("got %d, want %d: %s", code, exitBad, out)
	}
}

// A machine that is not the image's keeps its name, its /data and its boot partition.
func TestProvisionElsewhere(t *testing.T) {
	for _, more := range [][]string{nil, {"-report"}} {
		dir, out, said := t.TempDir(), &output{}, &output{}
		args := append([]string{"provision", "-boot", dir, "-data", dir, "-root", dir}, more...)
		if code := dispatch(environment{out: out, err: said}, args); code != exitBad || out.String() != "" || !strings.Contains(said.String(), "not the SD-card image") {
			t.Errorf("%v: got %d, %q and %q", more, code, out, said)
		}
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			t.Errorf("%v: it made %v (%v)", more, left, err)
		}
	}
}

// A backup on the boot partition of a fresh card makes the old gateway of it, and
// the card's own standard configuration does not get in its way.
func TestProvisionFromABackup(t *testing.T) {
	const mine = "[gateway]\nid = \"house-17\"\n[[edge.listener]]\nbind = \":1883\"\nanonymous = true\n"
	old, _ := provisioned(t, map[string]string{"tidegate.toml": mine, "wifi.txt": "country=DE\nssid=home\npassword=12345678\n", "hostname.txt": "pump-house"})
	file := filepath.Join(t.TempDir(), "backup")
	printed(t, "", "backup", "-data", old+"/data", "-config", old+"/data/config/tidegate.toml", file)
	standard := contents(t, "internal/provision/boot/tidegate.toml")
	dir, _ := provisioned(t, map[string]string{"tidegate-backup": contents(t, file), "tidegate.toml": standard})
	for _, name := range []string{"config/tidegate.toml", "identity/ca.pem", "identity/id", "system/wifi/wpa_supplicant-wlan0.conf", "system/hostname"} {
		if got, want := contents(t, filepath.Join(dir, "data", name)), contents(t, filepath.Join(old, "data", name)); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	if _, err := os.Stat(dir + "/boot/tidegate-backup"); err == nil {
		t.Error("the backup, with all its secrets, is still on the boot partition")
	}
	if got := contents(t, dir+"/boot/tidegate-report.txt"); !strings.Contains(got, "identity of house-17") || !strings.Contains(got, "Name       pump-house.local") {
		t.Errorf("got %s", got)
	}
}
