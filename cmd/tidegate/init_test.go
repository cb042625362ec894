package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// initialise runs tidegate init with answers on standard input, and returns
// what it said and its exit code.
func initialise(t *testing.T, answers string, args ...string) (string, int) {
	t.Helper()
	cmd := exec.Command(program, append([]string{"init"}, args...)...)
	cmd.Stdin = strings.NewReader(answers)
	late := time.AfterFunc(2*patience, func() { cmd.Process.Kill() })
	defer late.Stop()
	out, _ := cmd.CombinedOutput()
	return string(out), cmd.ProcessState.ExitCode()
}

// guardedCloud is a Mosquitto that knows the user house with the password
// secret, who may not publish below forbidden/.
func guardedCloud(t *testing.T, more ...string) string {
	t.Helper()
	dir := t.TempDir()
	passwords, rules := filepath.Join(dir, "passwords"), filepath.Join(dir, "acl")
	if out, err := exec.Command("mosquitto_passwd", "-b", "-c", passwords, "house", "secret").CombinedOutput(); err != nil {
		t.Fatalf("mosquitto_passwd: %v: %s", err, out)
	}
	configure(t, rules, "user house\ntopic readwrite house/#\n")
	_, port := startCloud(t, "", append([]string{"allow_anonymous false", "password_file " + passwords, "acl_file " + rules}, more...)...)
	return port
}

// authority makes a certificate for 127.0.0.1 that signs itself.
func authority(t *testing.T) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	form := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "the cloud"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, form, form, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	configure(t, cert, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	configure(t, key, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})))
	return cert, key
}

// What is wrong with a cloud is said in words that a person can act on, and
// nothing is written then.
func TestInitTriesTheCloud(t *testing.T) {
	open := guardedCloud(t)
	cert, key := authority(t)
	secure := guardedCloud(t, "certfile "+cert, "keyfile "+key)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, nobody, _ := net.SplitHostPort(l.Addr().String())
	l.Close()
	password := filepath.Join(t.TempDir(), "password")
	configure(t, password, "secret\n")
	for _, c := range []struct {
		name, answers string
		args          []string
		code          int
		want          string
	}{
		{"good", "", []string{"-cloud", "mqtt://127.0.0.1:" + open, "-password-file", password}, 0, "good: the cloud takes this gateway"},
		{"password on standard input", "secret\n", []string{"-cloud", "mqtt://127.0.0.1:" + open, "-password-file", "-"}, 0, "good"},
		{"wrong password", "sesame\n", []string{"-cloud", "mqtt://127.0.0.1:" + open}, 1, "copy both again"},
		{"TLS", "", []string{"-cloud", "mqtts://127.0.0.1:" + secure, "-password-file", password, "-ca", cert}, 0, "good"},
		{"TLS of an unknown authority", "", []string{"-cloud", "127.0.0.1:" + secure, "-password-file", password}, 1, "for a cloud with an authority of its own"},
		{"TLS where none is", "", []string{"-cloud", "mqtts://127.0.0.1:" + open, "-password-file", password}, 1, "begin the endpoint with mqtt://"},
		{"no TLS where some is", "", []string{"-cloud", "mqtt://127.0.0.1:" + secure, "-password-file", password}, 1, "begin the endpoint with mqtts://"},
		{"nobody there", "", []string{"-cloud", "mqtt://127.0.0.1:" + nobody, "-password-file", password}, 1, "nobody listens on that port"},
		{"no such name", "", []string{"-cloud", "cloud.invalid", "-password-file", password}, 1, "there is no cloud.invalid"},
		{"may not publish", "", []string{"-id", "cabin", "-cloud", "mqtt://127.0.0.1:" + open, "-password-file", password}, 1, "publish failed"},
		{"one of two", "", []string{"-cloud", "mqtt://127.0.0.1:" + open + ",mqtt://127.0.0.1:" + nobody, "-password-file", password}, 1, "nobody listens on that port"},
		{"all the same", "y\n", []string{"-cloud", "mqtt://127.0.0.1:" + nobody, "-password-file", password}, 0, "wrote"},
		{"untested", "", []string{"-no-test", "-cloud", "mqtt://127.0.0.1:" + nobody, "-password-file", password}, 0, "wrote"},
	} {
		t.Run(c.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "tidegate.toml")
			out, code := initialise(t, c.answers, append([]string{"-config", file, "-id", "house", "-user", "house", "-up", "#", "-device", "home"}, c.args...)...)
			t.Logf("%s", out)
			if code != c.code || !strings.Contains(out, c.want) {
				t.Errorf("got exit code %d, want %d and %q", code, c.code, c.want)
			}
			if strings.Contains(out, "secret") || strings.Contains(out, "sesame") {
				t.Errorf("it printed the password")
			}
			if _, err := os.Stat(file); (err == nil) != (c.code == 0) {
				t.Errorf("the configuration: %v", err)
			}
			if c.code == 0 {
				printed(t, "", "check", file)
			}
		})
	}
}

// The files belong to whom they should, and the gateway starts with them: what
// a device sends reaches the cloud.
func TestInitIsEnoughToStart(t *testing.T) {
	cloud := guardedCloud(t)
	nobody, err := user.Lookup("nobody")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "tidegate.toml")
	out, code := initialise(t, "house\nmqtt://127.0.0.1:"+cloud+"\nhouse\nsecret\nhome/#\nlamp\n", "-config", file, "-owner", "nobody")
	if code != 0 {
		t.Fatalf("got exit code %d\n%s", code, out)
	}
	for name, want := range map[string]struct {
		mode  os.FileMode
		owner string
	}{"tidegate.toml": {0o644, "0"}, "cloud-password": {0o400, nobody.Uid}, "users.toml": {0o600, nobody.Uid}} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if owner := strconv.Itoa(int(info.Sys().(*syscall.Stat_t).Uid)); info.Mode() != want.mode || owner != want.owner {
			t.Errorf("%s: got mode %v and owner %s, want %v and %s", name, info.Mode(), owner, want.mode, want.owner)
		}
	}
	password := out[strings.Index(out, "user lamp, password ")+len("user lamp, password "):]
	password, _, _ = strings.Cut(password, " ")
	written, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	data := t.TempDir()
	configure(t, file, strings.NewReplacer("[gateway]\n", fmt.Sprintf("[gateway]\ndata-dir = %q\n", data), `":1883"`, `"127.0.0.1:0"`).Replace(string(written))+noPage)
	g := startGateway(t, file, data)
	up := subscribe(t, cloud, "house/#", "-u", "house", "-P", "secret")
	publish(t, g.port(), "home/lamp", []string{"on"}, "-u", "lamp", "-P", password)
	receivesAll(up, "house/home/lamp", []string{"on"})
}

// Nobody loses a configuration by it.
func TestInitAsksBeforeItOverwrites(t *testing.T) {
	file := filepath.Join(t.TempDir(), "tidegate.toml")
	args := []string{"-config", file, "-id", "house", "-local", "-open"}
	is := func(want string) {
		t.Helper()
		if got, err := os.ReadFile(file); err != nil || !strings.Contains(string(got), want) {
			t.Errorf("got %v\n%s\nwant %q", err, got, want)
		}
	}
	configure(t, file, "# mine\n")
	if out, code := initialise(t, "", args...); code != 1 || !strings.Contains(out, "Nothing was changed") {
		t.Errorf("nobody answers: got %d\n%s", code, out)
	}
	is("# mine\n")
	if out, code := initialise(t, "n\n", args...); code != 1 {
		t.Errorf("no: got %d\n%s", code, out)
	}
	is("# mine\n")
	if out, code := initialise(t, "y\n", args...); code != 0 {
		t.Errorf("yes: got %d\n%s", code, out)
	}
	is("anonymous = true")
	if old, err := os.ReadFile(file + ".before-init"); err != nil || string(old) != "# mine\n" {
		t.Errorf("the old one: got %v %q", err, old)
	}
	configure(t, file, sample)
	if out, code := initialise(t, "", append(args, "-yes")...); code != 0 {
		t.Errorf("-yes: got %d\n%s", code, out)
	}
	is("anonymous = true")
}

func TestInitReadsTheBootPartition(t *testing.T) {
	cloud := guardedCloud(t)
	boot, file := t.TempDir(), filepath.Join(t.TempDir(), "tidegate.toml")
	configure(t, filepath.Join(boot, "cloud-password"), "secret\n")
	configure(t, filepath.Join(boot, "tidegate.toml"), fmt.Sprintf("[gateway]\nid = \"house\"\n[[uplink]]\nendpoints = [\"mqtt://127.0.0.1:%s\"]\nuser = \"house\"\npassword-file = \"/etc/tidegate/cloud-password\"\n[[uplink.up]]\nfilter = \"home/#\"\n", cloud))
	out, code := initialise(t, "", "-boot", boot, "-config", file, "-device", "home")
	if code != 0 || !strings.Contains(out, "good") {
		t.Errorf("got %d\n%s", code, out)
	}
	configure(t, filepath.Join(boot, "tidegate.toml"), "#[[uplink]]\n")
	if out, code := initialise(t, "", "-boot", boot, "-config", file+"2"); code != 1 || !strings.Contains(out, "names no cloud") {
		t.Errorf("no cloud: got %d\n%s", code, out)
	}
}

// Without answers it says which flag has them.
func TestInitWithoutAnybody(t *testing.T) {
	file := filepath.Join(t.TempDir(), "tidegate.toml")
	for _, c := range []struct {
		args []string
		want string
	}{
		{nil, "say it with -cloud"},
		{[]string{"-cloud", "http://cloud"}, "begin it with mqtt://"},
		{[]string{"-cloud", "127.0.0.1:1"}, "say it with -user"},
		{[]string{"-cloud", "127.0.0.1:1", "-user", "x"}, "-password-file"},
		{[]string{"-cloud", "127.0.0.1:1", "-user", "x", "-password-file", "/nonexistent"}, "no such file"},
		{[]string{"-cloud", "127.0.0.1:1", "-ca", "/nonexistent"}, "no such file"},
		{[]string{"-id", "no spaces"}, "a name has"},
		{[]string{"-cloud", "127.0.0.1:1", "-user", "", "-up", "a/#/b"}, "a filter is a topic"},
		{[]string{"-boot", "/nonexistent"}, "-boot names the folder"},
	} {
		if out, code := initialise(t, "", append([]string{"-config", file}, c.args...)...); code != 1 || !strings.Contains(out, c.want) {
			t.Errorf("%v: got %d\n%s\nwant %q", c.args, code, out, c.want)
		}
	}
}

// A person at a terminal is asked, and the password does not show.
func TestInitAtATerminal(t *testing.T) {
	cloud := guardedCloud(t)
	master, slave := terminal(t)
	file := filepath.Join(t.TempDir(), "tidegate.toml")
	screen := &output{}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for buf := make([]byte, 4096); ; {
			n, err := master.Read(buf)
			screen.Write(buf[:n])
			if err != nil {
				return
			}
		}
	}()
	cmd := exec.Command(program, "init", "-config", file)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &process{t: t, cmd: cmd, out: screen, done: make(chan struct{})}
	go func() { cmd.Wait(); close(p.done) }()
	t.Cleanup(p.kill)
	for _, step := range []struct{ question, answer string }{
		{`Name of this gateway \[.*\]: $`, "no spaces"},
		{`a name has .*\nName of this gateway: $`, "house"},
		{`Address of your cloud.*: $`, "mqtt://127.0.0.1:" + cloud},
		{`Name to log in .*: $`, "house"},
		{`Password .*: $`, "secret"},
		{`Which topics .*: $`, ""},
		{`good: (?s:.*)Name for your devices .*: $`, ""},
	} {
		eventually(t, func() bool { return matches(screen, step.question) }, func() string { return fmt.Sprintf("no question %q in\n%s", step.question, screen) })
		if strings.HasPrefix(step.question, "Password") { // the terminal is told to hide it before the question is read
			eventually(t, func() bool { return !echoes(t, slave) }, func() string { return "the terminal shows the password" })
		}
		fmt.Fprintln(master, step.answer)
	}
	if code := p.exit(); code != 0 {
		t.Errorf("got exit code %d", code)
	}
	if !echoes(t, slave) {
		t.Error("the terminal shows nothing any more")
	}
	slave.Close()
	<-done
	if strings.Contains(screen.String(), "secret") || !strings.Contains(screen.String(), "systemctl restart") {
		t.Errorf("got\n%s", screen)
	}
}

func matches(o *output, pattern string) bool {
	ok, err := regexp.MatchString(pattern, strings.ReplaceAll(o.String(), "\r\n", "\n"))
	return err == nil && ok
}

// terminal opens a pseudo terminal.
func terminal(t *testing.T) (master, slave *os.File) {
	t.Helper()
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	master = os.NewFile(uintptr(fd), "/dev/ptmx")
	slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { master.Close(); slave.Close() })
	return master, slave
}

func echoes(t *testing.T, tty *os.File) bool {
	t.Helper()
	state, err := unix.IoctlGetTermios(int(tty.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	return state.Lflag&unix.ECHO != 0
}
