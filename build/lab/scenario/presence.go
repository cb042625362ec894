package scenario

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"time"

	"tidegate/build/bench/load"
	"tidegate/build/lab/gateway"
	"tidegate/build/lab/presence"
)

// The gateway must tell the cloud the truth about itself when a scenario is
// over: it is online, each of its links is where the gateway's own status says,
// there are as many connections to each place in the kernel as it says, and
// somebody who comes now and reads what is retained learns the same.
//
// On separate brokers, and on RabbitMQ, whose nodes retain for themselves, an
// older word may stay where the down link is no longer. Epoch and number tell:
// it is the latest word of all nodes that counts, and that of the node where the
// down link is.

const (
	told     = 45 * time.Second // the gateway states changes at most every 10 s
	retained = 500 * time.Millisecond
	downLink = "lab-d0"
)

// listen starts the listener on the cloud's side. The topic has the take's name:
// each take is a new gateway, and what the one before said of itself stays.
func (t *take) listen(ctx context.Context) (err error) {
	groups := [][]string{t.cloud.Addrs()}
	if !t.cloud.Cluster {
		groups = nil
		for _, addr := range t.cloud.Addrs() {
			groups = append(groups, []string{addr})
		}
	}
	client := load.Client{ID: t.name + "-ear", Expiry: 10 * time.Minute, KeepAlive: 30 * time.Second}
	if t.ear, err = presence.Listen(ctx, client, t.name, groups...); err != nil {
		return err
	}
	t.closers = append(t.closers, t.ear.Close)
	return nil
}

// tellsTruth waits until the gateway does, and notes when the statement that
// holds in the end was heard: after the break, or after the heal of an outage.
func (t *take) tellsTruth(ctx context.Context) {
	var wrong string
	err := t.until(ctx, told, "the cloud is told how things are", func() bool {
		if wrong = t.untrue(ctx); wrong != "" {
			pause(ctx, 200*time.Millisecond)
		}
		return wrong == ""
	})
	if err != nil {
		t.broken("%v: %s", err, wrong)
		return
	}
	t.row.Told = max(t.ear.Latest().At.Sub(t.told), -1)
	offline := t.ear.Heard(presence.Offline, t.told)
	t.row.Offline = len(offline)
	if t.cloud.Cluster && !t.scenario.Away && len(offline) > 0 {
		t.broken("a gateway that was never away for long was said to be offline: %+v", offline[0])
	}
}

// untrue says what is wrong with what the cloud knows; "" when nothing is.
func (t *take) untrue(ctx context.Context) string {
	st, err := gateway.ReadStatus(t.data)
	if err != nil {
		return err.Error()
	}
	where := map[string]string{}
	for _, l := range st.Cloud().Links {
		where[l.ID] = l.Endpoint
	}
	last := t.ear.Latest()
	if why := t.differs(last, where); why != "" {
		return "what was heard last " + why
	}
	var words []presence.Word
	for i, addr := range t.cloud.Addrs() {
		w, ok, err := t.ask(ctx, addr)
		if err != nil {
			return fmt.Sprintf("node %d: %v", i, err)
		}
		here := strings.HasSuffix(where[downLink], "//"+t.addrs[i])
		if here && (!ok || w.State != presence.Online) {
			return fmt.Sprintf("the down link is on node %d, which has retained %+v", i, w)
		}
		words = append(words, w)
	}
	if why := t.differs(presence.Latest(words), where); why != "" {
		return "the latest of what is retained " + why
	}
	return ""
}

func (t *take) ask(ctx context.Context, addr string) (presence.Word, bool, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	t.asked++
	client := load.Client{Addrs: []string{addr}, ID: fmt.Sprintf("%s-late-%d", t.name, t.asked)}
	return presence.Retained(ctx, client, t.name, retained)
}

// differs says how a word differs from where the links are; "" when it does
// not.
func (t *take) differs(w presence.Word, where map[string]string) string {
	if w.State != presence.Online {
		return fmt.Sprintf("is not that the gateway is online: %+v", w)
	}
	if len(w.Links) != len(where) || len(where) != links+1 {
		return fmt.Sprintf("has %d links of %d: %+v", len(w.Links), links+1, w.Links)
	}
	claimed := map[string]int{}
	for _, l := range w.Links {
		if l.Endpoint == "" || l.Endpoint != where[l.ID] {
			return fmt.Sprintf("has %s on %q, and it is on %q", l.ID, l.Endpoint, where[l.ID])
		}
		claimed[l.Endpoint]++
	}
	open, err := connections(t.gateway.Process().PID())
	if err != nil {
		return err.Error()
	}
	for url, n := range claimed {
		place, err := netip.ParseAddrPort(url[strings.LastIndex(url, "/")+1:])
		if err != nil {
			continue // a name
		}
		if open[place] != n {
			return fmt.Sprintf("has %d links on %s, to which there are %d connections", n, url, open[place])
		}
	}
	return ""
}

// connections counts the established connections that a process's network has
// to each place, but for those of devices to the gateway.
func connections(pid int) (map[netip.AddrPort]int, error) {
	table, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/tcp", pid))
	if err != nil {
		return nil, err
	}
	open := map[netip.AddrPort]int{}
	for line := range strings.Lines(string(table)) {
		f := strings.Fields(line)
		if len(f) < 4 || f[3] != "01" { // established
			continue
		}
		from, okFrom := kernelAddr(f[1])
		to, okTo := kernelAddr(f[2])
		if okFrom && okTo && from.Port() != mqttPort {
			open[to]++
		}
	}
	return open, nil
}

// kernelAddr reads an address as /proc/net/tcp has it: hexadecimal, the address
// in the order of the machine's bytes.
func kernelAddr(s string) (netip.AddrPort, bool) {
	var addr uint32
	var port uint16
	if n, err := fmt.Sscanf(s, "%08X:%04X", &addr, &port); n != 2 || err != nil {
		return netip.AddrPort{}, false
	}
	var b [4]byte
	binary.NativeEndian.PutUint32(b[:], addr)
	return netip.AddrPortFrom(netip.AddrFrom4(b), port), true
}

// away keeps the gateway away, ended in one way or another, for longer than the
// will waits.
func away(name, says string, reason string, end func(t *take) error) Scenario {
	const delay = 5 * time.Second
	return Scenario{
		Name: name, Says: says, Whole: true, Alone: true, Away: true, Hold: delay + 3*time.Second,
		Prepare: func(_ context.Context, _ *take, cfg *gateway.Config) error {
			cfg.Uplink = fmt.Sprintf("offline-after = %q\n", delay) + cfg.Uplink
			return nil
		},
		Break: func(_ context.Context, t *take) error {
			t.meter.sample(t.gateway)
			t.kills++
			return end(t)
		},
		Heal: func(ctx context.Context, t *take) error {
			least := time.Duration(0)
			if t.cloud.Cluster && reason == willReason {
				least = delay
			}
			t.saysOffline(ctx, reason, least)
			ctx, cancel := context.WithTimeout(ctx, settled)
			defer cancel()
			return t.gateway.Start(ctx)
		},
	}
}

const (
	willReason = "the connection was lost"
	stopReason = "stopped"
)

// saysOffline waits until the latest word is that the gateway is gone, and why.
// It comes not before least is over, of which the cloud's clock may take some.
func (t *take) saysOffline(ctx context.Context, reason string, least time.Duration) {
	var last presence.Word
	err := t.until(ctx, told, "the cloud is told that the gateway is gone", func() bool {
		last = t.ear.Latest()
		return last.State == presence.Offline && last.Reason == reason
	})
	if err != nil {
		t.broken("%v: %+v", err, last)
		return
	}
	after := last.At.Sub(t.began)
	if after < least-time.Second {
		t.broken("the will spoke after %v, and was to wait for %v", after, least)
	}
	keeps := 0
	for _, addr := range t.cloud.Addrs() {
		if w, ok, err := t.ask(ctx, addr); err != nil {
			t.broken("%v", err)
		} else if ok && w.State == presence.Offline {
			keeps++
		}
	}
	t.note("offline after %s, retained on %d nodes", span(after), keeps)
	if keeps == 0 && !t.cloud.Cluster {
		t.broken("nobody who comes now learns that the gateway is gone")
	}
}
