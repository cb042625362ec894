package image

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// users have fixed numbers: what one version of the image writes to the data
// partition, the next must still own. A number is never given away again.
// Nobody has a password that could be right.
var users = []struct {
	name, home, shell string
	id, group         int
}{
	{"root", "/root", "/bin/bash", 0, 0},
	{"daemon", "/usr/sbin", nologin, 1, 1},
	{"sshd", "/run/sshd", nologin, 101, 65534},
	{"messagebus", "/nonexistent", nologin, 102, 102},
	{"systemd-network", "/", nologin, 103, 103},
	{"systemd-resolve", "/", nologin, 104, 104},
	{"systemd-timesync", "/", nologin, 105, 105},
	{"tidegate", "/", nologin, 900, 900},
	{"nobody", "/nonexistent", nologin, 65534, 65534},
}

const nologin = "/usr/sbin/nologin"

// groups are those of Debian's base, of udev's rules and of the users.
var groups = []struct {
	name    string
	id      int
	members string
}{
	{"root", 0, ""}, {"daemon", 1, ""}, {"adm", 4, ""}, {"tty", 5, ""}, {"disk", 6, ""}, {"lp", 7, ""}, {"man", 12, ""},
	{"kmem", 15, ""}, {"dialout", 20, "tidegate"}, {"cdrom", 24, ""}, {"floppy", 25, ""}, {"tape", 26, ""}, {"audio", 29, ""},
	{"shadow", 42, ""}, {"utmp", 43, ""}, {"video", 44, ""}, {"plugdev", 46, ""}, {"staff", 50, ""}, {"users", 100, ""},
	{"messagebus", 102, ""}, {"systemd-network", 103, ""}, {"systemd-resolve", 104, ""}, {"systemd-timesync", 105, ""},
	{"systemd-journal", 110, ""}, {"input", 111, ""}, {"sgx", 112, ""}, {"clock", 113, ""}, {"kvm", 114, ""}, {"render", 115, ""}, {"netdev", 116, ""},
	{"tidegate", 900, ""}, {"gpio", 901, "tidegate"}, {"i2c", 902, "tidegate"}, {"spi", 903, "tidegate"},
	{"nogroup", 65534, ""},
}

func writeUsers(root string) error {
	var passwd, shadow, group, gshadow strings.Builder
	for _, u := range users {
		fmt.Fprintf(&passwd, "%s:x:%d:%d::%s:%s\n", u.name, u.id, u.group, u.home, u.shell)
		// A star is a password that nothing hashes to; with "!" sshd would take
		// keys for locked away too. The day only must not be 0.
		fmt.Fprintf(&shadow, "%s:*:1::::::\n", u.name)
	}
	for _, g := range groups {
		fmt.Fprintf(&group, "%s:x:%d:%s\n", g.name, g.id, g.members)
		fmt.Fprintf(&gshadow, "%s:*::%s\n", g.name, g.members)
	}
	for _, f := range []struct {
		name, text string
		mode       os.FileMode
	}{{"passwd", passwd.String(), 0o644}, {"group", group.String(), 0o644}, {"shadow", shadow.String(), 0o600}, {"gshadow", gshadow.String(), 0o600}} {
		if err := os.WriteFile(filepath.Join(root, "etc", f.name), []byte(f.text), f.mode); err != nil {
			return err
		}
	}
	return nil
}
