package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.etcd.io/bbolt"
)

func TestCommandLine(t *testing.T) {
	good := filepath.Join(t.TempDir(), "good.toml")
	configure(t, good, sample)
	bad := filepath.Join(t.TempDir(), "bad.toml")
	configure(t, bad, "colour = 1\nedge = 2\n")
	junk := filepath.Join(t.TempDir(), "junk.db")
	configure(t, junk, strings.Repeat("no database ", 1000))
	for _, c := range []struct {
		name, in string
		args     []string
		code     int
		out, err string // parts of what is printed
	}{
		{"nothing", "", nil, 2, "", "usage:"},
		{"help", "", []string{"--help"}, 0, "usage:", ""},
		{"unknown", "", []string{"fly", "away"}, 2, "", `no command "fly"; tidegate help`},
		{"half a command", "", []string{"spool"}, 2, "", "tidegate spool: more is needed\nusage:\n  tidegate spool stat"},
		{"half a command and a wrong word", "", []string{"device", "ad", "lamp"}, 2, "", "tidegate device: there is no \"ad\"\nusage:\n  tidegate device add"},
		{"half a command and a flag", "", []string{"spool", "dead", "-h"}, 0, "usage:\n  tidegate spool dead list", ""},
		{"flag too late", "", []string{"device", "add", "lamp", "-console", "read"}, 2, "", `flags such as -console go before "lamp"`},
		{"version", "", []string{"version"}, 0, "tidegate development linux/", ""},
		{"sample", "", []string{"sample"}, 0, "[gateway]", ""},
		{"sample of what", "", []string{"sample", "x"}, 2, "", `what is "x" for?`},
		{"check", "", []string{"check", good}, 0, "good", ""},
		{"check bad", "", []string{"check", bad}, 1, "", "bad.toml:1: colour"},
		{"check lists all", "", []string{"check", bad}, 1, "", "bad.toml:2: edge"},
		{"check nothing", "", []string{"check", "/nonexistent"}, 2, "", "tidegate sample >"},
		{"check two", "", []string{"check", good, bad}, 2, "", "usage: tidegate "},
		{"run two", "", []string{"run", good, bad}, 2, "", "usage: tidegate "},
		{"completion", "", []string{"completion", "fish"}, 0, "complete -c tidegate", ""},
		{"completion of what", "", []string{"completion", "sh"}, 2, "", "bash, fish and zsh"},
		{"passwd", "secret\n", []string{"passwd"}, 0, "$argon2id$", ""},
		{"passwd without newline", "secret", []string{"passwd"}, 0, "$argon2id$", ""},
		{"passwd empty", "\n", []string{"passwd"}, 2, "", "standard input"},
		{"passwd generated", "", []string{"passwd", "-generate"}, 0, "hash: $tg-fast$", ""},
		{"spool stat nothing", "", []string{"spool", "stat", "/nonexistent"}, 2, "", "no such file"},
		{"spool stat of no spool", "", []string{"spool", "stat", filepath.Dir(good)}, 2, "", "name the data directory"},
		{"spool stat of junk", "", []string{"spool", "stat", junk}, 0, "0 messages", ""},
		{"spool peek two", "", []string{"spool", "peek", good, bad}, 2, "", "usage: tidegate spool peek [FLAG...] [DIR]"},
		{"spool peek class", "", []string{"spool", "peek", "-class", "fast", junk}, 1, "", "urgent, normal or bulk"},
		{"spool without configuration", "", []string{"spool", "export", "-config", "/nonexistent"}, 2, "", "no such file"},
		{"spool dead", "", []string{"spool", "dead"}, 2, "", "usage:"},
		{"spool dead retry what", "", []string{"spool", "dead", "retry"}, 2, "", "or -all"},
		{"spool dead drop all and one", "", []string{"spool", "dead", "drop", "-all", "1/1"}, 2, "", "or -all"},
		{"spool dead drop no id", "", []string{"spool", "dead", "drop", "7"}, 2, "", "as in 12/345"},
		{"spool check nothing", "", []string{"spool", "check", "/nonexistent"}, 2, "", "no such file"},
		{"spool check damaged", "", []string{"spool", "check", junk}, 1, `"damage"`, "damaged"},
		{"edge check nothing", "", []string{"edge", "check", "/nonexistent"}, 2, "", "no such file"},
		{"edge check damaged", "", []string{"edge", "check", junk}, 1, "", "junk.db"},
	} {
		t.Run(c.name, func(t *testing.T) {
			out, err := &output{}, &output{}
			code := dispatch(environment{in: strings.NewReader(c.in), out: out, err: err}, c.args)
			if code != c.code || !strings.Contains(out.String(), c.out) || !strings.Contains(err.String(), c.err) {
				t.Errorf("got %d, %q, %q\nwant %d, %q, %q", code, out, err, c.code, c.out, c.err)
			}
		})
	}
}

func TestChecksOfGoodFiles(t *testing.T) {
	name := filepath.Join(t.TempDir(), "empty.db")
	db, err := bbolt.Open(name, 0o600, &bbolt.Options{PageSize: 4096})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if got := printed(t, "", "spool", "check", name); !strings.Contains(got, `"rows":0`) {
		t.Errorf("spool check: got %s", got)
	}
	if got := printed(t, "", "edge", "check", name); !strings.Contains(got, "good") {
		t.Errorf("edge check: got %s", got)
	}
	if _, err := os.Stat(name + ".lock"); err == nil {
		t.Error("a check left something behind")
	}
}

// printed runs a subcommand in this process and returns what it prints.
func printed(t *testing.T, in string, args ...string) string {
	t.Helper()
	out := &output{}
	if code := dispatch(environment{in: strings.NewReader(in), out: out, err: out}, args); code != exitOK {
		t.Fatalf("%v: exit code %d: %s", args, code, out)
	}
	return out.String()
}
