package provision

import (
	"errors"
	"maps"
	"os"
	"strings"
	"testing"
)

// What a card has spoiled is made anew, or taken from the boot partition again.
func TestDamageOnTheDataPartition(t *testing.T) {
	for name, c := range map[string]struct {
		file, text string
		want       string // in the report
		good       func(p *place) bool
	}{
		"zeros for a configuration": {"config/tidegate.toml", "\x00\x00\x00\x00", "was damaged on the card",
			func(p *place) bool { return p.read("data/config/tidegate.toml") == cloud }},
		"half a configuration": {"config/tidegate.toml", cloud[:len(cloud)/2] + "\n[[", "tidegate.toml: is good and in use",
			func(p *place) bool { return p.read("data/config/tidegate.toml") == cloud }},
		"no configuration": {"config/tidegate.toml", "", "tidegate.toml: is good and in use",
			func(p *place) bool { return p.read("data/config/tidegate.toml") == cloud }},
		"host key": {"identity/ssh_host_ed25519_key", "\x00\x00", "host key ED25519 SHA256:",
			func(p *place) bool {
				return hostFingerprint([]byte(p.read("data/identity/ssh_host_ed25519_key"))) != ""
			}},
		"machine id": {"identity/machine-id", strings.Repeat("\x00", 32), "Gateway",
			func(p *place) bool {
				return machineID.MatchString(strings.TrimSpace(p.read("data/identity/machine-id")))
			}},
		"users": {"identity/users.toml", "\x00", "the list of users was damaged",
			func(p *place) bool { return strings.Contains(p.read("data/identity/users.toml"), `"admin"`) }},
		"authority": {"identity/ca.pem", "\x00", "Made an authority",
			func(p *place) bool { return strings.Contains(p.read("data/identity/ca.pem"), "CERTIFICATE") }},
		"memory": {stateFile, "\x00", "Gateway", func(p *place) bool { return p.read("data/config/tidegate.toml") == cloud }},
	} {
		t.Run(name, func(t *testing.T) {
			p := everything(t)
			p.run()
			p.write("data/"+c.file, c.text)
			p.run()
			p.wants(c.want)
			if !c.good(p) {
				t.Errorf("got %q", p.read("data/"+c.file))
			}
			before := p.all("data")
			p.run()
			if after := p.all("data"); !maps.Equal(before, after) {
				t.Error("a start after that changed something again")
			}
		})
	}
}

// A configuration that came from a backup and is spoiled leaves the standard one.
func TestDamagedConfigurationThatLiesNowhereElse(t *testing.T) {
	p := newPlace(t)
	p.opt.Restore = func(string) (Restored, error) {
		if p.has("data/config/tidegate.toml") {
			return Restored{}, nil
		}
		p.write("data/config/tidegate.toml", cloud)
		p.write("data/config/cloud-password", "x")
		return Restored{What: "house-17"}, nil
	}
	p.run()
	if p.read("data/config/tidegate.toml") != cloud {
		t.Fatal("nothing was restored")
	}
	p.write("data/config/tidegate.toml", "\xff\xfe\x00")
	p.run()
	if got := p.read("data/config/tidegate.toml"); got != string(standard) {
		t.Errorf("got %q, want the standard configuration", got)
	}
	p.wants("was damaged on the card", "make a backup")
}

// What fsck.fat calls FSCK0000.REC may be half of somebody's password file.
func TestFragmentsOfTheBootPartitionVanish(t *testing.T) {
	p := newPlace(t)
	p.write("boot/FSCK0000.REC", "hush-hush\n")
	p.write("boot/fsck0001.rec", "hush-hush\n")
	p.write("boot/fsck-notes.rec", "mine\n")
	p.run()
	if p.has("boot/FSCK0000.REC") || p.has("boot/fsck0001.rec") || !p.has("boot/fsck-notes.rec") {
		t.Errorf("got %v, want the fragments gone and nothing else", p.all("boot"))
	}
	p.wants("WORTH KNOWING", "parts of a file without a name were deleted")
}

// A backup that cannot be taken away is restored once: what changes afterwards is
// not undone at each start.
func TestBackupThatStays(t *testing.T) {
	p := newPlace(t)
	stuck, restored := true, 0
	p.opt.before = func(what, path string) error {
		if stuck && strings.Contains(path, "tidegate-backup") {
			return errors.New("read-only")
		}
		return nil
	}
	p.opt.Restore = func(before string) (Restored, error) {
		text, err := os.ReadFile(p.opt.Boot + "/tidegate-backup.tgz")
		if err != nil {
			return Restored{}, nil
		}
		b := Restored{Files: []string{p.opt.Boot + "/tidegate-backup.tgz"}, Digest: digestOf(string(text))}
		if b.Digest != before {
			b.What = "house-17"
			restored++
		}
		return b, nil
	}
	for i, c := range []struct {
		backup string
		stuck  bool
		reset  bool
		want   int // restored so far
	}{
		{"first", true, false, 1}, {"first", true, false, 1}, {"second", true, false, 2},
		{"second", true, true, 2}, // nor by a factory reset
		{"second", false, false, 2},
		{"second", false, false, 3}, // put there again by somebody
	} {
		stuck = c.stuck
		p.write("boot/tidegate-backup.tgz", c.backup)
		if c.reset {
			p.write("boot/factory-reset", "")
		}
		p.run()
		if restored != c.want || p.has("boot/tidegate-backup.tgz") != c.stuck {
			t.Errorf("start %d: got %d restored, want %d; %v", i, restored, c.want, p.all("boot"))
		}
		if c.stuck {
			p.wants("tidegate-backup.tgz: was stored in the gateway, but could not be removed here", "delete it")
		}
	}
}

// What the script that mounts /data says, line by line.
func TestNotesOfTheDataPartition(t *testing.T) {
	p := newPlace(t)
	p.write("root/run/tidegate-data", "note: It was made anew.\n")
	p.run()
	p.wants("All is well.", "WORTH KNOWING\n  - data partition: It was made anew.\n")
	p.write("root/run/tidegate-data", "It could not be made larger.\nIt was damaged.\n")
	p.run()
	p.wants("PLEASE PUT RIGHT\n  - data partition: It could not be made larger.\n  - data partition: It was damaged.\n")
}
