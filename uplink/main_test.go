package uplink

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

// TestMain fails when the tests leave goroutines of this package behind. The
// environment has a proxy for all but the tests' own names and loopback.
func TestMain(m *testing.M) {
	os.Setenv("HTTPS_PROXY", "http://me:word@proxy.example.com:3128")
	os.Setenv("NO_PROXY", ".test,.invalid,no..such..name,nowhere,255.255.255.255")
	os.Unsetenv("https_proxy")
	os.Unsetenv("no_proxy")
	code := m.Run()
	if code == 0 {
		if left := leaked(); left != "" {
			fmt.Fprintln(os.Stderr, "goroutines were left behind:\n"+left)
			code = 1
		}
	}
	os.Exit(code)
}

func leaked() string {
	var left string
	for until := time.Now().Add(10 * time.Second); time.Now().Before(until); time.Sleep(20 * time.Millisecond) {
		buf := make([]byte, 1<<20)
		left = ""
		for g := range strings.SplitSeq(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
			if !strings.Contains(g, "TestMain") && (strings.Contains(g, "tidegate/") || strings.Contains(g, "paho.golang/")) {
				left += g + "\n\n"
			}
		}
		if left == "" {
			return ""
		}
	}
	return left
}
