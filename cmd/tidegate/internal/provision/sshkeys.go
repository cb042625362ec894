package provision

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"strings"

	"golang.org/x/crypto/ssh"
)

// parseKeys checks authorized_keys and returns its good lines.
func parseKeys(text string) (good string, n int, found []Finding) {
	var b strings.Builder
	at := 0
	for line := range strings.Lines(text) {
		at++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		if what, do := badKey(line); what != "" {
			found = append(found, Finding{File: keysFile, Line: at, What: what, Do: do, Code: codeOther})
			continue
		}
		n++
		b.WriteString(line + "\n")
	}
	return b.String(), n, found
}

func badKey(line string) (what, do string) {
	const whole = "copy the whole line of the file that ends in .pub, such as id_ed25519.pub"
	switch {
	case strings.Contains(line, "PRIVATE KEY"):
		return "is a private key", "delete it from this partition, take it out of use, and put the public one here: " + whole
	case strings.HasPrefix(line, "---- BEGIN SSH2"), strings.HasPrefix(line, "PuTTY-User-Key"):
		return "is a key in PuTTY's form", "copy the text that PuTTYgen shows under \"Public key for pasting into OpenSSH authorized_keys file\""
	}
	key, _, _, rest, err := ssh.ParseAuthorizedKey([]byte(line))
	switch {
	case err != nil:
		return "is no SSH key", whole
	case len(bytes.TrimSpace(rest)) > 0:
		return "has more than one key", "write one key per line"
	case key.Type() == "ssh-dss":
		return "is a DSA key, which is broken", "make a new one: ssh-keygen -t ed25519"
	}
	return "", ""
}

// newHostKey makes the key by which SSH clients know the gateway, in OpenSSH's
// form, and its fingerprint.
func newHostKey() ([]byte, error) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make SSH host key: %w", err)
	}
	block, err := ssh.MarshalPrivateKey(private, "tidegate")
	if err != nil {
		return nil, fmt.Errorf("make SSH host key: %w", err)
	}
	return pem.EncodeToMemory(block), nil
}

// hostFingerprint is what an SSH client shows at its first connection.
func hostFingerprint(key []byte) string {
	signer, err := ssh.ParsePrivateKey(key)
	if err != nil {
		return ""
	}
	return ssh.FingerprintSHA256(signer.PublicKey())
}
