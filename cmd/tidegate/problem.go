package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"tidegate/cmd/tidegate/internal/redact"
	"tidegate/internal/conf"
	"tidegate/internal/inorder"
)

// problem is one thing wrong with a configuration file.
type problem struct {
	line int // from 1; 0 when no line is to blame
	conf.Problem
}

// report writes every problem, one a line, as editors and people read them:
//
//	tidegate.toml:12: edge.listener[0].bind = "1883": must be host:port; write ":1883"
func report(file string, problems []problem) string {
	var b strings.Builder
	for _, p := range problems {
		if p.line > 0 {
			fmt.Fprintf(&b, "%s:%d: %s\n", file, p.line, p)
		} else {
			fmt.Fprintf(&b, "%s: %s\n", file, p)
		}
	}
	return b.String()
}

func (p problem) String() string {
	if p.Value == "" { // a table header or a line that is no TOML
		s := fmt.Sprintf("%s: must be %s", p.Key, p.Rule)
		if p.Hint != "" {
			s += "; " + p.Hint
		}
		return s
	}
	return p.Problem.String()
}

func sortProblems(all []problem) {
	inorder.Sort(all, func(a, b problem) int {
		return cmp.Or(cmp.Compare(a.line, b.line), cmp.Compare(a.Key, b.Key))
	})
}

// blamed says whether a problem with this key, with something in it, or with
// the table around it is known already: what follows from it is not news.
func blamed(all []problem, key string) bool {
	return slices.ContainsFunc(all, func(p problem) bool {
		inside := entry{path: p.Key}
		around := entry{path: key}
		return inside.under(key) || around.under(p.Key)
	})
}

// shown is the value of a key that is not known, and may be a secret that
// someone hoped could be written here.
func shown(key, value string) string {
	if value != "" && redact.Secret(key) {
		return "(not shown)"
	}
	return value
}

// nearest returns the word of the list that takes the fewest edits to become
// the given one, else the first that goes on after it, or "" when none is near.
func nearest(word string, list []string) string {
	best, found := max(len(word)/3, 1)+1, ""
	for _, w := range list {
		if d := distance(word, w); d < best {
			best, found = d, w
		}
	}
	for _, w := range list {
		if found == "" && strings.HasPrefix(w, word+"-") { // password for password-file
			found = w
		}
	}
	return found
}

// distance is the number of insertions, deletions, replacements and swaps of
// neighbours between a and b.
func distance(a, b string) int {
	before, last, now := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		now[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			now[j] = min(last[j]+1, now[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				now[j] = min(now[j], before[j-2]+1)
			}
		}
		before, last, now = last, now, before
	}
	return last[len(b)]
}
