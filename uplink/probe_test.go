package uplink

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/packets"

	"tidegate/internal/conf"
)

// probed runs a probe to its end.
func probed(t testing.TB, c Config, opt ProbeOptions) (steps []ProbeStep, well bool) {
	t.Helper()
	opt.Gateway = "gw"
	well, err := Probe(t.Context(), c, opt, func(s ProbeStep) { steps = append(steps, s) })
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range steps {
		t.Logf("%-7s %-9s %s %s %s -> %s", s.Outcome, s.Name, s.Endpoint, s.Fault, s.Words, s.Do)
		if s.Outcome == StepFailed && (s.Words == "" || s.Do == "") {
			t.Errorf("step %s fails and does not say what, or what to do: %+v", s.Name, s)
		}
	}
	return steps, well
}

// told is what a step with a name said, in short: "step outcome fault".
func told(steps []ProbeStep) (all []string) {
	for _, s := range steps {
		all = append(all, strings.TrimSpace(s.Name+" "+s.Outcome+" "+string(s.Fault)))
	}
	return all
}

// mosquittoWith is a real broker with lines of a configuration; PORT is its port.
func mosquittoWith(t testing.TB, lines string) *mosquitto {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m := &mosquitto{t: t, addr: ln.Addr().String(), conf: filepath.Join(t.TempDir(), "mosquitto.conf")}
	ln.Close()
	_, port, _ := net.SplitHostPort(m.addr)
	text := strings.ReplaceAll(lines, "PORT", port) + "\npersistence false\nlog_type none\n"
	if os.Getuid() == 0 {
		text += "user root\n"
	}
	write(t, m.conf, text)
	m.start()
	t.Cleanup(m.kill)
	return m
}

func write(t testing.TB, file, text string) string {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// knownUser makes Mosquitto's password file for the user house.
func knownUser(t testing.TB, password string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "users")
	if out, err := exec.Command("mosquitto_passwd", "-c", "-b", file, "house", password).CombinedOutput(); err != nil {
		t.Fatalf("mosquitto_passwd: %v: %s", err, out)
	}
	return file
}

// house is a configuration as a home has it: user and password, a route each
// way, a canary.
func house(t testing.TB, password string, urls ...string) Config {
	c := calm(quick(urls...))
	c.Up = []Up{{Filter: "home/#", Strip: "home/", Add: "houses/17/"}}
	c.Down = []Down{{Filter: "houses/17/commands/#"}}
	c.User, c.PasswordFile = "house", write(t, filepath.Join(t.TempDir(), "password"), password+"\n")
	c.Canary = true
	return c
}

func same(t testing.TB, steps []ProbeStep, want ...string) {
	t.Helper()
	if got := told(steps); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
}

// A real broker with users, permissions and TLS of its own authority.
func TestProbeOfMosquitto(t *testing.T) {
	keys := newPKI(t)
	acl := write(t, filepath.Join(t.TempDir(), "acl"), "user house\ntopic readwrite houses/17/#\ntopic readwrite tidegate/gw/#\n")
	users := knownUser(t, "right")
	plain := mosquittoWith(t, "listener PORT 127.0.0.1\nallow_anonymous false\npassword_file "+users+"\nacl_file "+acl)
	safe := mosquittoWith(t, "listener PORT 127.0.0.1\nallow_anonymous false\npassword_file "+users+
		"\ncafile "+keys.file("ca.pem")+"\ncertfile "+keys.file("server.pem")+"\nkeyfile "+keys.file("server.key"))
	tlsURL := "mqtts://" + safe.addr

	t.Run("all is well", func(t *testing.T) {
		steps, well := probed(t, house(t, "right", plain.url()), ProbeOptions{})
		same(t, steps, "files ok", "tcp ok", "connect ok", "limits ok", "subscribe ok", "canary ok", "publish ok")
		if !well {
			t.Error("got trouble, want none")
		}
	})
	t.Run("TLS", func(t *testing.T) {
		c := house(t, "right", tlsURL)
		c.CAFile = keys.file("ca.pem")
		steps, well := probed(t, c, ProbeOptions{})
		same(t, steps, "files ok", "tcp ok", "tls warning certificate-expired", "connect ok", "limits ok", "subscribe ok", "canary ok", "publish ok") // an hour is left
		if !well || !strings.Contains(steps[2].Words, `issued by "ca"`) {
			t.Errorf("got %v, %s; want well, and who issued the certificate", well, steps[2].Words)
		}
	})
	t.Run("wrong password", func(t *testing.T) {
		steps, well := probed(t, house(t, "wrong", plain.url()), ProbeOptions{})
		same(t, steps, "files ok", "tcp ok", "connect failed not-authorized") // Mosquitto 2.0 says 0x87 for it
		if well {
			t.Error("got well, want trouble")
		}
	})
	t.Run("permissions", func(t *testing.T) {
		c := house(t, "right", plain.url())
		c.Up = append(c.Up, Up{Filter: "office/#"})
		c.Prefix, c.CanaryEvery = "elsewhere/%g", conf.Duration(time.Second) // Mosquitto drops it without a word
		steps, well := probed(t, c, ProbeOptions{})
		if well {
			t.Error("got well, want trouble")
		}
		same(t, steps, "files ok", "tcp ok", "connect ok", "limits ok", "subscribe ok", "canary warning not-routing", "publish ok", "publish failed not-authorized")
	})
	t.Run("nothing published", func(t *testing.T) {
		steps, _ := probed(t, house(t, "right", plain.url()), ProbeOptions{NoPublish: true})
		same(t, steps, "files ok", "tcp ok", "connect ok", "limits ok", "subscribe ok", "canary ok", "publish skipped")
	})
	t.Run("unknown authority", func(t *testing.T) {
		steps, _ := probed(t, house(t, "right", tlsURL), ProbeOptions{})
		same(t, steps, "files ok", "tcp ok", "tls failed certificate-unknown")
	})
	t.Run("another authority", func(t *testing.T) {
		c := house(t, "right", tlsURL)
		c.CAFile = newPKI(t).file("ca.pem")
		steps, _ := probed(t, c, ProbeOptions{})
		same(t, steps, "files ok", "tcp ok", "tls failed certificate-unknown")
	})
	t.Run("another name", func(t *testing.T) {
		names := newNameServer(t)
		names.host("cloud.test", "127.0.0.1")
		c := house(t, "right", strings.Replace(tlsURL, "127.0.0.1", "cloud.test", 1))
		c.CAFile, c.DNSServer = keys.file("ca.pem"), names.addr()
		steps, _ := probed(t, c, ProbeOptions{})
		same(t, steps, "files ok", "dns ok", "tcp ok", "tls failed certificate-unknown")
		if got := steps[len(steps)-1].Words; !strings.Contains(got, "cloud.test is asked for") || !strings.Contains(got, "nodes.test") {
			t.Errorf("got %q, want both names", got)
		}
	})
	for _, clock := range []struct {
		name string
		now  time.Time
		want Fault
	}{
		{"expired", time.Now().Add(48 * time.Hour), FaultExpired},
		{"not yet valid", time.Now().Add(-48 * time.Hour), FaultExpired},
		{"clock not set", time.Unix(1000, 0), FaultClock},
	} {
		t.Run(clock.name, func(t *testing.T) {
			c := house(t, "right", tlsURL)
			c.CAFile = keys.file("ca.pem")
			steps, _ := probed(t, c, ProbeOptions{now: func() time.Time { return clock.now }})
			same(t, steps, "files ok", "tcp ok", "tls failed "+string(clock.want))
		})
	}
	t.Run("TLS on a plain port", func(t *testing.T) {
		steps, _ := probed(t, house(t, "right", "mqtts://"+plain.addr), ProbeOptions{})
		same(t, steps, "files ok", "tcp ok", "tls failed no-tls")
	})
	t.Run("plain on a TLS port", func(t *testing.T) {
		c := house(t, "right", "mqtt://"+safe.addr)
		steps, _ := probed(t, c, ProbeOptions{})
		same(t, steps, "files ok", "tcp ok", "connect failed needs-tls")
	})
	t.Run("through a proxy", func(t *testing.T) {
		p := newHTTPProxy(t, plainListener)
		steps, well := probed(t, through(t, house(t, "right", plain.url()), p), ProbeOptions{})
		same(t, steps, "files ok", "proxy ok", "connect ok", "limits ok", "subscribe ok", "canary ok", "publish ok")
		for _, s := range steps {
			if strings.Contains(s.Words+s.Do, "geheim") || strings.Contains(s.Words+s.Do, "right") {
				t.Errorf("a secret is shown: %+v", s)
			}
		}
		if !well {
			t.Error("got trouble, want none")
		}
	})
	t.Run("no such user at the proxy", func(t *testing.T) {
		p := newHTTPProxy(t, plainListener)
		c := through(t, house(t, "right", plain.url()), p)
		write(t, c.ProxyPasswordFile, "falsch\n")
		steps, _ := probed(t, c, ProbeOptions{})
		same(t, steps, "files ok", "proxy failed proxy")
	})
}

// answering is a server that does with each connection what it is told.
func answering(t testing.TB, do func(net.Conn)) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer c.Close()
				defer context.AfterFunc(t.Context(), func() { c.Close() })()
				do(c)
			})
		}
	})
	t.Cleanup(func() { ln.Close(); wg.Wait() })
	return ln.Addr().String()
}

// old speaks MQTT 3.1.1 alone: anything newer gets code 1, or nothing.
func old(politely bool) func(net.Conn) {
	return func(c net.Conn) {
		b := make([]byte, 512)
		n, err := c.Read(b)
		switch {
		case err != nil || n < 9:
		case b[8] == 4:
			c.Write([]byte{0x20, 2, 0, 0})
			io.Copy(io.Discard, c)
		case politely:
			c.Write([]byte{0x20, 2, 0, 1})
		}
	}
}

func TestProbeOfOthers(t *testing.T) {
	web := answering(t, func(c net.Conn) {
		if _, err := bufio.NewReader(c).Peek(1); err == nil {
			io.WriteString(c, "HTTP/1.1 400 Bad Request\r\nContent-Type: text/html\r\nContent-Length: 200\r\n\r\n"+strings.Repeat("x", 200))
		}
	})
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	silent := answering(t, func(c net.Conn) { io.Copy(io.Discard, c) })
	shut := answering(t, func(net.Conn) {})
	for _, c := range []struct {
		name, url string
		patient   bool // the step fails by its own time
		want      string
	}{
		{"nobody there", "mqtt://" + closed.Addr().String(), false, "tcp failed refused"},
		{"HTTP instead of MQTT", "mqtt://" + web, false, "connect failed http"},
		{"HTTP instead of TLS", "mqtts://" + web, false, "tls failed http"},
		{"HTTP instead of a WebSocket", "ws://" + web, false, "websocket failed websocket"},
		{"MQTT 3.1.1 alone, and says so", "mqtt://" + answering(t, old(true)), false, "connect failed version"},
		{"MQTT 3.1.1 alone, and hangs up", "mqtt://" + answering(t, old(false)), false, "connect failed version"},
		{"silence", "mqtt://" + silent, true, "connect failed no-connack"},
		{"silence in TLS", "mqtts://" + silent, true, "tls failed timeout"},
		{"hangs up", "mqtt://" + shut, false, "connect failed no-node"},
		{"hangs up in TLS", "mqtts://" + shut, false, "tls failed no-node"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := calm(quick(c.url))
			if c.patient {
				cfg.ConnectTimeout = conf.Duration(300 * time.Millisecond)
			}
			steps, well := probed(t, cfg, ProbeOptions{})
			if got := told(steps)[len(steps)-1]; got != c.want || well {
				t.Errorf("got %q, %v, want %q", got, well, c.want)
			}
		})
	}
}

func TestProbeOfNames(t *testing.T) {
	m := startMosquitto(t)
	names := newNameServer(t)
	names.host("cloud.test", "127.0.0.1")
	_, port, _ := net.SplitHostPort(m.addr)
	c := calm(quick("mqtt://nowhere.test:"+port, "mqtt://cloud.test:"+port))
	c.DNSServer = names.addr()
	steps, well := probed(t, c, ProbeOptions{})
	if same(t, steps, "files ok", "dns failed dns", "dns ok", "tcp ok", "connect ok", "limits ok", "publish ok"); well {
		t.Error("got well, want the unknown name to be trouble")
	}
}

// What a CONNACK refuses has words and advice of its own.
func TestProbeRefused(t *testing.T) {
	for code, want := range map[byte]Fault{
		0x84: FaultVersion, 0x85: FaultBadClientID, 0x86: FaultCredentials, 0x87: FaultNotAuthorized, 0x88: FaultBusy, 0x8A: FaultBanned,
		0x97: FaultBusy, 0x9C: FaultRedirected, 0x9F: FaultBusy, 0x80: FaultDeclined,
	} {
		t.Run(fmt.Sprintf("0x%02X", code), func(t *testing.T) {
			n := newCloud(t)
			n.connack = func(int, *packets.Connect) *packets.Connack {
				return &packets.Connack{ReasonCode: code, Properties: &packets.Properties{}}
			}
			steps, well := probed(t, calm(quick(n.start().url())), ProbeOptions{})
			if got := steps[len(steps)-1]; got.Name != "connect" || got.Fault != want || well {
				t.Errorf("got %+v, want connect to fail with %s", got, want)
			}
		})
	}
}

func TestProbeTellsLimits(t *testing.T) {
	zero, most, size := byte(0), uint16(20), uint32(5000)
	n := newCloud(t)
	n.connack = func(int, *packets.Connect) *packets.Connack {
		return &packets.Connack{Properties: &packets.Properties{ReceiveMaximum: &most, MaximumPacketSize: &size, MaximumQOS: &zero}}
	}
	steps, well := probed(t, calm(quick(n.start().url())), ProbeOptions{})
	same(t, steps, "files ok", "tcp ok", "connect ok", "limits warning", "publish ok")
	if got := steps[3].Words; !well || !strings.Contains(got, "20 messages in flight") || !strings.Contains(got, "5000 bytes") {
		t.Errorf("got %v, %q, want the numbers of the CONNACK", well, got)
	}
}

// A cloud that ends the connection for what is not allowed, as AWS IoT does.
func TestProbeOfACloudThatHangsUp(t *testing.T) {
	n := newCloud(t)
	n.publish = func(s *served, _ *packets.Publish) { s.conn.Close() }
	steps, well := probed(t, calm(quick(n.start().url())), ProbeOptions{})
	same(t, steps, "files ok", "tcp ok", "connect ok", "limits ok", "publish failed not-authorized")
	if well {
		t.Error("got well, want trouble")
	}
}

func TestProbeOfASlowCloud(t *testing.T) {
	n := newCloud(t)
	n.publish = func(*served, *packets.Publish) {}
	c := calm(quick(n.start().url()))
	c.Patience = conf.Duration(time.Second)
	steps, _ := probed(t, c, ProbeOptions{})
	same(t, steps, "files ok", "tcp ok", "connect ok", "limits ok", "publish failed slow")
}

// The links of a running gateway stay; the message is gone soon and not kept.
func TestProbeBesideTheLinks(t *testing.T) {
	n := newCloud(t).start()
	c := calm(quick(n.url()))
	u, _ := begin(t, c, Options{})
	eventuallyUp(t, u, 0)
	if _, well := probed(t, c, ProbeOptions{}); !well {
		t.Error("got trouble, want none")
	}
	if s := state(u, 0); s.State != Connected || s.Reconnects != 0 {
		t.Errorf("got the link %s after %d reconnections, want it untouched", s.State, s.Reconnects)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if got := n.connects[1]; got.ClientID != "gw-test" || !got.CleanStart || got.WillFlag {
		t.Errorf("got %+v, want a clean session of its own without a will", got)
	}
	if got := n.published[0]; got.Topic != "tidegate-test" || got.QoS != 1 || got.Retain || got.Properties.MessageExpiry == nil {
		t.Errorf("got %+v, want a message that is not retained and expires", got)
	}
}

// With one client id the probe stops before CONNECT unless it may take it over,
// and then leaves the gateway's session as it is.
func TestProbeWithASingleClient(t *testing.T) {
	n := newCloud(t).start()
	c := calm(quick(n.url()))
	c.SingleClient, c.ClientID = true, "thing"
	c.Down = []Down{{Filter: "commands/#"}}
	steps, well := probed(t, c, ProbeOptions{})
	if same(t, steps, "files ok", "tcp ok", "connect skipped"); !well {
		t.Error("got trouble, want none")
	}
	if connects, _, _, _ := n.count(); connects != 0 {
		t.Errorf("got %d CONNECTs, want none", connects)
	}
	steps, _ = probed(t, c, ProbeOptions{TakeOver: true})
	same(t, steps, "files ok", "tcp ok", "connect ok", "limits ok", "subscribe ok", "publish ok")
	n.mu.Lock()
	defer n.mu.Unlock()
	if got := n.connects[0]; got.ClientID != "thing" || got.CleanStart || *got.Properties.SessionExpiryInterval != 24*3600 {
		t.Errorf("got %+v, want the session kept", got)
	}
}

// What the configuration names and is not there is no step of an endpoint.
func TestProbeWithoutItsFiles(t *testing.T) {
	c := quick("mqtt://127.0.0.1:1")
	c.User, c.PasswordFile = "house", filepath.Join(t.TempDir(), "nothing")
	if _, err := Probe(t.Context(), c, ProbeOptions{Gateway: "gw"}, func(ProbeStep) {}); err == nil || !strings.Contains(err.Error(), "password-file") {
		t.Errorf("got %v, want the configuration's problem", err)
	}
}
