// Package wall is the clock on the wall: the time of day, and whether it can be
// believed. A Pi has no clock that runs while it is off.
package wall

import (
	"syscall"
	"time"
)

// Of adjtimex(2).
const (
	timeError = 5    // TIME_ERROR
	unsync    = 0x40 // STA_UNSYNC
)

// Set says whether something disciplines the kernel's clock; known is false when
// the kernel does not say.
func Set() (set, known bool) {
	var t syscall.Timex
	state, err := syscall.Adjtimex(&t)
	return err == nil && state != timeError && t.Status&unsync == 0, err == nil
}

// Now is the time of day, and whether something disciplines it.
func Now() (now time.Time, set bool) {
	set, _ = Set()
	return time.Now(), set
}
