package conformance

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tidegate/edge"
)

var broker = flag.String("broker", "", "host:port, or ws://host:port/path, of a broker that lets anonymous clients in; empty: the edge broker in every way")

// targets are the addresses of the broker that is tested.
var targets []string

func TestMain(m *testing.M) {
	flag.Parse()
	flag.Set("test.parallel", "16") // most tests wait, for the broker or for a second to pass
	os.Exit(runAll(m))
}

// everybody may do what they may without a users file, and publish below $own.
const everybody = `[anonymous]
publish = ["#", "$own/#"]
subscribe = ["#", "$own/#"]
any-name = true
`

// runAll runs the tests against one broker for all of them.
func runAll(m *testing.M) int {
	if *broker != "" {
		targets = []string{*broker}
		return m.Run()
	}
	cfg := edge.DefaultConfig()
	cfg.Listeners = []edge.ListenerConfig{{Bind: "127.0.0.1:0", Anonymous: true}, {Bind: "127.0.0.1:0", Anonymous: true, Protocol: "websocket"}}
	dir, err := os.MkdirTemp("", "conformance-")
	if err == nil {
		defer os.RemoveAll(dir)
		cfg.Access.UsersFile = filepath.Join(dir, "users.toml")
		err = os.WriteFile(cfg.Access.UsersFile, []byte(everybody), 0o600)
	}
	var b *edge.Broker
	if err == nil {
		b, err = edge.New(cfg, edge.Options{})
	}
	if err == nil {
		err = b.Listen()
	}
	if err != nil {
		fmt.Println(err)
		return 1
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- b.Run(ctx) }()
	targets = []string{b.Addrs()[0].String(), "ws://" + b.Addrs()[1].String() + "/mqtt"}
	code := m.Run()
	stop()
	if err := <-ended; err != nil {
		fmt.Println(err)
		code = max(code, 1)
	}
	return code
}

// check is one test. Its numbers are those of MQTT 5; at version 4 it covers
// what the table of 3.1.1 says is like them.
type check struct {
	numbers  string // with spaces between
	versions string // "5", "4" or "45"
	name     string
	run      func(x *exam)
}

// checks are all of them.
func checks() (all []check) {
	for _, list := range [][]check{connectChecks, formatChecks, willChecks, publishChecks, retainChecks, subscribeChecks, qosChecks, sessionChecks, limitChecks, cornerChecks, smallChecks, webSocketChecks} {
		all = append(all, list...)
	}
	return all
}

func TestConformance(t *testing.T) {
	// Clients and topics have other names in each run against the same broker.
	run := fmt.Sprintf("%x", time.Now().UnixNano()&0xffffffff)
	for n, target := range targets {
		for i, c := range checks() {
			for _, version := range c.versions {
				way := "v" + string(version)
				if strings.HasPrefix(target, "ws:") {
					way += " in WebSockets"
				}
				t.Run(fmt.Sprintf("%s MQTT-%s %s", c.name, strings.ReplaceAll(c.numbers, " ", ","), way), func(t *testing.T) {
					t.Parallel()
					c.run(&exam{T: t, v5: version == '5', name: fmt.Sprintf("t%sn%dw%dv%c", run, i, n, version), target: target})
				})
			}
		}
	}
}
