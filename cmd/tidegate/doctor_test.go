package main

import (
	"encoding/json"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"tidegate/cmd/tidegate/internal/doctor"
)

// finding returns the first that says what.
func finding(all []doctor.Finding, what string) (f doctor.Finding, ok bool) {
	for _, f := range all {
		if strings.Contains(f.What, what) {
			return f, true
		}
	}
	return f, false
}

func doctored(t *testing.T, file string) (code int, all []doctor.Finding) {
	t.Helper()
	code, out, errs := invoke(t, "doctor", "-config", file, "-json")
	if err := json.Unmarshal([]byte(out), &all); err != nil || errs != "" {
		t.Fatalf("%v: %s%s", err, out, errs)
	}
	return code, all
}

// The doctor on this machine, for a gateway that runs and one that cannot.
func TestDoctor(t *testing.T) {
	other, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	file, dir := house(t, "[console]\nbind = \"\"\n[[edge.listener]]\nbind = \""+other.Addr().String()+"\"\nanonymous = true\n")
	configure(t, filepath.Join(dir, "edge.db.corrupt-1790000000"), "")
	code, all := doctored(t, file)
	if f, ok := finding(all, "is taken by another program"); code != exitBad || !ok || f.Level != doctor.Trouble || !strings.Contains(f.Do, "stop that one") {
		t.Errorf("got %d, %+v; want the port to be another's", code, all)
	}
	if _, ok := finding(all, "edge.db.corrupt-1790000000"); !ok {
		t.Errorf("got %+v, want the damaged file", all)
	}

	g := newHouse(t, openHouse)
	port := g.port()
	configure(t, g.file, "[gateway]\ndata-dir = \""+g.dir+"\"\n[console]\nbind = \"\"\n[[edge.listener]]\nbind = \"127.0.0.1:"+port+"\"\nanonymous = true\n")
	if _, all := doctored(t, g.file); !saysOf(all, doctor.OK, "is the gateway's") {
		t.Errorf("got %+v, want the port to be the gateway's", all)
	}

	t.Chdir(filepath.Dir(g.file))
	_, out, _ := invoke(t, "doctor", "-config", filepath.Base(g.file))
	if strings.Contains(out, "trouble   files") {
		t.Errorf("got\n%s\nwant the file to be found where it is", out)
	}
	if !strings.Contains(out, "ok        ports") || strings.Contains(out, "\x1b") {
		t.Errorf("got\n%s\nwant plain words", out)
	}
}

func saysOf(all []doctor.Finding, level, what string) bool {
	f, ok := finding(all, what)
	return ok && f.Level == level
}

func TestDoctorOfABadConfiguration(t *testing.T) {
	bad := filepath.Join(t.TempDir(), "bad.toml")
	configure(t, bad, "[gateway]\ncolour = 1\n")
	if code, all := doctored(t, bad); code != exitBad || !saysOf(all, doctor.Trouble, "mistakes: 1; the first: "+bad+":2") {
		t.Errorf("got %d, %+v; want the mistake", code, all)
	}
	if code, all := doctored(t, "/nonexistent/tidegate.toml"); code != exitBad || !saysOf(all, doctor.Trouble, "no such file") {
		t.Errorf("got %d, %+v; want the missing file", code, all)
	}
}
