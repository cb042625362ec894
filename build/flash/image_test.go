package main

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const fatStart, fatSize, imageSize = 2048 * sector, 4 << 20, 9<<20 + sector

// newImage is the file of a small card: an MBR, a FAT partition with a README,
// and noise behind it.
func newImage(t *testing.T, dir string) string {
	t.Helper()
	b := noise(imageSize)
	clear(b[:sector])
	entry := b[446:]
	entry[4] = 0x0c
	binary.LittleEndian.PutUint32(entry[8:], fatStart/sector)
	binary.LittleEndian.PutUint32(entry[12:], fatSize/sector)
	b[510], b[511] = 0x55, 0xaa
	fat := filepath.Join(dir, "fat")
	readme := filepath.Join(dir, "README.txt")
	save(t, readme, []byte("read me\n"))
	save(t, fat, make([]byte, fatSize))
	tool(t, "mformat", "-i", fat, "-v", "TIDEGATE", "-N", "12345678", "::")
	tool(t, "mcopy", "-i", fat, readme, "::/")
	made, err := os.ReadFile(fat)
	if err != nil {
		t.Fatal(err)
	}
	copy(b[fatStart:], made)
	file := filepath.Join(dir, "tidegate.img")
	save(t, file, b)
	return file
}

func save(t *testing.T, name string, b []byte) {
	t.Helper()
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func tool(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), args[0], args[1:]...).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %v: %s; make setup installs what is missing", args, err, out)
	}
	return string(out)
}

func all(t *testing.T, i *image) []byte {
	t.Helper()
	r, err := i.stream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	return b
}

func TestImagesOfEveryPacking(t *testing.T) {
	raw := newImage(t, t.TempDir())
	want, err := os.ReadFile(raw)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(want)
	for _, pack := range [][]string{{"cat", ""}, {"xz", "-0"}, {"zstd", "-1"}, {"gzip", "-1"}} {
		t.Run(pack[0], func(t *testing.T) {
			file := raw
			if pack[1] != "" {
				file = filepath.Join(t.TempDir(), "download")
				tool(t, "sh", "-c", pack[0]+" -q "+pack[1]+" -c "+raw+" > "+file)
			}
			i, err := readImage(t.Context(), file, nil, quiet())
			if err != nil {
				t.Fatal(err)
			}
			if i.size != imageSize || i.sum != hex.EncodeToString(sum[:]) || string(all(t, i)) != string(want) {
				t.Errorf("got %d bytes with sum %s", i.size, i.sum)
			}
			if pack[1] == "" {
				return
			}
			tool(t, "truncate", "-s", "-1000", file)
			if _, err := readImage(t.Context(), file, nil, quiet()); err == nil {
				t.Error("cut: got no error")
			}
		})
	}
}

func TestWhatIsNoImage(t *testing.T) {
	dir := t.TempDir()
	good, err := os.ReadFile(newImage(t, dir))
	if err != nil {
		t.Fatal(err)
	}
	linux := append([]byte{}, good...)
	linux[450] = 0x83
	for name, c := range map[string]struct {
		data []byte
		fat  bool
		want string
	}{
		"empty":          {nil, false, "EOF"},
		"text":           {[]byte(strings.Repeat("hello\n", 1000)), false, "no partition table"},
		"zip":            {[]byte("PK\x03\x04 and more"), false, "is a zip file"},
		"another system": {linux, false, "not FAT32"},
		"cut":            {good[:fatStart+sector], true, "was not copied whole"},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "x")
			save(t, file, c.data)
			var fat *os.File
			if c.fat {
				if fat, err = os.Create(filepath.Join(t.TempDir(), "fat")); err != nil {
					t.Fatal(err)
				}
				defer fat.Close()
			}
			if _, err := readImage(t.Context(), file, fat, quiet()); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want ...%s", err, c.want)
			}
		})
	}
	if _, err := readImage(t.Context(), filepath.Join(dir, "none"), nil, quiet()); err == nil || !strings.Contains(err.Error(), "make image") {
		t.Errorf("no file: got %v", err)
	}
}

// prepared is a job with a folder of the user's files.
func prepared(t *testing.T, raw string, files map[string]string, check string) (*image, error) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		save(t, filepath.Join(dir, name), []byte(text))
	}
	j := job{image: raw, files: dir, check: strings.Fields(check), out: io.Discard, progress: *quiet()}
	i, err := j.prepare(t.Context())
	if i != nil && i.over != nil {
		t.Cleanup(func() { i.over.Close() })
	}
	return i, err
}

func TestTheUsersFilesGoOnTheCard(t *testing.T) {
	raw := newImage(t, t.TempDir())
	i, err := prepared(t, raw, map[string]string{"tidegate.toml": "[gateway]\n", "wifi.txt": "ssid = home\n", ".swp": "x"}, "true")
	if err != nil {
		t.Fatal(err)
	}
	got := all(t, i)
	want, err := os.ReadFile(raw)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != len(want) || string(got[:fatStart]) != string(want[:fatStart]) || string(got[fatStart+fatSize:]) != string(want[fatStart+fatSize:]) {
		t.Error("more than the FAT partition has changed")
	}
	fat := filepath.Join(t.TempDir(), "fat")
	save(t, fat, got[fatStart:fatStart+fatSize])
	if list := strings.Fields(tool(t, "mdir", "-b", "-i", fat, "::/")); len(list) != 3 {
		t.Errorf("got %q, want README.txt and two files", list)
	}
	if text := tool(t, "mtype", "-i", fat, "::/wifi.txt"); text != "ssid = home\n" {
		t.Errorf("got %q", text)
	}
}

func TestFilesThatCannotGoOnTheCard(t *testing.T) {
	raw := newImage(t, t.TempDir())
	for name, c := range map[string]struct {
		files map[string]string
		check string
		want  string
	}{
		"bad configuration": {map[string]string{"tidegate.toml": "x", "ca.pem": "x"}, "false", "the configuration has errors, and nothing was written"},
		"no checker":        {map[string]string{"tidegate.toml": "x"}, "/nowhere/tidegate check", "no such file"},
		"of the system":     {map[string]string{"README.txt": "x"}, "true", "would replace a file"},
		"none":              {nil, "true", "has no files"},
		"too much":          {map[string]string{"large.pem": strings.Repeat("x", fatSize)}, "true", "put "},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := prepared(t, raw, c.files, c.check); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want ...%s", err, c.want)
			}
		})
	}
}

// The checker sees the files of the folder where the gateway has them.
func TestTheConfigurationIsCheckedWithItsFiles(t *testing.T) {
	dir := t.TempDir()
	save(t, filepath.Join(dir, "tidegate.toml"), []byte("/etc/tidegate/ca.pem\n"))
	save(t, filepath.Join(dir, "ca.pem"), []byte("x"))
	checker := filepath.Join(t.TempDir(), "checker")
	if err := os.WriteFile(checker, []byte("#!/bin/sh\nf=$(cat \"$1\")\necho \"$1:1: $f is wrong\"\nexit $(test -e \"$f\"; echo $?)\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := checkConfig(t.Context(), filepath.Join(dir, "tidegate.toml"), []string{checker}); err != nil {
		t.Error(err)
	}
	if err := os.Remove(filepath.Join(dir, "ca.pem")); err != nil {
		t.Fatal(err)
	}
	err := checkConfig(t.Context(), filepath.Join(dir, "tidegate.toml"), []string{checker})
	if want := filepath.Join(dir, "tidegate.toml") + ":1: /etc/tidegate/ca.pem is wrong"; err == nil || !strings.HasSuffix(err.Error(), want) {
		t.Errorf("got %v, want ...%s", err, want)
	}
}

func TestAskingForTheName(t *testing.T) {
	d := &disk{Path: "/dev/sdb", Name: "sdb"}
	for answer, good := range map[string]bool{"sdb\n": true, "/dev/sdb\n": true, "y\n": false, "\n": false, "": false, "sda\n": false} {
		j := job{in: strings.NewReader(answer), out: io.Discard}
		if err := j.ask(d, &device{}, &image{}); (err == nil) != good {
			t.Errorf("%q: got %v", answer, err)
		}
	}
	for yes, good := range map[string]bool{"/dev/sdb": true, "/dev/sdc": false, "1": false} {
		j := job{in: strings.NewReader(""), out: io.Discard, yes: yes}
		if err := j.ask(d, &device{}, &image{}); (err == nil) != good {
			t.Errorf("YES=%s: got %v", yes, err)
		}
	}
}

func TestAnInterruptedReadEnds(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if _, err := readImage(ctx, newImage(t, t.TempDir()), nil, quiet()); err == nil {
		t.Error("got no error")
	}
}
