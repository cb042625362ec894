package uplink

import "testing"

func TestParseEndpoint(t *testing.T) {
	for _, c := range []struct {
		text string
		want endpoint
	}{
		{"mqtt://a", endpoint{url: "mqtt://a", host: "a:1883", name: "a", lookup: true}},
		{"tcp://a:5", endpoint{url: "tcp://a:5", host: "a:5", name: "a", lookup: true}},
		{"mqtts://a/", endpoint{url: "mqtts://a", host: "a:8883", name: "a", tls: true, lookup: true}},
		{"ssl://A.example", endpoint{url: "ssl://A.example", host: "a.example:8883", name: "a.example", tls: true, lookup: true}},
		{"mqtts://[2001:db8::1]", endpoint{url: "mqtts://[2001:db8::1]", host: "[2001:db8::1]:8883", name: "2001:db8::1", tls: true}},
		{"ws://a", endpoint{url: "ws://a", host: "a:80", name: "a", path: "/mqtt", lookup: true}},
		{"ws://a:8080/x/y", endpoint{url: "ws://a:8080/x/y", host: "a:8080", name: "a", path: "/x/y", lookup: true}},
		{"wss://a/", endpoint{url: "wss://a", host: "a:443", name: "a", path: "/mqtt", tls: true, lookup: true}},
		{"mqtt+srv://a", endpoint{url: "mqtt+srv://a", host: "a:1883", name: "a", srv: true, lookup: true}},
		{"mqtts+srv://a", endpoint{url: "mqtts+srv://a", host: "a:8883", name: "a", srv: true, tls: true, lookup: true}},
	} {
		got, err := parseEndpoint(c.text)
		if err != nil || got != c.want {
			t.Errorf("%s: got %+v, %v, want %+v", c.text, got, err, c.want)
		}
	}
}

func TestAuthority(t *testing.T) {
	for text, want := range map[string]string{
		"ws://a": "a", "ws://a:8080": "a:8080", "wss://a": "a", "wss://a:80": "a:80", "ws://[::1]": "[::1]", "ws://[::1]:8080": "[::1]:8080",
	} {
		e, err := parseEndpoint(text)
		if got := e.authority(); err != nil || got != want {
			t.Errorf("%s: got Host %q, %v, want %q", text, got, err, want)
		}
	}
}

// What is one place is found whichever way it is written.
func TestMeets(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"mqtt://a.example.com", "mqtt://a.example.com", true},
		{"mqtt://a.example.com", "tcp://A.Example.com.:1883/", true},
		{"mqtts://a.example.com", "ssl://a.example.com:8883", true},
		{"mqtt://[2001:db8::1]:1883", "mqtt://[2001:0db8:0:0::1]", true},
		{"wss://a.example.com/mqtt", "wss://a.example.com:443/other", true},
		{"mqtts+srv://example.com", "mqtts+srv://EXAMPLE.com", true},
		{"mqtts+srv://example.com", "mqtts://example.com", false},
		{"mqtt://a.example.com", "mqtts://a.example.com", false},
		{"mqtt://a.example.com", "mqtt://b.example.com", false},
		{"mqtt://127.0.0.1:1883", "mqtt://127.0.0.1:1884", false},
		{"junk", "junk", false},
	} {
		a, b := Config{Endpoints: []string{"mqtt://other", c.a}}, Config{Endpoints: []string{c.b}}
		if got := a.Meets(b); got != c.want || b.Meets(a) != c.want {
			t.Errorf("%s and %s: got %v, want %v", c.a, c.b, got, c.want)
		}
	}
}
