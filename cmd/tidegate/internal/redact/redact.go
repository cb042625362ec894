// Package redact takes secrets out of text that somebody is about to give away.
// It knows two ways, and uses both: what the secrets of this machine are, and
// what secrets look like.
package redact

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Mark stands where a secret was.
const Mark = "***"

// least is the length of a secret that is looked for as it is: a shorter one
// occurs in other words.
const least = 5

// Scrubber takes secrets out of text.
type Scrubber struct {
	known []string // the longest first
}

// Add makes a secret known, in the forms in which it may be written.
func (s *Scrubber) Add(secret string) {
	secret = strings.TrimSpace(secret)
	if len(secret) < least {
		return
	}
	inJSON, _ := json.Marshal(secret) // a string can be
	quoted := strconv.Quote(secret)
	for _, form := range []string{
		secret, string(inJSON[1 : len(inJSON)-1]), quoted[1 : len(quoted)-1], url.QueryEscape(secret), url.PathEscape(secret), hex.EncodeToString([]byte(secret)),
		base64.StdEncoding.EncodeToString([]byte(secret)), base64.RawURLEncoding.EncodeToString([]byte(secret)),
	} {
		if !slices.Contains(s.known, form) {
			s.known = append(s.known, form)
		}
	}
	slices.SortFunc(s.known, func(a, b string) int { return len(b) - len(a) })
}

// AddFile makes known what a file holds that is secret as a whole: the first
// line of a password file, and each line of a key, or of a list of users what
// is behind its name.
func (s *Scrubber) AddFile(text []byte) {
	for line := range bytes.Lines(text) {
		l := strings.TrimSpace(string(line))
		if strings.HasPrefix(l, "-----") || strings.HasPrefix(l, "#") {
			continue
		}
		s.Add(l)
		if _, value, ok := cutAny(l, "=:"); ok {
			s.Add(strings.Trim(strings.TrimSpace(value), `"'`))
		}
	}
}

// AddSettings makes known the values of keys that are called like secrets, in
// files of lines such as "psk=..." or "password: ...".
func (s *Scrubber) AddSettings(text []byte) {
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		if key, value, ok := cutAny(lines.Text(), "=:"); ok && secretName.MatchString(key) {
			s.Add(strings.Trim(strings.TrimSpace(value), `"'`))
		}
	}
}

func cutAny(s, chars string) (before, after string, ok bool) {
	i := strings.IndexAny(s, chars)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+1:], true
}

// names are how secrets are called.
const names = `pass(?:wor[dt]|wd|phrase|code)?|psk|sae_password|secret|token|private[-_]?key|privatekey|presharedkey|api[-_]?key|access[-_]?key|credentials?|auth|signature|sig|bearer|cookie|kennwort|wep[-_]key\d?`

var secretName = regexp.MustCompile(`(?i)(?:^|[^a-z])(?:` + names + `)(?:$|[^a-z])`)

// What secrets look like.
var looks = []struct {
	pattern *regexp.Regexp
	with    string
}{
	{regexp.MustCompile(`(?s)-----BEGIN [A-Z0-9 ]*(?:PRIVATE KEY|SECRET)[A-Z0-9 ]*-----.*?(?:-----END [A-Z0-9 ]+-----|\z)`), "(a private key was here)"},
	{regexp.MustCompile(`([a-zA-Z][a-zA-Z0-9+.-]*://)[^/@\s"']*@`), "${1}" + Mark + "@"},                                                     // user and password of a URL
	{regexp.MustCompile(`([a-zA-Z][a-zA-Z0-9+.-]*://[^\s"'?#]*\?)[^\s"'#]+`), "${1}" + Mark},                                                 // its query
	{regexp.MustCompile(`(?i)\b(bearer|basic|digest|negotiate)\s+[a-z0-9+/=._~-]{8,}`), "${1} " + Mark},                                      // Authorization
	{regexp.MustCompile(`eyJ[A-Za-z0-9_-]{6,}\.[A-Za-z0-9_-]{4,}(?:\.[A-Za-z0-9_-]*)?`), Mark},                                               // JSON Web Token
	{regexp.MustCompile(`\$(?:argon2[id]{1,2}|tg-fast|2[abxy]|[156y]|scrypt|pbkdf2[a-z0-9-]*|7)\$[^\s"';]+`), Mark},                          // password hashes
	{regexp.MustCompile(`AGE-SECRET-KEY-1[0-9A-Z]+`), Mark},                                                                                  // age
	{regexp.MustCompile(`\b(?:AKIA|ASIA)[0-9A-Z]{12,}\b`), Mark},                                                                             // AWS
	{regexp.MustCompile(`(?i)(SharedAccessSignature\s+)[^\s"']+`), "${1}" + Mark},                                                            // Azure
	{regexp.MustCompile(`(?i)("[a-z0-9_.-]*(?:` + names + `)"\s*:\s*)"(?:[^"\\]|\\.)*"`), `${1}"` + Mark + `"`},                              // JSON
	{regexp.MustCompile(`(?i)((?:^|[^a-z])(?:` + names + `)["']?\s*[=:]\s*)(?:"[^"\n]*"|'[^'\n]*'|[^\s,;&"'*(][^\s,;&"']*)`), "${1}" + Mark}, // key = value
}

// Text returns text without secrets.
func (s *Scrubber) Text(text string) string {
	text = s.hide(text)
	for _, l := range looks {
		text = l.pattern.ReplaceAllString(text, l.with)
	}
	return text
}

func (s *Scrubber) hide(text string) string {
	for _, secret := range s.known {
		text = strings.ReplaceAll(text, secret, Mark)
	}
	return text
}

// Holds says whether text still has a secret that is known.
func (s *Scrubber) Holds(text string) bool {
	return slices.ContainsFunc(s.known, func(secret string) bool { return strings.Contains(text, secret) })
}
