package edge

import (
	"bufio"
	"encoding/json"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"
)

// clientPatience is how long a test waits for a client to do what it must.
const clientPatience = time.Minute

// process is a client that runs, and its lines of output.
type process struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser
	lines chan string // closed at the end of the output
	ended bool
}

// start runs cmd until the test ends.
func start(t *testing.T, cmd *exec.Cmd) *process {
	t.Helper()
	stdin, err1 := cmd.StdinPipe()
	stdout, err2 := cmd.StdoutPipe()
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	cmd.Stderr = t.Output()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &process{cmd: cmd, stdin: stdin, lines: make(chan string, 10_000)}
	go func() {
		defer close(p.lines)
		in := bufio.NewScanner(stdout)
		in.Buffer(nil, 4<<20)
		for in.Scan() {
			p.lines <- in.Text()
		}
	}()
	t.Cleanup(p.kill)
	return p
}

// kill ends the process as kill -9 does, and waits for it.
func (p *process) kill() {
	if p.ended {
		return
	}
	p.ended = true
	p.cmd.Process.Kill()
	for range p.lines {
	}
	p.cmd.Wait()
}

// line waits for the next line that begins with one of the prefixes, and fails
// the test unless it begins with the last of them.
func (p *process) line(t *testing.T, prefixes ...string) string {
	t.Helper()
	want := prefixes[len(prefixes)-1]
	timer := time.NewTimer(clientPatience)
	defer timer.Stop()
	for {
		select {
		case got, ok := <-p.lines:
			if !ok {
				t.Fatalf("%s ended before it said %.200q", p.cmd.Args[0], want)
			}
			if !slices.ContainsFunc(prefixes, func(s string) bool { return strings.HasPrefix(got, s) }) {
				continue
			}
			if !strings.HasPrefix(got, want) {
				t.Fatalf("%s: got %.200q, want %.200q", p.cmd.Args[0], got, want)
			}
			return got
		case <-timer.C:
			t.Fatalf("%s has not said %.200q in %v", p.cmd.Args[0], want, clientPatience)
		}
	}
}

type fields map[string]any

// jsClient is testdata/mqttjs/client.js.
type jsClient struct {
	*process
	connected jsEvent
	early     []jsEvent // messages that came while something else was awaited
}

type jsEvent struct {
	Event          string
	SessionPresent bool
	Code           int
	Text           string
	Codes          []int
	Topic          string
	Length         int
	SHA256         string
	QoS            int
	Retain         bool
}

// launchJS starts a client with these options of MQTT.js.
func launchJS(t *testing.T, options fields) *jsClient {
	t.Helper()
	text, err := json.Marshal(options)
	if err != nil {
		t.Fatal(err)
	}
	return &jsClient{process: start(t, exec.Command("node", "testdata/mqttjs/client.js", string(text)))}
}

// startJS starts a client and waits until it is connected.
func startJS(t *testing.T, options fields) *jsClient {
	t.Helper()
	c := launchJS(t, options)
	c.connected = c.event(t, "connect")
	return c
}

func (c *jsClient) send(t *testing.T, command string, more fields) {
	t.Helper()
	more["command"] = command
	text, err := json.Marshal(more)
	if err == nil {
		_, err = c.stdin.Write(append(text, '\n'))
	}
	if err != nil {
		t.Fatal(err)
	}
}

// event waits for the next event of these kinds.
func (c *jsClient) event(t *testing.T, kinds ...string) jsEvent {
	t.Helper()
	if len(c.early) > 0 && slices.Contains(kinds, "message") {
		first := c.early[0]
		c.early = c.early[1:]
		return first
	}
	for {
		var e jsEvent
		if err := json.Unmarshal([]byte(c.line(t, "{")), &e); err != nil {
			t.Fatal(err)
		}
		switch {
		case slices.Contains(kinds, e.Event):
			return e
		case e.Event == "message":
			c.early = append(c.early, e)
		case e.Event == "error" || e.Event == "close":
			t.Fatalf("MQTT.js: got %+v, waiting for %q", e, kinds)
		}
	}
}

func (c *jsClient) subscribe(t *testing.T, topic string, qos int) {
	t.Helper()
	c.send(t, "subscribe", fields{"topic": topic, "qos": qos})
	if got := c.event(t, "subscribed"); got.Code != 0 || !slices.Equal(got.Codes, []int{qos}) {
		t.Fatalf("SUBSCRIBE %s at QoS %d: got %+v", topic, qos, got)
	}
}

// publish publishes and waits until the broker has acknowledged.
func (c *jsClient) publish(t *testing.T, what fields) {
	t.Helper()
	c.send(t, "publish", what)
	if got := c.event(t, "published"); got.Code != 0 {
		t.Fatalf("PUBLISH %v: got %+v", what, got)
	}
}

// message waits for the next message, which must be this one.
func (c *jsClient) message(t *testing.T, topic, text string, qos int, retain bool) {
	t.Helper()
	got := c.event(t, "message")
	if got.Topic != topic || got.Text != text || got.QoS != qos || got.Retain != retain {
		t.Fatalf("MQTT.js: got %+v, want %s %q at QoS %d, retain %v", got, topic, text, qos, retain)
	}
}

// end disconnects with a DISCONNECT packet and waits for the process.
func (c *jsClient) end(t *testing.T) {
	t.Helper()
	c.send(t, "end", fields{})
	c.line(t, `{"event":"end"`)
	c.kill()
}
