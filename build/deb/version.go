package main

import (
	"fmt"
	"regexp"
	"strings"
)

var (
	released = regexp.MustCompile(`^v?([0-9][0-9A-Za-z.]*)(?:-([0-9A-Za-z.]+?))?(?:-([0-9]+)-g([0-9a-f]+))?(-dirty)?$`)
	untagged = regexp.MustCompile(`^([0-9a-f]{7,40})(-dirty)?$`)
)

// debianVersion makes of what `git describe --tags --always --dirty` says a
// version that Debian orders as they came:
//
//	579bbb9            0.0.0+323.g579bbb9    no tag yet; count of commits
//	v1.2.0-rc1         1.2.0~rc1             before 1.2.0
//	v1.2.0             1.2.0
//	v1.2.0-5-gabc1234  1.2.0+5.gabc1234      after it, before 1.2.1
//	...-dirty          ...+dirty
//
// It has no "-", so it is a version of a native package: what is in the source
// and how it is packed have one history.
func debianVersion(describe string, count int) (string, error) {
	if m := untagged.FindStringSubmatch(describe); m != nil && count > 0 {
		return fmt.Sprintf("0.0.0+%d.g%s%s", count, m[1], strings.Replace(m[2], "-", "+", 1)), nil
	}
	m := released.FindStringSubmatch(describe)
	if m == nil || !strings.Contains(m[1], ".") {
		return "", fmt.Errorf("version %q: want what git describe says, such as v1.2.0, v1.2.0-rc1, v1.2.0-5-gabc1234, or an abbreviated commit and -count", describe)
	}
	v := m[1]
	if m[2] != "" {
		v += "~" + m[2]
	}
	if m[3] != "" {
		v += "+" + m[3] + ".g" + m[4]
	}
	return v + strings.Replace(m[5], "-", "+", 1), nil
}
