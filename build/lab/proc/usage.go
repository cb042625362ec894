package proc

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// Usage is what a process has cost up to now.
type Usage struct {
	RSS     int64         // resident memory in bytes
	Anon    int64         // of it, not backed by files
	CPU     time.Duration // user and system
	Written int64         // bytes sent to the storage layer (write_bytes of /proc/PID/io): what wears flash
	FDs     int           // open file descriptors
}

// clockTick is the unit of CPU times in /proc/PID/stat; Linux fixes USER_HZ.
const clockTick = time.Second / 100

// Read returns the usage of the process pid.
func Read(pid int) (Usage, error) {
	var u Usage
	dir := fmt.Sprintf("/proc/%d/", pid)
	status, err := os.ReadFile(dir + "status")
	if err != nil {
		return u, fmt.Errorf("read usage of process %d: %w", pid, err)
	}
	u.RSS = field(status, "VmRSS:") << 10
	u.Anon = field(status, "RssAnon:") << 10
	stat, err := os.ReadFile(dir + "stat")
	if err != nil {
		return u, fmt.Errorf("read usage of process %d: %w", pid, err)
	}
	// The name in parentheses may hold anything; utime and stime are the
	// 12th and 13th fields after it (proc(5)).
	rest := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	for _, f := range rest[11:13] {
		n, _ := strconv.ParseInt(f, 10, 64)
		u.CPU += time.Duration(n) * clockTick
	}
	io, err := os.ReadFile(dir + "io")
	if err != nil {
		return u, fmt.Errorf("read usage of process %d: %w", pid, err)
	}
	u.Written = field(io, "write_bytes:")
	fds, err := os.ReadDir(dir + "fd")
	if err != nil {
		return u, fmt.Errorf("read usage of process %d: %w", pid, err)
	}
	u.FDs = len(fds)
	return u, nil
}

// field returns the number after the key that begins a line; 0 when absent.
func field(text []byte, key string) int64 {
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, key); ok {
			n, _ := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			return n
		}
	}
	return 0
}
