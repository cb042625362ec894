package control

import (
	"os"
	"regexp"
	"slices"
	"testing"
)

// The documentation has each path that is served, and no other.
func TestEveryPathIsDocumented(t *testing.T) {
	find := func(file, pattern string) (all []string) {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(string(text), -1) {
			method := map[string]string{"get": "GET", "post": "POST"}[m[1]]
			if method == "" {
				method = m[1]
			}
			all = append(all, method+" "+m[2])
		}
		slices.Sort(all)
		return all
	}
	got := find("doc.go", `(?m)^//\t(GET|POST|PUT|DELETE) +(/v1/\S+)`)
	want := find("api.go", `\b(get|post|GET|POST|PUT|DELETE)(?:\("| )(/v1/[^"]+)"`)
	if !slices.Equal(got, want) || len(got) < 20 {
		t.Errorf("doc.go has %q\napi.go has %q", got, want)
	}
}
