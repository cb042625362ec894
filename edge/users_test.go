package edge

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func TestBadUsersFiles(t *testing.T) {
	hash := cheapHash("pw")
	good := "[[user]]\nname = \"a\"\npassword = \"" + hash + "\"\n"
	for _, c := range []struct {
		what, text string
		want       []string // one a line
	}{
		{"syntax", "[[user]\n", []string{"users.toml:1: "}},
		{"type", "[[user]]\nname = 7\n", []string{"users.toml:2: user.name: "}},
		{"unknown keys", good + "pass = \"x\"\n\n[other]\nx = 1\n", []string{"users.toml:4: user.pass: unknown key", "users.toml:6: other: unknown key"}},
		{"no password", "\n\n[[user]]\nname = \"a\"\n", []string{`users.toml:3: user[0]: user "a" needs a password or a certificate`}},
		{"no name", "[[user]]\npassword = \"" + hash + "\"\n", []string{`users.toml:1: user[0].name: ""`}},
		{"same name", good + good, []string{`users.toml:5: user[1].name: "a": must be a name that no other user has`}},
		{"same certificate", good + "certificate = \"c\"\n[[user]]\nname = \"b\"\ncertificate = \"c\"\n", []string{`users.toml:7: user[1].certificate: "c": user "a" has the same`}},
		{"plain password", "[[user]]\nname = \"a\"\npassword = \"hunter2\"\n", []string{"users.toml:3: user[0].password: must be an argon2id hash"}},
		{"no such group", good + "groups = [\"g\"]\n", []string{`users.toml:4: user[0].groups: "g": no [[group]]`}},
		{"several", good + "publish = [\n  \"a/#/b\",\n  \"ok\",\n]\nsubscribe = [\"$share/g/x\"]\n[anonymous]\npublish = [\"x/%u\", \"100%\"]\n[[group]]\nname = \"g\"\npublish = [\"\"]\n", []string{
			`users.toml:4: user[0].publish: "a/#/b": must be a topic filter`,
			`users.toml:8: user[0].subscribe: "$share/g/x": must not begin with $share/`,
			`users.toml:9: anonymous: "x/%u": %u has no meaning here`,
			`users.toml:10: anonymous.publish: "100%": may contain %u (user name) and %c`,
			`users.toml:13: group[0].publish: "": must be a topic filter`,
		}},
	} {
		_, err := parseUsers("users.toml", []byte(c.text))
		if err == nil {
			t.Errorf("%s: got no error", c.what)
			continue
		}
		lines := strings.Split(err.Error(), "\n")
		if len(lines) != len(c.want) {
			t.Errorf("%s: got %q, want %d lines", c.what, lines, len(c.want))
			continue
		}
		for i, want := range c.want {
			if !strings.HasPrefix(lines[i], want) {
				t.Errorf("%s: got %q, want %q...", c.what, lines[i], want)
			}
		}
		if strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), hash) {
			t.Errorf("%s: the error shows a secret: %v", c.what, err)
		}
	}
	if _, err := newAccess(AccessConfig{UsersFile: filepath.Join(t.TempDir(), "none.toml")}, nil, nil); err == nil || !strings.Contains(err.Error(), "none.toml") {
		t.Errorf("missing file: got %v", err)
	}
}

func FuzzUsersFile(f *testing.F) {
	f.Add([]byte("[anonymous]\npublish = [\"a\"]\n[[group]]\nname = \"g\"\n[[user]]\nname = \"u\"\ncertificate = \"c\"\ngroups = [\"g\"]\n"))
	f.Add([]byte("[[user]]\npublish = [\"#/#\"]"))
	f.Fuzz(func(t *testing.T, doc []byte) {
		u, err := parseUsers("users.toml", doc)
		if (u == nil) != (err != nil) {
			t.Errorf("got %v and %v", u, err)
		}
	})
}

// The sample of the configuration, of which the reference is made, has every key of
// a users file.
func TestSampleHasEveryKeyOfUsers(t *testing.T) {
	sample, err := os.ReadFile("../cmd/tidegate/sample.toml")
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(sample), "\n[edge.access]\n")
	explained, _, found := strings.Cut(after, "\nusers-file = ")
	if !found {
		t.Fatal("the sample has no users-file")
	}
	var text strings.Builder
	for line := range strings.Lines(explained) {
		if code, ok := strings.CutPrefix(line, "#     "); ok {
			text.WriteString(code)
		}
	}
	if _, err := decodeUsers("sample", []byte(text.String())); err != nil {
		t.Error(err)
	}
	has := keyLines([]byte(text.String()))
	for _, path := range keysOf(reflect.TypeFor[usersFile](), "") {
		if _, known := has[path]; !known {
			t.Errorf("the sample lacks %s", path)
		}
	}
}

// keysOf are the keys of a table, as keyLines calls them.
func keysOf(t reflect.Type, table string) (all []string) {
	for i := range t.NumField() {
		f := t.Field(i)
		path := strings.TrimPrefix(table+"."+f.Tag.Get("toml"), ".")
		switch {
		case f.Anonymous:
			all = append(all, keysOf(f.Type, table)...)
		case f.Type.Kind() == reflect.Struct:
			all = append(all, keysOf(f.Type, path)...)
		case f.Type.Kind() == reflect.Slice && f.Type.Elem().Kind() == reflect.Struct:
			all = append(all, keysOf(f.Type.Elem(), path+"[0]")...)
		default:
			all = append(all, path)
		}
	}
	return all
}
