package main

import (
	_ "embed"
	"regexp"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"
)

// sample is the commented configuration that `tidegate sample` prints. It says
// what the defaults are. A line that begins with "#" and no space after it is
// an example of a key that has no default; fullSample has those too.
//
//go:embed sample.toml
var sample string

var example = regexp.MustCompile(`(?m)^#([a-z\[])`)

func fullSample() string { return example.ReplaceAllString(sample, "$1") }

// known is one key that the sample explains.
type known struct {
	kind    unstable.Kind
	example string
}

// schema has every key of the sample, with "[]" for the indices.
type schema map[string]known

func readSchema() schema {
	d, _ := index([]byte(fullSample()))
	s := schema{}
	for i := range d.entries {
		e := &d.entries[i]
		if p := pattern(e.path); s[p].example == "" {
			s[p] = known{kind: e.kind, example: d.value(e)}
		}
	}
	return s
}

var digits = regexp.MustCompile(`\[\d+\]`)

func pattern(path string) string { return digits.ReplaceAllString(path, "[]") }

// siblings returns the keys that the table of path may have.
func (s schema) siblings(path string) []string {
	table, _ := split(pattern(path))
	var all []string
	for p := range s {
		key, ok := strings.CutPrefix(p, table)
		if table != "" && (!ok || !strings.HasPrefix(key, ".")) {
			continue
		}
		key = strings.TrimPrefix(key, ".")
		if key, _, _ = strings.Cut(key, "."); key != "" {
			all = append(all, strings.TrimSuffix(key, "[]"))
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// split cuts the last key off a path: "edge.listener[0]", "bind".
func split(path string) (table, key string) {
	i := strings.LastIndexByte(path, '.')
	return path[:max(i, 0)], path[i+1:]
}

// wrongKind returns the rule that the kind of a value or table breaks, or "". A
// number without a unit where the sample has "10s" or "32MiB" is found here:
// decoding would take it for nanoseconds or bytes.
func (s schema) wrongKind(e *entry) (rule, hint string) {
	path := pattern(e.path)
	single, list := strings.TrimSuffix(path, "[]"), path+"[]"
	want, ok := s[path]
	switch {
	case e.kind != unstable.ArrayTable && (e.kind != unstable.Array || path == "uplink") && s[list].kind == unstable.ArrayTable:
		return "a list of tables", "write [[" + path + "]] above its keys"
	case e.kind == unstable.ArrayTable && !ok && s[single].kind == unstable.Table:
		return "one table", "write [" + single + "] above its keys"
	case !ok, e.header(), want.kind == e.kind, want.kind == unstable.Float && e.kind == unstable.Integer:
		return "", ""
	}
	rule = map[unstable.Kind]string{
		unstable.String: "text in quotes", unstable.Integer: "a whole number", unstable.Float: "a number",
		unstable.Bool: "true or false", unstable.Array: "a list", unstable.InlineTable: "a table in braces",
		unstable.Table: "a table", unstable.ArrayTable: "a list of tables",
	}[want.kind]
	if want.kind != unstable.Bool && len(want.example) > 2 {
		rule += ", such as " + want.example
	}
	return rule, ""
}
