package hw

import (
	"fmt"
	"strings"
)

// template fills {name}, {kind} and {quantity} in a topic; any other brace is
// an error.
func template(text, name, kind, quantity string) (string, error) {
	out := strings.NewReplacer("{name}", name, "{kind}", kind, "{quantity}", quantity).Replace(text)
	if i := strings.IndexAny(out, "{}"); i >= 0 {
		return "", fmt.Errorf("%q is none of them", out[i:])
	}
	return out, nil
}
