// Package show puts what the control API says into lines for a terminal.
package show

import (
	"fmt"
	"math"
	"strconv"
	"time"
)

// Count is a number that stays short: 1204, 12k, 3.4M.
func Count(n int64) string {
	switch {
	case n < 10_000:
		return strconv.FormatInt(n, 10)
	case n < 10_000_000:
		return fmt.Sprintf("%dk", n/1000)
	}
	return fmt.Sprintf("%.1fM", float64(n)/1e6)
}

// Rate is a number a second.
func Rate(v float64) string {
	switch {
	case v < 0.05:
		return "0"
	case v < 9.95:
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	return Count(int64(math.Round(v)))
}

// Size is a number of bytes.
func Size(n int64) string {
	switch v := float64(n); {
	case n < 10_000:
		return fmt.Sprintf("%d B", n)
	case n < 10_000_000:
		return fmt.Sprintf("%.0f kB", v/1e3)
	case n < 10_000_000_000:
		return fmt.Sprintf("%.0f MB", v/1e6)
	default:
		return fmt.Sprintf("%.1f GB", v/1e9)
	}
}

// Lasting is a duration in seconds, in its two largest units: "42s", "3m10s",
// "2h05m", "3d04h".
func Lasting(s float64) string {
	if !(s < 1e9) {
		return "years"
	}
	switch n := int64(max(s, 0)); {
	case n < 60:
		return fmt.Sprintf("%ds", n)
	case n < 3600:
		return fmt.Sprintf("%dm%02ds", n/60, n%60)
	case n < 24*3600:
		return fmt.Sprintf("%dh%02dm", n/3600, n%3600/60)
	default:
		return fmt.Sprintf("%dd%02dh", n/86400, n%86400/3600)
	}
}

// RoundTrip is a time in seconds, "-" while none is known.
func RoundTrip(s float64) string {
	switch d := time.Duration(s * float64(time.Second)); {
	case d <= 0:
		return "-"
	case d < 10*time.Millisecond:
		return fmt.Sprintf("%.1f ms", s*1e3)
	case d < time.Second:
		return fmt.Sprintf("%.0f ms", s*1e3)
	default:
		return fmt.Sprintf("%.1f s", s)
	}
}
