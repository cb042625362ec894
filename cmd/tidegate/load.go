package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/pelletier/go-toml/v2"

	"tidegate/cmd/tidegate/internal/card"
	"tidegate/cmd/tidegate/internal/redact"
	"tidegate/edge"
	"tidegate/edge/console"
	"tidegate/hw"
	"tidegate/internal/conf"
	"tidegate/uplink"
)

// mostErrors bounds the problems of one kind that are looked for in one file.
const mostErrors = 50

// load reads a configuration file. It returns every problem of the file that
// check finds, in the order of its lines; an error only when it cannot be read.
func load(path string, check func(Config) []conf.Problem) (Config, []problem, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return Config{}, nil, fmt.Errorf("%w; write one with: tidegate sample > %s", err, path)
	}
	c, problems := parse(data, check)
	return c, problems, nil
}

// parse decodes a configuration over the defaults and checks it. Three sieves,
// each for what the one before let through: the syntax; keys and kinds; the
// rules of each package.
func parse(data []byte, check func(Config) []conf.Problem) (Config, []problem) {
	doc, all := readable(bytes.Clone(data))
	c := DefaultConfig()
	l := loader{doc: doc, schema: readSchema(), problems: all}
	l.kinds()
	l.decode(&c)
	for _, p := range check(c) {
		if !blamed(l.problems, p.Key) {
			if strings.HasSuffix(p.Hint, "permission denied") {
				p.Hint += fmt.Sprintf(" for user %d; give the file to the user that runs tidegate: chown tidegate FILE", os.Geteuid())
			}
			if e := doc.find(p.Key); e != nil && e.valueAt > 0 {
				p.Value = doc.value(e)
			}
			l.add(doc.lineOf(p.Key), p)
		}
	}
	sortProblems(l.problems)
	return c, l.problems
}

// readable indexes the document without the lines that are no TOML. After an
// error in anything longer than one line the rest cannot be trusted.
func readable(data []byte) (*document, []problem) {
	var all []problem
	for {
		doc, broken := index(data)
		if broken == nil {
			return doc, all
		}
		start, end := lineAround(data, broken.offset)
		_, longer := index(data[:start])
		if longer != nil {
			start, end = doc.afterLast()
		}
		line := strings.TrimSpace(string(data[start:end]))
		all = append(all, problem{line: doc.line(start), Problem: syntaxProblem(line, broken.what)})
		if longer != nil || !strings.Contains(line, "=") || len(all) == mostErrors {
			doc, _ = index(data[:start])
			return doc, all
		}
		blank(data[start:end])
	}
}

func syntaxProblem(line, what string) conf.Problem {
	p := conf.Problem{Key: line, Rule: "TOML", Hint: what}
	if key, value, pair := strings.Cut(line, "="); pair {
		p.Key, p.Value = strings.TrimSpace(key), shown(key, redact.URLs(strings.TrimSpace(value)))
		if !strings.HasPrefix(p.Value, `"`) {
			p.Hint += " (text stands in double quotes)"
		}
	}
	return p
}

func lineAround(data []byte, offset int) (start, end int) {
	offset = min(offset, len(data))
	start = bytes.LastIndexByte(data[:offset], '\n') + 1
	end = len(data)
	if i := bytes.IndexByte(data[offset:], '\n'); i >= 0 {
		end = offset + i
	}
	return start, end
}

type loader struct {
	doc      *document
	schema   schema
	problems []problem
}

func (l *loader) add(line int, p conf.Problem) {
	l.problems = append(l.problems, problem{line: line, Problem: p})
}

// kinds finds values and tables of the wrong kind and takes them out of the
// document.
func (l *loader) kinds() {
	bad := map[string]bool{}
	for i := range l.doc.entries {
		e := &l.doc.entries[i]
		if rule, hint := l.schema.wrongKind(e); rule != "" {
			l.add(e.line, conf.Problem{Key: e.path, Value: l.doc.value(e), Rule: rule, Hint: hint})
			bad[e.path] = true
		}
	}
	l.drop(func(e *entry) bool {
		for path := range bad {
			culprit := entry{path: path}
			if e.under(path) || !e.header() && culprit.under(e.path) {
				return true
			}
		}
		return false
	})
}

func (l *loader) drop(unwanted func(*entry) bool) {
	l.doc, _ = index(l.doc.without(unwanted))
}

// decode fills c. Each [[uplink]] is decoded by itself, over the defaults: its
// header becomes [uplink] and all else is blanked out.
func (l *loader) decode(c *Config) {
	rest := l.doc.without(func(e *entry) bool { return e.under("uplink") })
	var root struct {
		Gateway *GatewayConfig  `toml:"gateway"`
		Edge    *edge.Config    `toml:"edge"`
		HW      *hw.Config      `toml:"hw"`
		Update  *UpdateConfig   `toml:"update"`
		Card    *card.Config    `toml:"card"`
		Console *console.Config `toml:"console"`
	}
	root.Gateway, root.Edge, root.HW, root.Update, root.Card, root.Console = &c.Gateway, &c.Edge, &c.HW, &c.Update, &c.Card, &c.Console
	l.strict(rest, &root)
	for i := range l.doc.entries {
		if header := &l.doc.entries[i]; header.path == fmt.Sprintf("uplink[%d]", len(c.Uplink)) {
			c.Uplink = append(c.Uplink, l.uplink(header))
		}
	}
}

func (l *loader) uplink(header *entry) uplink.Config {
	text := l.doc.without(func(e *entry) bool { return e != header && !e.under(header.path) })
	text[header.start], text[header.end-1] = ' ', ' '
	one := struct {
		Uplink uplink.Config `toml:"uplink"`
	}{uplink.DefaultConfig()}
	l.strict(text, &one)
	return one.Uplink
}

// strict decodes text into v and notes every error: each one that stops the
// decoder is blanked out, and the decoder tries again.
func (l *loader) strict(text []byte, v any) {
	for range mostErrors {
		err := toml.NewDecoder(bytes.NewReader(text)).DisallowUnknownFields().Decode(v)
		var unknown *toml.StrictMissingError
		var wrong *toml.DecodeError
		switch {
		case errors.As(err, &unknown):
			for i := range unknown.Errors {
				l.unknown(&unknown.Errors[i])
			}
			return
		case errors.As(err, &wrong):
			e := l.doc.at(wrong.Position())
			if e == nil {
				line, _ := wrong.Position()
				l.add(line, conf.Problem{Key: "syntax", Rule: "TOML", Hint: wrong.Error()})
				return
			}
			l.wrong(e, wrong)
			l.blank(text, e)
		case err != nil:
			l.add(0, conf.Problem{Key: "syntax", Rule: "TOML", Hint: err.Error()})
			return
		default:
			return
		}
	}
}

// blank takes the whole expression around e out of text, with all that belongs
// to it when it is a header.
func (l *loader) blank(text []byte, e *entry) {
	for i := range l.doc.entries {
		o := &l.doc.entries[i]
		if o.start <= e.start && e.end <= o.end || e.header() && o.under(e.path) {
			blank(text[o.start:o.end])
		}
	}
}

// wrong explains a value that could not be decoded.
func (l *loader) wrong(e *entry, err *toml.DecodeError) {
	p := conf.Problem{Key: e.path, Value: l.doc.value(e), Rule: strings.TrimPrefix(err.Error(), "toml: ")}
	if _, rule, ok := strings.Cut(p.Rule, " is not "); ok {
		p.Rule = rule // "soon" is not a duration such as 250ms
	} else if strings.Contains(p.Rule, "already defined") {
		p.Rule = "given once; it is above already"
	} else if k, ok := l.schema[pattern(e.path)]; ok && k.example != "" {
		p.Rule, p.Hint = "like "+k.example, p.Rule
	}
	l.add(e.line, p)
}

// unknown explains a key that no part of the gateway has.
func (l *loader) unknown(err *toml.DecodeError) {
	line, column := err.Position()
	e := l.doc.at(line, column)
	if e == nil {
		e = &entry{path: strings.Join(err.Key(), "."), line: line}
	}
	p := conf.Problem{Key: e.path, Value: shown(e.path, l.doc.value(e)), Rule: "a key that exists"}
	siblings := l.schema.siblings(e.path)
	table, key := split(digits.ReplaceAllString(e.path, ""))
	if near := nearest(key, siblings); near != "" {
		p.Hint = "did you mean " + near + "?"
	} else if len(siblings) > 0 && table != "" {
		p.Hint = fmt.Sprintf("[%s] has %s", table, strings.Join(siblings, ", "))
	} else if len(siblings) > 0 {
		p.Hint = "there are " + strings.Join(siblings, ", ")
	}
	l.add(e.line, p)
}
