// Package topic has the rules of MQTT topic names and filters (MQTT 5,
// section 4.7; the same in 3.1.1) that the broker and the uplink share.
package topic

import (
	"strings"
	"unicode/utf8"
)

// MaxLevels bounds the levels of a name or filter, so that nobody can make
// the broker build a deep tree with one packet.
const MaxLevels = 128

// ValidName says whether s may be the topic of a PUBLISH: not empty, at most
// 65535 bytes of UTF-8, no U+0000, no wildcard, at most MaxLevels levels
// [MQTT-3.3.2-2, MQTT-4.7.3-1, MQTT-4.7.3-2].
func ValidName(s string) bool {
	return validText(s) && !strings.ContainsAny(s, "+#")
}

// ValidFilter says whether s may be subscribed to: as ValidName, with "+"
// filling a whole level and "#" filling the last one [MQTT-4.7.1-1,
// MQTT-4.7.1-2]. A shared subscription is checked without its "$share/group/".
func ValidFilter(s string) bool {
	if !validText(s) {
		return false
	}
	for level, rest, more := "", s, true; more; {
		level, rest, more = strings.Cut(rest, "/")
		if level == "+" || level == "#" && !more {
			continue
		}
		if strings.ContainsAny(level, "+#") {
			return false
		}
	}
	return true
}

func validText(s string) bool {
	return s != "" && len(s) <= 65535 && strings.Count(s, "/") < MaxLevels &&
		strings.IndexByte(s, 0) < 0 && utf8.ValidString(s)
}

// Match says whether the valid filter matches the valid name. A filter that
// begins with a wildcard does not match a name that begins with "$"
// [MQTT-4.7.2-1]; "a/#" matches "a".
func Match(filter, name string) bool {
	if name != "" && name[0] == '$' && (filter[0] == '+' || filter[0] == '#') {
		return false
	}
	for {
		f, frest, fmore := strings.Cut(filter, "/")
		if f == "#" {
			return true
		}
		n, nrest, nmore := strings.Cut(name, "/")
		if f != "+" && f != n {
			return false
		}
		switch {
		case !fmore && !nmore:
			return true
		case !nmore:
			return frest == "#"
		case !fmore:
			return false
		}
		filter, name = frest, nrest
	}
}
