package redact

import (
	"encoding/base64"
	"net/url"
	"strings"
	"testing"
)

func TestLooks(t *testing.T) {
	const secret = "Tr0ub4dor-x3"
	for _, text := range []string{
		"mqtts://house:" + secret + "@cloud.example.com:8883",
		"mqtts://" + secret + "@cloud.example.com",
		"GET https://cloud.example.com/hook?token=" + secret + "&x=1 HTTP/1.1",
		"wss://broker.example.com/mqtt?X-Amz-Signature=" + secret,
		"password = \"" + secret + "\"",
		"password=" + secret,
		"password: " + secret,
		"wifi-password = '" + secret + "'",
		"\tpsk=\"" + secret + "\"",
		"psk=" + secret,
		"passphrase=" + secret,
		"api_key: " + secret,
		"access-key=" + secret,
		`{"user":"house","password":"` + secret + `","x":1}`,
		`{"client_secret": "a\"` + secret + `"}`,
		"level=WARN msg=refused token=" + secret + " err=x",
		"Authorization: Bearer " + secret,
		"Proxy-Authorization: Basic aG91c2U6" + secret,
		"SharedAccessSignature sr=x&sig=" + secret,
		"hash: $argon2id$v=19$m=65536,t=1,p=2$c2FsdA$" + secret,
		"$2y$10$" + secret,
		"$tg-fast$" + secret,
		"admin:$6$salt$" + secret,
		"-----BEGIN EC PRIVATE KEY-----\nMHc" + secret + "\nxyz\n-----END EC PRIVATE KEY-----",
		"-----BEGIN PRIVATE KEY-----\nMHc" + secret + "\ncut off",
		"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ4In0." + secret,
	} {
		if got := new(Scrubber).Text("before " + text + " after"); strings.Contains(got, secret) {
			t.Errorf("%s\nbecame\n%s", text, got)
		}
	}
}

// What helps stays.
func TestRest(t *testing.T) {
	for _, text := range []string{
		"link up endpoint=mqtts://node1.example.com:8883 after=21ms",
		"the cloud does not accept the user name or password; look at user and password-file (0x86)",
		"1883/tcp LISTEN, 12 devices, sensors/living-room temperature 21.4",
		"[[uplink]]\nname = \"cloud\"\nuser = \"house\"",
		`{"devices":12,"author":"x","passed":3}`,
		"https://www.example.com/page",
	} {
		if got := new(Scrubber).Text(text); got != text {
			t.Errorf("%s\nbecame\n%s", text, got)
		}
	}
}

// A known secret goes in every form, wherever it stands.
func TestKnown(t *testing.T) {
	s := new(Scrubber)
	const one, two, three = "correct horse/battery", "x9-Wlan-Schluessel", "hunter22"
	s.AddFile([]byte(one + "\n"))
	s.AddSettings([]byte("network={\n\tssid=\"home\"\n\tpsk=\"" + two + "\"\n}\n"))
	s.AddFile([]byte("house:" + three + "\n"))
	s.Add("ab") // too short to look for
	s.Add(`quote"<x>`)
	text := strings.Join([]string{one, two, three, `{"err":"quote\"\u003cx\u003e"}`, `{"err":"quote\"<x>"}`, url.QueryEscape(one), url.PathEscape(one), base64.StdEncoding.EncodeToString([]byte(two)), "ab home"}, " | ")
	got := s.Text(text)
	if s.Holds(got) || !s.Holds(text) || !strings.HasSuffix(got, "ab home") || strings.Count(got, Mark) != 8 {
		t.Errorf("got %s", got)
	}
}

func FuzzText(f *testing.F) {
	f.Add("a", "password=b")
	f.Add("://x@", "mqtt://x@y?z")
	f.Fuzz(func(t *testing.T, secret, text string) {
		s := new(Scrubber)
		s.Add(secret)
		if strings.Contains(Mark, strings.TrimSpace(secret)) {
			return
		}
		s.Text(text + secret + text) // must end, and not panic
	})
}

func TestConfig(t *testing.T) {
	for text, want := range map[string]string{
		`password-file = "/etc/tidegate/cloud-password"`:              `password-file = "/etc/tidegate/cloud-password"`,
		`password = "hunter2"`:                                        `password = (not shown)`,
		`"password" = "hunter2"`:                                      `"password" = (not shown)`,
		`# my password: hunter2`:                                      `# my password: (not shown)`,
		`api_key = "x"`:                                               `api_key = (not shown)`,
		`proxy = "http://me:hunter2@proxy:3128"`:                      `proxy = "http://***@proxy:3128"`,
		`id = "house"`:                                                `id = "house"`,
		"a = 1\ntoken = \"x\"\nb = 2":                                 `a = 1|token = (not shown)|b = 2`,
		"password = \"\"\"\nhunter2\nhunter3\"\"\"\nb = 2":            `password = (not shown)|b = 2`,
		"passwords = [\n  \"hunter2\",\n  'hunter3',\n]\nb = 2":       `passwords = (not shown)|b = 2`,
		"token = '''\nhunter2":                                        `token = (not shown)`,
		`uplink = { user = "me", password = "hunter2", other = "x" }`: `uplink = { user = "me", password = (not shown)`,
	} {
		if got := Config(text); got != strings.ReplaceAll(want, "|", "\n") {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
