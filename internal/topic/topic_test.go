package topic

import (
	"strings"
	"testing"
)

func TestMatch(t *testing.T) {
	for _, c := range []struct {
		filter, name string
		want         bool
	}{
		{"a/b", "a/b", true}, {"a/b", "a/c", false}, {"a/b", "a/b/c", false}, {"a/b/c", "a/b", false},
		{"+", "a", true}, {"+", "/a", false}, {"+/+", "/a", true}, {"/+", "/a", true}, {"a/+", "a/", true}, {"a/+", "a", false},
		{"#", "a/b/c", true}, {"a/#", "a", true}, {"a/#", "a/b/c", true}, {"a/#", "ab", false}, {"+/#", "foo", true},
		{"foo/+/baz/#", "foo/bar/baz", true}, {"a/b/#", "a/b", true}, {"a/+/#", "a", false},
		{"#", "$SYS/x", false}, {"+/x", "$SYS/x", false}, {"$SYS/#", "$SYS/x", true}, {"$SYS/+", "$SYS/x", true},
	} {
		if got := Match(c.filter, c.name); got != c.want {
			t.Errorf("Match(%q, %q): got %v, want %v", c.filter, c.name, got, c.want)
		}
	}
}

func TestValid(t *testing.T) {
	deep := strings.Repeat("a/", MaxLevels)
	for _, c := range []struct {
		text         string
		name, filter bool
	}{
		{"a", true, true}, {"/", true, true}, {"a//b", true, true}, {"", false, false},
		{"+", false, true}, {"#", false, true}, {"a/+/b", false, true}, {"a/#", false, true},
		{"a+", false, false}, {"a/b#", false, false}, {"#/a", false, false}, {"a/#/b", false, false},
		{"a\x00b", false, false}, {"a\xffb", false, false}, {deep, false, false}, {deep[:len(deep)-1], true, true},
		{strings.Repeat("x", 65536), false, false},
	} {
		if got := ValidName(c.text); got != c.name {
			t.Errorf("ValidName(%.20q): got %v, want %v", c.text, got, c.name)
		}
		if got := ValidFilter(c.text); got != c.filter {
			t.Errorf("ValidFilter(%.20q): got %v, want %v", c.text, got, c.filter)
		}
	}
}
