package uplink

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestServerReferences(t *testing.T) {
	for _, c := range []struct {
		name, from, reference string
		want                  []string // host:port
		cause                 string   // of none
	}{
		{"host and port", "mqtt://a.example:1884", "b.example:1999", []string{"b.example:1999"}, ""},
		{"host alone", "mqtt://a.example:1884", "b.example", []string{"b.example:1883"}, ""},
		{"host alone, TLS", "mqtts://a.example", "b.example", []string{"b.example:8883"}, ""},
		{"several", "mqtt://a.example", "b.example  c.example:1 x.evil", []string{"b.example:1883", "c.example:1"}, ""},
		{"address", "mqtt://a.example", "10.1.2.3:1", []string{"10.1.2.3:1"}, ""},
		{"IPv6 in brackets", "mqtt://a.example", "[fd00::1]:1999 [fd00::2]", []string{"[fd00::1]:1999", "[fd00::2]:1883"}, ""},
		{"IPv6 without", "mqtt://a.example", "fd00::1", []string{"[fd00::1]:1883"}, ""},
		{"URL", "mqtt://a.example", "mqtt://b.example:7", []string{"b.example:7"}, ""},
		{"URL with more", "mqtt://a.example", "mqtts://b.example", []string{"b.example:8883"}, ""},
		{"URL with less", "mqtts://a.example", "mqtt://b.example", nil, "TLS"},
		{"itself", "mqtt://a.example", "a.example:1883", nil, "sent the link away"},
		{"itself on another port", "mqtt://a.example", "a.example:1884", []string{"a.example:1884"}, ""},
		{"nothing", "mqtt://a.example", " ", nil, "no server is named"},
		{"elsewhere", "mqtt://a.example", "evil.org:1883", nil, "evil.org"},
		{"another network", "mqtt://a.example", "11.1.2.3", nil, "11.1.2.3"},
		{"below the domain only", "mqtt://a.example", "example", nil, "redirect-to"},
		{"no host", "mqtt://a.example", ":1883", nil, "redirect-to"},
		{"odd port", "mqtt://a.example", "b.example:port", nil, "redirect-to"},
		{"a user", "mqtt://a.example", "mqtt://u:p@b.example", nil, "redirect-to"},
		{"a path", "mqtt://a.example", "b.example/../x", nil, "redirect-to"},
		{"a line", "mqtt://a.example", "b.example\x00:1", nil, "redirect-to"},
		{"endless", "mqtt://a.example", strings.Repeat("b.example:1 ", 5000), slices.Repeat([]string{"b.example:1"}, mostReferences), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			from, err := parseEndpoint(c.from)
			if err != nil {
				t.Fatal(err)
			}
			cfg := DefaultConfig()
			cfg.Endpoints, cfg.RedirectTo = []string{c.from}, []string{"*.example", "10.0.0.0/8", "fd00::/8"}
			var d detour
			err = d.obey(&redirection{reference: c.reference}, from, cfg.mayRedirect, time.Hour)
			var got []string
			for _, e := range d.next {
				got = append(got, e.host)
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
			if c.cause == "" && err != nil || c.cause != "" && (err == nil || !strings.Contains(err.Error(), c.cause)) {
				t.Errorf("got cause %v, want %q", err, c.cause)
			}
		})
	}
}

// Two nodes that send a link to each other, or a row of them without end, do
// not keep it.
func TestRedirectionsEnd(t *testing.T) {
	any := func(string) bool { return true }
	at := func(i int) endpoint {
		e, err := parseEndpoint(fmt.Sprintf("mqtt://node%d", i))
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	var d detour
	if err := d.obey(&redirection{reference: "node1"}, at(0), any, 0); err != nil {
		t.Fatal(err)
	}
	if err := d.obey(&redirection{reference: "node0"}, at(1), any, 0); !errors.Is(err, errCircle) {
		t.Errorf("back to the sender: got %v, want %v", err, errCircle)
	}
	d.end()
	for i := 0; ; i++ {
		err := d.obey(&redirection{reference: fmt.Sprintf("node%d", i+1)}, at(i), any, 0)
		if err == nil {
			continue
		}
		if i != hopLimit || !errors.Is(err, errHops) {
			t.Errorf("got %v after %d hops, want %v after %d", err, i, errHops, hopLimit)
		}
		break
	}
}

func TestHowLongARedirectionHolds(t *testing.T) {
	from, _ := parseEndpoint("mqtt://a")
	for _, c := range []struct {
		moved bool
		want  time.Duration
	}{{false, time.Minute}, {true, 0}} {
		var d detour
		if err := d.obey(&redirection{moved: c.moved, reference: "b"}, from, func(string) bool { return true }, time.Minute); err != nil || d.life != c.want {
			t.Errorf("moved %v: got %v, %v, want %v", c.moved, d.life, err, c.want)
		}
	}
}
