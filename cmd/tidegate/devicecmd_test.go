package main

import (
	"encoding/json"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"tidegate/cmd/tidegate/internal/control"
)

// On the command line a device is added, comes in by the line that is printed,
// gets another password, and is removed.
func TestDeviceCommands(t *testing.T) {
	file, dir := house(t, closedHouse)
	g := startGateway(t, file, dir)
	tidegate := func(in string, words ...string) string {
		t.Helper()
		args := append([]string{words[0], words[1], "-config", file}, words[2:]...)
		return printed(t, in, args...)
	}
	out := tidegate("", "device", "add", "-qr", "hall-lamp")
	password := regexp.MustCompile(`(?m)^  password  (\S{24})$`).FindStringSubmatch(out)
	try := regexp.MustCompile(`(?m)^  (mosquitto_pub .*)$`).FindStringSubmatch(out)
	if password == nil || try == nil || !strings.Contains(out, "█") || strings.Contains(out, "anonymous") {
		t.Fatalf("got %s, want a password, a line to try it, and a code", out)
	}
	first := password[1]
	if said, err := exec.Command("sh", "-c", try[1]).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", try[1], err, said)
	}
	if !comesIn(t, g.port(), "hall-lamp", first, "home/hall-lamp/state") || comesIn(t, g.port(), "hall-lamp", first, "home/other") {
		t.Error("the device does not come in, or may more than its own")
	}
	subscribe(t, g.port(), "home/hall-lamp/set", "-u", "hall-lamp", "-P", first)

	var made control.Password
	if err := json.Unmarshal([]byte(tidegate("", "device", "add", "-json", "-publish", "a/#", "-publish", "b", "-console", "admin", "ruth")), &made); err != nil || made.Name != "ruth" {
		t.Fatalf("got %+v, %v", made, err)
	}
	if !comesIn(t, g.port(), "ruth", made.Password, "b") || comesIn(t, g.port(), "ruth", made.Password, "home/ruth/x") {
		t.Error("ruth may not what was said, or more")
	}
	list := tidegate("", "device", "list")
	if !regexp.MustCompile(`(?m)^hall-lamp +1 +home/hall-lamp/# +home/hall-lamp/# +- +here$`).MatchString(list) || !regexp.MustCompile(`(?m)^ruth +0 +a/# b +- +admin +here$`).MatchString(list) {
		t.Errorf("got\n%s", list)
	}
	var all control.Users
	if err := json.Unmarshal([]byte(tidegate("", "device", "list", "-json")), &all); err != nil || len(all.Users) != 2 {
		t.Errorf("got %+v, %v", all, err)
	}

	out = tidegate("", "device", "passwd", "hall-lamp")
	if password = regexp.MustCompile(`(?m)^  password  (\S{24})$`).FindStringSubmatch(out); password == nil || password[1] == first {
		t.Fatalf("got %s", out)
	}
	if comesIn(t, g.port(), "hall-lamp", first, "home/hall-lamp/state") || !comesIn(t, g.port(), "hall-lamp", password[1], "home/hall-lamp/state") {
		t.Error("the old password is good, or the new one is not")
	}
	tidegate("a word of mine\n", "device", "passwd", "-read", "hall-lamp")
	if !comesIn(t, g.port(), "hall-lamp", "a word of mine", "home/hall-lamp/state") {
		t.Error("the chosen password is not good")
	}
	if out := tidegate("", "device", "permit", "-publish", "lamps/hall", "hall-lamp"); !strings.Contains(out, "hall-lamp may do this from now on") {
		t.Errorf("got %s", out)
	}
	if comesIn(t, g.port(), "hall-lamp", "a word of mine", "home/hall-lamp/state") || !comesIn(t, g.port(), "hall-lamp", "a word of mine", "lamps/hall") {
		t.Error("the permissions are those of before")
	}
	tidegate("", "device", "permit", "-subscribe", "", "-console", "read", "hall-lamp")
	if list := tidegate("", "device", "list"); !regexp.MustCompile(`(?m)^hall-lamp +0 +lamps/hall +- +read +here$`).MatchString(list) {
		t.Errorf("got\n%s", list)
	}
	tidegate("", "device", "permit", "-may", "hub", "-console", "none", "hall-lamp")
	if list := tidegate("", "device", "list"); !regexp.MustCompile(`(?m)^hall-lamp +0 +hall-lamp/# \+/hall-lamp/# .*cmnd/# +- +here$`).MatchString(list) {
		t.Errorf("got\n%s", list)
	}
	if out := tidegate("", "device", "remove", "hall-lamp"); !strings.Contains(out, "hall-lamp was removed") {
		t.Errorf("got %s", out)
	}
	if comesIn(t, g.port(), "hall-lamp", "a word of mine", "home/hall-lamp/state") {
		t.Error("a removed device comes in")
	}
	for _, c := range []struct {
		want string
		code int
		args []string
	}{
		{"the only one who may change anything", exitBad, []string{"device", "remove", "-config", file, "ruth"}},
		{"no user hall-lamp", exitBad, []string{"device", "passwd", "-config", file, "hall-lamp"}},
		{"take another name", exitBad, []string{"device", "add", "-json", "-config", file, "ruth"}},
		{"cannot be the name", exitBad, []string{"device", "add", "-config", file, "hall lamp"}},
		{"own, hub, listen or all", exitUsage, []string{"device", "add", "-config", file, "-may", "fly", "x"}},
		{"no topic filter", exitBad, []string{"device", "permit", "-config", file, "-publish", "a/#/b", "ruth"}},
		{"the only one who may change anything", exitBad, []string{"device", "permit", "-config", file, "-console", "none", "ruth"}},
		{"is no role", exitBad, []string{"device", "permit", "-config", file, "-console", "boss", "ruth"}},
		{"say what it may do", exitUsage, []string{"device", "permit", "-config", file, "ruth"}},
		{"own, hub, listen or all", exitUsage, []string{"device", "permit", "-config", file, "-may", "fly", "ruth"}},
		{"an argument is missing", exitUsage, []string{"device", "remove", "-config", file}},
		{"on standard input", exitUsage, []string{"device", "passwd", "-config", file, "-read", "ruth"}},
		{"does not run", exitUsage, []string{"device", "list", "-socket", dir + "/none.sock"}},
	} {
		if code, out, errs := invoke(t, c.args...); code != c.code || !strings.Contains(errs, c.want) || out != "" {
			t.Errorf("%v: got %d, %q, %q, want %d, %q", c.args, code, out, errs, c.code, c.want)
		}
	}
}

// While the file of users is damaged the list says so, and not that there are none.
func TestListOfDamagedUsers(t *testing.T) {
	var out strings.Builder
	if err := listUsers(&out, &control.Users{Fault: "users.toml:1 is cut off"}); err != nil {
		t.Fatal(err)
	}
	if got := out.String(); !strings.Contains(got, "damaged: users.toml:1 is cut off\nPut it right or restore a backup") || strings.Contains(got, "There are no users") {
		t.Errorf("got %s", got)
	}
}
