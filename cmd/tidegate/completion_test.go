package main

import (
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Completion and the manual page are made from the usage.
func TestUsageHasEveryCommand(t *testing.T) {
	var got, want []string
	for _, line := range usageLine.FindAllStringSubmatch(usage, -1) {
		got = append(got, line[1])
	}
	for _, c := range commands {
		want = append(want, c.name)
	}
	slices.Sort(got)
	slices.Sort(want)
	if got = slices.Compact(got); !slices.Equal(got, want) {
		t.Errorf("the usage has %q\nthe commands are %q", got, want)
	}
	if lines := strings.Count(usage, "\n  tidegate "); len(usageLine.FindAllString(usage, -1)) != lines {
		t.Errorf("not every one of %d lines of the usage reads: tidegate WORDS [ARGUMENTS]  WHAT IT DOES", lines)
	}
}

func TestCompletion(t *testing.T) {
	file := filepath.Join(t.TempDir(), "tidegate")
	configure(t, file, printed(t, "", "completion", "bash"))
	for _, c := range []struct {
		name, line, want string
	}{
		{"first word", "tidegate ru", "run"},
		{"second word", "tidegate hw ", "scan"},
		{"third word", "tidegate spool dead re", "retry"},
		{"one of two", "tidegate spool pe", "peek"},
		{"a file", "tidegate check ", ""},
		{"unknown", "tidegate fly ", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			script := `source "$1"; read -ra COMP_WORDS <<<"$2"; [[ $2 == *" " ]] && COMP_WORDS+=("")
				COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _tidegate; echo "${COMPREPLY[*]}"`
			out, err := exec.Command("bash", "-euc", script, "bash", file, c.line).CombinedOutput()
			if got := strings.TrimSpace(string(out)); err != nil || got != c.want {
				t.Errorf("%q: got %q, %v, want %q", c.line, got, err, c.want)
			}
		})
	}
}
