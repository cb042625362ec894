// Package conf holds what the parts of the configuration have in common: a
// problem that names its key, and values people write with a unit.
//
// Each package of the gateway owns its part of the configuration: a Config
// struct with toml tags, a function that returns the defaults, and a Check
// method that returns every problem it finds. The command reads the file and
// adds the line of each key.
package conf

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Problem is one thing wrong with a configuration.
type Problem struct {
	Key   string // as in the file: "edge.listener[0].bind"; indices count from 0
	Value string // what the file says, never a secret
	Rule  string // what is allowed: "host:port, or :port for every address"
	Hint  string // what to do next; may be empty
}

func (p Problem) String() string {
	s := fmt.Sprintf("%s = %s: must be %s", p.Key, p.Value, p.Rule)
	if p.Hint != "" {
		s += "; " + p.Hint
	}
	return s
}

// Duration is a time.Duration written as in Go: "250ms", "20s", "12h"; also
// "7d" for days.
type Duration time.Duration

// Std returns d as the standard library's type.
func (d Duration) Std() time.Duration { return time.Duration(d) }

func (d Duration) String() string { return time.Duration(d).String() }

// MarshalText writes d as UnmarshalText reads it.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads "250ms", "20s", "12h" or "7d".
func (d *Duration) UnmarshalText(b []byte) error {
	s := string(b)
	if days, ok := strings.CutSuffix(s, "d"); ok {
		n, err := strconv.ParseFloat(days, 64)
		if err != nil {
			return fmt.Errorf("%q is not a duration such as 250ms, 20s, 12h or 7d", s)
		}
		*d = Duration(n * 24 * float64(time.Hour))
		return nil
	}
	v, err := time.ParseDuration(s)
	if err != nil {
		return fmt.Errorf("%q is not a duration such as 250ms, 20s, 12h or 7d", s)
	}
	*d = Duration(v)
	return nil
}

// Size is a number of bytes written as "512B", "64KiB", "32MiB" or "2GiB".
type Size int64

var units = []struct {
	name  string
	bytes int64
}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"B", 1}}

func (s Size) String() string {
	for _, u := range units {
		if int64(s) >= u.bytes && int64(s)%u.bytes == 0 {
			return fmt.Sprintf("%d%s", int64(s)/u.bytes, u.name)
		}
	}
	return fmt.Sprintf("%dB", int64(s))
}

// MarshalText writes s as UnmarshalText reads it.
func (s Size) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads a whole number with one of the units B, KiB, MiB, GiB.
func (s *Size) UnmarshalText(b []byte) error {
	for _, u := range units {
		digits, ok := strings.CutSuffix(string(b), u.name)
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSpace(digits), 10, 64)
		if err != nil || n < 0 || n > (1<<62)/u.bytes {
			break
		}
		*s = Size(n * u.bytes)
		return nil
	}
	return fmt.Errorf("%q is not a size such as 512B, 64KiB, 32MiB or 2GiB", b)
}
