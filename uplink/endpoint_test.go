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
