package redact

import (
	"regexp"
	"strings"
)

// hidden stands in a configuration where a value was.
const hidden = "(not shown)"

// keys are parts of the names of keys whose value is a secret.
const keys = `(?:pass|secret|token|private|credential|psk|api[-_]?key)`

var (
	userinfo  = regexp.MustCompile(`://[^/@"'\s]*@`)
	secretKey = regexp.MustCompile(`(?i)` + keys)
	severals  = regexp.MustCompile(`(?is)([\w"'-]*` + keys + `[\w"'-]*[ \t]*=[ \t]*)(?:""".*?(?:"""|\z)|'''.*?(?:'''|\z)|\[[^\]]*(?:\]|\z))`)
	setting   = regexp.MustCompile(`(?i)^(.*?[\w-]*` + keys + `[\w"'-]*\s*[=:]\s*)(\S.*)$`)
	fileKey   = regexp.MustCompile(`(?i)[\w-]*-file\s*=\s*$`)
)

// Secret says whether the value of a key is one, as its name has it.
func Secret(key string) bool { return secretKey.MatchString(key) }

// URLs hides the users and passwords of URLs.
func URLs(text string) string { return userinfo.ReplaceAllString(text, "://"+Mark+"@") }

// Config hides in a configuration, TOML or not quite, whatever looks like a
// secret, in comments too: somebody may have written one there. Names of files
// stay.
func Config(text string) string {
	lines := strings.Split(severals.ReplaceAllString(URLs(text), "${1}"+hidden), "\n")
	for i, line := range lines {
		if m := setting.FindStringSubmatch(line); m != nil && !fileKey.MatchString(m[1]) {
			lines[i] = m[1] + hidden
		}
	}
	return strings.Join(lines, "\n")
}
