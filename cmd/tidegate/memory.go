package main

import (
	"bufio"
	"fmt"
	"math"
	"os"
	"runtime/debug"
	"strings"
)

// limitMemory gives the collector half of the machine's RAM as its soft limit,
// unless GOMEMLIMIT says otherwise. Far below it GOGC stays at Go's 100: the
// live heap of an idle gateway is a few MB, so a lower value saves next to
// nothing, and under load it costs CPU that a Pi Zero does not have. The limit
// matters when queues are full on a Pi with 512 MB: the heap then stops
// doubling, and the collector works harder, before the kernel kills anybody.
func limitMemory() {
	if debug.SetMemoryLimit(-1) != math.MaxInt64 {
		return
	}
	if total := totalMemory(); total > 0 {
		debug.SetMemoryLimit(total / 2)
	}
}

// totalMemory returns the bytes of RAM, or 0 when the kernel does not say.
func totalMemory() int64 {
	f, err := os.Open("/proc/meminfo")
	if err != nil {
		return 0
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		var kib int64
		if rest, ok := strings.CutPrefix(s.Text(), "MemTotal:"); ok {
			if _, err := fmt.Sscan(rest, &kib); err == nil {
				return kib << 10
			}
		}
	}
	return 0
}
