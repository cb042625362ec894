package provision

import (
	"os"
	"strconv"
	"strings"
)

// wifi hashes the password of wifi.txt and takes it off the boot partition.
func (r *run) wifi() {
	defer func() { r.out.Wifi = r.state.Wifi }()
	text, e, ok := r.text(wifiFile, codeWifi)
	if !ok {
		return
	}
	w, found := parseWifi(text)
	r.fail(named(found, e.name)...)
	if !w.asked || len(found) > 0 {
		return
	}
	conf := r.data("system/wifi/wpa_supplicant-wlan0.conf")
	if w.Secret == "" && w.Security != openWifi {
		old, err := os.ReadFile(conf)
		w.Secret = storedSecret(string(old))
		if before := r.state.Wifi; err != nil || w.Secret == "" || before == nil || before.SSID != w.SSID || before.Security != w.Security {
			r.fail(Finding{File: e.name, What: "has no password for the network " + strconv.Quote(w.SSID), Do: "add a line: password = ...; for a network without one: security = open", Code: codeWifi})
			return
		}
	}
	if w.Country == "" {
		r.fail(Finding{File: e.name, What: "has no country", Do: "add a line such as country = DE: without it only the channels are used that are allowed everywhere"})
	}
	if string(readFile(conf)) != w.supplicant() {
		r.state.Wifi = &w
		err := r.saveState()
		if err == nil {
			err = r.disk.write(conf, []byte(w.supplicant()), r.root())
		}
		if err != nil {
			r.fail(r.cannotKeep(e.name, err))
			return
		}
		r.done("%s: the gateway joins the Wi-Fi %s.", e.name, strconv.Quote(w.SSID))
	}
	if scrubbed := withoutPassword(text); scrubbed != text && r.keeps() {
		if err := r.disk.replace(r.boot.path(e), []byte(windowsLines(scrubbed))); err != nil {
			r.fail(r.cannotErase(e.name, err))
			return
		}
		r.done("%s: the password was removed from the file.", e.name)
	}
}

// storedSecret finds the secret in a configuration that supplicant wrote.
func storedSecret(conf string) string {
	for line := range strings.Lines(conf) {
		line = strings.TrimSpace(line)
		if psk, ok := strings.CutPrefix(line, "psk="); ok {
			return psk
		}
		if digits, ok := strings.CutPrefix(line, "sae_password="); ok {
			return fromHex(digits)
		}
	}
	return ""
}
