package provision

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"
)

// A factory reset forgets everything: configuration, identity, what waits for the
// cloud. Its order survives power cuts: the marker first, which says what is to
// go; then all else; then the user's wish on the boot partition; the marker last.
const markerFile = "factory-reset-begun.json"

// resetHold is how long a line must be held at boot.
const resetHold = 5 * time.Second

// kept through a reset: the lower bound of the clock, and what updates need to
// know of the slots.
var keptThrough = []string{"timesync", "clock", "rauc"}

// marker is the content of markerFile.
type marker struct {
	// Old are files of the boot partition that were in use, by their names: the
	// configuration of before. What the user put there since is for after.
	Old []string `json:"old"`
	Why string   `json:"why"`
}

func (r *run) reset() {
	m, begun := r.begun()
	if !begun {
		why := r.resetWanted()
		if why == "" {
			return
		}
		m = marker{Old: r.oldFiles(), Why: why}
		text, err := json.Marshal(m)
		if err == nil {
			err = r.disk.write(r.data(markerFile), text, r.root())
		}
		if err != nil {
			r.fail(Finding{File: resetFile, What: "the factory reset could not begin: " + plain(err), Do: "write the image to the card anew", Code: codeData})
			return
		}
	}
	if err := r.forget(m); err != nil {
		r.fail(Finding{File: resetFile, What: "the factory reset did not end: " + plain(err), Do: "start again; if it stays, write the image to the card anew", Code: codeData})
	}
	r.out.Reset = true
	r.done("Factory reset (%s): configuration, identity and all messages were forgotten.", m.Why)
	r.folders()
	r.look()
}

func (r *run) begun() (m marker, begun bool) {
	text, err := os.ReadFile(r.data(markerFile))
	if err != nil {
		return m, false
	}
	if json.Unmarshal(text, &m) != nil {
		m.Why = "begun before"
	}
	return m, true
}

func (r *run) resetWanted() string {
	found := r.boot.find(resetFile)
	switch {
	case len(found) > 0 && r.state.Seen[resetFile]:
		r.fail(Finding{File: found[0].name, What: "was obeyed already, and could not be removed", Do: "delete it; the gateway would forget everything at each start", Code: codeBoot})
		return ""
	case len(found) > 0:
		return "the file " + found[0].name
	case r.state.Seen != nil && r.bootBad == "":
		r.state.Seen = nil
		if err := r.saveState(); err != nil {
			r.fail(r.cannotKeep(resetFile, err))
		}
	}
	c, problems := r.opt.Check([]byte(r.readData("config/"+tomlFile)), r.place(nil))
	if c.ResetLine == "" || len(problems) > 0 || r.opt.LineHeld == nil {
		return ""
	}
	held, err := r.opt.LineHeld(c.ResetLine, resetHold)
	if err != nil {
		r.fail(Finding{File: tomlFile, What: fmt.Sprintf("gateway.reset-line %s: %v", c.ResetLine, err), Code: codeConfig})
	}
	if !held {
		return ""
	}
	return fmt.Sprintf("%s was held for %v", c.ResetLine, resetHold)
}

// oldFiles are the files that belong to the configuration that is to be
// forgotten.
func (r *run) oldFiles() []string {
	var old []string
	text, e, ok := r.text(tomlFile, 0)
	if ok && digestOf(text) == r.state.Digest {
		old = append(old, e.name)
	}
	if text, e, ok := r.text(wifiFile, 0); ok && r.state.Wifi != nil {
		if w, _ := parseWifi(text); w.Secret == "" && w.SSID == r.state.Wifi.SSID {
			old = append(old, e.name)
		}
	}
	if text, e, ok := r.text(keysFile, 0); ok {
		if good, _, _ := parseKeys(text); good == r.readData("system/ssh/"+keysFile) {
			old = append(old, e.name)
		}
	}
	for name, stored := range map[string]string{hostFile: r.readData("system/hostname")} {
		if text, e, ok := r.text(name, 0); ok {
			if host, _ := parseHost(text); host+"\n" == stored {
				old = append(old, e.name)
			}
		}
	}
	for _, name := range []string{reportFile, authority} {
		for _, e := range r.boot.find(name) {
			old = append(old, e.name)
		}
	}
	return old
}

func (r *run) forget(m marker) error {
	var errs []error
	for _, dir := range []string{"config", "identity", "tidegate"} {
		errs = append(errs, r.disk.empty(r.data(dir)))
	}
	errs = append(errs, r.disk.empty(r.data("system"), keptThrough...))
	if err := errors.Join(errs...); err != nil {
		return err
	}
	r.state = state{Version: 1, Restored: r.state.Restored}
	for _, name := range m.Old {
		errs = append(errs, r.disk.erase(r.boot.path(entry{name: name})))
		switch canonical(name) {
		case canonical(wifiFile):
			errs = append(errs, r.disk.write(r.boot.path(entry{name: wifiFile}), []byte(windowsLines(string(example))), owner{}))
		case tomlFile:
			errs = append(errs, r.disk.write(r.boot.path(entry{name: tomlFile}), []byte(windowsLines(string(standard))), owner{}))
		}
	}
	for _, e := range r.boot.find(resetFile) {
		if err := r.disk.remove(r.boot.path(e)); err != nil {
			// It would be obeyed at every start from now on.
			r.state.Seen = map[string]bool{resetFile: true}
			errs = append(errs, r.disk.mkdir(r.data("system"), r.folder(0o755)), r.saveState())
		}
	}
	return errors.Join(append(errs, r.disk.remove(r.data(markerFile)))...)
}
