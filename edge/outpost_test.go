package edge

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"

	"tidegate/internal/conf"
)

// outpost is a broker in a process of its own, with the default limits: its
// memory, descriptors and goroutines are nobody else's. It has a listener for
// each of the ways.
type outpost struct {
	t     *testing.T
	pid   int
	ask   io.Writer
	said  *bufio.Scanner
	addrs []string // by way
}

// Ways into an outpost.
const (
	byTCP = iota
	byWebSocket
	byTLS
	byUnix
	byProxy // that tells of a client elsewhere
	ways    // so many
)

// usage is what a process has in use.
type usage struct {
	Goroutines  int
	descriptors int
	anonymous   int // bytes of memory that no file backs
	most        int // bytes resident, the most there ever were
	Stats       Stats
}

// outpostEnv names the directory of the process that is the outpost.
const outpostEnv = "EDGE_OUTPOST"

// patientConnect is how long a client of an outpost may take for its CONNECT.
const patientConnect = 6 * time.Second

// TestOutpost sees an outpost do what brokers do, and is the outpost.
func TestOutpost(t *testing.T) {
	if dir := os.Getenv(outpostEnv); dir != "" {
		beOutpost(t, dir)
		return
	}
	o := newOutpost(t)
	served := o.serveHonestly()
	until(t, "a client is served", func() bool { return o.usage().Stats.Connections == 1 })
	served()
	if u := o.usage(); u.Goroutines == 0 || u.descriptors == 0 || u.anonymous == 0 || u.most == 0 {
		t.Errorf("got %+v", u)
	}
}

// beOutpost serves until its standard input ends, and answers each line with
// what it uses.
func beOutpost(t *testing.T, dir string) {
	cfg := DefaultConfig()
	cert := newCertFiles(t, newAuthority(t, "home CA"), 1)
	cfg.Listeners = make([]ListenerConfig, ways)
	for i := range cfg.Listeners {
		cfg.Listeners[i] = ListenerConfig{Bind: "127.0.0.1:0", Anonymous: true}
	}
	cfg.Listeners[byWebSocket].Protocol = overWebSocket
	cfg.Listeners[byTLS].Cert, cfg.Listeners[byTLS].Key = cert.cert, cert.key
	cfg.Listeners[byUnix].Bind = unixPrefix + filepath.Join(cert.dir, "s")
	cfg.Listeners[byProxy].Proxies = []string{"127.0.0.1"}
	cfg.Limits.ConnectTimeout = conf.Duration(patientConnect)
	b, err := New(cfg, Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Listen(); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- b.Run(ctx) }()
	for _, a := range b.Addrs() {
		fmt.Println(a)
	}
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		json.NewEncoder(os.Stdout).Encode(usage{Goroutines: runtime.NumGoroutine(), Stats: b.Stats()})
	}
	stop()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
}

func newOutpost(t *testing.T) *outpost {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe, "-test.run=^TestOutpost$", "-test.timeout=0")
	cmd.Env = append(os.Environ(), outpostEnv+"="+t.TempDir())
	cmd.Stderr = os.Stderr
	ask, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	o := &outpost{t: t, pid: cmd.Process.Pid, ask: ask, said: bufio.NewScanner(out)}
	t.Cleanup(func() {
		ask.Close()
		late := time.AfterFunc(2*patience, func() { cmd.Process.Kill() })
		defer late.Stop()
		io.Copy(io.Discard, out)
		if err := cmd.Wait(); err != nil {
			t.Errorf("the outpost: %v", err)
		}
	})
	for range ways {
		o.addrs = append(o.addrs, o.line())
	}
	return o
}

func (o *outpost) line() string {
	if !o.said.Scan() {
		o.t.Fatalf("the outpost is silent: %v", o.said.Err())
	}
	return o.said.Text()
}

// usage returns what the outpost has in use now.
func (o *outpost) usage() (u usage) {
	o.t.Helper()
	fmt.Fprintln(o.ask)
	if err := json.Unmarshal([]byte(o.line()), &u); err != nil {
		o.t.Fatal(err)
	}
	open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", o.pid))
	if err != nil {
		o.t.Fatal(err)
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", o.pid))
	if err != nil {
		o.t.Fatal(err)
	}
	u.descriptors = len(open)
	for line := range strings.Lines(string(status)) {
		key, rest, _ := strings.Cut(line, ":")
		if into := map[string]*int{"RssAnon": &u.anonymous, "VmHWM": &u.most}[key]; into != nil {
			fmt.Sscan(rest, into)
			*into *= 1024
		}
	}
	return u
}

// reach opens the way i, of as many as there are, and says nothing on it.
func (o *outpost) reach(i int) (net.Conn, error) {
	if i == byUnix {
		return net.Dial("unix", o.addrs[i])
	}
	return net.Dial("tcp", o.addrs[i])
}

// dial comes in by the way i, and by the first again after the last. It tries
// again when it was too slow for the broker's patience, as on a busy machine.
func (o *outpost) dial(i int) (p *peer, err error) {
	for end := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		if p, err = o.dialOnce(i % ways); err == nil || time.Now().After(end) {
			return p, err
		}
	}
}

func (o *outpost) dialOnce(i int) (*peer, error) {
	nc, err := o.reach(i)
	switch {
	case err != nil:
	case i == byWebSocket:
		nc, err = openWebSocket(o.t.Context(), nc, "/mqtt")
	case i == byTLS:
		secure := tls.Client(nc, &tls.Config{InsecureSkipVerify: true})
		secure.SetDeadline(time.Now().Add(patience))
		err = secure.HandshakeContext(o.t.Context())
		secure.SetDeadline(time.Time{})
		nc = secure
	case i == byProxy:
		_, err = nc.Write([]byte("PROXY TCP4 10.1.2.3 127.0.0.1 4660 1883\r\n"))
	}
	if err != nil {
		if nc != nil {
			nc.Close()
		}
		return nil, err
	}
	return &peer{t: o.t, nc: nc, r: bufio.NewReader(nc), v: 5}, nil
}

// mustDial is dial for a client that stays until the test ends.
func (o *outpost) mustDial(i int) *peer {
	o.t.Helper()
	p, err := o.dial(i)
	if err != nil {
		o.t.Fatal(err)
	}
	o.t.Cleanup(func() { p.nc.Close() })
	return p
}

// join is mustDial with a CONNECT.
func (o *outpost) join(id string, opts ...option) *peer {
	o.t.Helper()
	p := o.mustDial(0)
	if ack := p.connect(id, opts...); ack.ReasonCode != 0 {
		o.t.Fatalf("%s: CONNACK reason %#x", id, ack.ReasonCode)
	}
	return p
}

// serveHonestly has a client publish to itself, one message after the other,
// until the function it returns is called: that fails unless each arrived and
// was acknowledged.
func (o *outpost) serveHonestly() (stop func()) {
	o.t.Helper()
	p := o.join("honest")
	p.subscribe(sub{filter: "honest", qos: 1})
	ending, ended := make(chan struct{}), make(chan struct{})
	rounds, longest := 0, time.Duration(0)
	var failed error
	go func() {
		defer close(ended)
		for ; failed == nil; rounds++ {
			select {
			case <-ending:
				if rounds > 0 {
					return
				}
			case <-time.After(10 * time.Millisecond):
			}
			begin := time.Now()
			failed = p.roundTrip("honest", fmt.Sprint(rounds))
			longest = max(longest, time.Since(begin))
		}
	}()
	return func() {
		o.t.Helper()
		close(ending)
		<-ended
		o.t.Logf("the honest client: %d messages, the slowest took %v", rounds, longest.Round(time.Millisecond))
		if failed != nil {
			o.t.Errorf("the honest client is not served: %v", failed)
		}
		p.nc.Close()
	}
}

// roundTrip publishes at QoS 1 and waits for the message and both
// acknowledgements; unlike the others it fails no test, so any goroutine may.
func (p *peer) roundTrip(topic, payload string) error {
	pk := publishPacket(topic, payload, 1, 7)
	pk.ProtocolVersion = p.v
	if err := p.push(encode(p.t, pk)); err != nil {
		return err
	}
	for wait := []byte{packets.Publish, packets.Puback}; len(wait) > 0; {
		got, err := p.read(patience)
		if err != nil {
			return err
		}
		at := slices.Index(wait, got.FixedHeader.Type)
		if at < 0 || got.ReasonCode >= 0x80 {
			return fmt.Errorf("got %s, reason %#x", packets.PacketNames[got.FixedHeader.Type], got.ReasonCode)
		}
		wait = slices.Delete(wait, at, at+1)
		if got.FixedHeader.Type == packets.Publish {
			if string(got.Payload) != payload {
				return fmt.Errorf("got %q, want %q", short(got.Payload), payload)
			}
			if err := p.push([]byte{0x40, 2, byte(got.PacketID >> 8), byte(got.PacketID)}); err != nil {
				return err
			}
		}
	}
	return nil
}
