package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"tidegate/cmd/tidegate/internal/control"
	"tidegate/uplink"
)

// invoke runs a subcommand in this process and returns what it prints.
func invoke(t *testing.T, args ...string) (code int, out, errs string) {
	t.Helper()
	o, e := &output{}, &output{}
	code = dispatch(environment{in: strings.NewReader(""), out: o, err: e}, args)
	return code, o.String(), e.String()
}

// The test of the uplinks beside the running gateway, whose links stay.
func TestUplinkTest(t *testing.T) {
	_, port := startCloud(t, "")
	g := newHouse(t, openHouse+towards(port)+fmt.Sprintf("[[uplink]]\nname = \"other\"\nendpoints = [\"mqtt://127.0.0.1:%s\", \"mqtt://127.0.0.1:1\"]\nclient-id = \"other\"\n[[uplink.up]]\nfilter = \"office/#\"\n", port))
	g.says(`link up.*house-u0`)

	code, out, errs := invoke(t, "uplink", "test", "-config", g.file, "cloud")
	if code != exitOK || errs != "" || !strings.Contains(out, "as client house-test") || !strings.Contains(out, "All endpoints are well.") {
		t.Errorf("got %d, %s\n%s\nwant all well", code, errs, out)
	}
	if strings.Contains(out, "\x1b") {
		t.Errorf("got colours in what goes to no terminal:\n%q", out)
	}

	code, out, _ = invoke(t, "uplink", "test", "-config", g.file, "-json")
	var all []walk
	if err := json.Unmarshal([]byte(out), &all); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if code != exitBad || len(all) != 2 || !all[0].Well || all[1].Well || all[1].ClientID != "other-test" {
		t.Errorf("got %d, %+v; want the endpoint where nobody listens to be trouble", code, all)
	}
	last := all[1].Steps[len(all[1].Steps)-1]
	if last.Name != "tcp" || last.Fault != "refused" || last.Do == "" {
		t.Errorf("got %+v, want the step that failed, and what to do", last)
	}
	if strings.Contains(g.out.String(), "link lost") {
		t.Errorf("the gateway lost a link:\n%s", g.out)
	}
}

// Over the socket, as for the page, the same walk comes step by step.
func TestUplinkTestOverTheSocket(t *testing.T) {
	_, port := startCloud(t, "")
	g := newHouse(t, openHouse+towards(port)+"[[uplink]]\nname = \"nobody\"\nendpoints = [\"mqtt://127.0.0.1:1\"]\n[[uplink.up]]\nfilter = \"office/#\"\n")
	g.says(`link up.*house-u0`)
	c := g.ask()
	for name, want := range map[string]struct {
		steps string
		well  bool
	}{"cloud": {"tcp connect limits", true}, "nobody": {"tcp", false}} {
		var steps []string
		var end *control.Walk
		err := c.Stream(patiently(t), "/v1/uplinks/"+name+"/test", struct{}{}, func(event string, data []byte) error {
			if event == "end" {
				end = new(control.Walk)
				return json.Unmarshal(data, end)
			}
			var s uplink.ProbeStep
			err := json.Unmarshal(data, &s)
			if steps = append(steps, s.Name); s.Words == "" || s.Outcome == uplink.StepFailed && s.Do == "" {
				t.Errorf("got %s, want words", data)
			}
			return err
		})
		if err != nil || end == nil || *end != (control.Walk{Well: want.well}) || !strings.Contains(strings.Join(steps, " "), want.steps) {
			t.Errorf("%s: got %q, %+v, %v, want %+v", name, steps, end, err, want)
		}
	}
	var said *control.Error
	if err := c.Do(patiently(t), "POST", "/v1/uplinks/heaven/test", nil, nil); !errors.As(err, &said) || said.Status != 404 {
		t.Errorf("got %v, want 404", err)
	}
	if strings.Contains(g.out.String(), "link lost") {
		t.Errorf("the gateway lost a link:\n%s", g.out)
	}
}

// Mosquitto says of a wrong password what others say of a lack of rights.
func TestUplinkTestWithAWrongPassword(t *testing.T) {
	dir := t.TempDir()
	configure(t, filepath.Join(dir, "passwords"), "house:right\n")
	if out, err := exec.Command("mosquitto_passwd", "-U", filepath.Join(dir, "passwords")).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	configure(t, filepath.Join(dir, "password"), "wrong\n")
	_, port := startCloud(t, "", "allow_anonymous false", "password_file "+filepath.Join(dir, "passwords"))
	file, _ := house(t, strings.Replace(towards(port), "[[uplink]]", fmt.Sprintf("[[uplink]]\nuser = \"house\"\npassword-file = %q", filepath.Join(dir, "password")), 1))
	code, out, _ := invoke(t, "uplink", "test", "-config", file)
	if out = strings.Join(strings.Fields(out), " "); code != exitBad || !strings.Contains(out, "failed connect") || !strings.Contains(out, "Mosquitto says so of a wrong user or password too") {
		t.Errorf("got %d, %s\nwant to be told that it may be the password", code, out)
	}
	configure(t, filepath.Join(dir, "password"), "right\n")
	if code, out, _ := invoke(t, "uplink", "test", "-config", file); code != exitOK {
		t.Errorf("with the right one: got %d, %s", code, out)
	}
}

func TestUplinkTestOfWhat(t *testing.T) {
	home, _ := house(t, openHouse)
	bad := filepath.Join(t.TempDir(), "bad.toml")
	configure(t, bad, "[[uplink]]\nendpoints = [\"http://127.0.0.1\"]\n[[uplink.up]]\nfilter = \"#\"\n")
	cloud, _ := house(t, towards("1"))
	for _, c := range []struct {
		name string
		args []string
		code int
		err  string
	}{
		{"no uplink", []string{"-config", home}, exitBad, "nothing to test"},
		{"another name", []string{"-config", cloud, "heaven"}, exitUsage, "it has cloud"},
		{"two names", []string{"-config", cloud, "a", "b"}, exitUsage, ""},
		{"bad", []string{"-config", bad}, exitBad, "begin it with mqtt://"},
		{"no file", []string{"-config", "/nonexistent"}, exitUsage, "no such file"},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, _, errs := invoke(t, append([]string{"uplink", "test"}, c.args...)...)
			if code != c.code || !strings.Contains(errs, c.err) {
				t.Errorf("got %d, %q, want %d, %q", code, errs, c.code, c.err)
			}
		})
	}
}

// Without the gateway there is nobody to disturb: the only client id is used.
func TestUplinkTestWithASingleClient(t *testing.T) {
	_, port := startCloud(t, "")
	file, dir := house(t, openHouse+towards(port))
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	configure(t, file, strings.Replace(string(text), "[[uplink]]", "[[uplink]]\nsingle-client = true\nlinks = 1\nclient-id = \"thing\"", 1))
	if code, out, _ := invoke(t, "uplink", "test", "-config", file); code != exitOK || !strings.Contains(out, "acknowledged") {
		t.Errorf("without the gateway: got %d\n%s\nwant it to connect", code, out)
	}
	g := startGateway(t, file, dir)
	g.says(`link up.*thing`)
	if code, out, _ := invoke(t, "uplink", "test", "-config", file); code != exitOK || !strings.Contains(out, "-take-over") || strings.Contains(out, "acknowledged") {
		t.Errorf("beside the gateway: got %d\n%s\nwant it to stop before CONNECT", code, out)
	}
	if strings.Contains(g.out.String(), "link lost") {
		t.Errorf("the gateway lost its link:\n%s", g.out)
	}
}
