package provision

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// standard is the configuration of a gateway that nobody has configured. The
// image has it on the boot partition, to be changed there.
//
//go:embed boot/tidegate.toml
var standard []byte

// example is the wifi.txt of the image: comments alone.
//
//go:embed boot/wifi.txt
var example []byte

// Config is what a checked tidegate.toml says that matters here.
type Config struct {
	ID        string // "": the host name
	Files     []File
	Listeners []Listener
	Console   Console
	UsersFile string
	ResetLine string // GPIO line that asks for a factory reset; "": none
}

// File is a file that the configuration names.
type File struct {
	Key  string // "uplink[0].password-file"
	Path string
	Use  Use
	With string // path of the key to a certificate
}

// Listener is an address where devices connect.
type Listener struct {
	Port           string
	TLS, Anonymous bool
	WebSocket      bool // MQTT is in WebSockets, and is not announced
}

// Console is the web page.
type Console struct {
	Port string `json:"port"` // "": there is none
	TLS  bool   `json:"tls"`
}

// Checker reads a configuration as the gateway does. place says where a file lies
// now that the configuration names; problems name the file as it is written.
type Checker func(text []byte, place func(path string) string) (Config, []Problem)

// Problem is one thing wrong in a configuration, with its line (0: none).
type Problem struct {
	Line int
	Text string
}

// etc is where the gateway finds the folder config of the data partition.
const etc = "/etc/tidegate/"

// The inbox keeps what was taken off the boot partition until a configuration
// that is good as a whole has use for it. commitFile lists what goes over.
const (
	inbox      = "system/inbox"
	commitFile = "system/provision-commit.json"
)

// commitment is a set of files that become the configuration together.
type commitment struct {
	Names  []string `json:"names"`
	Digest string   `json:"digest"` // of tidegate.toml as it is on the boot partition; "" when it stays
}

// collect takes files with secrets off the boot partition: into the inbox first,
// and only from there into use. wanted are names that a configuration mentions.
func (r *run) collect(wanted map[string]bool) {
	for _, e := range r.boot.all {
		name := canonical(e.name)
		if e.isDir || r.own(name) || !wanted[name] && !secretKind(e.name) {
			continue
		}
		if !slices.ContainsFunc(r.boot.find(name), func(f entry) bool { return f.name == e.name }) {
			continue
		}
		if newest := r.boot.find(name)[0]; newest.name != e.name {
			r.fail(Finding{File: e.name, What: "there is " + newest.name + " too, which is newer and was taken", Do: "delete one of them", Code: codeOther})
			continue
		}
		r.take(e, name)
	}
}

// own says whether a name belongs to a file that has a rule of its own.
func (r *run) own(name string) bool {
	for _, n := range []string{tomlFile, wifiFile, keysFile, hostFile, devicesFile, passwordFile, resetFile, reportFile, authority, "readme.txt", "config.txt", "cmdline.txt", "licences.txt"} {
		if canonical(n) == name {
			return true
		}
	}
	return false
}

func (r *run) take(e entry, name string) {
	raw, err := os.ReadFile(r.boot.path(e))
	if err != nil {
		r.fail(Finding{File: e.name, What: "cannot be read: " + err.Error(), Do: "copy it anew; if that does not help, replace the card", Code: codeConfig})
		return
	}
	data := raw
	if text, err := decodeText(raw); err == nil {
		data = []byte(text)
	} else if len(raw) > mostText {
		r.fail(Finding{File: e.name, What: err.Error(), Code: codeConfig})
		return
	}
	if err := r.disk.write(r.data(filepath.Join(inbox, name)), data, r.secret()); err != nil {
		r.fail(r.cannotKeep(e.name, err))
		return
	}
	if !r.keeps() {
		r.done("%s: was read; it stays here, because the data partition keeps nothing.", e.name)
		return
	}
	if err := r.disk.erase(r.boot.path(e)); err != nil {
		r.fail(r.cannotErase(e.name, err))
		return
	}
	r.done("%s: was moved into the gateway.", e.name)
}

// configure brings tidegate.toml and the files that it names into use, as far as
// they are good.
func (r *run) configure() {
	current := r.current()
	candidate, name, digest := r.candidate(current)
	wanted := map[string]bool{}
	r.wanted = wanted
	for _, text := range [][]byte{candidate, current} {
		c, _ := r.opt.Check(text, r.place(nil))
		for _, f := range c.Files {
			if base, ok := strings.CutPrefix(f.Path, etc); ok && !strings.Contains(base, "/") {
				wanted[strings.ToLower(base)] = true
			}
		}
	}
	r.collect(wanted)
	waiting := r.waiting()
	if candidate == nil && len(waiting) == 0 {
		r.using(current)
		return
	}
	r.try(attempts(candidate, current, waiting), name, digest)
}

// current is the configuration in use. One that is no text was damaged on the card:
// it is as good as none, and what lies on the boot partition is tried again.
func (r *run) current() []byte {
	text := []byte(r.readData("config/" + tomlFile))
	if bytes.IndexByte(text, 0) < 0 && utf8.Valid(text) {
		return text
	}
	r.fail(Finding{File: tomlFile + " in the gateway", What: "was damaged on the card", Do: "look whether the configuration in use is yours; make a backup, and replace the card soon", Code: codeData})
	r.state.Digest = ""
	return nil
}

// attempt is one configuration that may come into use.
type attempt struct {
	text  []byte
	fresh bool     // text is the user's new one
	files []string // of the inbox
}

// attempts are what to try, the best first: all that is new; the new
// configuration with the files that are in use; the one in use with new files.
func attempts(candidate, current []byte, waiting []string) []attempt {
	var all []attempt
	if candidate != nil {
		all = append(all, attempt{candidate, true, waiting})
		if len(waiting) > 0 {
			all = append(all, attempt{candidate, true, nil})
		}
	}
	if len(current) > 0 && len(waiting) > 0 {
		all = append(all, attempt{current, false, waiting})
	}
	if len(current) > 0 {
		all = append(all, attempt{current, false, nil})
	}
	return all
}

func (r *run) try(all []attempt, name, digest string) {
	for i, a := range all {
		c, found := r.check(a, name)
		if i == 0 {
			r.fail(found...)
		}
		if len(found) > 0 {
			continue
		}
		r.out.use(c)
		kept := true
		if a.fresh || len(a.files) > 0 {
			if !a.fresh {
				digest = ""
			}
			kept = r.commit(a, c, name, digest)
		}
		switch {
		case !kept:
		case i == 0 && a.fresh:
			r.done("%s: is good and in use.", name)
		case a.fresh:
			r.done("%s: is in use, with the files that were there before.", name)
		case i > 0:
			r.done("The last good configuration stays in use.")
		}
		r.unused(c, a.files)
		return
	}
	// Nothing that is there is good: better the gateway of the box than none.
	if len(r.current()) == 0 {
		if r.commit(attempt{text: standard, fresh: true}, Config{}, tomlFile, "") {
			r.done("The standard configuration is in use.")
		}
		c, _ := r.opt.Check(standard, r.place(nil))
		r.out.use(c)
		r.unused(c, nil)
	}
}

// using reports on a configuration that nothing new came for.
func (r *run) using(current []byte) {
	c, found := r.check(attempt{text: current}, "tidegate.toml in the gateway")
	r.fail(found...)
	r.out.use(c)
}

// candidate returns the user's tidegate.toml when it is to be tried; nil when
// there is none, or when it is the one that is in use.
func (r *run) candidate(current []byte) (text []byte, name, digest string) {
	configured := len(current) > 0
	plain, e, ok := r.text(tomlFile, codeConfig)
	if !ok && configured {
		return nil, tomlFile, ""
	}
	if !ok {
		return standard, "the standard configuration", ""
	}
	text, digest = []byte(plain), digestOf(plain)
	untouched := r.state.Digest == "" && plain == string(standard) // beside a configuration from a backup
	if configured && (untouched || digest == r.state.Digest && !r.bad(current)) {
		return nil, e.name, digest
	}
	if fixed := straighten(plain); fixed != plain {
		if _, bad := r.check(attempt{text: text}, e.name); len(bad) > 0 {
			if _, still := r.check(attempt{text: []byte(fixed), files: r.waiting()}, e.name); len(still) < len(bad) {
				r.done("%s: its curly quotation marks were taken for plain ones.", e.name)
				text = []byte(fixed)
			}
		}
	}
	return text, e.name, digest
}

// bad says whether a configuration could not be used as it is. One that was, and
// is no more, may have lost its end on the card.
func (r *run) bad(text []byte) bool {
	_, found := r.check(attempt{text: text}, "")
	return len(found) > 0
}

func digestOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// waiting are the names in the inbox.
func (r *run) waiting() []string {
	entries, err := os.ReadDir(r.data(inbox))
	if err != nil {
		return nil
	}
	var names []string
	for _, e := range entries {
		if e.Name() != tomlFile && !strings.HasSuffix(e.Name(), newEnd) && !strings.HasSuffix(e.Name(), erasedEnd) {
			names = append(names, e.Name())
		}
	}
	return names
}

// place says where a file is that a configuration names, when files of the inbox
// go before those in use.
func (r *run) place(files []string) func(string) string {
	return func(path string) string {
		if base, ok := strings.CutPrefix(path, etc); ok {
			if slices.Contains(files, strings.ToLower(base)) {
				return r.data(filepath.Join(inbox, strings.ToLower(base)))
			}
			return r.data("config/" + base)
		}
		if rest, ok := strings.CutPrefix(path, "/data/"); ok {
			return r.data(rest)
		}
		return filepath.Join(r.opt.Root, path)
	}
}

// check looks at a configuration with all the files that it names.
func (r *run) check(a attempt, name string) (Config, []Finding) {
	place := r.place(a.files)
	c, problems := r.opt.Check(a.text, place)
	var found []Finding
	for _, p := range problems {
		found = append(found, Finding{File: name, Line: p.Line, What: p.Text, Code: codeConfig})
	}
	if len(problems) > 0 {
		return c, found
	}
	for _, f := range c.Files {
		found = append(found, r.checkFile(f, place, name)...)
	}
	return c, found
}

func (r *run) checkFile(f File, place func(string) string, name string) []Finding {
	base := filepath.Base(f.Path)
	text, err := os.ReadFile(place(f.Path))
	if err != nil {
		do := fmt.Sprintf("put the file %s on this partition", base)
		if !strings.HasPrefix(f.Path, etc) {
			do = fmt.Sprintf("write %q, and put the file %s on this partition", etc+base, base)
		}
		return []Finding{{File: name, What: fmt.Sprintf("%s = %s: there is no such file", f.Key, strconv.Quote(f.Path)), Do: do, Code: codeConfig}}
	}
	if what, do := badFile(f.Use, text); what != "" {
		return []Finding{{File: base, What: what, Do: do, Code: codeConfig}}
	}
	if f.Use == Certificate && f.With != "" {
		key, err := os.ReadFile(place(f.With))
		if err != nil {
			return nil // said when it was looked at itself
		}
		if what, do := badPair(text, key); what != "" {
			return []Finding{{File: base, What: fmt.Sprintf("with %s: %s", filepath.Base(f.With), what), Do: do, Code: codeConfig}}
		}
	}
	return nil
}

// commit makes files the configuration, all or none: once commitFile is on disk,
// a later run goes on. It returns whether they are in use.
func (r *run) commit(a attempt, c Config, name, digest string) bool {
	names := []string{}
	for _, f := range c.Files {
		if base, ok := strings.CutPrefix(f.Path, etc); ok && slices.Contains(a.files, strings.ToLower(base)) && !slices.Contains(names, base) {
			names = append(names, base)
		}
	}
	if a.fresh {
		if err := r.disk.write(r.data(filepath.Join(inbox, tomlFile)), a.text, r.secret()); err != nil {
			r.fail(r.cannotKeep(name, err))
			return false
		}
		names = append(names, tomlFile)
	}
	text, err := json.Marshal(commitment{names, digest})
	if err == nil {
		err = r.disk.write(r.data(commitFile), text, r.root())
	}
	if err == nil {
		err = r.finishCommit()
	}
	if err != nil {
		r.fail(r.cannotKeep(name, err))
		return false
	}
	return true
}

// finishCommit does what commitFile says, also for a run that was cut.
func (r *run) finishCommit() error {
	text, err := os.ReadFile(r.data(commitFile))
	if err != nil {
		return nil
	}
	var c commitment
	if err := json.Unmarshal(text, &c); err != nil {
		return r.disk.remove(r.data(commitFile))
	}
	for _, name := range c.Names {
		from := r.data(filepath.Join(inbox, strings.ToLower(name)))
		if !exists(from) {
			continue // the run that was cut came so far
		}
		if err := r.disk.rename(from, r.data("config/"+filepath.Base(name))); err != nil {
			return err
		}
	}
	if slices.Contains(c.Names, tomlFile) {
		r.state.Digest = c.Digest
		if err := r.saveState(); err != nil {
			return err
		}
	}
	return r.disk.remove(r.data(commitFile))
}

// unused names what waits in the inbox for nobody.
func (r *run) unused(c Config, taken []string) {
	for _, name := range r.waiting() {
		named := slices.ContainsFunc(c.Files, func(f File) bool { return strings.EqualFold(f.Path, etc+name) })
		if named && !slices.Contains(taken, name) {
			continue // its error was told
		}
		if r.wanted[name] {
			r.fail(Finding{File: name, What: "is kept in the gateway, and comes into use with the configuration that names it, once that is right"})
			continue
		}
		r.fail(Finding{File: name, What: "is kept in the gateway, but nothing uses it", Do: fmt.Sprintf("name it in tidegate.toml as %q", etc+name)})
	}
}
