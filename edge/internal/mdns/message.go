package mdns

import (
	"strings"

	"golang.org/x/net/dns/dnsmessage"
)

// message is a packet that was read, as far as it could be.
type message struct {
	id        uint16
	response  bool
	questions []question
	answers   []heard // of a response with what it adds
	proposed  []heard // the authority section of a probe
}

type question struct {
	name    string // in lower case
	written string
	kind    dnsmessage.Type
	unicast bool
}

// The most of a packet that is looked at.
const (
	maxQuestions = 64
	maxHeard     = 256
)

// parse reads a packet; false when it is none to care about. What it cannot read
// it passes over: others' names may have dots in them.
func parse(packet []byte) (m message, ok bool) {
	var p dnsmessage.Parser
	h, err := p.Start(packet)
	if err != nil || h.OpCode != 0 || h.RCode != 0 {
		return m, false
	}
	m.id, m.response = h.ID, h.Response
	for range maxQuestions {
		q, err := p.Question()
		if err == dnsmessage.ErrSectionDone {
			break
		}
		if err != nil {
			if p.SkipQuestion() != nil {
				return m, false
			}
			continue
		}
		if class := q.Class &^ topBit; class == dnsmessage.ClassINET || class == dnsmessage.ClassANY {
			m.questions = append(m.questions, question{lower(q.Name.String()), q.Name.String(), q.Type, q.Class&topBit != 0})
		}
	}
	if p.SkipAllQuestions() != nil {
		return m, false
	}
	list, whole := section(&p, p.AnswerHeader, p.SkipAnswer)
	m.answers = list
	if !whole {
		return m, true
	}
	if m.proposed, whole = section(&p, p.AuthorityHeader, p.SkipAuthority); whole && m.response {
		list, _ = section(&p, p.AdditionalHeader, p.SkipAdditional)
		m.answers = append(m.answers, list...)
	}
	return m, true
}

// section reads one of the sections with records.
func section(p *dnsmessage.Parser, head func() (dnsmessage.ResourceHeader, error), skip func() error) (list []heard, whole bool) {
	for range maxHeard {
		h, err := head()
		if err == dnsmessage.ErrSectionDone {
			return list, true
		}
		if err == nil && h.Class&^topBit == dnsmessage.ClassINET {
			if data, ok := body(p, h.Type); ok {
				list = append(list, heard{lower(h.Name.String()), h.Type, h.TTL, data})
				continue
			}
		}
		if skip() != nil {
			return list, false
		}
	}
	return list, false
}

// body reads what a record says.
func body(p *dnsmessage.Parser, kind dnsmessage.Type) ([]byte, bool) {
	switch kind {
	case dnsmessage.TypePTR:
		r, err := p.PTRResource()
		return wire(r.PTR.String()), err == nil
	case dnsmessage.TypeSRV:
		r, err := p.SRVResource()
		data := []byte{byte(r.Priority >> 8), byte(r.Priority), byte(r.Weight >> 8), byte(r.Weight), byte(r.Port >> 8), byte(r.Port)}
		return append(data, wire(r.Target.String())...), err == nil
	}
	r, err := p.UnknownResource()
	return r.Data, err == nil
}

// response writes answers and what may be added to them.
func response(answers, more []record, goodbye bool) ([]byte, error) {
	b := dnsmessage.NewBuilder(nil, dnsmessage.Header{Response: true, Authoritative: true})
	b.EnableCompression()
	if err := b.StartAnswers(); err != nil {
		return nil, err
	}
	if err := putAll(&b, answers, goodbye, false); err != nil {
		return nil, err
	}
	if err := b.StartAdditionals(); err != nil {
		return nil, err
	}
	if err := putAll(&b, more, goodbye, false); err != nil {
		return nil, err
	}
	return b.Finish()
}

// legacyResponse is one to a resolver of ordinary DNS, which wants its question
// back.
func legacyResponse(id uint16, q question, answers, more []record) ([]byte, error) {
	b := dnsmessage.NewBuilder(nil, dnsmessage.Header{ID: id, Response: true, Authoritative: true})
	b.EnableCompression()
	name, err := dnsmessage.NewName(q.written)
	if err != nil {
		return nil, err
	}
	if err := b.StartQuestions(); err != nil {
		return nil, err
	}
	if err := b.Question(dnsmessage.Question{Name: name, Type: q.kind, Class: dnsmessage.ClassINET}); err != nil {
		return nil, err
	}
	if err := b.StartAnswers(); err != nil {
		return nil, err
	}
	if err := putAll(&b, answers, false, true); err != nil {
		return nil, err
	}
	if err := b.StartAdditionals(); err != nil {
		return nil, err
	}
	if err := putAll(&b, more, false, true); err != nil {
		return nil, err
	}
	return b.Finish()
}

func putAll(b *dnsmessage.Builder, list []record, goodbye, legacy bool) error {
	for i := range list {
		ttl := list[i].ttl
		if goodbye {
			ttl = 0
		}
		if err := list[i].put(b, ttl, legacy); err != nil {
			return err
		}
	}
	return nil
}

// probe asks who has the names of the unique records [RFC 6762, 8.1]. The answer
// must come by multicast: one to this machine alone might reach another program.
func probe(unique []record) ([]byte, error) {
	b := dnsmessage.NewBuilder(nil, dnsmessage.Header{})
	b.EnableCompression()
	if err := b.StartQuestions(); err != nil {
		return nil, err
	}
	asked := map[string]bool{}
	for i := range unique {
		if asked[unique[i].name] {
			continue
		}
		asked[unique[i].name] = true
		name, err := dnsmessage.NewName(unique[i].name)
		if err != nil {
			return nil, err
		}
		if err := b.Question(dnsmessage.Question{Name: name, Type: dnsmessage.TypeALL, Class: dnsmessage.ClassINET}); err != nil {
			return nil, err
		}
	}
	if err := b.StartAuthorities(); err != nil {
		return nil, err
	}
	for i := range unique {
		one := unique[i]
		one.unique = false // in a probe nobody's cache is to be flushed
		if err := one.put(&b, one.ttl, false); err != nil {
			return nil, err
		}
	}
	return b.Finish()
}

// label makes text and what follows it fit into one label of a name: dots would
// divide it.
func label(text, end string) string {
	text = strings.ReplaceAll(text, ".", "-")
	if most := 63 - len(end); len(text) > most {
		text = strings.ToValidUTF8(text[:most], "")
	}
	return text + end
}
