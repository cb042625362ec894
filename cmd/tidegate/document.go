package main

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"

	"tidegate/cmd/tidegate/internal/redact"
)

// entry is one key or one table header of a TOML document.
type entry struct {
	path       string // "uplink[0].route[1].up"; indices count from 0
	start, end int    // bytes of the whole "key = value" or "[header]"
	valueAt    int    // where the value begins; 0 for a header
	line       int    // counts from 1
	kind       unstable.Kind
	inner      bool // inside an inline table or an array
}

func (e *entry) header() bool {
	return e.kind == unstable.Table || e.kind == unstable.ArrayTable
}

// under says whether e is the table at path, or in it.
func (e *entry) under(path string) bool {
	rest, ok := strings.CutPrefix(e.path, path)
	return ok && (rest == "" || rest[0] == '.' || rest[0] == '[')
}

// document knows where in a TOML text each key is, so that every message about
// a key can name its line.
type document struct {
	data    []byte
	entries []entry
}

// syntaxError is the first place that is no TOML.
type syntaxError struct {
	offset int
	what   string
}

func (e *syntaxError) Error() string { return e.what }

// index reads the document as far as it is TOML.
func index(data []byte) (*document, *syntaxError) {
	d := &document{data: data}
	var p unstable.Parser
	p.Reset(data)
	w := walker{doc: d, arrays: map[string]int{}}
	for p.NextExpression() {
		w.expression(p.Expression())
	}
	if p.Error() == nil {
		return d, nil
	}
	broken := &syntaxError{what: p.Error().Error(), offset: len(data)}
	var at *unstable.ParserError
	if errors.As(p.Error(), &at) {
		broken.what, broken.offset = at.Message, int(p.Range(at.Highlight).Offset)
	}
	return d, broken
}

// walker follows the table that keys belong to.
type walker struct {
	doc    *document
	table  string
	arrays map[string]int // path of an array of tables -> index of its last element
}

func (w *walker) expression(n *unstable.Node) {
	switch n.Kind {
	case unstable.Table, unstable.ArrayTable:
		w.header(n)
	case unstable.KeyValue:
		w.keyValue(n, w.table, false)
	}
}

func (w *walker) header(n *unstable.Node) {
	path, first, last := "", -1, 0
	for it := n.Key(); it.Next(); {
		k := it.Node()
		if first < 0 {
			first = int(k.Raw.Offset)
		}
		last = int(k.Raw.Offset + k.Raw.Length)
		path = join(path, string(k.Data))
		i, isArray := w.arrays[path]
		switch {
		case it.IsLast() && n.Kind == unstable.ArrayTable:
			if isArray {
				i++
			}
			w.arrays[path] = i
			path = fmt.Sprintf("%s[%d]", path, i)
		case isArray:
			path = fmt.Sprintf("%s[%d]", path, i)
		}
	}
	w.table = path
	brackets := 1
	if n.Kind == unstable.ArrayTable {
		brackets = 2
	}
	start := bytes.LastIndexByte(w.doc.data[:first], '[') - brackets + 1
	end := last + bytes.IndexByte(w.doc.data[last:], ']') + brackets
	w.add(entry{path: path, start: start, end: end, kind: n.Kind})
}

func (w *walker) keyValue(n *unstable.Node, table string, inner bool) {
	path := table
	after := 0
	for it := n.Key(); it.Next(); {
		path = join(path, string(it.Node().Data))
		after = int(it.Node().Raw.Offset + it.Node().Raw.Length)
	}
	start, end := int(n.Raw.Offset), int(n.Raw.Offset+n.Raw.Length)
	equals := bytes.IndexByte(w.doc.data[after:end], '=')
	value := after + equals + 1
	for value < end && (w.doc.data[value] == ' ' || w.doc.data[value] == '\t') {
		value++
	}
	w.add(entry{path: path, start: start, end: end, valueAt: value, kind: n.Value().Kind, inner: inner})
	w.children(n.Value(), path)
}

// children adds what is inside an inline table or an array.
func (w *walker) children(v *unstable.Node, path string) {
	i := 0
	for it := v.Children(); it.Next(); i++ {
		c := it.Node()
		switch {
		case v.Kind == unstable.InlineTable:
			w.keyValue(c, path, true)
		case v.Kind == unstable.Array && c.Raw.Length > 0 && c.Kind != unstable.InlineTable:
			at := int(c.Raw.Offset)
			w.add(entry{path: fmt.Sprintf("%s[%d]", path, i), start: at, end: at + int(c.Raw.Length), valueAt: at, kind: c.Kind, inner: true})
		case v.Kind == unstable.Array:
			w.children(c, fmt.Sprintf("%s[%d]", path, i))
		}
	}
}

func (w *walker) add(e entry) {
	e.line = w.doc.line(e.start)
	w.doc.entries = append(w.doc.entries, e)
}

// line returns the line of an offset, from 1.
func (d *document) line(offset int) int {
	return 1 + bytes.Count(d.data[:min(offset, len(d.data))], []byte("\n"))
}

// at returns the innermost entry around the byte in this line and column (both
// from 1), or nil.
func (d *document) at(line, column int) *entry {
	offset := column - 1
	for n, rest := 1, d.data; n < line; n++ {
		i := bytes.IndexByte(rest, '\n')
		if i < 0 {
			return nil
		}
		offset += i + 1
		rest = rest[i+1:]
	}
	var found *entry
	for i := range d.entries {
		if e := &d.entries[i]; e.start <= offset && offset < e.end {
			found = e
		}
	}
	return found
}

// afterLast returns the first line with text after the last entry.
func (d *document) afterLast() (start, end int) {
	if n := len(d.entries); n > 0 {
		for _, e := range d.entries {
			start = max(start, e.end)
		}
		if i := bytes.IndexByte(d.data[start:], '\n'); i >= 0 {
			start += i + 1
		}
	}
	for start < len(d.data) {
		_, end = lineAround(d.data, start)
		if line := bytes.TrimSpace(d.data[start:end]); len(line) > 0 && line[0] != '#' {
			return start, end
		}
		start = min(end+1, len(d.data))
	}
	return start, start
}

// find returns the entry of a path, or nil.
func (d *document) find(path string) *entry {
	for i := range d.entries {
		if d.entries[i].path == path {
			return &d.entries[i]
		}
	}
	return nil
}

// lineOf returns the line of the key, or of the nearest table around it; 0 when
// the document has neither.
func (d *document) lineOf(path string) int {
	for path != "" {
		if e := d.find(path); e != nil {
			return e.line
		}
		path = path[:max(strings.LastIndexAny(path, ".["), 0)]
	}
	return 0
}

// value returns what the file says for e, on one line; "" for a header.
func (d *document) value(e *entry) string {
	if e.valueAt == 0 {
		return ""
	}
	return redact.URLs(strings.Join(strings.Fields(string(d.data[e.valueAt:e.end])), " "))
}

// without returns the text with the entries that drop chooses turned into
// spaces, so that the rest keeps its lines and columns.
func (d *document) without(drop func(*entry) bool) []byte {
	out := bytes.Clone(d.data)
	for i := range d.entries {
		if e := &d.entries[i]; !e.inner && drop(e) {
			blank(out[e.start:e.end])
		}
	}
	return out
}

func blank(b []byte) {
	for i, c := range b {
		if c != '\n' {
			b[i] = ' '
		}
	}
}

// join appends a key to a path, quoted when it is not a bare key.
func join(path, key string) string {
	bare := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_'
	}
	if key == "" || strings.TrimFunc(key, bare) != "" {
		key = strconv.Quote(key)
	}
	if path == "" {
		return key
	}
	return path + "." + key
}
