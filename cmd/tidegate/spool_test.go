package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// tidegate runs a command to its end.
func tidegate(t *testing.T, args ...string) (out string, code int) {
	t.Helper()
	b, err := exec.Command(program, args...).CombinedOutput()
	if exit, ok := err.(*exec.ExitError); ok {
		return string(b), exit.ExitCode()
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(b), 0
}

// TestSpoolCommands looks into the spool of a gateway that runs and of one that
// is stopped, and decides about a message that its cloud finds too large.
func TestSpoolCommands(t *testing.T) {
	cloud, port := startCloud(t, "", "max_packet_size 2000")
	g := newHouse(t, openHouse+towards(port))
	says := func(pattern string, args ...string) string {
		t.Helper()
		var out string
		found := regexp.MustCompile(pattern)
		eventually(t, func() bool {
			out, _ = tidegate(t, args...)
			return found.MatchString(out)
		}, func() string { return strings.Join(args, " ") + " does not say " + pattern + ":\n" + out })
		return found.FindStringSubmatch(out)[0]
	}
	config := "-config=" + g.file
	publish(t, g.port(), "home/large", []string{strings.Repeat("x", 3000)})
	list := says(`\d+/\d+ .*0x95 packet too large +normal +3000 +houses/17/large +"x{60}" \.\.\.\n`, "spool", "dead", "list", config)
	id := strings.Fields(list)[0]
	says(`^1 dead letters go back`, "spool", "dead", "retry", config, id)
	says(id+` +(-|\d\S* ago) +0x95`, "spool", "dead", "list", config) // refused once more
	if out, code := tidegate(t, "spool", "dead", "drop", config, id, "7/7"); code != exitBad || !strings.Contains(out, "1 dead letters are removed") || !strings.Contains(out, "no dead letter 7/7") {
		t.Errorf("drop: %d, %s", code, out)
	}
	says(`^uplink .* payload\n$`, "spool", "dead", "list", config)

	cloud.kill()
	publish(t, g.port(), "home/x", []string{"m0", "\x1b[2J\xff", "m2"})
	says(`\nthe gateway runs: 3 messages are its backlog, `, "spool", "stat", config)
	look := func() {
		t.Helper()
		says(`uplink cloud: 3 messages`, "spool", "stat", config)
		says(`u\d +normal +\d+/\d+ +\S+ +2 +houses/17/x +"m0"\n.*1b 5b 32 4a ff\n.* "m2"\n$`, "spool", "peek", g.dir)
		out, code := tidegate(t, "spool", "export", g.dir+"/"+uplinkFolder+"cloud")
		lines := strings.Split(strings.TrimSpace(out), "\n")
		if code != 0 || len(lines) != 3 {
			t.Fatalf("export: %d, %s", code, out)
		}
		var rows [3]exported
		for i, line := range lines {
			if err := json.Unmarshal([]byte(line), &rows[i]); err != nil {
				t.Fatal(err)
			}
		}
		if rows[0].Payload == nil || *rows[0].Payload != "m0" || string(rows[1].Binary) != "\x1b[2J\xff" || rows[2].Seq != rows[0].Seq+2 || rows[1].Topic != "houses/17/x" || rows[1].Uplink != "cloud" {
			t.Errorf("exported %s", out)
		}
	}
	look()
	g.signal(os.Interrupt)
	g.exit()
	look()
}
