package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// machine makes the part of /sys and /proc that is looked at. Disks lie where
// the kernel has them: links in /sys/class/block lead below the bus.
func machine(t *testing.T, mounts, swaps string, disks map[string]map[string]string) string {
	t.Helper()
	root := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		name = filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("proc/self/mountinfo", mounts)
	write("proc/swaps", "Filename Type Size Used Priority\n"+swaps)
	for place, files := range disks {
		for file, text := range files {
			write(filepath.Join("sys/devices", place, file), text)
		}
		link := func(name, to string) {
			t.Helper()
			dir := filepath.Join(root, "sys/class/block")
			if err := os.MkdirAll(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(filepath.Join("../../devices", to), filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
		}
		link(filepath.Base(place), place)
		parts, _ := filepath.Glob(filepath.Join(root, "sys/devices", place, "*/partition"))
		for _, p := range parts {
			name := filepath.Base(filepath.Dir(p))
			link(name, filepath.Join(place, name))
		}
	}
	return root
}

const (
	usb  = "pci0/usb1/1-1/host0/block/sdb"
	sata = "pci0/ata1/host1/block/sda"
	slot = "platform/mmc_host/mmc0/mmc0:1/block/mmcblk0"
	dm   = "virtual/block/dm-0"
)

func stick(more map[string]string) map[string]string {
	all := map[string]string{"size": "8000000", "removable": "1", "ro": "0", "dev": "8:16", "device/vendor": "Generic", "device/model": "Card Reader",
		"sdb1/partition": "1", "sdb1/start": "8192", "sdb1/size": "500000", "sdb1/dev": "8:17"}
	for k, v := range more {
		all[k] = v
	}
	return all
}

func TestWhatIsRefused(t *testing.T) {
	const root = "25 1 8:1 / / rw - ext4 /dev/sda1 rw\n"
	inside := map[string]string{"size": "8000000", "removable": "0", "ro": "0", "dev": "8:0", "sda1/partition": "1", "sda1/dev": "8:1", "sda2/partition": "2", "sda2/dev": "8:2"}
	for name, c := range map[string]struct {
		mounts, swaps string
		disks         map[string]map[string]string
		dev, even     string
		want          string // "": it may be written
	}{
		"a card in a reader":             {root, "", map[string]map[string]string{usb: stick(nil)}, "/dev/sdb", "", ""},
		"a reader that is not removable": {root, "", map[string]map[string]string{usb: stick(map[string]string{"removable": "0"})}, "/dev/sdb", "", ""},
		"an SD card in a slot":           {root, "", map[string]map[string]string{slot: {"size": "8000000", "device/type": "SD", "device/name": "SC16G"}}, "/dev/mmcblk0", "", ""},
		"eMMC of this machine":           {root, "", map[string]map[string]string{slot: {"size": "8000000", "device/type": "MMC"}}, "/dev/mmcblk0", "", "does not look like a card"},
		"a disk inside":                  {"", "", map[string]map[string]string{sata: inside}, "/dev/sda", "", "does not look like a card"},
		"a disk inside, all the same":    {"", "", map[string]map[string]string{sata: inside}, "/dev/sda", "/dev/sda", ""},
		"another one all the same":       {"", "", map[string]map[string]string{sata: inside}, "/dev/sda", "/dev/sdb", "must be the same"},
		"the running system":             {root, "", map[string]map[string]string{sata: inside}, "/dev/sda", "/dev/sda", "sda1 is mounted on /; it has the system that runs here"},
		"a mounted card":                 {root + "31 25 8:17 / /media/boot rw - vfat /dev/sdb1 rw\n", "", map[string]map[string]string{usb: stick(nil)}, "/dev/sdb", "", "sdb1 is mounted on /media/boot; unmount it: umount /dev/sdb*"},
		"mounted whole":                  {root + "31 25 8:16 / /media/x rw - vfat /dev/sdb rw\n", "", map[string]map[string]string{usb: stick(nil)}, "/dev/sdb", "", "sdb is mounted on /media/x"},
		"btrfs":                          {root + "31 25 0:40 / /media/x rw - btrfs /dev/sdb1 rw\n", "", map[string]map[string]string{usb: stick(nil)}, "/dev/sdb", "/dev/sdb", "sdb1 is mounted on /media/x"},
		"swap":                           {"", "/dev/sda2 partition 1 0 -2\n", map[string]map[string]string{sata: inside}, "/dev/sda", "/dev/sda", "sda2 is swap; take it out of there"},
		"LVM":                            {"", "", map[string]map[string]string{usb: stick(map[string]string{"sdb1/holders/dm-0": ""}), dm: {"dm/name": "home", "dev": "254:0"}}, "/dev/sdb", "", "sdb1 is part of dm-0 home"},
		"mounted through LVM":            {"31 25 254:0 / /home rw - ext4 /dev/mapper/home rw\n", "", map[string]map[string]string{usb: stick(map[string]string{"sdb1/holders/dm-0": ""}), dm: {"dm/name": "home", "dev": "254:0"}}, "/dev/sdb", "/dev/sdb", "dm-0 is mounted on /home"},
		"a partition":                    {root, "", map[string]map[string]string{usb: stick(nil)}, "/dev/sdb1", "", "is a partition; name the whole disk: /dev/sdb"},
		"an empty reader":                {root, "", map[string]map[string]string{usb: stick(map[string]string{"size": "0"})}, "/dev/sdb", "", "no card in it"},
		"write-protected":                {root, "", map[string]map[string]string{usb: stick(map[string]string{"ro": "1"})}, "/dev/sdb", "/dev/sdb", "write-protected"},
		"too small":                      {root, "", map[string]map[string]string{usb: stick(map[string]string{"size": "1000"})}, "/dev/sdb", "/dev/sdb", "too small: it has 512000 bytes, and the image needs 1.1 GB"},
		"an archive disk on USB":         {root, "", map[string]map[string]string{usb: stick(map[string]string{"size": "8000000000"})}, "/dev/sdb", "", "more than any card"},
		"none":                           {root, "", map[string]map[string]string{usb: stick(nil)}, "/dev/sdc", "", "no disk that this machine has"},
	} {
		t.Run(name, func(t *testing.T) {
			d, err := look(machine(t, c.mounts, c.swaps, c.disks), c.dev)
			if err == nil {
				err = d.refuse(1_100_000_000, c.even)
			}
			switch {
			case c.want == "" && err != nil:
				t.Errorf("got %v, want that it may be written", err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("got %v, want ...%s", err, c.want)
			}
		})
	}
}

// A name may be given to another disk while the image is read.
func TestAnotherDiskOfTheSameName(t *testing.T) {
	at := func(files map[string]string) *disk {
		t.Helper()
		d, err := look(machine(t, "", "", map[string]map[string]string{usb: files}), "/dev/sdb")
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	first := at(stick(nil))
	for name, c := range map[string]struct {
		files map[string]string
		want  bool
	}{
		"the same":         {stick(nil), true},
		"another size":     {stick(map[string]string{"size": "8000008"}), false},
		"another maker":    {stick(map[string]string{"device/model": "Backup Disk"}), false},
		"other partitions": {stick(map[string]string{"sdb1/size": "500008"}), false},
		"a fixed disk":     {stick(map[string]string{"removable": "0"}), false},
	} {
		if got := at(c.files).same(first); got != c.want {
			t.Errorf("%s: got %v, want %v", name, got, c.want)
		}
	}
}

func TestWhatIsShown(t *testing.T) {
	d, err := look(machine(t, "", "", map[string]map[string]string{usb: stick(nil)}), "/dev/sdb")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "card")
	b := make([]byte, 8192*sector+4096)
	copy(b[8192*sector+82:], "FAT32")
	copy(b[8192*sector+71:], "HOLIDAYS   ")
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var got strings.Builder
	d.show(&got, f)
	want := "/dev/sdb  4.1 GB  Generic Card Reader  removable, on USB\n    sdb1         256.0 MB  FAT32 HOLIDAYS\n"
	if got.String() != want {
		t.Errorf("got\n%s\nwant\n%s", got.String(), want)
	}
}

// What is no block device is refused whatever it is called.
func TestAFileIsNoCard(t *testing.T) {
	file := filepath.Join(t.TempDir(), "sdb")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{file, "/dev/null", "/dev/nowhere", t.TempDir()} {
		if _, err := look("/", path); err == nil {
			t.Errorf("%s: got no error", path)
		}
	}
}
