package provision

import (
	"crypto/rand"
	"fmt"
	"strconv"
	"strings"
)

// idLetters are 30 that nobody takes for another one.
const idLetters = "23456789abcdefghjkmnpqrstvwxyz"

// mostName is the longest host name: it is the gateway's id too, and links to the
// cloud are called ID-u0.
const mostName = 27

// newID returns a name such as tidegate-7f3k2q.
func newID() string { return "tidegate-" + randomLetters(6) }

func randomLetters(n int) string {
	b := make([]byte, 0, n)
	for len(b) < n {
		var one [1]byte
		rand.Read(one[:])
		if int(one[0]) < len(idLetters)*8 { // 240: each letter as often as another
			b = append(b, idLetters[int(one[0])%len(idLetters)])
		}
	}
	return string(b)
}

// newPassword returns a password of 98 bits that a person can copy by hand.
func newPassword() string {
	return strings.Join([]string{randomLetters(5), randomLetters(5), randomLetters(5), randomLetters(5)}, "-")
}

// parseHost reads hostname.txt: the first line that is not a comment. "" means
// that it has none.
func parseHost(text string) (string, []Finding) {
	n := 0
	for line := range strings.Lines(text) {
		n++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		if _, value, given := strings.Cut(line, "="); given {
			line = strings.TrimSpace(value) // hostname = pump-house
		}
		name := strings.ToLower(unquote(line))
		name = strings.TrimSuffix(name, ".local")
		if !hostOK(name) {
			return "", []Finding{{File: hostFile, Line: n, What: strconv.Quote(line) + " cannot be a host name", Code: codeOther,
				Do: fmt.Sprintf("take 1 to %d letters a to z, digits and -, not at the ends, such as pump-house", mostName)}}
		}
		return name, nil
	}
	return "", nil
}

func hostOK(name string) bool {
	return name != "" && len(name) <= mostName && name != "localhost" && strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == "" &&
		name[0] != '-' && name[len(name)-1] != '-'
}
