package provision

import (
	"bytes"
	"errors"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// mostText bounds a file of the user, in bytes.
const mostText = 1 << 20

var (
	errEmptyBytes = errors.New("is no text file: it has zero bytes in it; write it anew with a plain text editor")
	errLarge      = errors.New("is larger than 1 MiB; it cannot be what its name says")
	errDocument   = errors.New("was saved by a word processor; save it as plain text")
)

// decodeText makes UTF-8 with plain line ends out of what editors write: a byte
// order mark, UTF-16 (Notepad's "Unicode"), Windows-1252 (its "ANSI"), and the
// line ends of Windows and old Macs. It never fails on text.
func decodeText(raw []byte) (string, error) {
	switch {
	case len(raw) > mostText:
		return "", errLarge
	case bytes.HasPrefix(raw, []byte("{\\rtf")), bytes.HasPrefix(raw, []byte("PK\x03\x04")):
		return "", errDocument
	}
	text, err := decodeBytes(raw)
	if err != nil {
		return "", err
	}
	text = strings.ReplaceAll(text, "\r\n", "\n")
	text = strings.ReplaceAll(text, "\r", "\n")
	return strings.NewReplacer("\u00a0", " ", "\u200b", "", "\ufeff", "").Replace(text), nil
}

func decodeBytes(raw []byte) (string, error) {
	if little, is := utf16Order(raw); is {
		return fromUTF16(raw, little), nil
	}
	raw = bytes.TrimPrefix(raw, []byte("\ufeff"))
	if bytes.IndexByte(raw, 0) >= 0 {
		return "", errEmptyBytes
	}
	if utf8.Valid(raw) {
		return string(raw), nil
	}
	return fromWindows(raw), nil
}

// utf16Order tells UTF-16 by its mark, or by text whose every other byte is zero.
func utf16Order(raw []byte) (little, is bool) {
	switch {
	case bytes.HasPrefix(raw, []byte{0xff, 0xfe}):
		return true, true
	case bytes.HasPrefix(raw, []byte{0xfe, 0xff}):
		return false, true
	case len(raw) < 4 || len(raw)%2 != 0:
		return false, false
	}
	var zeros [2]int
	for i, b := range raw {
		if b == 0 {
			zeros[i%2]++
		}
	}
	most := len(raw) / 2 * 9 / 10
	return zeros[1] >= most, zeros[1] >= most && zeros[0] == 0 || zeros[0] >= most && zeros[1] == 0
}

func fromUTF16(raw []byte, little bool) string {
	units := make([]uint16, 0, len(raw)/2)
	for i := 0; i+1 < len(raw); i += 2 {
		low, high := raw[i], raw[i+1]
		if !little {
			low, high = high, low
		}
		units = append(units, uint16(high)<<8|uint16(low))
	}
	return strings.TrimPrefix(string(utf16.Decode(units)), "\ufeff")
}

// upper is where Windows-1252 differs from Latin-1: 0x80 to 0x9f.
const upper = "€\u0081‚ƒ„…†‡ˆ‰Š‹Œ\u008dŽ\u008f\u0090‘’“”•–—˜™š›œ\u009džŸ"

func fromWindows(raw []byte) string {
	table := []rune(upper)
	var b strings.Builder
	for _, c := range raw {
		switch {
		case c >= 0x80 && c <= 0x9f:
			b.WriteRune(table[c-0x80])
		default:
			b.WriteRune(rune(c))
		}
	}
	return b.String()
}

var curly = strings.NewReplacer("“", `"`, "”", `"`, "„", `"`, "‟", `"`, "«", `"`, "»", `"`, "‘", "'", "’", "'", "‚", "'")

// straighten turns the quotation marks of word processors and phones into plain
// ones.
func straighten(text string) string { return curly.Replace(text) }

// pair is one line "key = value" of a file such as wifi.txt.
type pair struct {
	line       int // from 1
	key, value string
	given      bool // there is an equals sign
}

// pairs reads lines of "key = value". Empty lines and those that begin with "#"
// are left out; a "#" further on belongs to the value, as in a password. Quotation
// marks around a value are taken off.
func pairs(text string) []pair {
	var all []pair
	n := 0
	for line := range strings.Lines(text) {
		n++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		key, value, given := strings.Cut(line, "=")
		all = append(all, pair{n, strings.ToLower(strings.TrimSpace(key)), unquote(strings.TrimSpace(value)), given})
	}
	return all
}

func unquote(s string) string {
	plain := straighten(s)
	if len(plain) >= 2 && (plain[0] == '"' || plain[0] == '\'') && plain[len(plain)-1] == plain[0] {
		runes := []rune(s)
		return string(runes[1 : len(runes)-1])
	}
	return s
}
