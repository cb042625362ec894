package main

import (
	"fmt"
	"regexp"
	"strings"
)

var (
	released = regexp.MustCompile(`^v?([0-9][0-9A-Za-z.]*)(?:-([0-9A-Za-z.]+?))?(?:-([0-9]+)-g([0-9a-f]+))?$`)
	untagged = regexp.MustCompile(`^[0-9a-f]{7,40}$`)
)

// debianVersion makes of what `git describe --tags --always --dirty` says a
// version that Debian orders as they came:
//
//	579bbb9            0.0.0+323.g579bbb9    no tag yet; count of commits
//	v1.2.0-rc1         1.2.0~rc1             before 1.2.0
//	v1.2.0             1.2.0
//	v1.2.0-5-gabc1234  1.2.0+5.gabc1234      after it, before 1.2.1
//	v1.2.0-dirty       1.2.0+0+dirty
//
// It has no "-", so it is a version of a native package: what is in the source
// and how it is packed have one history.
func debianVersion(describe string, count int) (string, error) {
	name, dirty := strings.CutSuffix(describe, "-dirty")
	suffix := ""
	if dirty {
		suffix = "+dirty"
	}
	if untagged.MatchString(name) && count > 0 {
		return fmt.Sprintf("0.0.0+%d.g%s%s", count, name, suffix), nil
	}
	m := released.FindStringSubmatch(name)
	if m == nil || !strings.Contains(m[1], ".") {
		return "", fmt.Errorf("version %q: want what git describe says, such as v1.2.0, v1.2.0-rc1, v1.2.0-5-gabc1234, or an abbreviated commit and -count", describe)
	}
	v := m[1]
	if m[2] != "" {
		v += "~" + m[2]
	}
	switch {
	case m[3] != "":
		v += "+" + m[3] + ".g" + m[4]
	case dirty:
		v += "+0" // before +1.gabc1234
	}
	return v + suffix, nil
}
