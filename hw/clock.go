package hw

import (
	"time"

	"golang.org/x/sys/unix"
)

// systemClock is the time of day, and whether something disciplines the
// kernel's clock; a Pi has none that runs while it is off.
func systemClock() (time.Time, bool) {
	var t unix.Timex
	state, err := unix.Adjtimex(&t)
	return time.Now(), err == nil && state != unix.TIME_ERROR && t.Status&unix.STA_UNSYNC == 0
}
