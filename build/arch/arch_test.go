package arch

import (
	"bytes"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const module = "tidegate"

// rule says what the packages under a folder may import. Packages of the
// standard library are free.
type rule struct {
	folder string
	ours   []string // folders of this module, besides the rule's own
	theirs []string // modules
	tests  []string // what only their tests may import besides
}

// The rules, the most special folder first. edge, uplink and hw never import
// each other; cmd glues them.
var rules = []rule{
	{folder: "cmd", ours: []string{"edge", "uplink", "hw", "internal"}, theirs: []string{"github.com/pelletier/go-toml", "github.com/coreos/go-systemd", "filippo.io/age", "golang.org/x/crypto/ssh", "github.com/prometheus/client_golang", "golang.org/x/sys"}, tests: []string{"go.etcd.io/bbolt"}},
	{folder: "edge", ours: []string{"internal"}, theirs: []string{"github.com/mochi-mqtt/server", "go.etcd.io/bbolt", "golang.org/x/crypto", "golang.org/x/net/dns/dnsmessage", "golang.org/x/net/ipv4", "golang.org/x/net/ipv6", "golang.org/x/sys", "github.com/pelletier/go-toml", "rsc.io/qr"}, tests: []string{"github.com/eclipse/paho.golang", "github.com/coder/websocket"}},
	{folder: "uplink", ours: []string{"internal"}, theirs: []string{"github.com/eclipse/paho.golang", "go.etcd.io/bbolt", "golang.org/x/sys", "golang.org/x/time", "github.com/coder/websocket"}, tests: []string{"github.com/mochi-mqtt/server", "golang.org/x/net/dns/dnsmessage"}},
	{folder: "hw", ours: []string{"internal"}, theirs: []string{"periph.io/x/conn", "periph.io/x/host", "periph.io/x/devices", "golang.org/x/sys"}},
	{folder: "internal", tests: []string{"go.etcd.io/bbolt"}},
	{folder: "build/arch"},
	{folder: "build/kernel", theirs: []string{"golang.org/x/sys"}},
	{folder: "build/cross"},
	{folder: "build/deb"},
	{folder: "build/flash", ours: []string{"build/kernel"}, theirs: []string{"golang.org/x/sys"}},
	{folder: "build/image/trial", ours: []string{"build/image", "build/kernel", "build/power", "build/bench/load"}},
	{folder: "build/image", ours: []string{"build/boot", "build/kernel", "internal"}, theirs: []string{"golang.org/x/sys"}},
	{folder: "build/boot", ours: []string{"internal"}},
	{folder: "build/bundle", ours: []string{"internal", "build/power"}},
	{folder: "build/power", ours: []string{"build/kernel", "build/bench/load"}, tests: []string{"go.etcd.io/bbolt"}},
	{folder: "build/bench", ours: []string{"internal"}, tests: []string{"github.com/mochi-mqtt/server"}},
}

// pkg is what `go list` says of a package.
type pkg struct {
	ImportPath, Dir, Name              string
	GoFiles                            []string
	Imports, TestImports, XTestImports []string
}

func packages(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Dir,Name,GoFiles,Imports,TestImports,XTestImports", module+"/...")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, &stderr)
	}
	var all []pkg
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := dec.Decode(&p); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	if len(all) < 5 {
		t.Fatalf("got %d packages, want all of the module", len(all))
	}
	return all
}

func within(importPath, prefix string) bool {
	rest, ok := strings.CutPrefix(importPath, prefix)
	return ok && (rest == "" || rest[0] == '/')
}

func ruleFor(importPath string) (rule, bool) {
	for _, r := range rules {
		if within(importPath, module+"/"+r.folder) {
			return r, true
		}
	}
	return rule{}, false
}

// thirdParty says whether an import path is of another module: its first
// element has a dot.
func thirdParty(importPath string) bool {
	first, _, _ := strings.Cut(importPath, "/")
	return strings.Contains(first, ".")
}

func (r rule) allows(importPath string, test bool) bool {
	in := func(prefix string) bool { return within(importPath, prefix) }
	switch {
	case thirdParty(importPath):
		return slices.ContainsFunc(r.theirs, in) || test && slices.ContainsFunc(r.tests, in)
	case within(importPath, module):
		ours := append([]string{r.folder}, r.ours...)
		return slices.ContainsFunc(ours, func(f string) bool { return in(module + "/" + f) })
	}
	return true
}

func TestImports(t *testing.T) {
	for _, p := range packages(t) {
		r, ok := ruleFor(p.ImportPath)
		if !ok {
			t.Errorf("%s: no rule says what it may import", p.ImportPath)
			continue
		}
		for _, i := range p.Imports {
			if !r.allows(i, false) {
				t.Errorf("%s imports %s", p.ImportPath, i)
			}
		}
		for _, i := range slices.Concat(p.TestImports, p.XTestImports) {
			if !r.allows(i, true) {
				t.Errorf("a test of %s imports %s", p.ImportPath, i)
			}
		}
	}
}

// Another module's type in an exported declaration would make everybody who
// uses it depend on that module. What is under a folder named internal has no
// users but the package above it, which may know the same modules.
func TestNoOtherModuleInExportedDeclarations(t *testing.T) {
	for _, p := range packages(t) {
		if p.Name == "main" || strings.Contains(p.ImportPath, "/internal/") && !strings.HasPrefix(p.ImportPath, module+"/internal/") {
			continue
		}
		for _, name := range p.GoFiles {
			fset := token.NewFileSet()
			file, err := parser.ParseFile(fset, filepath.Join(p.Dir, name), nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			foreign := foreignNames(file)
			for _, d := range file.Decls {
				for _, n := range exported(d) {
					ast.Inspect(n, func(n ast.Node) bool {
						s, ok := n.(*ast.SelectorExpr)
						if !ok {
							return true
						}
						if x, ok := s.X.(*ast.Ident); ok && foreign[x.Name] != "" {
							t.Errorf("%s: %s.%s (%s) in an exported declaration", fset.Position(s.Pos()), x.Name, s.Sel.Name, foreign[x.Name])
						}
						return true
					})
				}
			}
		}
	}
}

// foreignNames maps the names under which a file knows other modules' packages
// to their import paths.
func foreignNames(file *ast.File) map[string]string {
	names := map[string]string{}
	for _, i := range file.Imports {
		p := strings.Trim(i.Path.Value, `"`)
		if !thirdParty(p) {
			continue
		}
		name := path.Base(p)
		if len(name) > 1 && name[0] == 'v' && strings.Trim(name[1:], "0123456789") == "" {
			name = path.Base(path.Dir(p)) // .../go-toml/v2
		}
		name = strings.TrimPrefix(name, "go-")
		if i.Name != nil {
			name = i.Name.Name
		}
		names[name] = p
	}
	return names
}

// exported returns the parts of a declaration that other packages can see.
func exported(d ast.Decl) []ast.Node {
	switch d := d.(type) {
	case *ast.FuncDecl:
		if d.Name.IsExported() && (d.Recv == nil || exportedReceiver(d.Recv)) {
			return []ast.Node{d.Type}
		}
	case *ast.GenDecl:
		var all []ast.Node
		for _, s := range d.Specs {
			switch s := s.(type) {
			case *ast.TypeSpec:
				if s.Name.IsExported() {
					all = append(all, exportedType(s.Type)...)
				}
			case *ast.ValueSpec:
				if slices.ContainsFunc(s.Names, func(n *ast.Ident) bool { return n.IsExported() }) {
					all = append(all, s)
				}
			}
		}
		return all
	}
	return nil
}

func exportedReceiver(recv *ast.FieldList) bool {
	t := recv.List[0].Type
	if p, ok := t.(*ast.StarExpr); ok {
		t = p.X
	}
	id, ok := t.(*ast.Ident)
	return ok && id.IsExported()
}

// exportedType is all of a type, but of a struct only the fields that show.
func exportedType(t ast.Expr) []ast.Node {
	s, ok := t.(*ast.StructType)
	if !ok {
		return []ast.Node{t}
	}
	var all []ast.Node
	for _, f := range s.Fields.List {
		if len(f.Names) == 0 || slices.ContainsFunc(f.Names, func(n *ast.Ident) bool { return n.IsExported() }) {
			all = append(all, f.Type)
		}
	}
	return all
}

// The test itself must see what it forbids.
func TestRulesBite(t *testing.T) {
	r, _ := ruleFor("tidegate/edge/console")
	for path, want := range map[string]bool{
		"tidegate/edge": true, "tidegate/internal/conf": true, "tidegate/uplink": false, "tidegate/hw": false, "fmt": true,
		"github.com/mochi-mqtt/server/v2/packets": true, "github.com/eclipse/paho.golang/paho": false,
	} {
		if got := r.allows(path, false); got != want {
			t.Errorf("edge may import %s: got %v, want %v", path, got, want)
		}
	}
	file, err := parser.ParseFile(token.NewFileSet(), "x.go", `package x
import "github.com/pelletier/go-toml/v2"
import bolt "go.etcd.io/bbolt"
type T struct { db *bolt.DB; D toml.Key }
type u struct { DB *bolt.DB }
func F(*bolt.Tx) {}
func (u) G(*bolt.Tx) {}
`, 0)
	if err != nil {
		t.Fatal(err)
	}
	foreign, found := foreignNames(file), []string{}
	for _, d := range file.Decls {
		for _, n := range exported(d) {
			ast.Inspect(n, func(n ast.Node) bool {
				if s, ok := n.(*ast.SelectorExpr); ok && foreign[s.X.(*ast.Ident).Name] != "" {
					found = append(found, s.Sel.Name)
				}
				return true
			})
		}
	}
	if want := []string{"Key", "Tx"}; !slices.Equal(found, want) {
		t.Errorf("got %v, want %v", found, want)
	}
}

// A test that is skipped proves nothing and looks like one that passed.
func TestNobodySkips(t *testing.T) {
	root := filepath.Join("..", "..")
	skip := regexp.MustCompile(`\b[tbf]\.Skip(f|Now)?\(|testing\.Short\(`)
	files := 0
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && d.Name() == "node_modules":
			return fs.SkipDir
		case d.IsDir() || !strings.HasSuffix(name, "_test.go"):
			return nil
		}
		files++
		data, err := os.ReadFile(name)
		if at := skip.FindIndex(data); at != nil {
			t.Errorf("%s:%d skips", name, 1+bytes.Count(data[:at[0]], []byte("\n")))
		}
		return err
	})
	if err != nil || files < 5 {
		t.Errorf("read %d test files: %v", files, err)
	}
}
