package provision

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Network is what a minute after the start is known of it.
type Network struct {
	Addresses []string  // "192.168.1.20 (eth0)"
	Name      string    // that it answers to; "": its host name
	Found     []Finding // what is wrong
	Clock     string    // "", or the time, when the clock is right
}

func (n *Network) bad() bool { return n != nil && worst(n.Found) > 0 }

func (n *Network) write(line func(string, ...any)) {
	switch {
	case n == nil:
		line("Addresses  not known yet: they are written here a minute after the start")
	case len(n.Addresses) == 0:
		line("Addresses  none")
	default:
		for i, a := range n.Addresses {
			line("%-10s %s", map[bool]string{true: "Addresses"}[i == 0], a)
		}
	}
	if n != nil && n.Clock != "" {
		line("Time       %s", n.Clock)
	}
}

// Report writes the report again, with what is known of the network by now, makes
// the server certificate anew where that is due, and corrects the LED.
func Report(opt Options) (*Outcome, *Network, error) {
	r := &run{opt: opt, disk: &disk{before: opt.before, loose: opt.loose}, out: &Outcome{Version: opt.Version, Forgets: opt.Forgets}}
	text, err := os.ReadFile(filepath.Join(opt.Root, outcomeFile))
	if err != nil {
		return nil, nil, fmt.Errorf("no start was provisioned: %w", err)
	}
	if err := json.Unmarshal(text, r.out); err != nil {
		return nil, nil, fmt.Errorf("read %s: %w", outcomeFile, err)
	}
	r.gateway = gatewayOwner(opt.Root)
	r.look()
	if ca, ok := parsePair([]byte(r.readData("identity/ca.pem")), []byte(r.readData("identity/ca.key"))); ok {
		r.ca = ca
		if err := r.server(); err != nil {
			r.fail(r.cannotKeep("certificate", err))
		}
	}
	r.out.Ending = append(r.validity(), r.room()...)
	r.saveOutcome() // a later report says the same
	n := r.network()
	path := filepath.Join(opt.Boot, reportFile)
	before := readFile(path)
	after := []byte(windowsLines(r.out.Text(toldIn(string(before)), n)))
	if withoutTime(before) != withoutTime(after) {
		err = r.disk.replace(path, after)
	}
	if err != nil {
		r.fail(Finding{File: reportFile, What: "could not be written: " + plain(err), Code: codeBoot})
	}
	return r.out, n, errors.Join(err, blink(filepath.Join(opt.Root, "sys"), worst(append(r.out.All(), n.Found...))))
}

// withoutTime is what counts in the question whether a report is news.
func withoutTime(report []byte) string {
	var b strings.Builder
	for line := range strings.Lines(string(report)) {
		if !strings.HasPrefix(line, "Time ") {
			b.WriteString(line)
		}
	}
	return b.String()
}

func (r *run) network() *Network {
	n := &Network{}
	var wired bool
	for end := time.Now().Add(r.opt.Wait); ; time.Sleep(time.Second) {
		if n.Addresses, wired = addresses(); len(n.Addresses) > 0 || !time.Now().Before(end) {
			break
		}
	}
	if r.opt.Synced() {
		n.Clock = r.opt.Now().UTC().Format("2006-01-02 15:04 MST")
	}
	if w := r.out.Wifi; w != nil {
		n.Found = append(n.Found, wifiTrouble(r.opt.Root, *w)...)
	}
	if len(n.Addresses) == 0 && !wired {
		n.Found = append(n.Found, Finding{What: "there is no network", Do: "plug a cable in, or write wifi.txt", Code: codeWifi})
	}
	if name := r.announced(); name != "" && name != r.out.Host {
		n.Name = name
		do := "give one of them another name with hostname.txt"
		if r.out.TLS {
			do += fmt.Sprintf("; until then TLS clients find %s.local in the certificate", r.out.Host)
		}
		n.Found = append(n.Found, Finding{What: fmt.Sprintf("another device here is called %s.local already; this gateway answers to %s.local", r.out.Host, name), Do: do, Code: codeOther})
	}
	return n
}

// announced is the name that the network is told; after a conflict it is not the
// host name. "" when nobody knows.
func (r *run) announced() string {
	if r.opt.Announced == nil {
		return ""
	}
	return r.opt.Announced()
}

// addresses lists those of real interfaces that others can use.
func addresses() (all []string, wired bool) {
	interfaces, err := net.Interfaces()
	if err != nil {
		return nil, false
	}
	for _, i := range interfaces {
		if i.Flags&net.FlagLoopback != 0 || i.Flags&net.FlagUp == 0 {
			continue
		}
		addrs, err := i.Addrs()
		if err != nil {
			continue
		}
		for _, a := range addrs {
			ip, ok := a.(*net.IPNet)
			if !ok || ip.IP.IsLinkLocalUnicast() && ip.IP.To4() == nil {
				continue
			}
			all = append(all, fmt.Sprintf("%s (%s)", ip.IP, i.Name))
			wired = wired || !strings.HasPrefix(i.Name, "wl")
		}
	}
	return all, wired
}

// wifiTrouble says why the Wi-Fi is not joined, as far as wpa_supplicant tells.
func wifiTrouble(root string, w wifi) []Finding {
	const wlan = "wlan0"
	bad := func(what, do string) []Finding {
		return []Finding{{File: wifiFile, What: what, Do: do, Code: codeWifi}}
	}
	name := strconv.Quote(w.SSID)
	if !exists(filepath.Join(root, "sys/class/net", wlan)) {
		do := "use a cable; Wi-Fi needs a Pi that has it, or a USB adapter that Debian's kernel knows"
		if strings.Contains(string(readFile(filepath.Join(root, "proc/device-tree/model"))), "Zero 2 W") {
			do = "use a network adapter on USB: Debian has no firmware for the radio chip of many a Zero 2 W"
		}
		return bad("this machine has no Wi-Fi that works", do)
	}
	c, err := dialSupplicant(filepath.Join(root, "run/wpa_supplicant", wlan), filepath.Join(root, "run"))
	if err != nil {
		return bad("the Wi-Fi is not running: "+plain(err), "start the gateway again")
	}
	defer c.close()
	status, err1 := c.ask("STATUS")
	networks, err2 := c.ask("LIST_NETWORKS")
	seen, err3 := c.ask("SCAN_RESULTS")
	if err := errors.Join(err1, err2, err3); err != nil {
		return bad("the Wi-Fi does not answer: "+plain(err), "start the gateway again")
	}
	switch {
	case strings.Contains(status, "wpa_state=COMPLETED"):
		return nil
	case strings.Contains(networks, "TEMP-DISABLED"), strings.Contains(status, "wpa_state=4WAY_HANDSHAKE"):
		return bad("the network "+name+" refuses the gateway", "the password is wrong, most likely: write it anew into wifi.txt; or its router admits only devices it knows")
	case !scanned(seen, w.SSID):
		return bad("the network "+name+" is not to be seen", "look at its spelling, small and capital letters too; at the country; whether it is near enough; hidden = yes if it hides its name; a Pi Zero 2 and a Pi 3 B hear 2.4 GHz only")
	}
	return bad("the network "+name+" is there, but was not joined", "it may be secured in another way: see security in README.txt")
}

func scanned(results, ssid string) bool {
	for line := range strings.Lines(results) {
		field := strings.Split(strings.TrimRight(line, "\n"), "\t")
		if len(field) >= 5 && printed(field[4]) == ssid {
			return true
		}
	}
	return false
}

// printed undoes the \xNN, \\ and \" of wpa_supplicant's names.
func printed(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) && s[i+1] == 'x' {
			if c, err := hex.DecodeString(s[i+2 : i+4]); err == nil {
				b.Write(c)
				i += 3
				continue
			}
		}
		if s[i] == '\\' && i+1 < len(s) {
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// supplicantConn is a connection to wpa_supplicant's control socket.
type supplicantConn struct {
	*net.UnixConn
	own string
}

func dialSupplicant(path, dir string) (*supplicantConn, error) {
	own := filepath.Join(dir, fmt.Sprintf("tidegate-wifi-%d", os.Getpid()))
	if err := os.Remove(own); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	c, err := net.DialUnix("unixgram", &net.UnixAddr{Name: own, Net: "unixgram"}, &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		var op *net.OpError
		if errors.As(err, &op) {
			err = op.Err
		}
		return nil, errors.Join(err, ignoreMissing(os.Remove(own)))
	}
	return &supplicantConn{c, own}, nil
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func (c *supplicantConn) ask(what string) (string, error) {
	if err := c.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return "", err
	}
	if _, err := c.Write([]byte(what)); err != nil {
		return "", err
	}
	answer := make([]byte, 64<<10)
	n, err := c.Read(answer)
	return string(answer[:n]), err
}

func (c *supplicantConn) close() {
	c.UnixConn.Close()
	os.Remove(c.own)
}
