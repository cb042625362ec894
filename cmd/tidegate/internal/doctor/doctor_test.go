package doctor

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var today = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// house is the files of a Pi on which all is well.
type house struct {
	t *testing.T
	Options
}

func newHouse(t *testing.T) *house {
	h := &house{t: t}
	h.Options = Options{
		Root: t.TempDir(), DataDir: "/var/lib/tidegate", User: "tidegate", Unit: "tidegate.service", Uplinks: 1, Running: true,
		Hosts: []string{"cloud.example.com"}, Buses: []string{"i2c"},
		Files:     []File{{Key: "uplink[0].password-file", Path: "/etc/tidegate/password", Secret: true}, {Key: "uplink[0].cert-file", Path: "/etc/tidegate/cert.pem", Certificate: true}},
		Listeners: []Listener{{"edge.listener[0].bind", ":1883"}},
		Now:       func() time.Time { return today },
		Synced:    func() (bool, bool) { return true, true },
		Room:      func(string) (Room, error) { return Room{Free: 8 << 30, Total: 16 << 30, Files: 1e6}, nil },
		Systemctl: func(context.Context, ...string) (string, error) {
			return "LoadState=loaded\nActiveState=active\nSubState=running\nUnitFileState=enabled\nNRestarts=0\nResult=success\n", nil
		},
		Resolve: func(context.Context, string) error { return nil },
	}
	h.write("etc/passwd", fmt.Sprintf("root:x:0:0::/root:/bin/sh\ntidegate:x:%d:990::/var/lib/tidegate:/usr/sbin/nologin\n", os.Getuid()+990))
	h.write("etc/group", fmt.Sprintf("i2c:x:%d:tidegate\n", os.Getgid()))
	h.write("etc/resolv.conf", "nameserver 192.0.2.53\n")
	h.write("etc/tidegate/password", "geheim\n")
	h.mode("etc/tidegate/password", 0o040) // the user's by its group, which the test may give away
	h.certificate("etc/tidegate/cert.pem", today.Add(90*24*time.Hour))
	h.write("var/lib/tidegate/edge.db", "")
	h.mode("var/lib/tidegate", 0o777)
	h.write("dev/i2c-1", "")
	h.mode("dev/i2c-1", 0o060)
	h.write("sys/class/rtc/rtc0/name", "rtc-ds1307\n")
	h.write("sys/class/thermal/thermal_zone0/temp", "48312\n")
	h.write("proc/device-tree/model", "Raspberry Pi 4 Model B Rev 1.4\x00")
	h.write("sys/devices/platform/soc/soc:firmware/get_throttled", "0\n")
	h.write("sys/block/mmcblk0/dev", "179:0\n")
	h.write("sys/block/mmcblk0/device/life_time", "0x01 0x02\n")
	h.write("sys/block/mmcblk0/device/pre_eol_info", "0x01\n")
	h.write("sys/fs/ext4/mmcblk0p2/errors_count", "0\n")
	h.write("proc/self/mountinfo", "25 1 179:0 / / rw,noatime - ext4 /dev/mmcblk0p2 rw\n")
	h.write("proc/meminfo", "MemTotal: 512000 kB\nMemFree: 100000 kB\nMemAvailable: 300000 kB\n")
	h.write("proc/vmstat", "nr_free_pages 1\noom_kill 0\n")
	h.write("proc/net/tcp", "  sl  local_address rem_address   st\n   0: 00000000:075B 00000000:0000 0A 00000000:00000000 00:00000000 00000000   990 0 4711 1\n")
	h.write("proc/612/comm", "tidegate\n")
	h.link("proc/612/fd/7", "socket:[4711]")
	h.write("proc/net/route", "Iface Destination Gateway Flags RefCnt Use Metric Mask\neth0 00000000 0100A8C0 0003 0 0 100 00000000 0 0 0\n")
	h.write("run/systemd/system/x", "")
	for _, dir := range []string{"", "etc", "etc/tidegate", "var", "var/lib", "dev"} {
		h.mode(dir, 0o755) // whatever the umask is
	}
	return h
}

func (h *house) write(name, text string) {
	h.t.Helper()
	name = filepath.Join(h.Root, name)
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		h.t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		h.t.Fatal(err)
	}
}

func (h *house) mode(name string, mode os.FileMode) {
	h.t.Helper()
	if err := os.Chmod(filepath.Join(h.Root, name), mode); err != nil {
		h.t.Fatal(err)
	}
}

func (h *house) remove(name string) {
	h.t.Helper()
	if err := os.RemoveAll(filepath.Join(h.Root, name)); err != nil {
		h.t.Fatal(err)
	}
}

func (h *house) link(name, to string) {
	h.t.Helper()
	name = filepath.Join(h.Root, name)
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		h.t.Fatal(err)
	}
	if err := os.Symlink(to, name); err != nil {
		h.t.Fatal(err)
	}
}

// certificate writes one that is valid for a year before its end.
func (h *house) certificate(name string, until time.Time) {
	h.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		h.t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotBefore: until.Add(-365 * 24 * time.Hour), NotAfter: until}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		h.t.Fatal(err)
	}
	h.write(name, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
}

func (h *house) examine() []Finding { return Examine(h.t.Context(), h.Options) }

func TestWellHouse(t *testing.T) {
	for _, f := range newHouse(t).examine() {
		if f.Level != OK && f.Level != Info || f.Do != "" {
			t.Errorf("got %+v, want nothing to do", f)
		}
	}
}

// Each thing that may be wrong, alone.
func TestFindings(t *testing.T) {
	gone := func(h *house) { h.remove("proc/net/tcp") }
	for _, c := range []struct {
		name  string
		spoil func(*house)
		level string
		about string
		what  string
	}{
		{"clock not set", func(h *house) { h.Now = func() time.Time { return time.Unix(100, 0) } }, Trouble, "clock", "1970-01-01"},
		{"clock not kept right", func(h *house) { h.Synced = func() (bool, bool) { return false, true } }, Attention, "clock", "nothing keeps it right"},
		{"no clock chip", func(h *house) { h.remove("sys/class/rtc") }, Info, "clock", "no clock chip"},
		{"disk full", func(h *house) {
			h.Room = func(string) (Room, error) { return Room{Free: 10 << 20, Total: 16 << 30, Files: -1}, nil }
		}, Trouble, "disk", "10 MiB free"},
		{"disk nearly full", func(h *house) {
			h.Room = func(string) (Room, error) { return Room{Free: 300 << 20, Total: 16 << 30, Files: -1}, nil }
		}, Attention, "disk", "(1 %)"},
		{"no more files", func(h *house) {
			h.Room = func(string) (Room, error) { return Room{Free: 8 << 30, Total: 16 << 30, Files: 12}, nil }
		}, Trouble, "disk", "12 more files"},
		{"no data directory", func(h *house) {
			h.Room = func(p string) (Room, error) { return Room{}, &os.PathError{Op: "statfs", Path: p, Err: os.ErrNotExist} }
		}, Trouble, "disk", "not exist"},
		{"read only", func(h *house) {
			h.write("proc/self/mountinfo", "25 1 179:2 / / rw - ext4 /dev/mmcblk0p2 rw\n26 25 179:3 / /var/lib/tidegate ro,relatime - ext4 /dev/mmcblk0p3 ro\n")
		}, Trouble, "disk", "only be read"},
		{"errors of the file system", func(h *house) { h.write("sys/fs/ext4/mmcblk0p2/errors_count", "3\n") }, Attention, "disk", "3 errors"},
		{"card worn", func(h *house) { h.write("sys/block/mmcblk0/device/life_time", "0x09 0x02\n") }, Attention, "card", "90 %"},
		{"card worn out", func(h *house) { h.write("sys/block/mmcblk0/device/life_time", "0x0b 0x02\n") }, Trouble, "card", "rated for"},
		{"spares used", func(h *house) { h.write("sys/block/mmcblk0/device/pre_eol_info", "0x03\n") }, Trouble, "card", "near its end"},
		{"card says nothing", func(h *house) { h.remove("sys/block/mmcblk0/device") }, Info, "card", "does not say"},
		{"warm", func(h *house) { h.write("sys/class/thermal/thermal_zone0/temp", "83500\n") }, Attention, "heat", "83 °C"},
		{"hot", func(h *house) { h.write("sys/class/thermal/thermal_zone0/temp", "91000\n") }, Trouble, "heat", "91 °C"},
		{"no thermometer", func(h *house) { h.remove("sys/class/thermal") }, Info, "heat", "no thermometer"},
		{"no Pi", func(h *house) { h.remove("proc/device-tree") }, Info, "power", "not a Raspberry Pi"},
		{"too little voltage", func(h *house) { h.write("sys/devices/platform/soc/soc:firmware/get_throttled", "50005\n") }, Trouble, "power", "too low now"},
		{"too little voltage before", func(h *house) { h.write("sys/devices/platform/soc/soc:firmware/get_throttled", "50000\n") }, Attention, "power", "at some time"},
		{"throttled", func(h *house) { h.write("sys/devices/platform/soc/soc:firmware/get_throttled", "0x4\n") }, Attention, "power", "too warm"},
		{"too little voltage, as Debian's kernel says it", func(h *house) {
			h.remove("sys/devices")
			h.write("sys/class/hwmon/hwmon1/name", "rpi_volt\n")
			h.write("sys/class/hwmon/hwmon1/in0_lcrit_alarm", "1\n")
		}, Trouble, "power", "too low now"},
		{"nobody says the voltage", func(h *house) { h.remove("sys/devices") }, Info, "power", "does not say"},
		{"little memory", func(h *house) { h.write("proc/meminfo", "MemTotal: 512000 kB\nMemAvailable: 40000 kB\n") }, Attention, "memory", "39 MiB free"},
		{"no memory", func(h *house) { h.write("proc/meminfo", "MemTotal: 512000 kB\nMemAvailable: 9000 kB\n") }, Trouble, "memory", "9000 KiB free"},
		{"killed for memory", func(h *house) { h.write("proc/vmstat", "oom_kill 2\n") }, Attention, "memory", "since the start: 2"},
		{"file missing", func(h *house) { h.remove("etc/tidegate/password") }, Trouble, "files", "is not there"},
		{"file closed", func(h *house) { h.mode("etc/tidegate/password", 0o400) }, Trouble, "files", "cannot be read by tidegate"},
		{"folder closed", func(h *house) { h.mode("etc/tidegate", 0o700) }, Trouble, "files", "may not enter /etc/tidegate"},
		{"secret open", func(h *house) { h.mode("etc/tidegate/password", 0o644) }, Attention, "files", "everybody on this machine"},
		{"data directory closed", func(h *house) { h.mode("var/lib/tidegate", 0o755) }, Trouble, "files", "may not write to /var/lib/tidegate"},
		{"no such user", func(h *house) { h.write("etc/passwd", "root:x:0:0::/root:/bin/sh\n") }, Info, "files", "no user tidegate"},
		{"certificate ends", func(h *house) { h.certificate("etc/tidegate/cert.pem", today.Add(5*24*time.Hour)) }, Attention, "certificates", "in 5 days"},
		{"certificate ended", func(h *house) { h.certificate("etc/tidegate/cert.pem", today.Add(-24*time.Hour)) }, Trouble, "certificates", "expired on 2026-11-22"},
		{"certificate of tomorrow", func(h *house) { h.certificate("etc/tidegate/cert.pem", today.Add(366*24*time.Hour)) }, Trouble, "certificates", "not valid before"},
		{"authority ended", func(h *house) {
			h.certificate("etc/tidegate/cert.pem", today.Add(-time.Hour))
			h.Files[1].Authority = true
		}, Trouble, "certificates", "every certificate"},
		{"gateway by another name", func(h *house) { h.write("proc/612/comm", "tidegate-linux-\n"); h.PID = 612 }, OK, "ports", "is the gateway's"},
		{"port taken", func(h *house) { h.write("proc/612/comm", "mosquitto\n") }, Trouble, "ports", "another program: mosquitto, process 612"},
		{"port taken by nobody knows whom", func(h *house) { h.remove("proc/612") }, Info, "ports", "a program listens"},
		{"port taken on IPv6", func(h *house) {
			h.remove("proc/net/tcp")
			h.write("proc/net/tcp6", "  sl\n   0: 00000000000000000000000000000000:075B 0:0 0A 0:0 0:0 0 1000 0 4711 1\n")
			h.write("proc/612/comm", "emqx\n")
		}, Trouble, "ports", "emqx"},
		{"nobody listens", gone, Attention, "ports", "nobody listens"},
		{"nobody listens, nor should", func(h *house) { gone(h); h.Running = false }, OK, "ports", "is free"},
		{"another address", func(h *house) {
			h.write("proc/net/tcp", "x\n 0: 0200007F:075B 0:0 0A 0:0 0:0 0 990 0 4711 1\n")
			h.Listeners[0].Bind, h.Running = "127.0.0.1:1883", false
		}, OK, "ports", "is free"},
		{"no bus", func(h *house) { h.remove("dev") }, Trouble, "buses", "no /dev/i2c-*"},
		{"bus closed", func(h *house) { h.write("etc/group", "") }, Trouble, "buses", "may not use /dev/i2c-1"},
		{"no route", func(h *house) { h.remove("proc/net/route") }, Trouble, "network", "no default route"},
		{"no route, no cloud", func(h *house) { h.remove("proc/net/route"); h.Uplinks, h.Hosts = 0, nil }, Info, "network", "no default route"},
		{"IPv6 without a way", func(h *house) {
			h.write("proc/net/if_inet6", "20010db8000000000000000000000001 02 40 00 80 eth0\n")
		}, Attention, "network", "no IPv6 way out"},
		{"no name server", func(h *house) { h.remove("etc/resolv.conf") }, Trouble, "network", "no name server"},
		{"name not found", func(h *house) { h.Resolve = func(context.Context, string) error { return errors.New("no such host") } }, Trouble, "network", "cloud.example.com is not found"},
		{"no systemd", func(h *house) { h.remove("run") }, Info, "service", "systemd does not run"},
		{"stopped", func(h *house) { h.unit("ActiveState=failed\nResult=exit-code\n") }, Trouble, "service", "does not run: failed, exit-code"},
		{"starts again and again", func(h *house) { h.unit("ActiveState=activating\nSubState=auto-restart\nNRestarts=7\n") }, Attention, "service", "times: 7"},
		{"not enabled", func(h *house) { h.unit("ActiveState=active\nUnitFileState=disabled\n") }, Attention, "service", "disabled"},
		{"not installed", func(h *house) { h.unit("LoadState=not-found\nActiveState=inactive\n") }, Info, "service", "not installed"},
		{"damaged", func(h *house) { h.write("var/lib/tidegate/uplink-cloud/17.spool.corrupt-1790000000", "") }, Attention, "damage", "17.spool.corrupt-1790000000"},
		{"damaged edge.db", func(h *house) { h.write("var/lib/tidegate/edge.db.corrupt-1790000000", "") }, Attention, "damage", "edge.db.corrupt"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHouse(t)
			c.spoil(h)
			all := h.examine()
			for _, f := range all {
				if f.Level == c.level && f.About == c.about && strings.Contains(f.What, c.what) {
					if (f.Level == Trouble || f.Level == Attention) && f.Do == "" {
						t.Errorf("got %+v, want what to do", f)
					}
					if Bad(all) != (c.level == Trouble) {
						t.Errorf("got Bad %v with %+v", Bad(all), all)
					}
					return
				}
			}
			t.Errorf("got %+v\nwant %s, %s: %s", all, c.level, c.about, c.what)
		})
	}
}

func (h *house) unit(text string) {
	h.Systemctl = func(context.Context, ...string) (string, error) { return text, nil }
}

// The machine that the test runs on: whatever it is, each finding has words.
func TestHere(t *testing.T) {
	o := Here()
	o.DataDir = t.TempDir()
	o.Listeners = []Listener{{"edge.listener[0].bind", "127.0.0.1:1"}}
	all := Examine(t.Context(), o)
	about := map[string]bool{}
	for _, f := range all {
		about[f.About] = true
		if f.What == "" || f.Level == "" {
			t.Errorf("got %+v, want words", f)
		}
	}
	for _, name := range []string{"clock", "disk", "memory", "files", "ports", "network", "service", "damage"} {
		if !about[name] {
			t.Errorf("nothing was said about %s: %+v", name, all)
		}
	}
}
