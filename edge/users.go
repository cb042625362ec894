package edge

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"

	"tidegate/internal/inorder"
	"tidegate/internal/topic"
)

// maxUsersFile bounds a users file: 10,000 users fit many times.
const maxUsersFile = 8 << 20 // bytes

// usersFile is a users file as written:
//
//	[anonymous]                  # who comes without a name, where a listener allows it
//	subscribe = ["public/#"]
//	any-name = true              # who comes with a name that no user has is anonymous too
//
//	[[group]]
//	name = "lamps"
//	publish = ["home/%u/state"]
//	subscribe = ["home/%u/set"]
//
//	[[user]]
//	name = "hall-lamp"
//	password = "$argon2id$v=19$..."    # from: tidegate passwd
//	certificate = "hall-lamp"          # or: the common name of a client certificate
//	groups = ["lamps"]
//	publish = ["log/%c/#"]
//	console = "read"                   # may look at the console; "admin": may change things
//
// %u stands for the user name and %c for the client id. A name or id that
// contains "+", "#" or "/" is never put in: the rule is then left out. A device
// chooses its client id itself, so %c separates devices that trust each other,
// %u those that do not. What no list allows is denied.
type usersFile struct {
	Anonymous anonymous   `toml:"anonymous"`
	Group     []groupRule `toml:"group"`
	User      []userRule  `toml:"user"`
}

type anonymous struct {
	ruleLists
	AnyName bool `toml:"any-name"`
}

type ruleLists struct {
	Publish   []string `toml:"publish"`
	Subscribe []string `toml:"subscribe"`
}

type groupRule struct {
	Name      string   `toml:"name"`
	Publish   []string `toml:"publish"`
	Subscribe []string `toml:"subscribe"`
}

type userRule struct {
	Name        string   `toml:"name"`
	Password    string   `toml:"password"`
	Certificate string   `toml:"certificate"`
	Groups      []string `toml:"groups"`
	Publish     []string `toml:"publish"`
	Subscribe   []string `toml:"subscribe"`
	Console     string   `toml:"console"`
}

// users is a checked users file, or two of them, ready for logins. It never
// changes.
type users struct {
	anonymous anonymous
	byName    map[string]*account
	byCert    map[string]*account // by common name
	hashes    []*passwordHash     // of all accounts: an unknown name is tried against one of them
}

type account struct {
	name    string
	hash    *passwordHash // nil: no login by password
	rules   ruleLists     // with those of its groups
	groups  []string
	cert    string // common name of its certificate; "": none
	console string // role there; "" for none
	kept    bool   // by the gateway itself, not by the file of the configuration
	fault   error  // of the administrator: the file is damaged, and nobody may log in by it
}

// readUsers reads and checks a users file. The error lists every problem, one
// a line, each with file, line and key.
func readUsers(path string) (*users, error) {
	doc, err := readLimited(path, maxUsersFile)
	if err != nil {
		return nil, fmt.Errorf("read users file: %w", err)
	}
	return parseUsers(path, doc)
}

func readLimited(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	doc, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(doc)) > limit {
		err = fmt.Errorf("%s: larger than %d bytes", path, limit)
	}
	return doc, err
}

func parseUsers(path string, doc []byte) (*users, error) {
	file, err := decodeUsers(path, doc)
	if err != nil {
		return nil, err
	}
	return checkUsers(path, doc, file)
}

func decodeUsers(path string, doc []byte) (*usersFile, error) {
	file := new(usersFile)
	dec := toml.NewDecoder(bytes.NewReader(doc)).DisallowUnknownFields()
	if err := dec.Decode(file); err != nil {
		return nil, decodeProblems(path, err)
	}
	return file, nil
}

// checkUsers makes ready what was decoded from doc.
func checkUsers(path string, doc []byte, file *usersFile) (*users, error) {
	p := usersParser{path: path, lines: keyLines(doc)}
	u := p.build(file)
	if len(p.problems) > 0 {
		inorder.Sort(p.problems, func(a, b lineProblem) int { return cmp.Compare(a.line, b.line) })
		errs := make([]error, len(p.problems))
		for i, one := range p.problems {
			errs[i] = one.err
		}
		return nil, errors.Join(errs...)
	}
	return u, nil
}

func decodeProblems(path string, err error) error {
	var strict *toml.StrictMissingError
	if errors.As(err, &strict) {
		var errs []error
		for i := range strict.Errors {
			line, _ := strict.Errors[i].Position()
			errs = append(errs, fmt.Errorf("%s:%d: %s: unknown key", path, line, strings.Join(strict.Errors[i].Key(), ".")))
		}
		return errors.Join(errs...)
	}
	var bad *toml.DecodeError
	if errors.As(err, &bad) {
		line, _ := bad.Position()
		text := strings.TrimPrefix(bad.Error(), "toml: ")
		if key := strings.Join(bad.Key(), "."); key != "" {
			text = key + ": " + text
		}
		return fmt.Errorf("%s:%d: %s", path, line, text)
	}
	return fmt.Errorf("%s: %w", path, err)
}

type lineProblem struct {
	line int
	err  error
}

type usersParser struct {
	path     string
	lines    map[string]int
	problems []lineProblem
}

// report notes a problem at the nearest key that has a line.
func (p *usersParser) report(key, format string, arg ...any) {
	line, known := p.lines[key]
	for at := key; !known && at != ""; line, known = p.lines[at] {
		at = at[:max(strings.LastIndexAny(at, ".["), 0)]
	}
	err := fmt.Errorf("%s:%d: %s: %s", p.path, max(line, 1), key, fmt.Sprintf(format, arg...))
	p.problems = append(p.problems, lineProblem{line, err})
}

func (p *usersParser) build(file *usersFile) *users {
	u := &users{anonymous: file.Anonymous, byName: map[string]*account{}, byCert: map[string]*account{}}
	p.rules("anonymous", file.Anonymous.ruleLists)
	for _, rule := range slices.Concat(file.Anonymous.Publish, file.Anonymous.Subscribe) {
		if strings.Contains(rule, "%u") {
			p.report("anonymous", "%q: %%u has no meaning here: an anonymous client has no user name", rule)
		}
	}
	groups := map[string]ruleLists{}
	for i, g := range file.Group {
		at := fmt.Sprintf("group[%d]", i)
		if _, twice := groups[g.Name]; g.Name == "" || twice {
			p.report(at+".name", "%q: must be a name that no other group has", g.Name)
		}
		groups[g.Name] = ruleLists{g.Publish, g.Subscribe}
		p.rules(at, groups[g.Name])
	}
	for i := range file.User {
		p.user(u, fmt.Sprintf("user[%d]", i), &file.User[i], groups)
	}
	return u
}

func (p *usersParser) user(u *users, at string, in *userRule, groups map[string]ruleLists) {
	if u.byName[in.Name] != nil || in.Name == "" {
		p.report(at+".name", "%q: must be a name that no other user has", in.Name)
	}
	if in.Console != "" && in.Console != ConsoleRead && in.Console != ConsoleAdmin {
		p.report(at+".console", "%q: must be %q or %q", in.Console, ConsoleRead, ConsoleAdmin)
	}
	a := &account{name: in.Name, console: in.Console, groups: in.Groups, cert: in.Certificate, rules: ruleLists{slices.Clone(in.Publish), slices.Clone(in.Subscribe)}}
	p.rules(at, a.rules)
	for _, name := range in.Groups {
		g, known := groups[name]
		if !known {
			p.report(at+".groups", "%q: no [[group]] has this name", name)
		}
		a.rules.Publish = append(a.rules.Publish, g.Publish...)
		a.rules.Subscribe = append(a.rules.Subscribe, g.Subscribe...)
	}
	if in.Password == "" && in.Certificate == "" {
		p.report(at, "user %q needs a password or a certificate; make a password with: tidegate passwd", in.Name)
	}
	if in.Password != "" {
		hash, err := parseHash(in.Password)
		if err != nil {
			p.report(at+".password", "%v", err)
		} else {
			a.hash = hash
			u.hashes = append(u.hashes, hash)
		}
	}
	if in.Certificate != "" {
		if other := u.byCert[in.Certificate]; other != nil {
			p.report(at+".certificate", "%q: user %q has the same", in.Certificate, other.name)
		}
		u.byCert[in.Certificate] = a
	}
	u.byName[in.Name] = a
}

func (p *usersParser) rules(at string, r ruleLists) {
	for key, list := range map[string][]string{".publish": r.Publish, ".subscribe": r.Subscribe} {
		for _, rule := range list {
			if err := checkRule(rule); err != nil {
				p.report(at+key, "%q: %v", rule, err)
			}
		}
	}
}

func checkRule(rule string) error {
	if strings.HasPrefix(rule, sharePrefix) {
		return errors.New("must not begin with $share/: write the filter behind it, shared subscriptions are checked by that")
	}
	sample := strings.NewReplacer("%u", "u", "%c", "c").Replace(rule)
	if strings.Contains(sample, "%") {
		return errors.New("may contain %u (user name) and %c (client id) and no other %")
	}
	if !topic.ValidFilter(sample) {
		return errors.New(`must be a topic filter such as "home/+/state" or "home/%c/#"`)
	}
	return nil
}

// keyLines returns the line of each key and table of a TOML document by its
// path: "user[1].name". Tables of an array count from 0.
func keyLines(doc []byte) map[string]int {
	lines, count := map[string]int{}, map[string]int{}
	var p unstable.Parser
	p.Reset(doc)
	table := ""
	for p.NextExpression() {
		e := p.Expression()
		key, line := "", 0
		for it := e.Key(); it.Next(); {
			if key != "" {
				key += "."
			}
			key += string(it.Node().Data)
			if line == 0 {
				line = 1 + bytes.Count(doc[:it.Node().Raw.Offset], []byte("\n"))
			}
		}
		switch e.Kind {
		case unstable.Table:
			table = key
		case unstable.ArrayTable:
			table = fmt.Sprintf("%s[%d]", key, count[key])
			count[key]++
		case unstable.KeyValue:
			lines[table+"."+key] = line
			continue
		}
		if line > 0 {
			lines[table] = line
		}
	}
	return lines
}
