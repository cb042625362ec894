package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// rules are what Imager's schema (os-list-schema.json, draft 07) asks of an
// entry, in our words: each of these fields, of this form.
var rules = map[string]string{
	"name": `^"Tidegate`, "description": `^".+"$`, "icon": `^".*"$`, "url": `^"(https|file)://.+"$`,
	"extract_size": `^[1-9]\d*$`, "extract_sha256": `^"[0-9a-f]{64}"$`, "image_download_size": `^[1-9]\d*$`,
	"release_date": `^"\d{4}-\d\d-\d\d"$`, "init_format": `^"none"$`, "devices": `^\[\s*"pi3-64bit",\s*"pi4-64bit"\s*\]$`,
	"architecture": `^"armv8"$`,
}

func TestImagerTakesTheList(t *testing.T) {
	dir := t.TempDir()
	raw := newImage(t, dir)
	packed := filepath.Join(dir, "tidegate.img.xz")
	tool(t, "sh", "-c", "xz -0 -c "+raw+" > "+packed)
	out := filepath.Join(dir, "tidegate.rpi-imager-manifest")
	args := []string{"-image", packed, "-url", "https://example.com/tidegate.img.xz", "-version", "v1.2.3", "-date", "2026-05-04", "-o", out}
	if err := list(t.Context(), args, io.Discard, io.Discard); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Imager struct {
			Devices []map[string]json.RawMessage `json:"devices"`
		} `json:"imager"`
		OSList []map[string]json.RawMessage `json:"os_list"`
	}
	if err := json.Unmarshal(text, &got); err != nil || len(got.OSList) != 1 {
		t.Fatalf("got %s, %v", text, err)
	}
	for field, rule := range rules {
		if value := string(got.OSList[0][field]); !regexp.MustCompile(rule).MatchString(value) {
			t.Errorf("%s: got %s, want %s", field, value, rule)
		}
	}
	for _, d := range got.Imager.Devices {
		for _, field := range []string{"name", "description", "tags"} {
			if len(d[field]) == 0 {
				t.Errorf("a device without %s", field)
			}
		}
	}
	image, err := os.ReadFile(raw)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(image)
	if s := string(text); !strings.Contains(s, hex.EncodeToString(sum[:])) || !strings.Contains(s, `"extract_size": 9437696`) {
		t.Errorf("size and sum are not those of the unpacked image:\n%s", s)
	}
}

func TestAListOfThisMachine(t *testing.T) {
	raw := newImage(t, t.TempDir())
	l, err := newList(t.Context(), raw, "", "", "")
	if err != nil {
		t.Fatal(err)
	}
	if e := l.OSes[0]; e.URL != "file://"+raw || e.ExtractSize != e.DownloadSize || e.Name != "Tidegate" {
		t.Errorf("got %+v", e)
	}
	if _, err := newList(t.Context(), raw, "", "", "tomorrow"); err == nil {
		t.Error("got no error for a day that is none")
	}
}
