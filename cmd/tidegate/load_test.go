package main

import (
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the messages that testdata/bad expects")

// Every file in testdata/bad has the message it must cause beside it.
func TestBadConfigurations(t *testing.T) {
	files, err := filepath.Glob("testdata/bad/*.toml")
	if err != nil || len(files) < 10 {
		t.Fatalf("got %d files (%v), want at least 10", len(files), err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			want, err := os.ReadFile(strings.TrimSuffix(file, ".toml") + ".txt")
			if err != nil && !*update {
				t.Fatal(err)
			}
			_, problems, err := load(file)
			if err != nil {
				t.Fatal(err)
			}
			got := report(filepath.Base(file), problems)
			if *update {
				if err := os.WriteFile(strings.TrimSuffix(file, ".toml")+".txt", []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if len(problems) == 0 || got != string(want) && !*update {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

func TestSampleIsTheDefaults(t *testing.T) {
	got, problems := parse([]byte(sample))
	if len(problems) > 0 {
		t.Fatal(report("sample.toml", problems))
	}
	if want := DefaultConfig(); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestEverySampleKeyIsValid(t *testing.T) {
	if _, problems := parse([]byte(fullSample())); len(problems) > 0 {
		t.Error(report("sample.toml", problems))
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
		c, problems := parse(data)
		if len(problems) == 0 && len(c.Check()) > 0 {
			t.Errorf("%q: no problems reported, but Check finds %v", data, c.Check())
		}
	})
}
