package image

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"tidegate/build/boot"
	"tidegate/internal/slots"
)

// built is the image that all tests look at.
type built struct {
	file    string
	dir     string // p0, p1, p3: its partitions
	listing []file // of the root
}

// file is a file of the root file system.
type file struct {
	path string
	mode uint32 // as stat(2) has it
	uid  string
	size int64
}

var theImage = struct {
	sync.Once
	built
	err error
	log bytes.Buffer
}{}

// folder is where the image of a test run is; TestMain removes it.
var folder string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "image-")
		if err != nil {
			panic(err)
		}
		defer os.RemoveAll(dir)
		folder = dir
		return m.Run()
	}())
}

// The package may be named from where the program was started, as make does.
func TestPackageOfThisFolder(t *testing.T) {
	look(t)
	t.Chdir(folder)
	debs, err := filepath.Glob("tidegate_*_arm64.deb")
	if err != nil || len(debs) != 1 {
		t.Fatalf("got packages %q, %v", debs, err)
	}
	out := t.TempDir()
	if err := unpack(t.Context(), debs, out); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(out, "usr/bin/tidegate")); err != nil {
		t.Error(err)
	}
}

// look returns the image, which the first test builds.
func look(t *testing.T) *built {
	t.Helper()
	i := &theImage
	i.Do(func() {
		i.dir = folder
		if i.file, i.err = FromSource(t.Context(), "../..", folder, "", &i.log); i.err != nil {
			return
		}
		for _, p := range []int{0, 1, 3} {
			if i.err = (Card{i.file}).Extract(p, filepath.Join(folder, fmt.Sprint("p", p))); i.err != nil {
				return
			}
		}
		i.listing, i.err = list(t, filepath.Join(folder, "p1"))
	})
	t.Log(i.log.String())
	if i.err != nil {
		t.Fatal(i.err)
	}
	return &i.built
}

// list reads all of an ext4 file system.
func list(t *testing.T, fs string) ([]file, error) {
	// Folders that are still to be read; debugfs answers one at a time.
	todo, all := []string{"/"}, []file{}
	for len(todo) > 0 {
		var commands strings.Builder
		for _, dir := range todo {
			fmt.Fprintf(&commands, "ls -p \"%s\"\n", dir)
		}
		script := filepath.Join(t.TempDir(), "commands")
		if err := os.WriteFile(script, []byte(commands.String()), 0o644); err != nil {
			return nil, err
		}
		text, err := run(t.Context(), "/", nil, "debugfs", "-f", script, fs)
		if err != nil {
			return nil, err
		}
		todo = todo[:0]
		dir := ""
		for line := range strings.Lines(text) {
			line = strings.TrimSuffix(line, "\n")
			if name, ok := strings.CutPrefix(line, `debugfs: ls -p "`); ok {
				dir = strings.TrimSuffix(name, `"`)
				continue
			}
			// /inode/mode/uid/gid/name/size/
			f := strings.Split(line, "/")
			if len(f) != 8 || f[5] == "." || f[5] == ".." || f[1] == "0" {
				continue
			}
			var one file
			fmt.Sscanf(f[2], "%o", &one.mode)
			fmt.Sscan(f[6], &one.size)
			one.path, one.uid = strings.TrimSuffix(dir, "/")+"/"+f[5], f[3]
			all = append(all, one)
			if one.mode&0o170000 == 0o040000 {
				todo = append(todo, one.path)
			}
		}
	}
	return all, nil
}

// read returns a file of the root file system.
func (b *built) read(t *testing.T, name string) string {
	t.Helper()
	text, err := run(t.Context(), "/", nil, "debugfs", "-R", "cat \""+name+"\"", filepath.Join(b.dir, "p1"))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func (b *built) find(name string) (file, bool) {
	i := slices.IndexFunc(b.listing, func(f file) bool { return f.path == name })
	if i < 0 {
		return file{}, false
	}
	return b.listing[i], true
}

// boot returns a file of the boot partition.
func (b *built) boot(t *testing.T, name string) []byte {
	t.Helper()
	data, err := Card{b.file}.Get(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestPartitionTable(t *testing.T) {
	b := look(t)
	text, err := run(t.Context(), "/", nil, "sfdisk", "--dump", b.file)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"label: dos", fmt.Sprintf("label-id: 0x%08x", boot.DiskID),
		"start=        8192, size=      131072, type=c", "start=      139264, size=     1048576, type=83",
		"start=     1187840, size=     1048576, type=83", "start=     2236416, size=      131072, type=83",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	// A card of 2 GB has room for some data.
	info, err := os.Stat(b.file)
	if got, most := info.Size(), int64(1_900_000_000-400<<20); err != nil || got > most {
		t.Errorf("got %d bytes, want at most %d: %v", got, most, err)
	}
}

// The Pi's firmware never runs here: all that it would look for must be there.
func TestBootPartition(t *testing.T) {
	b := look(t)
	fat := filepath.Join(b.dir, "p0")
	if _, err := run(t.Context(), "/", nil, "fsck.fat", "-n", fat); err != nil {
		t.Error(err)
	}
	sector, err := os.ReadFile(fat)
	if err != nil {
		t.Fatal(err)
	}
	if got := string(sector[82:90]); got != "FAT32   " {
		t.Errorf("got the type %q, want FAT32", got)
	}
	if got := string(sector[71:82]); got != "TIDEGATE   " {
		t.Errorf("got the label %q", got)
	}
	if got := binary.LittleEndian.Uint32(sector[28:]); got != bootStart*sectors {
		t.Errorf("got %d hidden sectors, want %d", got, bootStart*sectors)
	}
	for _, name := range slices.Concat(stages, boards) {
		if len(b.boot(t, name)) == 0 {
			t.Errorf("%s is empty", name)
		}
	}
	config := string(b.boot(t, "config.txt"))
	named := 0
	for _, m := range regexp.MustCompile(`(?m)^(kernel|dtoverlay)=(\S+?)\r?$`).FindAllStringSubmatch(config, -1) {
		name := m[2]
		if m[1] == "dtoverlay" {
			name = "overlays/" + name + ".dtbo"
		}
		if named++; len(b.boot(t, name)) == 0 {
			t.Errorf("%s is empty", name)
		}
	}
	if named != 4 {
		t.Errorf("config.txt names %d files, want U-Boot and three overlays", named)
	}
	if got := b.boot(t, "boot.scr"); !bytes.Equal(got, boot.Script()) {
		t.Error("boot.scr is another")
	}
	state, err := slots.Decode(b.boot(t, "slots.0"))
	if want := slots.Fresh(); err != nil || state != want {
		t.Errorf("got %+v, %v, want %+v", state, err, want)
	}
	if got := len(b.boot(t, "slots.1")); got != slots.Size {
		t.Errorf("slots.1 has %d bytes, want %d: it must never grow", got, slots.Size)
	}
	for _, name := range []string{"README.txt", "LICENCES.txt", "LICENCE.broadcom.txt"} {
		if !bytes.Contains(b.boot(t, name), []byte("\n")) {
			t.Errorf("%s says nothing", name)
		}
	}
}

// What the firmware does with each board's device tree and the overlays.
func TestOverlays(t *testing.T) {
	b := look(t)
	dir := t.TempDir()
	overlays := []string{"tidegate-i2c.dtbo", "tidegate-spi.dtbo", "tidegate-onewire.dtbo"}
	for _, name := range overlays {
		if err := os.WriteFile(filepath.Join(dir, name), b.boot(t, "overlays/"+name), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, board := range boards {
		if err := os.WriteFile(filepath.Join(dir, board), b.boot(t, board), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := run(t.Context(), dir, nil, "fdtoverlay", append([]string{"-i", board, "-o", "out.dtb"}, overlays...)...); err != nil {
			t.Errorf("%s: %v", board, err)
			continue
		}
		for _, want := range []struct{ node, property, value string }{
			{"/soc/i2c@7e804000", "status", "okay"}, {"/soc/spi@7e204000", "status", "okay"},
			{"/soc/spi@7e204000/spidev@1", "compatible", "rohm,dh2228fv"}, {"/tidegate-onewire", "compatible", "w1-gpio"},
		} {
			got, err := run(t.Context(), dir, nil, "fdtget", "out.dtb", want.node, want.property)
			if err != nil || strings.TrimSpace(got) != want.value {
				t.Errorf("%s: %s of %s: got %q, %v, want %q", board, want.property, want.node, got, err, want.value)
			}
		}
	}
}

func TestRoot(t *testing.T) {
	b := look(t)
	for _, p := range []string{"p1", "p3"} {
		if _, err := run(t.Context(), b.dir, nil, "e2fsck", "-f", "-n", p); err != nil {
			t.Error(err)
		}
	}
	var used int64
	for _, f := range b.listing {
		used += f.size
		if f.mode&0o6000 != 0 && f.mode&0o170000 == 0o100000 {
			t.Errorf("%s runs with the rights of its owner (%o)", f.path, f.mode)
		}
		if strings.HasPrefix(filepath.Base(f.path), "ssh_host_") {
			t.Errorf("%s: every card would have this key", f.path)
		}
		if strings.HasPrefix(f.path, "/var/") || strings.HasPrefix(f.path, "/data/") {
			t.Errorf("%s: hidden by what is mounted there", f.path)
		}
	}
	// An update must have room to grow for years.
	if most := int64(slotSize << 20 * 6 / 10); used > most {
		t.Errorf("got %d bytes, want at most %d", used, most)
	}
	if head := b.read(t, "/boot/vmlinuz")[:64]; head[56:60] != "ARM\x64" {
		t.Errorf("/boot/vmlinuz begins with %q", head)
	}
	for _, name := range []string{"/boot/initrd.img", "/usr/bin/tidegate", "/usr/share/tidegate/packages.txt", "/usr/share/doc/firmware-brcm80211/copyright",
		"/usr/share/doc/raspi-firmware/copyright", "/usr/lib/firmware/regulatory.db-debian", "/etc/rauc/system.conf", "/usr/lib/tidegate/rauc-bootloader"} {
		if f, ok := b.find(name); !ok || f.size == 0 {
			t.Errorf("no %s", name)
		}
	}
	if f, ok := b.find("/etc/machine-id"); !ok || f.size != 0 {
		t.Errorf("/etc/machine-id: got %+v, want an empty file", f)
	}
}

// Nobody can log in, unless a key is put on the card.
func TestNoPasswords(t *testing.T) {
	b := look(t)
	for line := range strings.Lines(b.read(t, "/etc/shadow")) {
		if f := strings.Split(line, ":"); len(f) != 9 || f[1] != "*" {
			t.Errorf("%q: want a star for the password", line)
		}
	}
	if f, _ := b.find("/etc/shadow"); f.mode&0o077 != 0 {
		t.Errorf("/etc/shadow has the mode %o", f.mode)
	}
	sshd := b.read(t, "/etc/ssh/sshd_config")
	for _, want := range []string{"PasswordAuthentication no", "AuthenticationMethods publickey", "PermitRootLogin prohibit-password"} {
		if !strings.Contains(sshd, want+"\n") {
			t.Errorf("sshd_config lacks %q", want)
		}
	}
	for _, name := range []string{"/usr/bin/login", "/usr/bin/su", "/usr/bin/passwd", "/root/.ssh/authorized_keys"} {
		if _, ok := b.find(name); ok {
			t.Errorf("%s is there", name)
		}
	}
}

// What starts, what does not, and that all that is named is there.
func TestUnits(t *testing.T) {
	b := look(t)
	wants := map[string]bool{}
	for _, f := range b.listing {
		if dir := filepath.Dir(f.path); strings.HasSuffix(dir, ".wants") {
			wants[filepath.Base(f.path)] = true
		}
	}
	for _, u := range append([]string{"tidegate-data.service", "tidegate-boot-check.service", "tidegate-zram.service", "tidegate-journal.timer"}, enabled...) {
		if !wants[u] {
			t.Errorf("%s does not start", u)
		}
		if _, ok := b.find("/usr/lib/systemd/system/" + u); !ok {
			t.Errorf("there is no %s", u)
		}
	}
	for _, u := range masked {
		if _, ok := b.find("/etc/systemd/system/" + u); !ok {
			t.Errorf("%s is not masked", u)
		}
	}
	passwd := b.read(t, "/etc/passwd")
	for _, u := range append([]string{"rauc.service", "dbus.service"}, enabled...) {
		text := b.read(t, "/usr/lib/systemd/system/"+u)
		for _, m := range regexp.MustCompile(`(?m)^User=(!?\S+)`).FindAllStringSubmatch(text, -1) {
			if !strings.Contains(passwd, "\n"+strings.TrimPrefix(m[1], "!")+":") {
				t.Errorf("%s: no user %s", u, m[1])
			}
		}
		for _, m := range regexp.MustCompile(`(?m)^Exec\w+=[-!+@:|]*(/\S+)`).FindAllStringSubmatch(text, -1) {
			name := strings.Replace(m[1], "/bin/", "/usr/bin/", 1)
			name = strings.Replace(name, "/usr/usr/", "/usr/", 1)
			if _, ok := b.find(name); !ok {
				t.Errorf("%s runs %s, which is not there", u, m[1])
			}
		}
	}
}
