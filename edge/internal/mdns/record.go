package mdns

import (
	"bytes"
	"cmp"
	"net/netip"
	"slices"
	"strings"

	"golang.org/x/net/dns/dnsmessage"

	"tidegate/internal/inorder"
)

// Times to live in seconds [RFC 6762, 10].
const (
	hostTTL  = 120
	otherTTL = 75 * 60
)

const (
	typeNSEC = dnsmessage.Type(47)
	topBit   = 1 << 15 // of a class: flush the cache, or answer by unicast
)

// Service is one that is told of.
type Service struct {
	Type string // "_mqtt._tcp"
	Port uint16
	Addr netip.Addr // only on the link that has it; zero: on all
	Text []string   // "key=value"
	Name string     // what follows the responder's name, for a second one of a type; may be empty
}

// record is one that this responder tells.
type record struct {
	name   string // with the last dot
	kind   dnsmessage.Type
	ttl    uint32
	unique bool // nobody else may have it
	data   []byte
	addr   bool   // one of the host's
	to     string // PTR, SRV
	port   uint16
	text   []string
}

// same says whether two records of one key say the same.
func (a *record) same(kind dnsmessage.Type, data []byte) bool {
	return a.kind == kind && bytes.Equal(a.data, data)
}

// addresses returns the records of the host's own addresses on a link.
func addresses(host string, addrs []netip.Addr) (list []record) {
	for _, a := range addrs {
		kind := dnsmessage.TypeAAAA
		if a.Is4() {
			kind = dnsmessage.TypeA
		}
		list = append(list, record{name: host, kind: kind, ttl: hostTTL, unique: true, addr: true, data: a.AsSlice()})
	}
	return list
}

// serviceRecords returns those of one service.
func serviceRecords(s Service, instance, host string) []record {
	kind := s.Type + ".local."
	whole := instance + "." + kind
	srv := append([]byte{0, 0, 0, 0, byte(s.Port >> 8), byte(s.Port)}, wire(host)...)
	var txt []byte
	for _, t := range s.Text {
		txt = append(append(txt, byte(len(t))), t...)
	}
	text := s.Text
	if len(text) == 0 {
		txt, text = []byte{0}, []string{""}
	}
	return []record{
		{name: whole, kind: dnsmessage.TypeSRV, ttl: hostTTL, unique: true, data: srv, to: host, port: s.Port},
		{name: whole, kind: dnsmessage.TypeTXT, ttl: otherTTL, unique: true, data: txt, text: text},
		{name: kind, kind: dnsmessage.TypePTR, ttl: otherTTL, data: wire(whole), to: whole},
		{name: "_services._dns-sd._udp.local.", kind: dnsmessage.TypePTR, ttl: otherTTL, data: wire(kind), to: kind},
	}
}

// nsec says which types a name has, so that nobody waits for the others
// [RFC 6762, 6.1].
func nsec(name string, kinds []dnsmessage.Type) record {
	var bits [32]byte
	last := 0
	for _, k := range kinds {
		bits[k/8] |= 0x80 >> (k % 8)
		last = max(last, int(k/8))
	}
	data := append(wire(name), 0, byte(last+1))
	return record{name: name, kind: typeNSEC, ttl: hostTTL, unique: true, data: append(data, bits[:last+1]...)}
}

// wire is a name as in a packet, in lower case and uncompressed.
func wire(name string) (out []byte) {
	for label := range strings.SplitSeq(strings.TrimSuffix(name, "."), ".") {
		out = append(append(out, byte(len(label))), lower(label)...)
	}
	return append(out, 0)
}

// lower is for ASCII only [RFC 6762, 16].
func lower(s string) string {
	b := []byte(s)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c | 0x20
		}
	}
	return string(b)
}

// put writes a record into the section that b has begun. Zero ttl takes it back;
// legacy leaves out what a resolver of ordinary DNS would not understand
// [RFC 6762, 6.7].
func (a *record) put(b *dnsmessage.Builder, ttl uint32, legacy bool) error {
	name, err := dnsmessage.NewName(a.name)
	if err != nil {
		return err
	}
	h := dnsmessage.ResourceHeader{Name: name, Type: a.kind, Class: dnsmessage.ClassINET, TTL: ttl}
	if legacy {
		h.TTL = min(ttl, 10)
	} else if a.unique {
		h.Class |= topBit
	}
	switch a.kind {
	case dnsmessage.TypePTR, dnsmessage.TypeSRV:
		to, err := dnsmessage.NewName(a.to)
		if err != nil {
			return err
		}
		if a.kind == dnsmessage.TypePTR {
			return b.PTRResource(h, dnsmessage.PTRResource{PTR: to})
		}
		return b.SRVResource(h, dnsmessage.SRVResource{Port: a.port, Target: to})
	}
	return b.UnknownResource(h, dnsmessage.UnknownResource{Type: a.kind, Data: a.data})
}

// heard is a record that somebody else has sent.
type heard struct {
	name string // in lower case
	kind dnsmessage.Type
	ttl  uint32
	data []byte // names in it in lower case and uncompressed
}

// order compares the records of two probes for one name [RFC 6762, 8.2]: the
// greater one wins.
func order(a, b []heard) int {
	one := func(a, b heard) int { return cmp.Or(cmp.Compare(a.kind, b.kind), bytes.Compare(a.data, b.data)) }
	inorder.Sort(a, one)
	inorder.Sort(b, one)
	return slices.CompareFunc(a, b, one)
}
