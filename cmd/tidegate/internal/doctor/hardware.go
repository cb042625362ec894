package doctor

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"tidegate/internal/disk"
)

// written is a time before which this program did not exist.
var written = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func clock(m *machine, _ context.Context) {
	now := m.Now().UTC()
	const how = "see that this machine reaches the internet and UDP port 123 is open: timedatectl timesync-status"
	synced, known := m.Synced()
	switch {
	case now.Before(written):
		m.say(Trouble, "clock", how+"; until then no certificate is valid", "the clock says %s: it is not set", now.Format("2006-01-02 15:04 MST"))
	case known && !synced:
		m.say(Attention, "clock", how+"; a wrong clock makes good certificates look expired", "the clock says %s, and nothing keeps it right", now.Format("2006-01-02 15:04 MST"))
	default:
		m.say(OK, "clock", "", "%s, kept right by the network", now.Format("2006-01-02 15:04 MST"))
	}
	if len(m.glob("sys/class/rtc/rtc*")) == 0 {
		m.say(Info, "clock", "", "there is no clock chip: after a power cut the time comes from the network")
	}
}

const (
	mib      = 1 << 20
	hardly   = 64 * mib  // bytes free: trouble
	scarcely = 512 * mib // or 5 %: attention
	fewFiles = 1000
)

func disks(m *machine, _ context.Context) {
	r, err := m.Room(m.path(m.DataDir))
	if err != nil {
		m.say(Trouble, "disk", "make it, or mount what it is on; the gateway does not start without: install -d -m 0700 -o "+m.User+" "+m.DataDir, "%s: %v", m.DataDir, trim(err))
		return
	}
	free := "delete what is not needed: apt clean; journalctl --vacuum-size=50M; du -xh " + m.DataDir + " shows the gateway's part"
	percent := int64(0)
	if r.Total > 0 {
		percent = r.Free * 100 / r.Total
	}
	switch {
	case m.readOnly(m.DataDir):
		m.say(Trouble, "disk", "the kernel does that after an error of the card: look at dmesg; a backup and a new card may be due", "%s can only be read, not written", m.DataDir)
	case r.Free < hardly:
		m.say(Trouble, "disk", free, "%s has %s free: messages that wait for the cloud find no room", m.DataDir, bytes(r.Free))
	case r.Files >= 0 && r.Files < fewFiles:
		m.say(Trouble, "disk", "delete small files that are not needed", "%s has room for %d more files only", m.DataDir, r.Files)
	case r.Free < scarcely && percent < 20 || percent < 5:
		m.say(Attention, "disk", free, "%s has %s free of %s (%d %%)", m.DataDir, bytes(r.Free), bytes(r.Total), percent)
	default:
		m.say(OK, "disk", "", "%s has %s free of %s", m.DataDir, bytes(r.Free), bytes(r.Total))
	}
	for _, f := range m.glob("sys/fs/ext4/*/errors_count") {
		if n := m.read(f); n != "" && n != "0" {
			name := filepath.Base(filepath.Dir(f))
			m.say(Attention, "disk", "make a backup now (tidegate backup FILE); then check it: fsck -f /dev/"+name+", from another system", "the file system on %s has %s errors on record", name, n)
		}
	}
}

// readOnly says what the mount table says of the file system that holds a folder
// [proc_pid_mountinfo(5): fields 5, 6 and the last].
func (m *machine) readOnly(folder string) bool {
	best, only := "", false
	for line := range strings.Lines(m.read("proc/self/mountinfo")) {
		f := strings.Fields(line)
		if len(f) < 10 || !(folder == f[4] || f[4] == "/" || strings.HasPrefix(folder, f[4]+"/")) || len(f[4]) < len(best) {
			continue
		}
		best = f[4]
		options := "," + f[5] + "," + f[len(f)-1] + ","
		only = strings.Contains(options, ",ro,")
	}
	return only
}

func card(m *machine, _ context.Context) {
	name := disk.Of(m.Root, m.DataDir)
	if name == "" {
		return
	}
	life, knows := disk.Wear([]byte(m.read(disk.File("", name, "device/life_time"))))
	low, _ := disk.SparesLow([]byte(m.read(disk.File("", name, "device/pre_eol_info"))))
	const replace = "make a backup (tidegate backup FILE) and replace it"
	switch {
	case low:
		m.say(Trouble, "card", replace, "%s is near its end: most of its spare blocks are used", name)
	case knows && life >= 100:
		m.say(Trouble, "card", replace, "%s has written all that it was rated for", name)
	case knows && life >= 80:
		m.say(Attention, "card", replace+" before long", "%s has used %d %% of its rated life", name, life)
	case knows:
		m.say(OK, "card", "", "%s has used %d %% of its rated life", name, life)
	default:
		m.say(Info, "card", "", "%s does not say how worn it is (hardly any SD card does); tidegate status has what was written to it", name)
	}
}

// Celsius.
const (
	warm = 80 // a Pi begins to slow down
	hot  = 90
)

func heat(m *machine, _ context.Context) {
	most := -1000
	for _, f := range m.glob("sys/class/thermal/thermal_zone*/temp") {
		if v, err := strconv.Atoi(m.read(f)); err == nil {
			most = max(most, v/1000)
		}
	}
	const cool = "give it air or a heat sink; over 80 °C a Pi slows itself down"
	switch {
	case most == -1000:
		m.say(Info, "heat", "", "no thermometer in this machine")
	case most >= hot:
		m.say(Trouble, "heat", cool, "%d °C", most)
	case most >= warm:
		m.say(Attention, "heat", cool, "%d °C", most)
	default:
		m.say(OK, "heat", "", "%d °C", most)
	}
}

// What the firmware says [Raspberry Pi documentation, vcgencmd get_throttled].
const (
	undervoltage = 1 << 0
	capped       = 1 << 1
	throttled    = 1 << 2
	softLimit    = 1 << 3
	sinceBoot    = 16 // the same bits again, for any time since then
)

const supply = "use the power supply made for this Pi and a short, thick cable; too little voltage damages cards"

func power(m *machine, _ context.Context) {
	model := m.read("proc/device-tree/model")
	if !strings.Contains(model, "Raspberry Pi") {
		m.say(Info, "power", "", "not a Raspberry Pi: nobody says whether the power supply is strong enough")
		return
	}
	m.say(Info, "power", "", "%s", model)
	if m.throttled() || m.voltage() {
		return
	}
	m.say(Info, "power", "", "this kernel does not say whether the voltage is too low")
}

// throttled reads what the kernel of Raspberry Pi OS has. False: it is another.
func (m *machine) throttled() bool {
	for _, f := range m.glob("sys/devices/platform/soc*/*firmware/get_throttled") {
		v, err := strconv.ParseUint(strings.TrimPrefix(m.read(f), "0x"), 16, 32)
		if err != nil {
			continue
		}
		then := v >> sinceBoot
		switch {
		case v&undervoltage != 0:
			m.say(Trouble, "power", supply, "the voltage is too low now")
		case then&undervoltage != 0:
			m.say(Attention, "power", supply, "the voltage was too low at some time since the start")
		case v&(capped|throttled|softLimit) != 0:
			m.say(Attention, "power", "give it air or a heat sink", "it runs slower now, because it is too warm")
		case then&(capped|throttled|softLimit) != 0:
			m.say(Info, "power", "", "it was too warm at some time since the start, and ran slower")
		default:
			m.say(OK, "power", "", "enough voltage, and never slowed down since the start")
		}
		return true
	}
	return false
}

// voltage reads what Debian's kernel has [kernel: hwmon/raspberrypi-hwmon].
func (m *machine) voltage() bool {
	for _, f := range m.glob("sys/class/hwmon/hwmon*/name") {
		if m.read(f) != "rpi_volt" {
			continue
		}
		if m.read(filepath.Join(filepath.Dir(f), "in0_lcrit_alarm")) == "1" {
			m.say(Trouble, "power", supply, "the voltage is too low now, or was a moment ago")
		} else {
			m.say(OK, "power", "", "enough voltage")
		}
		return true
	}
	return false
}

func memory(m *machine, _ context.Context) {
	kib := map[string]int64{}
	for line := range strings.Lines(m.read("proc/meminfo")) {
		name, rest, _ := strings.Cut(line, ":")
		if f := strings.Fields(rest); len(f) > 0 {
			kib[name], _ = strconv.ParseInt(f[0], 10, 64)
		}
	}
	total, free := kib["MemTotal"]<<10, kib["MemAvailable"]<<10
	const do = "see what takes it: ps -eo rss,comm --sort=-rss | head"
	switch {
	case total == 0:
	case free < 24*mib:
		m.say(Trouble, "memory", do, "%s free of %s", bytes(free), bytes(total))
	case free < 64*mib || free < total/20:
		m.say(Attention, "memory", do, "%s free of %s", bytes(free), bytes(total))
	default:
		m.say(OK, "memory", "", "%s free of %s", bytes(free), bytes(total))
	}
	for line := range strings.Lines(m.read("proc/vmstat")) {
		if n, ok := strings.CutPrefix(strings.TrimSpace(line), "oom_kill "); ok && n != "0" {
			m.say(Attention, "memory", "see which: dmesg | grep -i 'killed process'", "the kernel ended programs for lack of memory since the start: %s", n)
		}
	}
}

func damage(m *machine, _ context.Context) {
	var all []string
	for _, pattern := range []string{"*.corrupt*", "*/*.corrupt*"} {
		all = append(all, m.glob(filepath.Join(m.DataDir, pattern))...)
	}
	if _, err := os.ReadDir(m.path(m.DataDir)); os.IsPermission(err) {
		m.say(Info, "damage", "use sudo", "%s can be looked into by root only", m.DataDir)
		return
	}
	const do = "what could be read of it was taken over; look after the card (above), keep the file for whoever helps, or delete it"
	for i, f := range all {
		if i == 5 {
			m.say(Attention, "damage", do, "and %d more", len(all)-i)
			break
		}
		m.say(Attention, "damage", do, "%s was damaged and set aside", f)
	}
	if len(all) == 0 {
		m.say(OK, "damage", "", "no file of the gateway was found damaged")
	}
}
