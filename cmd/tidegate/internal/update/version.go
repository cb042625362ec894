package update

import (
	"cmp"
	"regexp"
	"slices"
	"strconv"
)

// release is "v1.2.3" or what git describe makes of it between releases:
// "v1.2.3-14-gabcdef0".
var release = regexp.MustCompile(`^v?(\d{1,6})\.(\d{1,6})(?:\.(\d{1,6}))?(?:-(\d{1,6})-g[0-9a-f]+)?(?:-dirty)?$`)

// newer says whether version a is newer than b. Versions that are no releases
// ("development", a commit) cannot be compared: ok is false.
func newer(a, b string) (is, ok bool) {
	x, okx := numbers(a)
	y, oky := numbers(b)
	return slices.Compare(x, y) > 0, okx && oky
}

func numbers(version string) ([]int, bool) {
	m := release.FindStringSubmatch(version)
	if m == nil {
		return nil, false
	}
	var n []int
	for _, text := range m[1:] {
		v, _ := strconv.Atoi(cmp.Or(text, "0"))
		n = append(n, v)
	}
	return n, true
}
