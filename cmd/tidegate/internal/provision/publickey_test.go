package provision

import (
	"strings"
	"testing"
)

func TestPublicKey(t *testing.T) {
	for text, want := range map[string]string{
		"-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n": "",
		"MCowBQYDK2Vw": "is not in PEM form",
		"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n": "is not a public key",
	} {
		if got, _ := badFile(PublicKey, []byte(text)); (got == "") != (want == "") || !strings.Contains(got, want) {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}
