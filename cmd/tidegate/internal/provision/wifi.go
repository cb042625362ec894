package provision

import (
	"crypto/pbkdf2"
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// wifi is what wifi.txt asks for.
type wifi struct {
	Country  string `json:"country"` // "": none given
	SSID     string `json:"ssid"`    // up to 32 bytes
	Security string `json:"security"`
	Hidden   bool   `json:"hidden"`
	Secret   string `json:"-"` // as it goes into wpa_supplicant's file: 64 hex digits, or for WPA3 the password
	asked    bool   // the file has a key at all
}

// How a network is secured. WPA2 stores a hash of the password that is of use in
// this network alone. WPA3 (SAE) computes with the password itself, which then
// lies in a file that only root reads.
const (
	wpa2     = "wpa2"
	wpa3     = "wpa3"
	openWifi = "open"
)

var wifiKeys = []string{"country", "ssid", "password", "security", "hidden"}

// parseWifi reads wifi.txt; its problems never show the password. Without a
// password Secret is empty: that of the same network as before stays.
func parseWifi(text string) (wifi, []Finding) {
	p := wifiParser{w: wifi{Security: wpa2}}
	seen := map[string]int{}
	for _, one := range pairs(text) {
		if one.given && seen[one.key] > 0 {
			p.bad(one.line, one.key, "is given twice", fmt.Sprintf("it is in line %d already; leave one of them", seen[one.key]))
			continue
		}
		seen[one.key] = one.line
		p.pair(one)
	}
	p.w.asked = len(seen) > 0
	p.together(seen)
	return p.w, p.found
}

type wifiParser struct {
	w        wifi
	password string
	found    []Finding
}

func (p *wifiParser) bad(line int, key, what, do string) {
	p.found = append(p.found, Finding{File: wifiFile, Line: line, What: strings.TrimSpace(key + " " + what), Do: do, Code: codeWifi})
}

func (p *wifiParser) pair(one pair) {
	value := one.value
	switch one.key {
	case "country":
		p.w.Country = strings.ToUpper(value)
		if rule := badCountry(p.w.Country); rule != "" {
			p.bad(one.line, "country", fmt.Sprintf("= %s is not the code of a country", strconv.Quote(value)), rule)
		}
	case "ssid":
		p.w.SSID = value
		if len(value) < 1 || len(value) > 32 {
			p.bad(one.line, "ssid", fmt.Sprintf("has %d bytes", len(value)), "write the name of the network, 1 to 32 bytes (letters such as ä count as two), exactly as the router shows it")
		}
	case "password":
		p.passphrase(one)
	case "security":
		p.w.Security = strings.ToLower(value)
		if !slices.Contains([]string{wpa2, wpa3, openWifi}, p.w.Security) {
			p.bad(one.line, "security", fmt.Sprintf("= %s is not known", strconv.Quote(value)), "write wpa2 (also for networks that offer WPA2 and WPA3), wpa3 or open")
		}
	case "hidden":
		yes, known := map[string]bool{"yes": true, "true": true, "no": false, "false": false}[strings.ToLower(value)]
		p.w.Hidden = yes
		if !known {
			p.bad(one.line, "hidden", fmt.Sprintf("= %s is not known", strconv.Quote(value)), "write yes or no")
		}
	default:
		p.unknown(one)
	}
}

// unknown never shows the line: it may be a password without its key.
func (p *wifiParser) unknown(one pair) {
	if !one.given {
		p.bad(one.line, "", "the line has no equals sign", `write it as in: ssid = My Network; a line that says nothing begins with "#"`)
		return
	}
	do := "there are " + strings.Join(wifiKeys, ", ")
	switch one.key {
	case "psk", "key", "passphrase", "pass", "passwort", "kennwort":
		do = "did you mean password?"
	case "network", "name", "essid":
		do = "did you mean ssid?"
	}
	p.bad(one.line, "", "the word before the equals sign is not known", do)
}

func (p *wifiParser) passphrase(one pair) {
	p.password = one.value
	if !passphraseOK(p.password) {
		p.password = straighten(p.password) // a phone's quotation marks; no password has them
	}
	n := len(p.password)
	switch {
	case passphraseOK(p.password):
	case n == 0:
		p.bad(one.line, "password", "is empty", "write the password of the network behind the equals sign; for a network without one write security = open and no password")
	case strings.Trim(p.password, printable) != "":
		p.bad(one.line, "password", "has a character that no Wi-Fi password has", "write it with the letters, digits and signs of an English keyboard, as it is in the router")
	default:
		p.bad(one.line, "password", fmt.Sprintf("has %d characters", n), "a Wi-Fi password has 8 to 63 characters, or is a key of 64 hexadecimal digits")
	}
}

// printable is what a WPA passphrase may have: ASCII 32 to 126 (IEEE 802.11,
// annex J.4).
const printable = " !\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefghijklmnopqrstuvwxyz{|}~"

func passphraseOK(s string) bool {
	return len(s) >= 8 && len(s) <= 63 && strings.Trim(s, printable) == "" || isKey(s)
}

func isKey(s string) bool {
	_, err := hex.DecodeString(s)
	return len(s) == 64 && err == nil
}

// together checks what depends on several lines, and hashes the password.
func (p *wifiParser) together(seen map[string]int) {
	switch {
	case !p.w.asked || len(p.found) > 0:
	case seen["ssid"] == 0:
		p.bad(0, "", "names no network", "add a line such as: ssid = My Network")
	case p.w.Security == openWifi && p.password != "":
		p.bad(seen["password"], "password", "is given for an open network", "take away the line security = open")
	case p.w.Security == wpa3 && isKey(p.password):
		p.bad(seen["password"], "password", "is a key of 64 digits", "WPA3 needs the password itself")
	case p.password != "":
		p.w.Secret = p.w.secret(p.password)
	}
}

func (w wifi) secret(password string) string {
	if w.Security == wpa3 || isKey(password) {
		return password
	}
	key, err := pbkdf2.Key(sha1.New, password, []byte(w.SSID), 4096, 32) // IEEE 802.11, annex J.4
	if err != nil {
		return "" // only with an impossible length
	}
	return hex.EncodeToString(key)
}

func badCountry(code string) string {
	switch {
	case strings.Contains(countries, " "+code+" ") && len(code) == 2:
		return ""
	case code == "UK":
		return "the United Kingdom is GB"
	case code == "EN":
		return "English is a language; write GB, US, or where the gateway stands"
	}
	return "write the two letters of ISO 3166 of the country where the gateway stands, such as DE, GB or US; they decide which channels are allowed"
}

// supplicant returns the configuration of wpa_supplicant. Name and password are
// written as hexadecimal digits where it takes those, so that none of their
// characters means anything in the file.
func (w wifi) supplicant() string {
	var b strings.Builder
	b.WriteString("# Written by tidegate from wifi.txt; changes are lost.\nctrl_interface=DIR=/run/wpa_supplicant\nupdate_config=0\n")
	if w.Country != "" {
		fmt.Fprintf(&b, "country=%s\n", w.Country)
	}
	fmt.Fprintf(&b, "network={\n\tssid=%s\n", hex.EncodeToString([]byte(w.SSID)))
	if w.Hidden {
		b.WriteString("\tscan_ssid=1\n")
	}
	switch w.Security {
	case openWifi:
		b.WriteString("\tkey_mgmt=NONE\n")
	case wpa3:
		fmt.Fprintf(&b, "\tkey_mgmt=SAE\n\tieee80211w=2\n\tsae_password=%s\n", hex.EncodeToString([]byte(w.Secret)))
	default:
		fmt.Fprintf(&b, "\tkey_mgmt=WPA-PSK\n\tpsk=%s\n", w.Secret)
	}
	b.WriteString("}\n")
	return b.String()
}

// taken is what stands in wifi.txt in place of the password.
const taken = "# The password was here. It is stored in the gateway now. To change it, write: password = ..."

// withoutPassword returns wifi.txt as it stays on the boot partition.
func withoutPassword(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		key, _, given := strings.Cut(strings.TrimSpace(line), "=")
		if given && strings.EqualFold(strings.TrimSpace(key), "password") {
			line = taken + "\n"
		}
		b.WriteString(line)
	}
	return b.String()
}

// countries are the codes of ISO 3166-1 alpha-2.
const countries = " AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW BY BZ" +
	" CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO FR" +
	" GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP" +
	" KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS MT MU MV MW MX MY MZ" +
	" NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY QA RE RO RS RU RW" +
	" SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO TR TT TV TW TZ" +
	" UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS YE YT ZA ZM ZW "

// fromHex returns the text of hexadecimal digits; "" when they are none.
func fromHex(digits string) string {
	text, err := hex.DecodeString(digits)
	if err != nil {
		return ""
	}
	return string(text)
}
