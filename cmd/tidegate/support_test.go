package main

import (
	"archive/tar"
	"compress/gzip"
	"encoding/base64"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tidegate/cmd/tidegate/internal/bundle"
)

// unpacked returns the files of a bundle.
func unpacked(t *testing.T, file string) map[string]string {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if err == io.EOF {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		all[strings.TrimPrefix(h.Name, "tidegate-support/")] = string(text)
	}
}

// Secrets in every place where a home has some: none of them leaves it.
func TestSupportHasNoSecrets(t *testing.T) {
	secrets := map[string]string{
		"cloud password":   "Meer-und-Flut-77",
		"proxy password":   "vor der Tür/9",
		"Wi-Fi key":        "fischbroetchen-2026",
		"commented out":    "kommentar-passwort-5",
		"in a wrong place": "falscher-ort-4711",
		"in a URL":         "url-geheimnis-31",
		"token in a URL":   "tok3n-der-cloud-88",
		"key":              "MHcCAQEEIOplantedplantedplanted",
	}
	dir := t.TempDir()
	put := func(name, text string) string {
		name = filepath.Join(dir, name)
		configure(t, name, text)
		return name
	}
	_, port := startCloud(t, "")
	put("home.nmconnection", "[wifi-security]\nkey-mgmt=wpa-psk\npsk="+secrets["Wi-Fi key"]+"\n")
	users := put("users.toml", "[[user]]\nname = \"heater\"\npassword = \""+strings.TrimSpace(strings.TrimPrefix(printed(t, "heizung-geheim-1\n", "passwd"), "hash: "))+"\"\npublish = [\"home/#\"]\n")
	uplink := strings.Replace(towards(port), "[[uplink]]", fmt.Sprintf("[[uplink]]\nuser = \"house\"\npassword-file = %q", put("password", secrets["cloud password"]+"\n")), 1)
	text := openHouse + "[edge.access]\nusers-file = \"" + users + "\"\n" + uplink
	file, data := house(t, text)
	g := startGateway(t, file, data)
	g.says(`link up`)
	publish(t, g.port(), "home/x", []string{"a"}, "-i", secrets["Wi-Fi key"], "-k", "5") // a device that calls itself so is in the log, when it is
	// The file changes under the running gateway: mistakes, and secrets where none belong.
	more := fmt.Sprintf("\n# password = %q\n", secrets["commented out"]) +
		"[hidden]\npassword = \"" + secrets["in a wrong place"] + "\"\nhook = \"https://example.com/?token=" + secrets["token in a URL"] + "\"\nbroker = \"mqtt://me:" + secrets["in a URL"] + "@example.com\"\n"
	old, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	configure(t, file, string(old)+more)

	s := newSupport(t.Context(), file, []string{filepath.Join(dir, "*.nmconnection")})
	s.scrub.AddFile([]byte(secrets["proxy password"] + "\n"))
	every := ""
	for name, secret := range secrets {
		if name != "key" && name != "in a URL" && name != "token in a URL" && name != "in a wrong place" && name != "commented out" {
			every += fmt.Sprintf("msg=x err=%q other=%s %s\n", secret, url.QueryEscape(secret), base64.StdEncoding.EncodeToString([]byte(secret)))
		}
	}
	every += "GET https://example.com/?token=" + secrets["token in a URL"] + "\nmqtt://me:" + secrets["in a URL"] + "@example.com\npassword=" + secrets["commented out"] + "\n" +
		"-----BEGIN EC PRIVATE KEY-----\n" + secrets["key"] + "\n-----END EC PRIVATE KEY-----\n"
	parts := append(s.parts(), bundle.Part{Name: "planted.txt", Make: func() (string, error) { return every, nil }})
	name := filepath.Join(dir, "support.tar.gz")
	if _, err := bundle.Write(name, s.scrub, parts); err != nil {
		t.Fatal(err)
	}
	all := unpacked(t, name)
	for what, secret := range secrets {
		for _, form := range []string{secret, url.QueryEscape(secret), base64.StdEncoding.EncodeToString([]byte(secret))} {
			for member, text := range all {
				if strings.Contains(text, form) {
					t.Errorf("%s: %s is in it (%s)", member, what, form)
				}
			}
		}
	}
	for member, text := range all {
		if strings.Contains(text, "$argon2id$") || strings.Contains(text, "PRIVATE KEY---") {
			t.Errorf("%s has a hash or a key:\n%s", member, text)
		}
	}
	for member, want := range map[string]string{
		"README.txt": "Made by: tidegate support", "version.txt": "tidegate development", "doctor.txt": "disk", "status.txt": "house", "status.json": `"verdict"`,
		"stats.json": `"uplinks"`, "config.toml": `id = "house"`, "check.txt": "hidden", "log.txt": "link up", "spool.txt": "uplink cloud", "hardware.txt": "", "units.txt": "", "planted.txt": "***",
	} {
		if got, ok := all[member]; !ok || !strings.Contains(got, want) {
			t.Errorf("%s: got %q, want %q in it", member, got, want)
		}
	}
	if info, err := os.Stat(name); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("got %v, %v; want a file for its owner alone", info.Mode(), err)
	}
}

// It works without a gateway and without a configuration too: then that is what
// it says.
func TestSupportOfNothing(t *testing.T) {
	name := filepath.Join(t.TempDir(), "support.tar.gz")
	code, out, errs := invoke(t, "support", "-config", "/nonexistent", name)
	if code != exitOK || errs != "" || !strings.Contains(out, "doctor.txt") || !strings.Contains(out, "Look before you send it") {
		t.Errorf("got %d, %s\n%s\nwant a list of what is in it", code, errs, out)
	}
	all := unpacked(t, name)
	if !strings.Contains(all["status.txt"], "no such file") || !strings.Contains(all["config.toml"], "no such file") {
		t.Errorf("got %q and %q, want to be told what is not there", all["status.txt"], all["config.toml"])
	}
	if code, _, errs := invoke(t, "support", filepath.Join(name, "no-folder")); code != exitBad || errs == "" {
		t.Errorf("got %d, %q; want an error where nothing can be written", code, errs)
	}
}
