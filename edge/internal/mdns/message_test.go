package mdns

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// offline is a responder that has told its names on a link that takes nothing.
func offline() (*Responder, *link) {
	r := New(Options{Host: "tidegate", Name: "Tidegate on pi", Services: []Service{{Type: "_mqtt._tcp", Port: 1883}}})
	r.sock = &sockets{}
	l := &link{index: 2, name: "eth0", addrs: []netip.Addr{netip.MustParseAddr("192.0.2.1")}}
	r.links = map[int]*link{2: l}
	r.local = map[netip.Addr]bool{l.addrs[0]: true}
	r.told, r.probes, r.says = true, 3, 2
	return r, l
}

func kinds(list []record) string {
	var out []string
	for _, one := range list {
		out = append(out, strings.TrimPrefix(one.kind.String(), "Type"))
	}
	return strings.Join(out, " ")
}

func TestAnswers(t *testing.T) {
	r, l := offline()
	all := r.records(l)
	for _, c := range []struct {
		name string
		kind dnsmessage.Type
		want string // records, and those added
	}{
		{"tidegate.local.", dnsmessage.TypeA, "A +"},
		{"tidegate.local.", dnsmessage.TypeALL, "A +"},
		{"tidegate.local.", dnsmessage.TypeAAAA, "47 +"},
		{"tidegate-2.local.", dnsmessage.TypeA, " +"},
		{"_mqtt._tcp.local.", dnsmessage.TypePTR, "PTR +SRV TXT A"},
		{"_mqtt._tcp.local.", dnsmessage.TypeA, " +"},
		{"_services._dns-sd._udp.local.", dnsmessage.TypePTR, "PTR +PTR SRV TXT A"},
		{"tidegate on pi._mqtt._tcp.local.", dnsmessage.TypeSRV, "SRV +A"},
		{"tidegate on pi._mqtt._tcp.local.", dnsmessage.TypeA, "47 +"},
	} {
		found := r.find(all, question{name: c.name, kind: c.kind})
		if got := kinds(found) + " +" + kinds(additional(all, found)); got != c.want {
			t.Errorf("%s %v: got %q, want %q", c.name, c.kind, got, c.want)
		}
	}
}

// A packet that was written is read again, with names in any case, and what the
// one who asks knows is not told again.
func TestPacketsAndKnownAnswers(t *testing.T) {
	r, l := offline()
	all := r.records(l)
	for what, write := range map[string]func() ([]byte, error){
		"response": func() ([]byte, error) { return response(all, nil, false) },
		"goodbye":  func() ([]byte, error) { return response(all, nil, true) },
		"legacy": func() ([]byte, error) {
			return legacyResponse(7, question{written: "TideGate.local.", kind: dnsmessage.TypeA}, all, nil)
		},
	} {
		packet, err := write()
		m, ok := parse(packet)
		if err != nil || !ok || len(m.answers) != len(all) {
			t.Fatalf("%s: got %+v, %v, %v", what, m, ok, err)
		}
		for i := range all {
			if got, want := m.knows(&all[i]), what == "response"; got != want {
				t.Errorf("%s: %s %v is known: got %v, want %v", what, all[i].name, all[i].kind, got, want)
			}
		}
	}
	packet, err := probe(uniqueOf(all))
	m, ok := parse(packet)
	if err != nil || !ok || len(m.proposed) != 3 || len(m.questions) != 2 || m.response {
		t.Errorf("probe: got %+v, %v, %v", m, ok, err)
	}
}

// Of two probes the one with the greater data wins [RFC 6762, 8.2.1].
func TestOrder(t *testing.T) {
	a := func(last byte) heard { return heard{kind: dnsmessage.TypeA, data: []byte{192, 0, 2, last}} }
	for _, c := range []struct {
		a, b []heard
		want int
	}{
		{[]heard{a(1)}, []heard{a(1)}, 0}, {[]heard{a(99)}, []heard{a(200)}, -1}, {[]heard{a(2), a(1)}, []heard{a(1), a(2)}, 0},
		{[]heard{a(1)}, []heard{a(1), a(2)}, -1}, {[]heard{{kind: dnsmessage.TypeAAAA}}, []heard{a(9)}, 1},
	} {
		if got := order(slices.Clone(c.a), slices.Clone(c.b)); got != c.want {
			t.Errorf("%v, %v: got %d, want %d", c.a, c.b, got, c.want)
		}
	}
}

// Each record is multicast at most once in a second, however many ask.
func TestAnswersAreNotAStorm(t *testing.T) {
	r, l := offline()
	ask := message{questions: []question{{name: "tidegate.local.", kind: dnsmessage.TypeA}}}
	for range 1000 {
		r.reply(l, &ask, netip.MustParseAddrPort("192.0.2.9:5353"))
	}
	if len(r.waiting) != 1 {
		t.Fatalf("got %d answers for 1000 questions, want 1", len(r.waiting))
	}
	now := time.Now()
	r.answerDue(now)
	r.reply(l, &ask, netip.MustParseAddrPort("192.0.2.9:5353"))
	if len(r.waiting) != 1 || r.waiting[0].due.Before(now.Add(time.Second)) {
		t.Errorf("got %+v, want one answer in a second", r.waiting)
	}
}

// Names that are too long for a label are cut, dots in them replaced.
func TestNamesFit(t *testing.T) {
	for _, name := range []string{"x", strings.Repeat("ä", 60), "a.b.c", strings.Repeat("y", 200)} {
		r := New(Options{Host: name, Name: name, Services: []Service{{Type: "_mqtt._tcp", Port: 1, Name: ", port 1"}}})
		for range 3 {
			r.hostN++
			r.nameN++
			if packet, err := probe(uniqueOf(r.records(&link{addrs: []netip.Addr{netip.IPv6Loopback()}}))); err != nil || len(packet) == 0 {
				t.Errorf("%s: %v", name, err)
			}
		}
		if host := r.hostLabel(); !strings.HasSuffix(host, "-4") {
			t.Errorf("host: got %q", host)
		}
	}
}

// Whatever comes in, the responder stays, and does not grow.
func FuzzTake(f *testing.F) {
	r, l := offline()
	all := r.records(l)
	a, _ := response(all, nil, false)
	b, _ := probe(uniqueOf(all))
	f.Add(a, true)
	f.Add(b, false)
	f.Fuzz(func(t *testing.T, data []byte, told bool) {
		r, l := offline()
		if !told {
			r.told, r.probes, r.says, r.next = false, 1, 0, time.Now()
		}
		for range 3 {
			r.take(packet{l.index, netip.MustParseAddrPort("[fe80::9]:5353"), data})
			r.take(packet{l.index, netip.MustParseAddrPort("[fe80::9]:999"), data})
		}
		r.answerDue(time.Now().Add(time.Hour))
		if len(r.waiting) > maxWaiting || r.hostN > 7 || r.nameN > 7 {
			t.Errorf("got %d waiting, host %d, name %d", len(r.waiting), r.hostN, r.nameN)
		}
	})
}
