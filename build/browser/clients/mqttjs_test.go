package clients

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"testing"

	"tidegate/build/browser/chrome"
	"tidegate/build/browser/house"
)

// MQTT.js as Node.js has it in the tests of the broker, built for browsers.
const mqttjs = "../../../edge/testdata/mqttjs/node_modules/mqtt/dist/mqtt.min.js"

// tab opens a page with MQTT.js from a server of 127.0.0.1, whose pages the
// broker lets in.
func tab(t *testing.T, h *house.House) *chrome.Page {
	t.Helper()
	at := serve(t)
	p := browser.Open(t, chrome.View{}, h.WS, h.WSS)
	p.Go(at)
	p.Sees("MQTT.js is here")
	return p
}

func serve(t *testing.T) string {
	t.Helper()
	if _, err := os.Stat(mqttjs); err != nil {
		t.Fatalf("%v; install MQTT.js with: make setup", err)
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/mqtt.js":
			http.ServeFile(w, r, mqttjs)
		case "/client.js":
			http.ServeFile(w, r, "testdata/client.js")
		case "/icon":
		default:
			fmt.Fprint(w, `<!doctype html><html lang=en><title>Panel</title><link rel=icon href=/icon>
				<script src=/mqtt.js></script><script src=/client.js></script><p>MQTT.js is here`)
		}
	}))
	t.Cleanup(s.Close)
	return s.URL
}

type message struct {
	Topic, Text string
	QoS         int
	Retain      bool
}

// inBrowser runs a test at both versions over both kinds of WebSocket.
func inBrowser(t *testing.T, f func(t *testing.T, h *house.House, url string, options map[string]any)) {
	h := house.New(t, house.Config{Program: program, Users: users})
	for _, version := range []int{4, 5} {
		for _, url := range []string{"ws://" + h.WS + "/mqtt", "wss://" + h.WSS + "/mqtt"} {
			t.Run(fmt.Sprintf("%d/%s", version, strings.SplitN(url, ":", 2)[0]), func(t *testing.T) {
				f(t, h, url, map[string]any{"protocolVersion": version, "username": "panel", "password": "secret"})
			})
		}
	}
}

func connect(t *testing.T, p *chrome.Page, name, url string, options map[string]any) {
	t.Helper()
	type ack struct {
		SessionPresent bool
		Code           int
	}
	got := chrome.Eval[ack](p, fmt.Sprintf("connect(%q, %q, %s)", name, url, chrome.JSON(options)))
	if got != (ack{}) {
		t.Fatalf("CONNACK: got %+v, want a new session and code 0", got)
	}
}

func subscribe(t *testing.T, p *chrome.Page, name, topic string, qos int) {
	t.Helper()
	if got := chrome.Eval[int](p, fmt.Sprintf("subscribe(%q, %q, %d)", name, topic, qos)); got != qos {
		t.Fatalf("SUBSCRIBE %s at QoS %d: got %d", topic, qos, got)
	}
}

func publish(p *chrome.Page, name, topic, text string, qos int, retain bool) {
	chrome.Eval[bool](p, fmt.Sprintf("publish(%q, %q, %q, {qos: %d, retain: %v})", name, topic, text, qos, retain))
}

// gets waits until a client has got exactly these messages, in order.
func gets(t *testing.T, p *chrome.Page, name string, want ...message) {
	t.Helper()
	p.Until(fmt.Sprintf("clients[%q].inbox.length >= %d", name, len(want)))
	got := chrome.Eval[[]message](p, fmt.Sprintf("clients[%q].inbox.splice(0)", name))
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Fatalf("%s: got %+v, want %+v", name, got, want)
	}
}

// Every QoS to every QoS, to and from mosquitto's clients and a second tab.
func TestMQTTJSInChromium(t *testing.T) {
	inBrowser(t, func(t *testing.T, h *house.House, url string, options map[string]any) {
		one, two := tab(t, h), tab(t, h)
		one.TrustAll()
		two.TrustAll()
		root := "home/" + strings.ReplaceAll(t.Name(), "/", "-")
		connect(t, one, root+"-one", url, options)
		connect(t, two, root+"-two", url, options)
		for pub := range 3 {
			for sub := range 3 {
				topic, qos := fmt.Sprintf("%s/%d/%d", root, pub, sub), min(pub, sub)
				subscribe(t, one, root+"-one", topic, sub)
				m := house.Subscribe(t, h.MQTT, panel, "-t", topic, "-q", fmt.Sprint(sub))
				publish(two, root+"-two", topic, "from a page: ☀", pub, false)
				gets(t, one, root+"-one", message{topic, "from a page: ☀", qos, false})
				m.Gets(fmt.Sprintf("%s %d 0 from a page: ☀", topic, qos))
				m.Kill()
				house.Pub(t, h.MQTT, panel, "-t", topic, "-m", "from a device", "-q", fmt.Sprint(pub))
				gets(t, one, root+"-one", message{topic, "from a device", qos, false})
			}
		}
		retained(t, h, one, two, root)
		chrome.Eval[bool](one, fmt.Sprintf("end(%q)", root+"-one"))
		chrome.Eval[bool](two, fmt.Sprintf("end(%q)", root+"-two"))
	})
}

// retained messages are there for who comes later, and go when they are empty.
func retained(t *testing.T, h *house.House, one, two *chrome.Page, root string) {
	t.Helper()
	topic := root + "/retained"
	publish(two, root+"-two", topic, "kept", 1, true)
	subscribe(t, one, root+"-one", topic, 2)
	gets(t, one, root+"-one", message{topic, "kept", 1, true})
	publish(two, root+"-two", topic, "", 1, true)
	gets(t, one, root+"-one", message{topic, "", 1, false})
	m := house.Subscribe(t, h.MQTT, panel, "-t", root+"/#", "-q", "1")
	publish(two, root+"-two", root+"/end", "end", 1, false)
	m.Gets(root + "/end 1 0 end")
	if got := m.Messages(); len(got) != 1 {
		t.Fatalf("got %q, want no retained message", got)
	}
	m.Kill()
}

// A tab that is closed says nothing; its will is published.
func TestWillOfAClosedTab(t *testing.T) {
	inBrowser(t, func(t *testing.T, h *house.House, url string, options map[string]any) {
		p := tab(t, h)
		p.TrustAll()
		topic := "home/will/" + strings.ReplaceAll(t.Name(), "/", "-")
		m := house.Subscribe(t, h.MQTT, panel, "-t", topic, "-q", "2")
		options["will"] = map[string]any{"topic": topic, "payload": "the tab is gone", "qos": 2, "retain": false}
		connect(t, p, "closed", url, options)
		p.Close()
		m.Gets(topic + " 2 0 the tab is gone")
	})
}

// A page of another origin is kept out, also by the name of this machine: the
// browser would show it to anybody.
func TestForeignPage(t *testing.T) {
	h := house.New(t, house.Config{Program: program, Users: users})
	u, err := url.Parse(serve(t))
	if err != nil {
		t.Fatal(err)
	}
	p := browser.Open(t, chrome.View{}, h.WS)
	p.Go("http://localhost:" + u.Port())
	p.Sees("MQTT.js is here")
	p.Forgive("WebSocket connection to .* failed")
	if !chrome.Eval[bool](p, fmt.Sprintf("refused('ws://%s/mqtt')", h.WS)) {
		t.Error("a page of another origin got in")
	}
}
