package main

import (
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"tidegate/uplink"
)

var rewrite = flag.Bool("update", false, "write the messages that testdata/bad expects")

// Every file in testdata/bad has the message it must cause beside it.
func TestBadConfigurations(t *testing.T) {
	files, err := filepath.Glob("testdata/bad/*.toml")
	if err != nil || len(files) < 10 {
		t.Fatalf("got %d files (%v), want at least 10", len(files), err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			want, err := os.ReadFile(strings.TrimSuffix(file, ".toml") + ".txt")
			if err != nil && !*rewrite {
				t.Fatal(err)
			}
			_, problems, err := load(file, Config.checkAll)
			if err != nil {
				t.Fatal(err)
			}
			got := report(filepath.Base(file), problems)
			if *rewrite {
				if err := os.WriteFile(strings.TrimSuffix(file, ".toml")+".txt", []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if len(problems) == 0 || got != string(want) && !*rewrite {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

func TestSampleIsTheDefaults(t *testing.T) {
	got, problems := parse([]byte(sample), Config.Check)
	if len(problems) > 0 {
		t.Fatal(report("sample.toml", problems))
	}
	if want := DefaultConfig(); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

// Every example is one that could stand there, apart from the files it names.
func TestEverySampleKeyIsValid(t *testing.T) {
	file := regexp.MustCompile(`(-file|\.cert|\.key|\.client-ca)$`)
	_, problems := parse([]byte(fullSample()), Config.Check)
	problems = slices.DeleteFunc(problems, func(p problem) bool { return file.MatchString(p.Key) })
	if len(problems) > 0 {
		t.Error(report("sample.toml", problems))
	}
}

// What the sample says of an uplink is what an uplink without keys does, apart
// from the examples of what has no default.
func TestSampleUplinkIsTheDefaults(t *testing.T) {
	c, _ := parse([]byte(fullSample()), Config.Check)
	if len(c.Uplink) != 1 {
		t.Fatalf("got %d uplinks, want 1", len(c.Uplink))
	}
	got, want := c.Uplink[0], uplink.DefaultConfig()
	got.Endpoints, got.User, got.PasswordFile, got.CAFile, got.CertFile, got.KeyFile = nil, "", "", "", "", ""
	got.ALPN, got.Proxy, got.ProxyPasswordFile = nil, "", ""
	got.Up, got.Down = nil, nil
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestReadmeConfigurationIsGood(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(string(readme), "```toml\n")
	text, _, found := strings.Cut(text, "```")
	if !found {
		t.Fatal("README.md has no configuration")
	}
	_, problems := parse([]byte(text), Config.Check)
	problems = slices.DeleteFunc(problems, func(p problem) bool { return strings.HasSuffix(p.Key, "-file") })
	if len(problems) > 0 {
		t.Error(report("README.md", problems))
	}
}

func TestDecodingOverDefaults(t *testing.T) {
	c, problems := parse([]byte(`
		edge.limits.connections = 7
		[[edge.listener]]
		bind = ":1"
		[[edge.listener]]
		bind = ":2"
		[[uplink]]
		name = "a"
		endpoints = ["mqtt://a"]
		up = [{filter = "x/#"}, {filter = "y/#", class = "bulk"}]
		spool.max-disk = "2GiB"
		[hw]
		[[uplink]]
		endpoints = ["mqtt://b"]
		[[uplink.down]]
		filter = "z"
		[uplink.spool.bulk]
		overflow = "reject"
	`), Config.Check)
	if len(problems) > 0 {
		t.Fatal(report("x.toml", problems))
	}
	if got := len(c.Edge.Listeners); got != 2 || c.Edge.Listeners[0].Bind != ":1" {
		t.Errorf("got %d listeners, want the two of the file and not the default", got)
	}
	if c.Edge.Limits.Connections != 7 || c.Edge.Limits.Retained != DefaultConfig().Edge.Limits.Retained {
		t.Errorf("limits: got %+v", c.Edge.Limits)
	}
	if len(c.Uplink) != 2 {
		t.Fatalf("got %d uplinks, want 2", len(c.Uplink))
	}
	a, b, def := c.Uplink[0], c.Uplink[1], uplink.DefaultConfig()
	if a.Name != "a" || len(a.Up) != 2 || a.Up[1].Class != "bulk" || a.Spool.MaxDisk != 2<<30 || a.Links != def.Links {
		t.Errorf("first uplink: got %+v", a)
	}
	if b.Name != def.Name || len(b.Down) != 1 || b.Spool.MaxDisk != def.Spool.MaxDisk || b.Spool.Bulk.Bytes != def.Spool.Bulk.Bytes || b.Spool.Bulk.Overflow == def.Spool.Bulk.Overflow {
		t.Errorf("second uplink: got %+v", b)
	}
}

// A key that nobody explains does not exist.
func TestSampleHasEveryKey(t *testing.T) {
	s := readSchema()
	for _, path := range keysOf(reflect.TypeFor[Config](), "") {
		if _, ok := s[path]; !ok {
			t.Errorf("sample.toml does not explain %s", path)
		}
	}
}

// keysOf lists the paths of all keys of a struct, tables not included.
func keysOf(t reflect.Type, path string) []string {
	switch {
	case t.Kind() == reflect.Pointer:
		return keysOf(t.Elem(), path)
	case t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Struct:
		return keysOf(t.Elem(), path+"[]")
	case t.Kind() != reflect.Struct || t.NumField() == 0:
		return []string{path}
	}
	var all []string
	for i := range t.NumField() {
		if key := t.Field(i).Tag.Get("toml"); key != "-" && t.Field(i).IsExported() {
			if key, _, _ = strings.Cut(key, ","); key == "" {
				key = strings.ToLower(t.Field(i).Name)
			}
			all = append(all, keysOf(t.Field(i).Type, join(path, key))...)
		}
	}
	return all
}

func TestNearestKey(t *testing.T) {
	list := []string{"data-dir", "id", "log-level", "log-format", "wear-per-day"}
	for word, want := range map[string]string{
		"datadir": "data-dir", "loglevel": "log-level", "log-leve1": "log-level", "lgo-level": "log-level", "di": "id", "colour": "", "x": "",
	} {
		if got := nearest(word, list); got != want {
			t.Errorf("%q: got %q, want %q", word, got, want)
		}
	}
}

// Whatever the bytes are, loading ends, and what has problems is not taken for
// good.
func FuzzParse(f *testing.F) {
	f.Add([]byte(sample))
	f.Add([]byte(fullSample()))
	files, _ := filepath.Glob("testdata/bad/*.toml")
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, problems := parse(data, Config.Check)
		if len(problems) == 0 && len(c.Check()) > 0 {
			t.Errorf("%q: no problems reported, but Check finds %v", data, c.Check())
		}
	})
}
