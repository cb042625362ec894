package main

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
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

// Each command has -h, which does nothing else, and every flag of each is in the
// completion of every shell.
func TestEveryFlagIsKnown(t *testing.T) {
	shells := map[string]string{}
	for _, shell := range []string{"bash", "zsh", "fish"} {
		shells[shell] = printed(t, "", "completion", shell)
	}
	flags := 0
	for _, c := range commands {
		got := printed(t, "", append(strings.Fields(c.name), "-h")...)
		if !strings.HasPrefix(got, "usage: tidegate "+c.name) {
			t.Errorf("tidegate %s -h: got %s", c.name, got)
		}
		for _, f := range flagsOf(c) {
			flags++
			if !strings.Contains(got, "\n  -"+f.Name) || f.Usage == "" {
				t.Errorf("tidegate %s -h does not explain -%s: %s", c.name, f.Name, got)
			}
			for shell, pattern := range map[string]string{
				"bash": `\t'%s '\*\) next='[^\n]*-%s[ ']`, "zsh": `\t'%s '\*\) flags=\(\n(?:\t\t[^\n]*\n)*\t\t'-%s:`, "fish": `'__tidegate_in %s' -o %s `,
			} {
				if !regexp.MustCompile(fmt.Sprintf(pattern, c.name, f.Name)).MatchString(shells[shell]) {
					t.Errorf("%s does not know %s -%s", shell, c.name, f.Name)
				}
			}
		}
	}
	if flags < 50 {
		t.Errorf("got %d flags of all commands, want all there are", flags)
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
		{"a flag", "tidegate status -w", "-watch"},
		{"a flag behind another", "tidegate status -json -", "-config -json -socket -watch"},
		{"a flag of one of two", "tidegate update status -", "-json"},
		{"a flag of the other", "tidegate update -d", "-downgrade"},
		{"no flags", "tidegate run -", ""},
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
