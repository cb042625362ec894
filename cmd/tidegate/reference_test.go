package main

import (
	"encoding"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"tidegate/internal/conf"
	"tidegate/uplink"
)

const referenceFile = "../../docs/CONFIGURATION.md"

// docs/CONFIGURATION.md is made of the sample, which explains each key, and of
// the code, which has the kinds and the defaults. `go test ./cmd/tidegate -run
// Reference -update` writes it anew.
func TestReferenceIsCurrent(t *testing.T) {
	want := reference()
	for _, path := range keysOf(reflect.TypeFor[Config](), "") {
		_, key := split(path)
		if !strings.Contains(want, "**`"+strings.TrimSuffix(key, "[]")+"`**") {
			t.Errorf("the reference lacks %s", path)
		}
	}
	if *rewrite {
		if err := os.WriteFile(referenceFile, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile(referenceFile); err != nil || string(got) != want {
		t.Errorf("docs/CONFIGURATION.md is stale (%v): go test ./cmd/tidegate -run Reference -update", err)
	}
}

// page writes the reference while it reads the sample.
type page struct {
	strings.Builder
	facts map[string]fact
	table string   // the present one, with [] for each list
	said  []string // comment lines since the last blank line, key or header
	keys  []string // a group that one comment explains
}

// fact is what the code knows of a key.
type fact struct {
	kind   string
	preset bool // it has a default other than nothing
}

var (
	tableLine = regexp.MustCompile(`^#?(\[\[?)([a-z.]+)\]\]?$`)
	keyLine   = regexp.MustCompile(`^#?([a-z0-9-]+) = (.+)$`)
	titleLine = regexp.MustCompile(`^# ---- (.+) ----$`)
)

func reference() string {
	p := &page{facts: map[string]fact{}}
	p.learn(reflect.ValueOf(DefaultConfig()), "", true)
	p.learn(reflect.ValueOf(uplink.DefaultConfig()), "uplink[]", true)
	p.WriteString("# Every key of the configuration\n\nMade of `tidegate sample` and the code; `tidegate.toml(5)` has the sample as it is. After a key come its kind and its default, or an example where it has none. `tidegate check FILE` lists everything that is wrong with a file.\n")
	for line := range strings.Lines(sample) {
		p.line(strings.TrimSuffix(line, "\n"))
	}
	p.flush()
	return p.String()
}

func (p *page) line(line string) {
	switch title, table, key := titleLine.FindStringSubmatch(line), tableLine.FindStringSubmatch(line), keyLine.FindStringSubmatch(line); {
	case title != nil:
		p.flush()
		fmt.Fprintf(p, "\n## %s\n", strings.ToUpper(title[1][:1])+title[1][1:])
	case table != nil:
		said := p.said
		p.said = nil
		p.flush()
		p.table = table[2]
		if len(table[1]) == 2 {
			p.table += "[]"
		}
		p.table = strings.NewReplacer("uplink.", "uplink[].", "sensor.", "sensor[].").Replace(p.table)
		fmt.Fprintf(p, "\n### `%s`\n", strings.TrimPrefix(line, "#"))
		p.text(said)
	case key != nil:
		if len(p.said) > 0 {
			said := p.said
			p.said = nil
			p.flush()
			p.said = said
		}
		p.keys = append(p.keys, p.key(key[1], key[2], line[0] == '#'))
		if p.said != nil {
			p.keys, p.said = append(p.keys, p.said...), nil
		}
	case line == "":
		if len(p.keys) == 0 {
			p.text(p.said)
			p.said = nil
		}
		p.flush()
	default:
		p.said = append(p.said, line)
	}
}

// key is the first line of an entry. What the sample says is the default where
// the file means it (other tests hold it to that), else an example.
func (p *page) key(name, says string, commented bool) string {
	f, word := p.facts[strings.TrimPrefix(p.table+"."+name, ".")], ""
	if commented && !(f.preset && strings.HasPrefix(p.table, "uplink")) {
		word = "such as "
	}
	return fmt.Sprintf("**`%s`** %s, %s`%s`", name, f.kind, word, says)
}

// flush writes the entry that is complete.
func (p *page) flush() {
	var keys, said []string
	for _, k := range p.keys {
		if strings.HasPrefix(k, "**") {
			keys = append(keys, k)
		} else {
			said = append(said, k)
		}
	}
	if len(keys) > 0 {
		fmt.Fprintf(p, "\n%s\n", strings.Join(keys, "  \n"))
		p.text(said)
	}
	p.keys = nil
	if len(p.said) > 0 && len(keys) > 0 {
		p.text(p.said)
	}
	p.said = nil
}

// text writes comment lines: what is indented is code.
func (p *page) text(lines []string) {
	var words []string
	code := false
	for _, line := range lines {
		line = strings.TrimPrefix(strings.TrimPrefix(line, "#"), " ")
		if indented := strings.HasPrefix(line, "    "); indented || line == "" {
			if len(words) > 0 {
				fmt.Fprintf(p, "\n%s\n", strings.Join(words, " "))
				words = nil
			}
			if indented && !code {
				p.WriteString("\n")
			}
			code = indented || code && line == ""
			if code {
				fmt.Fprintf(p, "%s\n", line)
			}
			continue
		}
		code = false
		words = append(words, line)
	}
	if len(words) > 0 {
		fmt.Fprintf(p, "\n%s\n", strings.Join(words, " "))
	}
}

// learn notes kinds and, of what a file without the key means, the defaults.
func (p *page) learn(v reflect.Value, path string, preset bool) {
	if v.Kind() == reflect.Pointer {
		p.learn(reflect.New(v.Type().Elem()).Elem(), path, false)
		return
	}
	if v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Struct {
		if path != "uplink" {
			element := reflect.New(v.Type().Elem()).Elem()
			if v.Len() > 0 {
				element = v.Index(0)
			}
			p.learn(element, path+"[]", preset && v.Len() > 0)
		}
		return
	}
	if v.Kind() == reflect.Struct && v.NumField() > 0 {
		for i := range v.NumField() {
			if key, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("toml"), ","); key != "" && key != "-" {
				p.learn(v.Field(i), join(path, key), preset)
			}
		}
		return
	}
	empty := v.Kind() == reflect.String && v.Len() == 0 || v.Kind() == reflect.Slice && v.IsNil()
	p.facts[path] = fact{kindOf(v.Type()), preset && !empty}
}

func kindOf(t reflect.Type) string {
	switch {
	case t == reflect.TypeFor[conf.Duration]():
		return "time"
	case t == reflect.TypeFor[conf.Size]():
		return "size"
	case t.Implements(reflect.TypeFor[encoding.TextMarshaler]()), t.Kind() == reflect.String:
		return "text"
	case t.Kind() == reflect.Bool:
		return "true or false"
	case t.Kind() == reflect.Slice:
		return "list"
	case t.Kind() == reflect.Float64:
		return "number"
	}
	return "whole number"
}
