package provision

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Options say where everything is.
type Options struct {
	Boot string // the boot partition, FAT
	Data string // the data partition
	Root string // of the rest; "/" but for tests

	Check   Checker
	Version string

	Now    func() time.Time
	Synced func() bool // is the clock known to be right?

	// What touches the machine; nil leaves it alone.
	SetHostname func(name string) error
	LineHeld    func(line string, d time.Duration) (bool, error) // is a GPIO line held low for d?

	// Restore puts a backup that is on the boot partition in place, unless its digest
	// is that of one that was restored before; nil is a gateway without backups.
	Restore func(before string) (Restored, error)

	// Announced is the name that mDNS tells, or "" when it is not known.
	Announced func() string

	// Forgets is why the data partition keeps nothing over a restart; "" when it
	// does.
	Forgets string

	// Wait is how long a report waits for an address before it says that there is no
	// network.
	Wait time.Duration

	// Free is the room on the data partition, in bytes; nil: it does not matter.
	Free func() int64

	before func(what, path string) error // a test's knife
	hash   func(password string) string  // a test's, which costs nothing
	loose  bool                          // a test's, which needs no syncing
}

// Restored is what became of a backup. Without one it is the zero value; one that
// was restored before has a digest and no What.
type Restored struct {
	What   string   // "configuration and identity of house-17"
	Files  []string // on the boot partition; they hold secrets
	Digest string   // of the backup's file
}

// Outcome is what a run found and did, for the report.
type Outcome struct {
	Version  string     `json:"version"`
	ID       string     `json:"id"`      // of the gateway, without one in its configuration
	Gateway  string     `json:"gateway"` // its id as the cloud knows it
	Host     string     `json:"host"`
	Found    []Finding  `json:"found"`
	Ending   []Finding  `json:"-"` // what ends soon, certificates and room; looked at anew by each report
	Done     []string   `json:"done"`
	Forgets  string     `json:"forgets,omitempty"`
	Listens  []string   `json:"listens"` // "8883 TLS"
	Users    bool       `json:"users"`   // the users file is the one made here
	SSH      string     `json:"ssh,omitempty"`
	Wifi     *wifi      `json:"wifi,omitempty"`
	CA       string     `json:"ca"` // fingerprint
	Reset    bool       `json:"reset,omitempty"`
	TLS      bool       `json:"tls"`
	Console  Console    `json:"console"`
	Listener []Listener `json:"-"`
}

// state is what is remembered from one boot to the next.
type state struct {
	Version int             `json:"version"` // 1
	Digest  string          `json:"digest"`  // of tidegate.toml on the boot partition, as it came into use
	Wifi    *wifi           `json:"wifi,omitempty"`
	Seen    map[string]bool `json:"seen,omitempty"` // a factory-reset that cannot be removed

	// The digest of a backup that was restored and cannot be removed: restoring it
	// at each start would undo whatever changes.
	Restored string `json:"restored,omitempty"`
}

const stateFile = "system/provision.json"

type run struct {
	opt     Options
	disk    *disk
	boot    listing
	bootBad string // why nothing can be read there; ""
	out     *Outcome
	state   state
	ca      keyPair
	gateway owner           // whose files the gateway reads; zero mode
	wanted  map[string]bool // small names of files that a configuration mentions
	tell    []told          // passwords for the report
	retold  []string        // names whose line in an older report is no longer true
}

// Run provisions. It changes what it can and returns what it did; only tests let
// it stop in the middle.
func Run(opt Options) (*Outcome, error) {
	r := &run{opt: opt, disk: &disk{before: opt.before, loose: opt.loose}, out: &Outcome{Version: opt.Version, Forgets: opt.Forgets}}
	for _, act := range []func(){
		r.prepare, r.recover, r.reset, r.restore, r.identity, r.host, r.users, r.certificate, r.configure, r.wifi, r.ssh, r.discovery, r.firewall,
	} {
		act()
	}
	r.out.Ending = append(r.validity(), r.room()...)
	return r.out, r.finish()
}

// prepare makes the folders, and looks whether the data partition takes writing.
func (r *run) prepare() {
	r.gateway = gatewayOwner(r.opt.Root)
	r.look()
	r.folders()
	notes := strings.TrimSpace(r.read("run/tidegate-data"))
	for line := range strings.Lines(notes) {
		text, harmless := strings.CutPrefix(strings.TrimSpace(line), "note: ")
		f := Finding{File: "data partition", What: text, Code: codeData}
		if harmless {
			f.Code = 0
		}
		r.fail(f)
	}
	if notes == "" && r.opt.Forgets != "" {
		r.fail(Finding{File: "data partition", What: r.opt.Forgets, Do: "replace the card", Code: codeData})
	}
}

func (r *run) folders() {
	for _, d := range []struct {
		name string
		o    owner
	}{
		{"config", r.folder(0o755)}, {"identity", r.folder(0o755)}, {"system", r.folder(0o755)}, {inbox, r.folder(0o700)}, {"system/wifi", r.folder(0o700)},
		{"system/ssh", r.folder(0o700)}, {"tidegate", owner{0o700, r.gateway.uid, r.gateway.gid, true}},
	} {
		if err := r.disk.mkdir(r.data(d.name), d.o); err != nil {
			r.fail(Finding{File: "data partition", What: err.Error(), Do: "replace the card", Code: codeData})
			return
		}
	}
}

// look lists the boot partition. It may not be there: the gateway works without.
func (r *run) look() {
	var err error
	if r.boot, err = list(r.opt.Boot); err != nil {
		r.bootBad = err.Error()
	}
}

// recover ends what an earlier run had to leave, and reads what is remembered.
func (r *run) recover() {
	errs := []error{r.disk.finish(r.opt.Boot)}
	for _, dir := range []string{"config", "identity", "system", inbox, "system/wifi", "system/ssh"} {
		errs = append(errs, r.disk.finish(r.data(dir)))
	}
	if json.Unmarshal([]byte(r.readData(stateFile)), &r.state) != nil || r.state.Version != 1 {
		r.state = state{Version: 1}
	}
	errs = append(errs, r.finishCommit(), r.fragments())
	if err := errors.Join(errs...); err != nil {
		r.fail(Finding{What: "what an earlier start could not end: " + err.Error(), Do: "start again; if it stays, replace the card", Code: codeData})
	}
	r.look()
}

// fragments erases what the check of the boot partition found of lost files.
func (r *run) fragments() error {
	var errs []error
	n := 0
	for _, e := range r.boot.all {
		if !e.isDir && fragment.MatchString(e.name) {
			errs = append(errs, r.disk.erase(r.boot.path(e)))
			n++
		}
	}
	if n > 0 {
		r.fail(Finding{File: "boot partition", What: "was damaged and has been repaired; parts of a file without a name were deleted",
			Do: "if a file is missing here, copy it again, and let the computer eject the card before it is taken out"})
	}
	return errors.Join(errs...)
}

func (r *run) saveState() error {
	text, err := json.MarshalIndent(r.state, "", "\t")
	if err != nil || bytes.Equal(append(text, '\n'), []byte(r.readData(stateFile))) {
		return err
	}
	return r.disk.write(r.data(stateFile), append(text, '\n'), r.root())
}

// restore makes the gateway of a backup out of this card.
func (r *run) restore() {
	if r.opt.Restore == nil {
		return
	}
	b, err := r.opt.Restore(r.state.Restored)
	if err != nil {
		r.fail(Finding{File: "backup", What: err.Error(), Do: "the gateway goes on without it", Code: codeOther})
		return
	}
	if b.What != "" {
		r.done("Restored a backup: %s.", b.What)
	}
	stays := ""
	for _, f := range b.Files {
		if !r.keeps() {
			break
		}
		if err := r.disk.erase(f); err != nil {
			stays = b.Digest
			r.fail(r.cannotErase(filepath.Base(f), err))
		}
	}
	if r.bootBad == "" && r.state.Restored != stays {
		r.state.Restored = stays
		if err := r.saveState(); err != nil {
			r.fail(r.cannotKeep("backup", err))
		}
	}
	if b.What != "" {
		r.folders()
	}
	r.look()
}

// text reads a file of the user from the boot partition.
func (r *run) text(name string, code int) (string, entry, bool) {
	found := r.boot.find(name)
	if len(found) == 0 {
		return "", entry{}, false
	}
	e := found[0]
	for _, other := range found[1:] {
		r.fail(Finding{File: other.name, What: "there is " + e.name + " too, which is newer and was taken", Do: "delete one of them"})
	}
	raw, err := os.ReadFile(r.boot.path(e))
	if err != nil {
		r.fail(Finding{File: e.name, What: "cannot be read: " + plain(err), Do: "copy it anew; if that does not help, replace the card", Code: code})
		return "", e, false
	}
	text, err := decodeText(raw)
	if err != nil {
		r.fail(Finding{File: e.name, What: err.Error(), Code: code})
		return "", e, false
	}
	return text, e, true
}

// discovery lets systemd-resolved tell the home where broker and page are (DNS-SD).
func (r *run) discovery() {
	dir := filepath.Join(r.opt.Root, "run/systemd/dnssd")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return // a machine without systemd
	}
	tell := func(name, kind, port, more string) {
		text := fmt.Sprintf("[Service]\nName=Tidegate on %%H\nType=%s\nPort=%s\nTxtText=%sgateway=%s\n", kind, port, more, r.out.Gateway)
		if err := os.WriteFile(filepath.Join(dir, "tidegate-"+name+".dnssd"), []byte(text), 0o644); err != nil {
			r.fail(Finding{What: "the gateway could not be announced: " + plain(err)})
		}
	}
	for i, l := range r.out.Listener {
		switch {
		case l.WebSocket:
		case l.TLS:
			tell(strconv.Itoa(i), "_secure-mqtt._tcp", l.Port, "")
		default:
			tell(strconv.Itoa(i), "_mqtt._tcp", l.Port, "")
		}
	}
	if r.out.Console.Port != "" {
		tell("page", "_http._tcp", r.out.Console.Port, "path=/ ")
	}
}

// portsFile is included by nftables.conf.
const portsFile = "run/tidegate-ports.nft"

// firewall opens the ports of the configuration. Without the file the image opens
// those of the standard one.
func (r *run) firewall() {
	var ports []string
	open := func(port string) {
		if n, err := strconv.ParseUint(port, 10, 16); err == nil && n > 0 && !slices.Contains(ports, port) {
			ports = append(ports, port)
		}
	}
	for _, l := range r.out.Listener {
		open(l.Port)
	}
	open(r.out.Console.Port)
	if len(ports) == 0 {
		return
	}
	text := "add element inet tidegate tcp_in { " + strings.Join(ports, ", ") + " }\n"
	if err := os.WriteFile(filepath.Join(r.opt.Root, portsFile), []byte(text), 0o644); err != nil {
		r.fail(Finding{What: "the firewall was not opened for this configuration: " + plain(err), Do: "start the gateway again", Code: codeOther})
	}
}

// leastRoom is what the databases want to have for their next files, in bytes.
const leastRoom = 32 << 20

// room says when the data partition is full, before something cannot be stored.
func (r *run) room() []Finding {
	if r.opt.Free == nil || !r.keeps() {
		return nil
	}
	free := r.opt.Free()
	if free >= leastRoom {
		return nil
	}
	return []Finding{{File: "data partition", What: fmt.Sprintf("is full: %d MB are left", free/1e6), Code: codeData,
		Do: "the home works; what the cloud does not take is soon refused or dropped. Take a larger card, or give what waits for the cloud less in tidegate.toml (max-disk)"}}
}

// All are the findings of the start and those that each report looks for.
func (o *Outcome) All() []Finding { return slices.Concat(o.Found, o.Ending) }

func (o *Outcome) use(c Config) {
	o.Listens, o.Listener, o.TLS, o.Console = nil, c.Listeners, false, c.Console
	o.Gateway = c.ID
	if o.Gateway == "" {
		o.Gateway = o.Host
	}
	for _, l := range c.Listeners {
		how := "port " + l.Port
		if l.TLS {
			how += ", TLS"
			o.TLS = true
		}
		if l.WebSocket {
			how += ", WebSocket"
		}
		if l.Anonymous {
			how += ", without a password"
		}
		o.Listens = append(o.Listens, how)
	}
	o.Users = c.UsersFile == "/data/"+usersFile
	if c.UsersFile == "" && !slices.ContainsFunc(c.Listeners, func(l Listener) bool { return l.Anonymous }) {
		o.Found = append(o.Found, Finding{File: tomlFile, What: "lets nobody in: no listener is anonymous, and there is no users-file",
			Do: fmt.Sprintf("add the lines  [edge.access]  and  users-file = %q", "/data/"+usersFile), Code: codeConfig})
	}
}

func (r *run) fail(found ...Finding) { r.out.Found = append(r.out.Found, found...) }
func (r *run) done(format string, arg ...any) {
	r.out.Done = append(r.out.Done, fmt.Sprintf(format, arg...))
}
func (r *run) keeps() bool                   { return r.opt.Forgets == "" }
func (r *run) read(name string) string       { return string(readFile(filepath.Join(r.opt.Root, name))) }
func (r *run) root() owner                   { return owner{0o600, r.rootID(), r.rootID(), true} }
func (r *run) public() owner                 { return owner{0o644, r.rootID(), r.rootID(), true} }
func (r *run) secret() owner                 { return owner{0o600, r.gateway.uid, r.gateway.gid, true} }
func (r *run) folder(mode fs.FileMode) owner { return owner{mode, r.rootID(), r.rootID(), true} }

// rootID is 0, or in tests without privilege who runs them.
func (r *run) rootID() int {
	if os.Geteuid() == 0 {
		return 0
	}
	return -1
}

func (r *run) cannotKeep(name string, err error) Finding {
	do := "replace the card"
	if errors.Is(err, syscall.ENOSPC) {
		do = "the data partition is full: make room, or take a larger card"
	}
	return Finding{File: name, What: "could not be stored: " + plain(err), Do: do, Code: codeData}
}

func (r *run) cannotErase(name string, err error) Finding {
	return Finding{File: name, What: "was stored in the gateway, but could not be removed here: " + plain(err), Do: "delete it: it has a secret in it", Code: codeBoot}
}

// plain is an error without paths of the gateway, which tell a user nothing.
func plain(err error) string {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err.Error()
	}
	return err.Error()
}

func readFile(path string) []byte {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	return text
}

// gatewayOwner looks the user up that runs the gateway; without one files stay
// with who runs this.
func gatewayOwner(root string) owner {
	o := owner{uid: -1, gid: -1}
	for line := range strings.Lines(string(readFile(filepath.Join(root, "etc/passwd")))) {
		field := strings.Split(line, ":")
		if len(field) > 3 && field[0] == "tidegate" {
			uid, err1 := strconv.Atoi(field[2])
			gid, err2 := strconv.Atoi(field[3])
			if err1 == nil && err2 == nil {
				o.uid, o.gid = uid, gid
			}
		}
	}
	return o
}
