package provision

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// outcomeFile lets the later report know what the start found. It lies in memory.
const outcomeFile = "run/tidegate-provision.json"

// finish writes the report and shows the worst of it on the LED.
func (r *run) finish() error {
	r.state.Version = 1
	if err := r.saveState(); err != nil {
		r.fail(r.cannotKeep("memory of this start", err))
	}
	err := r.report()
	if err != nil {
		r.fail(Finding{File: reportFile, What: "could not be written: " + plain(err), Do: "make room on this partition, or replace the card", Code: codeBoot})
	}
	r.saveOutcome()
	if e := blink(filepath.Join(r.opt.Root, "sys"), worst(r.out.All())); e != nil {
		r.fail(Finding{What: "the LED cannot blink: " + plain(e)})
	}
	return err
}

// saveOutcome keeps what the report says, in memory.
func (r *run) saveOutcome() {
	text, err := json.Marshal(r.out)
	if err == nil {
		err = os.WriteFile(filepath.Join(r.opt.Root, outcomeFile), text, 0o600)
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		r.fail(Finding{What: "the later report will know less: " + plain(err)})
	}
}

// report writes the report with the passwords in it, and then forgets them.
func (r *run) report() error {
	if r.bootBad != "" {
		return fmt.Errorf("%s: %s", r.opt.Boot, r.bootBad)
	}
	path := filepath.Join(r.opt.Boot, reportFile)
	before := readFile(path)
	passwords := slices.Clone(r.tell)
	for _, t := range toldIn(string(before)) {
		if !slices.Contains(r.retold, t.Name) && !slices.ContainsFunc(passwords, func(o told) bool { return o.Name == t.Name }) && !r.out.Reset {
			passwords = append(passwords, t)
		}
	}
	text := []byte(windowsLines(r.out.Text(passwords, nil)))
	if !bytes.Equal(before, text) {
		if err := r.disk.replace(path, text); err != nil {
			return err
		}
	}
	if len(r.tell) == 0 && !exists(r.data(tellFile)) {
		return nil
	}
	return r.disk.remove(r.data(tellFile))
}

var toldLine = regexp.MustCompile(`(?m)^  ([A-Za-z0-9._-]{1,32}) +has the password +([A-Za-z0-9-]{16,40})\r?$`)

// toldIn finds the passwords in a report. They stay there, at every start, until
// their owner deletes them: nobody else has them.
func toldIn(report string) []told {
	var all []told
	for _, m := range toldLine.FindAllStringSubmatch(report, -1) {
		all = append(all, told{m[1], m[2]})
	}
	return all
}

// Text is the report. net is nil at boot, when there is no network yet.
func (o *Outcome) Text(passwords []told, net *Network) string {
	var b strings.Builder
	line := func(format string, arg ...any) { fmt.Fprintf(&b, format+"\n", arg...) }
	line("Tidegate: what the gateway says. It writes this file anew at every start and a")
	line("minute after it; README.txt explains the files beside it.")
	line("")
	bad := slices.ContainsFunc(o.All(), func(f Finding) bool { return f.Code > 0 }) || net.bad()
	switch {
	case bad:
		line("*** Something needs your attention: see below. ***")
	default:
		line("All is well.")
	}
	line("")
	line("Gateway    %s", or(o.Gateway, o.ID))
	host := o.Host
	if net != nil && net.Name != "" {
		host = net.Name // whoever goes to the other one tells that one the password
	}
	line("Name       %s.local", host)
	net.write(line)
	line("Version    %s", or(o.Version, "unknown"))
	o.writeFound(line, net)
	if len(o.Done) > 0 {
		line("")
		line("WHAT WAS DONE AT THIS START")
		for _, d := range o.Done {
			item(line, d)
		}
	}
	o.writePasswords(line, passwords)
	o.writeConnect(line, host)
	return b.String()
}

func (o *Outcome) writeFound(line func(string, ...any), net *Network) {
	found := o.All()
	if net != nil {
		found = append(found, net.Found...)
	}
	for _, group := range []struct {
		title string
		is    func(Finding) bool
	}{
		{"PLEASE PUT RIGHT", func(f Finding) bool { return f.Code > 0 }},
		{"WORTH KNOWING", func(f Finding) bool { return f.Code == 0 }},
	} {
		first := true
		for _, f := range found {
			if !group.is(f) {
				continue
			}
			if first {
				line("")
				line("%s", group.title)
				first = false
			}
			item(line, f.String())
			if f.Do != "" {
				line("    -> %s", f.Do)
			}
		}
	}
}

func (o *Outcome) writePasswords(line func(string, ...any), passwords []told) {
	if len(passwords) == 0 {
		return
	}
	line("")
	line("PASSWORDS MADE FOR YOU")
	for _, p := range passwords {
		line("  %-16s has the password %s", p.Name, p.Password)
	}
	line("  Write them down and delete these lines: nobody can read them anywhere else,")
	line("  and whoever holds this card can read them here.")
}

func (o *Outcome) writeConnect(line func(string, ...any), host string) {
	line("")
	line("HOW TO CONNECT")
	if o.Console.Port != "" {
		scheme, who := "http", ""
		if o.Users {
			who = ", user admin"
		}
		if o.Console.TLS {
			scheme = "https"
		}
		line("  In a browser: %s://%s.local:%s%s", scheme, host, o.Console.Port, who)
	}
	if len(o.Listens) == 0 {
		line("  Nothing is served: the configuration has no good listener.")
	}
	for _, l := range o.Listens {
		line("  MQTT at %s.local, %s", host, l)
	}
	if o.Users {
		line("  as user admin; more users: a file devices.txt here, with lines name = password.")
	}
	if o.TLS && o.CA != "" {
		line("  TLS clients believe the gateway when they have the file %s, unless", authority)
		line("  tidegate.toml names a certificate of your own. Its SHA-256 is")
		line("  %s", o.CA[:48])
		line("  %s", o.CA[48:])
	}
	if o.SSH != "" {
		line("  ssh root@%s.local, host key ED25519 %s", host, o.SSH)
	} else {
		line("  SSH is off; a file authorized_keys here switches it on.")
	}
}

// item writes one entry of a list.
func item(line func(string, ...any), text string) { line("  - %s", text) }

func or(a, b string) string {
	if a != "" {
		return a
	}
	return b
}
