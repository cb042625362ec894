package provision

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pelletier/go-toml/v2"
)

// place is a machine in a folder: a boot partition, a data partition, and the
// rest of a root.
type place struct {
	t   *testing.T
	dir string
	opt Options
}

func newPlace(t *testing.T) *place {
	p := &place{t: t, dir: t.TempDir()}
	p.opt = Options{
		Boot: p.dir + "/boot", Data: p.dir + "/data", Root: p.dir + "/root", Version: "1.0", Check: checkForTest,
		Now: func() time.Time { return time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC) }, Synced: func() bool { return false },
		loose: true, hash: func(password string) string { return fmt.Sprintf("hash of %d letters", len(password)) },
	}
	for _, d := range []string{"boot", "data", "root/run", "root/etc", "root/sys/class/leds/ACT"} {
		if err := os.MkdirAll(filepath.Join(p.dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	p.write("root/etc/passwd", fmt.Sprintf("root:x:0:0::/:/bin/sh\ntidegate:x:%d:%d::/:/bin/false\n", os.Getuid(), os.Getgid()))
	p.write("root/sys/class/leds/ACT/trigger", "none timer [mmc0] pattern")
	p.write("boot/config.txt", "arm_64bit=1\n")
	p.write("boot/tidegate.toml", string(standard))
	p.write("boot/wifi.txt", string(example))
	return p
}

func (p *place) write(name, text string) {
	p.t.Helper()
	if err := os.WriteFile(filepath.Join(p.dir, name), []byte(text), 0o644); err != nil {
		p.t.Fatal(err)
	}
}

func (p *place) read(name string) string {
	text, err := os.ReadFile(filepath.Join(p.dir, name))
	if err != nil {
		return ""
	}
	return string(text)
}

func (p *place) has(name string) bool { return exists(filepath.Join(p.dir, name)) }

func (p *place) remove(name string) {
	p.t.Helper()
	if err := os.Remove(filepath.Join(p.dir, name)); err != nil {
		p.t.Fatal(err)
	}
}

func (p *place) run() *Outcome {
	p.t.Helper()
	out, err := Run(p.opt)
	if err != nil {
		p.t.Fatalf("%v\n%v", err, out.Found)
	}
	return out
}

// all returns the names and contents of the files below a folder.
func (p *place) all(name string) map[string]string {
	p.t.Helper()
	files := map[string]string{}
	root := filepath.Join(p.dir, name)
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		files[strings.TrimPrefix(path, root+"/")] = string(text)
		return err
	})
	if err != nil {
		p.t.Fatal(err)
	}
	return files
}

// wants says what the report must have in it.
func (p *place) wants(parts ...string) {
	p.t.Helper()
	report := strings.ReplaceAll(p.read("boot/"+reportFile), "\r\n", "\n")
	for _, part := range parts {
		if !strings.Contains(report, part) {
			p.t.Errorf("the report lacks %q:\n%s", part, report)
		}
	}
}

// checkForTest stands for the check of the command, which is tested there: the key
// colour is wrong, and files are found as in the real configuration.
func checkForTest(text []byte, place func(string) string) (Config, []Problem) {
	var file struct {
		Colour  string
		Gateway struct {
			ID        string `toml:"id"`
			ResetLine string `toml:"reset-line"`
		}
		Edge struct {
			Listener []struct {
				Bind      string
				Cert, Key string
				Anonymous bool
			}
			Access struct {
				UsersFile string `toml:"users-file"`
			}
		}
		Console struct{ Bind *string }
		Uplink  []struct {
			PasswordFile string `toml:"password-file"`
		}
	}
	if err := toml.Unmarshal(text, &file); err != nil {
		return Config{}, []Problem{{1, "is no TOML"}}
	}
	if file.Colour != "" {
		return Config{}, []Problem{{1, "colour: must be a key that exists"}}
	}
	c := Config{ID: file.Gateway.ID, ResetLine: file.Gateway.ResetLine, UsersFile: file.Edge.Access.UsersFile}
	c.Console.Port = "8080"
	if b := file.Console.Bind; b != nil {
		_, c.Console.Port, _ = strings.Cut(*b, ":")
	}
	for i, l := range file.Edge.Listener {
		c.Listeners = append(c.Listeners, Listener{Port: strings.TrimPrefix(l.Bind, ":"), TLS: l.Cert != "", Anonymous: l.Anonymous})
		if l.Cert != "" {
			at := fmt.Sprintf("edge.listener[%d].", i)
			c.Files = append(c.Files, File{at + "cert", l.Cert, Certificate, l.Key}, File{at + "key", l.Key, Key, ""})
		}
	}
	if c.UsersFile != "" {
		c.Files = append(c.Files, File{"edge.access.users-file", c.UsersFile, Users, ""})
	}
	for i, u := range file.Uplink {
		if u.PasswordFile != "" {
			c.Files = append(c.Files, File{fmt.Sprintf("uplink[%d].password-file", i), u.PasswordFile, Secret, ""})
		}
	}
	return c, nil
}
