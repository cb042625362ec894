package provision

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf16"
	"unicode/utf8"
)

func asUTF16(text string, little, mark bool) string {
	units := utf16.Encode([]rune(text))
	if mark {
		units = append([]uint16{0xfeff}, units...)
	}
	var b strings.Builder
	for _, u := range units {
		low, high := byte(u), byte(u>>8)
		if !little {
			low, high = high, low
		}
		b.Write([]byte{low, high})
	}
	return b.String()
}

func TestDecodeText(t *testing.T) {
	const want = "ssid = Café\npassword = x\n"
	for name, raw := range map[string]string{
		"plain": want, "windows": strings.ReplaceAll(want, "\n", "\r\n"), "old mac": strings.ReplaceAll(want, "\n", "\r"),
		"mark": "\ufeff" + want, "ansi": strings.ReplaceAll(want, "é", "\xe9"), "hard blank": strings.ReplaceAll(want, " = ", "\u00a0= "),
		"utf-16 little": asUTF16(want, true, true), "utf-16 big": asUTF16(want, false, true),
		"utf-16 little without a mark": asUTF16(want, true, false), "utf-16 big without a mark": asUTF16(want, false, false),
	} {
		if got, err := decodeText([]byte(raw)); err != nil || got != want {
			t.Errorf("%s: got %q, %v, want %q", name, got, err, want)
		}
	}
	for raw, want := range map[string]error{
		"\x7fELF\x00\x01": errEmptyBytes, "{\\rtf1 ssid}": errDocument, "PK\x03\x04...": errDocument, strings.Repeat("x", mostText+1): errLarge,
	} {
		if got, err := decodeText([]byte(raw)); err != want {
			t.Errorf("%.10q: got %.10q, %v, want %v", raw, got, err, want)
		}
	}
}

func TestGoodWifi(t *testing.T) {
	for text, want := range map[string]wifi{
		"country = DE\nssid = home\npassword = 12345678":                         {Country: "DE", SSID: "home", Security: wpa2},
		"COUNTRY=gb\n\nSSID=\"  two blanks\"\npassword=“12345678”\nhidden = yes": {Country: "GB", SSID: "  two blanks", Security: wpa2, Hidden: true},
		"ssid = a=b#c\npassword = #1#2#3#4=":                                     {SSID: "a=b#c", Security: wpa2},
		"ssid = cafe\nsecurity = open":                                           {SSID: "cafe", Security: openWifi},
		"ssid = Café\npassword = " + strings.Repeat("0f", 32) + "\ncountry=FR":   {Country: "FR", SSID: "Café", Security: wpa2},
		"ssid = s\npassword = it’s eight+\nsecurity = WPA3":                      {SSID: "s", Security: wpa3},
		"ssid = stored\n#password = here":                                        {SSID: "stored", Security: wpa2},
	} {
		got, found := parseWifi(text)
		got.Secret, got.asked = "", false
		if got != want || len(found) > 0 {
			t.Errorf("%q: got %+v, %v, want %+v", text, got, found, want)
		}
	}
}

// IEEE 802.11, annex J.4.2, test case 1.
func TestPasswordIsHashed(t *testing.T) {
	w, _ := parseWifi("ssid = IEEE\npassword = password")
	if want := "f42c6fc52df0ebef9ebb4b90b38a5f902e83fe1b135a70e23aed762e9710a12e"; w.Secret != want {
		t.Errorf("got %s, want %s", w.Secret, want)
	}
	w3, _ := parseWifi("ssid = IEEE\npassword = it's long\nsecurity = wpa3")
	if got := storedSecret(w3.supplicant()); got != "it's long" {
		t.Errorf("WPA3: got %q back, want the password", got)
	}
}

func TestBadWifi(t *testing.T) {
	for text, want := range map[string]string{
		"country = UK\nssid = x\npassword = 12345678":                   `wifi.txt:1: country = "UK" is not the code of a country; the United Kingdom is GB`,
		"country = Germany\nssid = x\npassword = 12345678":              `wifi.txt:1: country = "Germany" is not the code of a country; write the two letters`,
		"country = XX\nssid = x\npassword = 12345678":                   `wifi.txt:1: country = "XX" is not`,
		"country = D\nssid = x\npassword = 12345678":                    `wifi.txt:1: country = "D" is not`,
		"ssid =\npassword = 12345678":                                   "wifi.txt:1: ssid has 0 bytes; write the name",
		"ssid = " + strings.Repeat("ä", 17) + "\npassword = 12345678":   "wifi.txt:1: ssid has 34 bytes",
		"ssid = x\npassword = short":                                    "wifi.txt:2: password has 5 characters; a Wi-Fi password has 8 to 63",
		"ssid = x\npassword =":                                          "wifi.txt:2: password is empty; write the password",
		"ssid = x\npassword = " + strings.Repeat("z", 64):               "wifi.txt:2: password has 64 characters",
		"ssid = x\npassword = pässword1":                                "wifi.txt:2: password has a character that no Wi-Fi password has",
		"ssid = x\npsk = 12345678":                                      "wifi.txt:2: the word before the equals sign is not known; did you mean password?",
		"ssid = x\n12345678":                                            "wifi.txt:2: the line has no equals sign",
		"ssid = x\nssid = y\npassword = 12345678":                       "wifi.txt:2: ssid is given twice; it is in line 1",
		"country = DE\npassword = 12345678":                             "wifi.txt: names no network; add a line such as",
		"ssid = x\npassword = 12345678\nsecurity = wep":                 `wifi.txt:3: security = "wep" is not known; write wpa2`,
		"ssid = x\npassword = 12345678\nsecurity = open":                "wifi.txt:2: password is given for an open network",
		"ssid = x\nsecurity=wpa3\npassword =" + strings.Repeat("0", 64): "wifi.txt:3: password is a key of 64 digits",
		"ssid = x\npassword = 12345678\nhidden = maybe":                 `wifi.txt:3: hidden = "maybe" is not known; write yes or no`,
	} {
		_, found := parseWifi(text)
		if got := joined(found); !strings.HasPrefix(got, want) || strings.Contains(got, "12345678") {
			t.Errorf("%q: got\n%s, want\n%s", text, got, want)
		}
	}
}

func joined(found []Finding) string {
	var b strings.Builder
	for _, f := range found {
		b.WriteString(f.String() + "; " + f.Do + "\n")
	}
	return b.String()
}

func TestParseHost(t *testing.T) {
	for text, want := range map[string]string{
		"pump-house": "pump-house", "\n# name\nPump-House.local \n": "pump-house", "hostname = a1": "a1", "": "", "# none": "", "\"x\"": "x",
	} {
		if got, found := parseHost(text); got != want || len(found) > 0 {
			t.Errorf("%q: got %q, %v, want %q", text, got, found, want)
		}
	}
	for _, text := range []string{"my house", "-x", "x-", "häuschen", "localhost", strings.Repeat("x", 28), "a.b", "\n\n_x"} {
		if got, found := parseHost(text); got != "" || len(found) != 1 || found[0].Do == "" || found[0].Line == 0 {
			t.Errorf("%q: got %q, %v, want an error", text, got, found)
		}
	}
}

func TestParseDevices(t *testing.T) {
	got, found := parseDevices("# who\nhall-lamp = “a secret”\nmeter\ndoor =\nold = Delete\n")
	want := []device{{2, "hall-lamp", "a secret", false}, {3, "meter", "", false}, {4, "door", "", false}, {5, "old", "Delete", true}}
	if !slices.Equal(got, want) || len(found) > 0 {
		t.Errorf("got %v, %v, want %v", got, found, want)
	}
	for text, want := range map[string]string{
		"x = größer":      "devices.txt:1: the password of x has 6 characters",
		"-x = 12345678":   "devices.txt:1: what stands before the equals sign",
		"a b = 12345678":  "devices.txt:1: what stands before the equals sign",
		"= 12345678":      "devices.txt:1: what stands before",
		"admin = 1234567": "devices.txt:1: admin is no device; its password is chosen with",
		"x\n\nx":          `devices.txt:3: "x" is given twice; it is in line 1`,
	} {
		if _, found := parseDevices(text); !strings.HasPrefix(joined(found), want) {
			t.Errorf("%q: got %s, want %s", text, joined(found), want)
		}
	}
}

func TestParseKeys(t *testing.T) {
	good, n, found := parseKeys("# mine\n\n" + aKey + "\nfrom=\"10.0.0.0/8\" " + aKey + "\n")
	if n != 2 || len(found) > 0 || strings.Count(good, "ssh-ed25519") != 2 {
		t.Errorf("got %q, %d, %v, want two keys", good, n, found)
	}
	for text, want := range map[string]string{
		"-----BEGIN OPENSSH PRIVATE KEY-----":        "authorized_keys:1: is a private key; delete it",
		"---- BEGIN SSH2 PUBLIC KEY ----":            "authorized_keys:1: is a key in PuTTY's form; copy",
		"\nssh-ed25519 AAAA":                         "authorized_keys:2: is no SSH key; copy the whole line",
		"hello":                                      "authorized_keys:1: is no SSH key",
		strings.Replace(aKey, "AAAAC3", "AAAAC4", 1): "authorized_keys:1: is no SSH key",
	} {
		if good, _, found := parseKeys(text); good != "" || !strings.HasPrefix(joined(found), want) {
			t.Errorf("%q: got %q and %s, want %s", text, good, joined(found), want)
		}
	}
}

// Whatever the bytes are, the parsers end, what they take is within its limits,
// and no message shows a password.
func FuzzUserFiles(f *testing.F) {
	for _, seed := range []string{
		"country = DE\nssid = home\npassword = 12345678\n", "ssid = \"x\"\nsecurity = wpa3\nhidden = yes\n", "pump-house.local", "hall-lamp = secret12\nx\ny = delete\n", aKey,
		asUTF16("ssid = x\r\npassword = 12345678", true, true), "\xff\xfe\x00", "\ufeff#", "=\n==\n\"=\"", string(example), "\"", "“",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		text, err := decodeText(raw)
		if err != nil {
			return
		}
		if !utf8.ValidString(text) || strings.Contains(text, "\r") {
			t.Errorf("decoded to %q", text)
		}
		w, found := parseWifi(text)
		if w.asked && len(found) == 0 {
			if len(w.SSID) < 1 || len(w.SSID) > 32 || w.Country != "" && len(w.Country) != 2 || strings.Count(w.supplicant(), "\n") > 12 {
				t.Errorf("%q: took %+v", text, w)
			}
		}
		if left, _ := parseWifi(withoutPassword(text)); len(found) == 0 && (left.Secret != "" || left.SSID != w.SSID) {
			t.Errorf("%q: without the password it says %+v", text, left)
		}
		if name, found := parseHost(text); name != "" && (!hostOK(name) || len(found) > 0) {
			t.Errorf("%q: took the name %q", text, name)
		}
		devices, bad := parseDevices(text)
		if again, _ := parseDevices(withoutDevices(text, devices)); len(bad) == 0 && len(again) > 0 {
			t.Errorf("%q: %v is left of %v", text, again, devices)
		}
		good, n, _ := parseKeys(text)
		if _, again, found := parseKeys(good); again != n || len(found) > 0 {
			t.Errorf("%q: took %q", text, good)
		}
	})
}

func TestReportKeepsPasswords(t *testing.T) {
	o := &Outcome{ID: "tidegate-2345aa", Host: "house"}
	want := []told{{"admin", "abcde-fghjk-mnpqr-stvwx"}, {"hall.lamp", strings.Repeat("A2", 16)}}
	if got := toldIn(windowsLines(o.Text(want, nil))); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
