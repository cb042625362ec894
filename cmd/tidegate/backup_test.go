package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// household makes a configuration with a secret and a data directory.
func household(t *testing.T, extra string) (config, data string) {
	t.Helper()
	dir := t.TempDir()
	etc := filepath.Join(dir, "etc", "tidegate")
	data = filepath.Join(dir, "data")
	for _, d := range []string{etc, data} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	config = filepath.Join(etc, "tidegate.toml")
	configure(t, config, fmt.Sprintf("[gateway]\nid = \"house-17\"\ndata-dir = %q\n%s", data, extra))
	configure(t, filepath.Join(etc, "cloud-password"), "secret")
	return config, data
}

func TestBackupAndRestore(t *testing.T) {
	config, data := household(t, "")
	used := epochs(t, data, aDay, 3)[2]
	for _, name := range []string{"users.toml", "administrator"} {
		configure(t, filepath.Join(data, name), "hashes")
	}
	file, password := filepath.Join(t.TempDir(), "b.age"), filepath.Join(t.TempDir(), "password")
	configure(t, password, "correct horse\n")
	printed(t, "", "backup", "-config", config, "-password-file", password, file)
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("got %v, %v, want a file for its owner alone", info, err)
	}
	if err := os.RemoveAll(filepath.Dir(data)); err != nil { // the card is lost
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(filepath.Dir(config)), 0o755); err != nil {
		t.Fatal(err)
	}
	out := printed(t, "", "restore", "-config", config, "-password-file", password, file)
	if !strings.Contains(out, "house-17") {
		t.Errorf("got %q", out)
	}
	secret, err := os.ReadFile(filepath.Join(filepath.Dir(config), "cloud-password"))
	if err != nil || string(secret) != "secret" {
		t.Errorf("got %q, %v", secret, err)
	}
	for _, name := range []string{"users.toml", "administrator"} {
		text, err := os.ReadFile(filepath.Join(data, name))
		info, err2 := os.Stat(filepath.Join(data, name))
		if err != nil || err2 != nil || string(text) != "hashes" || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: got %q, %v, %v, want it back, for its owner only", name, text, err, err2)
		}
	}
	printed(t, "", "check", config)
	if next := epochs(t, data, aDay, 2); next[0] <= used+1000 || next[1] != next[0]+1 {
		t.Errorf("got the epochs %d, want them well above %d: the other card went on after its backup", next, used)
	}
}

func TestWhatABackupCannotDo(t *testing.T) {
	config, _ := household(t, "")
	password := filepath.Join(t.TempDir(), "password")
	configure(t, password, "\n")
	file := filepath.Join(t.TempDir(), "backup")
	for name, c := range map[string]struct {
		args []string
		code int
		want string
	}{
		"no file":         {[]string{"backup"}, exitUsage, "an argument is missing"},
		"no passphrase":   {[]string{"backup", "-config", config, "-password-file", password, file}, exitUsage, "first line is empty"},
		"nowhere":         {[]string{"backup", "-config", config, "/nowhere/backup"}, exitBad, "no such file"},
		"nothing":         {[]string{"backup", "-config", "/nowhere/tidegate.toml", file}, exitUsage, "no such file"},
		"not a backup":    {[]string{"restore", "-config", config, config}, exitUsage, "tidegate.toml is no backup of tidegate"},
		"no such backup":  {[]string{"restore", "-config", config, "/nowhere"}, exitUsage, "no such file"},
		"two, and a flag": {[]string{"restore", "-force", file}, exitUsage, "not defined"},
	} {
		t.Run(name, func(t *testing.T) {
			out := &output{}
			if code := dispatch(environment{out: out, err: out}, c.args); code != c.code || !strings.Contains(out.String(), c.want) {
				t.Errorf("got %d, %s, want %d, ...%s", code, out, c.code, c.want)
			}
		})
	}
}

// A configuration that this program would not take is not restored.
func TestRestoreChecksTheConfiguration(t *testing.T) {
	bad, _ := household(t, "[edge]\nsync-intervall = \"1m\"\n")
	file := filepath.Join(t.TempDir(), "backup")
	printed(t, "", "backup", "-config", bad, file)
	config, _ := household(t, "")
	before, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	out := &output{}
	if code := dispatch(environment{out: out, err: out}, []string{"restore", "-config", config, file}); code != exitBad || !strings.Contains(out.String(), "\ntidegate.toml:5: edge.sync-intervall") {
		t.Errorf("got %d, %s", code, out)
	}
	if after, err := os.ReadFile(config); err != nil || string(after) != string(before) {
		t.Errorf("got %s, %v", after, err)
	}
}

func TestBackupNamesWhatLiesElsewhere(t *testing.T) {
	elsewhere := filepath.Join(t.TempDir(), "cloud-ca.pem")
	configure(t, elsewhere, "x")
	config, _ := household(t, fmt.Sprintf("[[uplink]]\nendpoints = [\"mqtts://a\"]\nca-file = %q\n", elsewhere))
	if out := printed(t, "", "backup", "-config", config, filepath.Join(t.TempDir(), "backup")); !strings.Contains(out, elsewhere+" is named") {
		t.Errorf("got %s", out)
	}
}

// The way of a user whose card has died: a new card, and the backup on its boot
// partition. The configuration names files of the identity, which the new card
// does not have yet.
func TestABackupOnTheBootPartitionOfAnotherCard(t *testing.T) {
	const keys = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGlJ1yNlN3bZ5Vx1PV4O0h7uTz1k3cM4Y8yV4q9m0sXb me@home\n"
	old, _ := provisioned(t, map[string]string{"hostname.txt": "barn\n", "authorized_keys": keys, "wifi.txt": "country = DE\nssid = home\npassword = correct horse\n"})
	file := filepath.Join(t.TempDir(), "tidegate-backup.tgz")
	printed(t, "", "backup", "-data", old+"/data", "-config", old+"/data/config/tidegate.toml", file)
	packed := contents(t, file)
	fresh, said := provisioned(t, map[string]string{"Tidegate-Backup.tgz": packed})
	if !strings.Contains(said, "Restored a backup") {
		t.Fatalf("got %s", said)
	}
	for _, name := range []string{"identity/id", "identity/ca.key", "identity/server.key", "identity/users.toml", "identity/ssh_host_ed25519_key",
		"config/tidegate.toml", "system/hostname", "system/ssh/authorized_keys", "system/wifi/wpa_supplicant-wlan0.conf"} {
		if got, want := contents(t, filepath.Join(fresh, "data", name)), contents(t, filepath.Join(old, "data", name)); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	if _, err := os.Stat(fresh + "/boot/Tidegate-Backup.tgz"); err == nil {
		t.Error("the backup is still on the boot partition, with all secrets")
	}
}

// A factory reset is not undone by a restore that a power cut had interrupted.
func TestAFactoryResetForgetsAnInterruptedRestore(t *testing.T) {
	dir, _ := provisioned(t, map[string]string{"hostname.txt": "barn\n"})
	id := contents(t, dir+"/data/identity/id")
	ready := filepath.Join(dir, "data", "tidegate-restore.ready")
	for name, text := range map[string]string{"index.json": `[{"name":"identity/id","perm":420}]`, "identity/id": id} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(ready, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		configure(t, filepath.Join(ready, name), text)
	}
	configure(t, dir+"/boot/factory-reset", "")
	out := &output{}
	args := []string{"provision", "-boot", dir + "/boot", "-data", dir + "/data", "-root", dir + "/root"}
	if code := dispatch(environment{in: strings.NewReader(""), out: out, err: out}, args); code != exitOK {
		t.Fatalf("got exit code %d: %s", code, out)
	}
	if got := contents(t, dir+"/data/identity/id"); got == id {
		t.Errorf("the identity is as before: %q; %s", got, out)
	}
}

// A backup that was restored and could not be removed is not restored again.
func TestABackupIsRestoredOnce(t *testing.T) {
	old, _ := provisioned(t, map[string]string{"hostname.txt": "barn\n"})
	boot, data := t.TempDir(), t.TempDir()
	printed(t, "", "backup", "-data", old+"/data", "-config", old+"/data/config/tidegate.toml", boot+"/tidegate-backup.tgz")
	first, err := restoreOnBoot(boot, data, "")
	if err != nil || first.What == "" || first.Digest == "" || len(first.Files) != 1 {
		t.Fatalf("got %+v, %v", first, err)
	}
	if err := os.RemoveAll(data + "/identity"); err != nil {
		t.Fatal(err)
	}
	again, err := restoreOnBoot(boot, data, first.Digest)
	if err != nil || again.What != "" || again.Digest != first.Digest || len(again.Files) != 1 {
		t.Errorf("got %+v, %v, want only the file", again, err)
	}
	if _, err := os.Stat(data + "/identity"); err == nil {
		t.Error("it was restored again")
	}
}
