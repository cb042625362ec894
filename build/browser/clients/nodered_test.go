package clients

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tidegate/build/browser/house"
	"tidegate/build/lab/proc"
)

const nodeRED = "../npm/node_modules/node-red/red.js"

// way is how Node-RED comes in.
type way struct {
	name    string // of topics and nodes
	url     string
	version int
	ca      string // file; empty: no TLS
}

type node map[string]any

// flow is what many homes run: a message comes in, a function makes another of
// it, which goes out retained.
func (w way) flow() []node {
	broker, tab := w.name+"-broker", w.name+"-tab"
	return []node{
		{"id": tab, "type": "tab", "label": w.name},
		{"id": w.name + "-tls", "type": "tls-config", "cert": "", "key": "", "ca": w.ca, "verifyservercert": true},
		{"id": broker, "type": "mqtt-broker", "name": w.name, "broker": w.url, "port": "1883", "clientid": "nodered-" + w.name, "autoConnect": true,
			"usetls": w.ca != "", "tls": w.name + "-tls",
			"protocolVersion": fmt.Sprint(w.version), "keepalive": "60", "cleansession": true, "autoUnsubscribe": true,
			"birthTopic": "home/" + w.name + "/state", "birthQos": "1", "birthRetain": "false", "birthPayload": "here", "birthMsg": node{},
			"willTopic": "home/" + w.name + "/state", "willQos": "1", "willRetain": "false", "willPayload": "gone", "willMsg": node{}},
		{"id": w.name + "-in", "type": "mqtt in", "z": tab, "topic": "home/" + w.name + "/in/+", "qos": "2", "datatype": "auto-detect", "broker": broker,
			"nl": false, "rap": true, "rh": 0, "inputs": 0, "wires": [][]string{{w.name + "-function"}}},
		{"id": w.name + "-function", "type": "function", "z": tab, "outputs": 1, "wires": [][]string{{w.name + "-out"}},
			"func": "msg.payload = { celsius: (msg.payload.fahrenheit - 32) / 1.8, room: msg.userProperties?.room }\nmsg.topic = msg.topic.replace('/in/', '/out/')\nreturn msg"},
		{"id": w.name + "-out", "type": "mqtt out", "z": tab, "topic": "", "qos": "2", "retain": "true", "broker": broker, "wires": [][]string{}},
	}
}

// start starts Node-RED with these flows and returns when it says that all
// brokers are connected.
func start(t *testing.T, ways []way) *proc.Process {
	t.Helper()
	program, err1 := filepath.Abs(nodeRED)
	settings, err2 := filepath.Abs("testdata/settings.js")
	if _, err := os.Stat(nodeRED); err != nil {
		t.Fatalf("%v; install Node-RED with: make setup", err)
	}
	var flows []node
	secrets := map[string]node{}
	for _, w := range ways {
		flows = append(flows, w.flow()...)
		secrets[w.name+"-broker"] = node{"user": "panel", "password": "secret"}
	}
	dir := t.TempDir()
	if err := errors.Join(err1, err2, write(filepath.Join(dir, "flows.json"), flows), write(filepath.Join(dir, "flows_cred.json"), secrets)); err != nil {
		t.Fatal(err)
	}
	p, err := proc.Start(proc.Command{
		Name: "node-red", Args: []string{"node", program, "--settings", settings, "--userDir", dir, "--no-telemetry", "flows.json"}, Dir: dir,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.Kill()
		if t.Failed() {
			t.Logf("Node-RED said:\n%s", p.Output())
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute) // it loads some thousand files
	defer cancel()
	if err := p.Ready(ctx, func(context.Context) error {
		if got := strings.Count(p.Output(), "Connected to broker"); got < len(ways) {
			return fmt.Errorf("%d of %d connections", got, len(ways))
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return p
}

func write(path string, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return os.WriteFile(path, text, 0o600)
}

// A flow gets and gives messages at both versions over each listener, connects
// again when the gateway was away, says hello each time, and its wills
// are published when it dies.
func TestNodeRED(t *testing.T) {
	ports, err := proc.Ports(1)
	if err != nil {
		t.Fatal(err)
	}
	secure, socket := fmt.Sprintf("127.0.0.1:%d", ports[0]), filepath.Join(t.TempDir(), "s")
	h := house.New(t, house.Config{Program: program, Users: users, More: fmt.Sprintf(`
[[edge.listener]]
bind = %q
cert = "CERT"
key = "KEY"

[[edge.listener]]
bind = "unix:%s"
`, secure, socket)})
	var ways []way
	for _, version := range []int{4, 5} {
		for name, to := range map[string]string{"tcp": "mqtt://" + h.MQTT, "tls": "mqtts://" + secure, "ws": "ws://" + h.WS + "/mqtt", "wss": "wss://" + h.WSS + "/mqtt", "unix": "mqtt+unix://" + socket} {
			w := way{name: fmt.Sprint(name, version), url: to, version: version}
			if name == "tls" || name == "wss" {
				w.ca = filepath.Join(h.Dir, "ca.pem")
			}
			ways = append(ways, w)
		}
	}
	red := start(t, ways)
	m := house.Subscribe(t, h.MQTT, panel, "-t", "home/+/out/#", "-t", "home/+/state", "-q", "2")
	for _, w := range ways {
		w.turns(t, h, m, "kitchen", 212, 100)
	}
	m.Kill()
	later := house.Subscribe(t, h.MQTT, panel, "-t", "home/+/out/#", "-q", "2")
	for _, w := range ways {
		later.Gets(w.answer("kitchen", 100, true))
	}
	later.Kill()

	h.Kill()
	h.Start()
	m = house.Subscribe(t, h.MQTT, panel, "-t", "home/+/out/#", "-t", "home/+/state", "-q", "2", "-R")
	for _, w := range ways {
		w.returns(t, h, m)
		w.turns(t, h, m, "attic", 32, 0)
	}
	red.Kill()
	for _, w := range ways {
		m.Gets(fmt.Sprintf("home/%s/state 1 0 gone", w.name))
	}
}

// turns sends a temperature and waits for what the flow makes of it.
func (w way) turns(t *testing.T, h *house.House, m *house.Sub, room string, fahrenheit, celsius int) {
	t.Helper()
	args := []string{"-t", "home/" + w.name + "/in/" + room, "-q", "2", "-m", fmt.Sprintf(`{"fahrenheit": %d}`, fahrenheit)}
	if w.version == 5 {
		args = append(args, "-V", "mqttv5", "-D", "publish", "user-property", "room", room)
	}
	house.Pub(t, h.MQTT, panel, args...)
	m.Gets(w.answer(room, celsius, false))
}

func (w way) answer(room string, celsius int, retained bool) string {
	flag, named := 0, ""
	if retained {
		flag = 1
	}
	if w.version == 5 {
		named = fmt.Sprintf(`,"room":%q`, room)
	}
	return fmt.Sprintf(`home/%s/out/%s 2 %d {"celsius":%d%s}`, w.name, room, flag, celsius, named)
}

// returns waits until the flow's client is connected again: then somebody
// listens to what is sent to it.
func (w way) returns(t *testing.T, h *house.House, m *house.Sub) {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute); ; time.Sleep(100 * time.Millisecond) {
		house.Pub(t, h.MQTT, panel, "-t", "home/"+w.name+"/in/probe", "-q", "1", "-m", `{"fahrenheit": 50}`)
		for _, got := range m.Messages() {
			if strings.HasPrefix(got, "home/"+w.name+"/out/probe ") {
				return
			}
		}
		if time.Now().After(end) {
			t.Fatalf("%s has not come back", w.name)
		}
	}
}
