package edge

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// The clients of these tests were written by others: mosquitto_pub and
// mosquitto_sub (Debian: mosquitto-clients) and MQTT.js (npm, in
// testdata/mqttjs). A test fails when one of them is missing.

// home is a running broker with users, on every kind of listener.
type home struct {
	*Broker
	ca    string            // path
	files certFiles         // of the listeners with TLS
	users string            // path
	at    map[string]string // host:port, or a path, by what a way says
}

// way is how a client comes in.
type way struct {
	version  int // 4 for MQTT 3.1.1, 5
	listener string
}

func (w way) String() string { return map[int]string{4: "3.1.1 ", 5: "5 "}[w.version] + w.listener }

// mosquitto is the way for Mosquitto's clients, which know no WebSockets (2.0.11):
// beside MQTT.js in one they come in without it.
func (w way) mosquitto() way {
	switch w.listener {
	case "WebSocket":
		w.listener = "TCP"
	case "secure WebSocket":
		w.listener = "TLS"
	}
	return w
}

// someWays are for tests to whom the listener is all but the same.
func someWays() []way {
	return []way{{4, "TCP"}, {5, "TLS"}, {4, "unix"}, {5, "WebSocket"}, {4, "secure WebSocket"}}
}

// allWays are all versions over all listeners.
func allWays() (all []way) {
	for _, version := range []int{4, 5} {
		for _, listener := range []string{"TCP", "TLS", "unix", "WebSocket", "secure WebSocket"} {
			all = append(all, way{version, listener})
		}
	}
	return all
}

func newHome(t *testing.T) *home {
	t.Helper()
	for _, program := range []string{"mosquitto_pub", "mosquitto_sub", "stdbuf", "node"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Fatalf("%v; install it with: make setup (apt install mosquitto-clients nodejs npm)", err)
		}
	}
	if _, err := os.Stat("testdata/mqttjs/node_modules/mqtt/package.json"); err != nil {
		t.Fatalf("MQTT.js is missing (%v); install it with: make setup (npm ci in edge/testdata/mqttjs)", err)
	}
	files := newCertFiles(t, newAuthority(t, "home CA"), 1)
	users := replaceFile(t, filepath.Join(files.dir, "users.toml"), []byte(`
[[user]]
name = "dev"
password = "`+cheapHash("secret")+`"
publish = ["t/#"]
subscribe = ["t/#"]
`))
	cfg := DefaultConfig()
	const any = "127.0.0.1:0"
	cfg.Listeners = []ListenerConfig{{Bind: any}, {Bind: any, Cert: files.cert, Key: files.key}, {Bind: unixPrefix + filepath.Join(files.dir, "s")},
		{Bind: any, Protocol: overWebSocket}, {Bind: any, Protocol: overWebSocket, Cert: files.cert, Key: files.key}}
	cfg.Access.UsersFile = users
	cfg.Limits.MaxPacket = 2 << 20
	b, err := New(cfg, Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Listen(); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- b.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	h := &home{Broker: b, ca: files.ca, files: files, users: users, at: map[string]string{}}
	for i, name := range []string{"TCP", "TLS", "unix", "WebSocket", "secure WebSocket"} {
		h.at[name] = b.Addrs()[i].String()
	}
	return h
}

// inWays runs f once for each of the ways.
func inWays(t *testing.T, ways []way, f func(t *testing.T, h *home, w way)) {
	h := newHome(t)
	for _, w := range ways {
		t.Run(w.String(), func(t *testing.T) { f(t, h, w) })
	}
}

// options are those of MQTT.js for user dev; extra ones replace them.
func (h *home) options(w way, id string, extra fields) fields {
	at := h.at[w.listener]
	o := fields{"protocolVersion": w.version, "clientId": id, "username": "dev", "password": "secret", "caFile": h.ca}
	switch w.listener {
	case "TCP":
		o["url"] = "mqtt://" + at
	case "TLS":
		o["url"] = "mqtts://" + at
	case "unix":
		o["url"] = "mqtt+unix://" + at
	case "WebSocket":
		o["url"] = "ws://" + at + "/mqtt"
	case "secure WebSocket":
		o["url"] = "wss://" + at + "/mqtt"
	}
	for k, v := range extra {
		o[k] = v
	}
	return o
}

// args are those of mosquitto_pub and mosquitto_sub for a user.
func (h *home) args(w way, user, password string, more ...string) []string {
	w = w.mosquitto()
	args := []string{"-V", map[int]string{4: "mqttv311", 5: "mqttv5"}[w.version], "-u", user, "-P", password}
	if w.listener == "unix" {
		return append(append(args, "--unix", h.at[w.listener]), more...)
	}
	if w.listener == "TLS" {
		args = append(args, "--cafile", h.ca)
	}
	u := url.URL{Host: h.at[w.listener]}
	return append(append(args, "-h", u.Hostname(), "-p", u.Port()), more...)
}

// pub runs mosquitto_pub as user dev.
func (h *home) pub(t *testing.T, w way, stdin string, more ...string) {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	cmd := exec.CommandContext(ctx, "mosquitto_pub", h.args(w, "dev", "secret", more...)...)
	cmd.Stdin = strings.NewReader(stdin)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("mosquitto_pub %q: %v: %s", more, err, out)
	}
}

// sub starts mosquitto_sub as user dev and waits until it has subscribed. Its
// messages are lines: topic qos retained payload.
func (h *home) sub(t *testing.T, w way, more ...string) *process {
	t.Helper()
	p := h.startSub(t, w, more...)
	p.line(t, "Subscribed (mid: 1): ")
	return p
}

// startSub is sub without the waiting: what a session had queued comes before
// the SUBACK.
func (h *home) startSub(t *testing.T, w way, more ...string) *process {
	t.Helper()
	more = append([]string{"-d", "-F", "MSG %t %q %r %p"}, more...)
	return start(t, exec.Command("stdbuf", append([]string{"-oL", "mosquitto_sub"}, h.args(w, "dev", "secret", more...)...)...))
}

// topicOf is a topic that only this test uses.
func topicOf(t *testing.T) string {
	return "t/" + strings.Map(func(r rune) rune {
		if r == ' ' || r == '#' || r == '+' {
			return '-'
		}
		return r
	}, t.Name())
}

func TestClientsQoS(t *testing.T) {
	inWays(t, allWays(), func(t *testing.T, h *home, w way) {
		js, from := startJS(t, h.options(w, "js-sub", nil)), startJS(t, h.options(w, "js-pub", nil))
		for pub := range 3 {
			for sub := range 3 {
				topic := fmt.Sprintf("%s/%d/%d", topicOf(t), pub, sub)
				js.subscribe(t, topic, sub)
				mosquitto := h.sub(t, w, "-t", topic, "-q", fmt.Sprint(sub))
				want := min(pub, sub)
				from.publish(t, fields{"topic": topic, "text": "from js", "qos": pub})
				mosquitto.line(t, fmt.Sprintf("MSG %s %d 0 from js", topic, want))
				js.message(t, topic, "from js", want, false)
				h.pub(t, w, "", "-t", topic, "-m", "from mosquitto", "-q", fmt.Sprint(pub))
				mosquitto.line(t, fmt.Sprintf("MSG %s %d 0 from mosquitto", topic, want))
				js.message(t, topic, "from mosquitto", want, false)
				mosquitto.kill()
			}
		}
	})
}

func TestClientsRetained(t *testing.T) {
	inWays(t, someWays(), func(t *testing.T, h *home, w way) {
		topic := topicOf(t)
		js := startJS(t, h.options(w, "js", nil))
		js.publish(t, fields{"topic": topic + "/js", "text": "from js", "qos": 1, "retain": true})
		h.pub(t, w, "", "-t", topic+"/mosquitto", "-m", "from mosquitto", "-q", "2", "-r")
		js.subscribe(t, topic+"/mosquitto", 2)
		js.message(t, topic+"/mosquitto", "from mosquitto", 2, true)
		h.sub(t, w, "-t", topic+"/js", "-q", "1").line(t, "MSG "+topic+"/js 1 1 from js")
		h.pub(t, w, "", "-t", topic+"/js", "-n", "-r", "-q", "1")
		late := h.sub(t, w, "-t", topic+"/#", "-q", "1")
		late.line(t, "MSG "+topic+"/mosquitto 1 1 from mosquitto")
		js.publish(t, fields{"topic": topic + "/js", "text": "live", "qos": 1})
		late.line(t, "MSG ", "MSG "+topic+"/js 1 0 live")
	})
}

func TestClientsWillAfterKill(t *testing.T) {
	inWays(t, allWays(), func(t *testing.T, h *home, w way) {
		topic := topicOf(t)
		watcher := h.sub(t, w, "-t", topic+"/#", "-q", "2")
		js := startJS(t, h.options(w, "js", fields{"will": fields{"topic": topic + "/js", "payload": "js died", "qos": 2, "retain": true}}))
		js.kill()
		watcher.line(t, "MSG "+topic+"/js 2 0 js died")

		witness := startJS(t, h.options(w, "witness", nil))
		witness.subscribe(t, topic+"/#", 1)
		witness.message(t, topic+"/js", "js died", 1, true)
		h.sub(t, w, "-t", topic+"/none", "--will-topic", topic+"/m", "--will-payload", "mosquitto died", "--will-qos", "1").kill()
		witness.message(t, topic+"/m", "mosquitto died", 1, false)

		// Who says goodbye leaves no will.
		polite := startJS(t, h.options(w, "polite", fields{"will": fields{"topic": topic + "/polite", "payload": "died", "qos": 1}}))
		polite.end(t)
		h.pub(t, w, "", "-t", topic+"/after", "-m", "x", "-q", "1")
		witness.message(t, topic+"/after", "x", 1, false)
	})
}

func TestClientsQueueWhileAway(t *testing.T) {
	inWays(t, someWays(), func(t *testing.T, h *home, w way) {
		topic := topicOf(t)
		keep := fields{"clean": false}
		if w.version == 5 {
			keep["properties"] = fields{"sessionExpiryInterval": 3600}
		}
		id := "js-" + strings.ReplaceAll(w.String(), " ", "-")
		js := startJS(t, h.options(w, id, keep))
		js.subscribe(t, topic, 2)
		js.end(t)
		mosquittoArgs := []string{"-t", topic, "-q", "1", "-c", "-i", "m" + id}
		if w.version == 5 {
			mosquittoArgs = append(mosquittoArgs, "-x", "3600")
		}
		h.sub(t, w, mosquittoArgs...).kill()

		var lines []string
		for i := range 50 {
			lines = append(lines, fmt.Sprint("while away ", i))
		}
		h.pub(t, w, strings.Join(lines, "\n")+"\n", "-t", topic, "-q", "2", "-l")
		js = startJS(t, h.options(w, id, keep))
		if !js.connected.SessionPresent {
			t.Error("MQTT.js: no session present")
		}
		mosquitto := h.startSub(t, w, mosquittoArgs...)
		for _, want := range lines {
			js.message(t, topic, want, 2, false)
			mosquitto.line(t, "MSG ", "MSG "+topic+" 1 0 "+want)
		}
	})
}

func TestClientsPasswords(t *testing.T) {
	inWays(t, someWays(), func(t *testing.T, h *home, w way) {
		for _, c := range []struct {
			what           string
			user, password string
			v4, v5         []int // reasons; none: let in
		}{
			{"right", "dev", "secret", nil, nil},
			{"wrong password", "dev", "wrong", []int{4, 5}, []int{0x86}},
			{"unknown user", "nobody", "secret", []int{4, 5}, []int{0x86}},
			{"nothing", "", "", []int{5}, []int{0x87}},
		} {
			want := c.v4
			if w.version == 5 {
				want = c.v5
			}
			o := h.options(w, "js", fields{"username": c.user, "password": c.password})
			args := h.args(w, c.user, c.password, "-t", "t/x", "-m", "x", "-q", "1")
			if c.user == "" {
				delete(o, "username")
				delete(o, "password")
				args = slices.DeleteFunc(args, func(s string) bool { return s == "-u" || s == "-P" || s == "" })
			}
			js := launchJS(t, o)
			switch e := js.event(t, "connect", "error"); {
			case e.Event == "connect" && want != nil, e.Event == "error" && !slices.Contains(want, e.Code):
				t.Errorf("MQTT.js, %s: got %+v, want %#x", c.what, e, want)
			}
			js.kill()
			ctx, stop := context.WithTimeout(t.Context(), time.Minute)
			out, err := exec.CommandContext(ctx, "mosquitto_pub", args...).CombinedOutput()
			stop()
			if (err == nil) != (want == nil) {
				t.Errorf("mosquitto_pub, %s: got %v: %s", c.what, err, out)
			}
		}
	})
}

func TestClientsPermissions(t *testing.T) {
	inWays(t, someWays(), func(t *testing.T, h *home, w way) {
		topic := topicOf(t)
		watcher := startJS(t, h.options(w, "watcher", nil))
		watcher.subscribe(t, topic, 0)
		js := startJS(t, h.options(w, "js", nil))
		for filter, want := range map[string]int{"t/+/x": 1, "#": 0x87, "other/x": 0x87, "t/#": 1} {
			if want == 0x87 && w.version == 4 {
				want = 0x80
			}
			js.send(t, "subscribe", fields{"topic": filter, "qos": 1})
			if got := js.event(t, "subscribed"); !slices.Equal(got.Codes, []int{want}) {
				t.Errorf("SUBSCRIBE %s: got %+v, want 0x%x", filter, got, want)
			}
		}
		for _, qos := range []int{1, 2} {
			want := 0
			if w.version == 5 {
				want = 0x87
			}
			js.send(t, "publish", fields{"topic": "other/x", "text": "x", "qos": qos})
			if got := js.event(t, "published"); got.Code != want {
				t.Errorf("PUBLISH at QoS %d: got %+v, want 0x%x", qos, got, want)
			}
		}
		js.publish(t, fields{"topic": topic, "text": "allowed", "qos": 1})
		watcher.message(t, topic, "allowed", 0, false)
	})
}

func TestClientsLargePayload(t *testing.T) {
	inWays(t, allWays(), func(t *testing.T, h *home, w way) {
		topic := topicOf(t)
		large := strings.Repeat("x", 1<<20)
		sum := sha256.Sum256([]byte(large))
		js := startJS(t, h.options(w, "js", nil))
		js.subscribe(t, topic, 1)
		mosquitto := h.sub(t, w, "-t", topic, "-q", "2")
		file := replaceFile(t, filepath.Join(t.TempDir(), "large"), []byte(large))
		arrives := func(qos int) { // a second message could overtake one of QoS 2 in a client
			if got := js.event(t, "message"); got.Length != len(large) || got.SHA256 != hex.EncodeToString(sum[:]) {
				t.Errorf("MQTT.js: got %+v, want %d bytes with sum %x", got, len(large), sum)
			}
			mosquitto.line(t, "MSG ", fmt.Sprintf("MSG %s %d 0 %s", topic, qos, large))
		}
		h.pub(t, w, "", "-t", topic, "-q", "2", "-f", file)
		arrives(2)
		js.publish(t, fields{"topic": topic, "text": "x", "length": len(large), "qos": 1})
		arrives(1)
	})
}

func TestClientsThousandInOrder(t *testing.T) {
	const n = 1000
	inWays(t, someWays(), func(t *testing.T, h *home, w way) {
		js, from := startJS(t, h.options(w, "js-sub", nil)), startJS(t, h.options(w, "js-pub", nil))
		for qos := range 3 {
			topic := fmt.Sprint(topicOf(t), "/", qos)
			js.subscribe(t, topic, qos)
			mosquitto := h.sub(t, w, "-t", topic, "-q", fmt.Sprint(qos))
			from.publish(t, fields{"topic": topic, "text": "js ", "count": n, "qos": qos})
			var lines strings.Builder
			for i := range n {
				fmt.Fprintf(&lines, "mosquitto %d\n", i)
			}
			for i := range 2 * n {
				want := fmt.Sprint("js ", i)
				if i == n { // at QoS 0 only now is it known that the broker has the others
					h.pub(t, w, lines.String(), "-t", topic, "-q", fmt.Sprint(qos), "-l")
				}
				if i >= n {
					want = fmt.Sprint("mosquitto ", i-n)
				}
				js.message(t, topic, want, qos, false)
				mosquitto.line(t, "MSG ", fmt.Sprintf("MSG %s %d 0 %s", topic, qos, want))
			}
			mosquitto.kill()
		}
	})
}
