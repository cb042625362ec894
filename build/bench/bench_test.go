package main

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestRender(t *testing.T) {
	f := figure{name: "speed", about: "how fast", flat: true, columns: []column{{name: "per s", up: true}, {name: "lost", count: true}}}
	results := []result{{
		figure:  f,
		subject: [][]float64{{100, 0}, {300, 2}, {200, 1}},
		peer:    [][]float64{{100, 0}, {100, 0}, {400, 0}},
		null:    [][]float64{{1000, 0}},
		share:   []float64{0.5, 0.1, 0.2},
	}}
	lines := strings.Split(render(options{subject: broker{name: "a"}, peer: broker{name: "b"}}, results), "\n")
	want := [][]string{
		{"figure", "a", "b", "ratio", "range", "null"},
		{"speed", "per", "s", "^", "200", "100", "2.00", "0.50-3.00", "1000"},
		{"lost", "3", "0", "0"},
	}
	for i, w := range want {
		if got := strings.Fields(lines[i]); strings.Join(got, " ") != strings.Join(w, " ") {
			t.Errorf("line %d: got %q, want %q", i, got, w)
		}
	}
	last := lines[len(lines)-2]
	if !strings.Contains(last, "took 20 % of the CPU") || !strings.Contains(last, "5.0 times") {
		t.Errorf("calibration: got %q", last)
	}
}

func TestParse(t *testing.T) {
	o, err := parse([]string{"-short", "-figures", "latency,qos1"})
	if err != nil {
		t.Fatal(err)
	}
	if o.rounds != 2 || o.time != time.Second || o.away != 3*time.Second || len(o.figures) != 2 || o.figures[0].name != "latency" {
		t.Errorf("got %+v", o)
	}
	if _, err := parse([]string{"-figures", "speed"}); err == nil || !strings.Contains(err.Error(), `"speed"`) {
		t.Errorf("an unknown figure: got %v", err)
	}
}

func TestProc(t *testing.T) {
	begin, err := cpu(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	for own() < begin+3*time.Second/ticks { // until three ticks were used
	}
	end, err := cpu(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if end <= begin {
		t.Errorf("CPU time: got %v, want more than %v", end, begin)
	}
	if mb, err := resident(os.Getpid()); err != nil || mb < 1 || mb > 10_000 {
		t.Errorf("memory: got %v MB, %v", mb, err)
	}
}

func TestGate(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go carry(c, c) // an echo
		}
	}()
	g, err := newGate(ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		c, err := net.Dial("tcp", g.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(20 * time.Second))
		if _, err := c.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		if n, err := c.Read(make([]byte, 1)); n != 1 {
			t.Fatalf("open: got %v", err)
		}
		g.close()
		if n, err := c.Read(make([]byte, 1)); n != 0 || err == nil || os.IsTimeout(err) {
			t.Errorf("closed: got %d bytes, %v; want a cut connection", n, err)
		}
		if c, err := net.Dial("tcp", g.addr); err == nil {
			c.Close()
			t.Error("closed: a connection was accepted")
		}
		if err := g.open(); err != nil {
			t.Fatal(err)
		}
	}
	g.close()
}

// TestAll runs the shortest comparison there is, of Mosquitto with itself.
func TestAll(t *testing.T) {
	keep := t.TempDir()
	o, err := parse([]string{"-short", "-rounds", "1", "-time", "100ms", "-subject", "mosquitto", "-figures", "qos1,qos0,latency,storm,uplink", "-keep", keep})
	if err != nil {
		t.Fatal(err)
	}
	figures := o.figures
	for i := range figures {
		figures[i].null = false // the null sink would be this test's binary
	}
	results, err := measure(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range results {
		for _, values := range [][][]float64{r.subject, r.peer} {
			if len(values) != 1 || values[0][0] <= 0 {
				t.Errorf("%s: got %v", r.figure.name, values)
			}
		}
	}
	if dirs, _ := filepath.Glob(filepath.Join(keep, "*", "mosquitto.conf")); len(dirs) != 10 {
		t.Errorf("kept: got %q", dirs)
	}
}
