package edge

import (
	"context"
	"fmt"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"

	"tidegate/edge/internal/lan"
	"tidegate/internal/conf"
)

// The failures of one address come as fast as they may and no faster; others are
// not slowed by them.
func TestGuessesAreSlowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g guesses
		began := time.Now()
		try := func(from string, wait time.Duration, failed bool) error {
			ctx, stop := context.WithTimeout(t.Context(), wait)
			defer stop()
			err := g.enter(ctx, from, 60)
			if err == nil {
				g.leave(from, failed)
			}
			return err
		}
		for range 60 + 120 {
			if err := try("a", time.Minute, true); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(began); took < 119*time.Second || took > 121*time.Second {
			t.Errorf("180 failures took %v, want the time of the 120 beyond the first minute's", took)
		}
		if err := try("a", 900*time.Millisecond, true); err == nil {
			t.Error("one more came in before its time")
		}
		before := time.Now()
		if err := try("b", time.Minute, true); err != nil || time.Since(before) > 0 {
			t.Errorf("another address: got %v after %v", err, time.Since(before))
		}
		time.Sleep(time.Hour)
		before = time.Now()
		for range 60 {
			if err := try("a", time.Minute, true); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(before); took > 0 {
			t.Errorf("after an hour 60 took %v", took)
		}
	})
}

// Those who are right do not wait for time to pass, only for each other, even
// behind the address of one who fails for ever.
func TestGoodOnesGiveTheirTriesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g guesses
		ctx, stop := context.WithCancel(t.Context())
		var all, wrong sync.WaitGroup
		for range 5 {
			wrong.Go(func() {
				for g.enter(ctx, "a", 30) == nil {
					g.leave("a", true)
				}
			})
		}
		synctest.Wait() // none is left
		began := time.Now()
		for range 500 {
			all.Go(func() {
				if err := g.enter(ctx, "a", 30); err != nil {
					t.Error(err)
				}
				time.Sleep(time.Millisecond) // the hash
				g.leave("a", false)
			})
		}
		all.Wait()
		if took := time.Since(began); took > 20*time.Second {
			t.Errorf("500 good ones took %v", took)
		}
		stop()
		wrong.Wait()
	})
}

// However many addresses fail, memory is bounded; who waits is not forgotten.
func TestOriginsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g guesses
		ctx, stop := context.WithCancel(t.Context())
		if err := g.enter(ctx, "first", 1); err != nil {
			t.Fatal(err)
		}
		g.leave("first", true)
		var waits sync.WaitGroup
		waits.Go(func() {
			if g.enter(ctx, "first", 1) != nil {
				t.Error("the one that waited was forgotten")
			}
		})
		synctest.Wait()
		for i := range 3 * maxOrigins {
			from := fmt.Sprint(i)
			if err := g.enter(ctx, from, 30); err != nil {
				t.Fatal(err)
			}
			g.leave(from, true)
		}
		if n := len(g.from); n > maxOrigins {
			t.Errorf("got %d addresses, want at most %d", n, maxOrigins)
		}
		waits.Wait()
		stop()
	})
}

// What waits ends with its connection, and leaves its try to the others.
func TestWhoGoesLeavesItsTry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g guesses
		if err := g.enter(t.Context(), "a", 1); err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		var all sync.WaitGroup
		for range 10 {
			all.Go(func() { g.enter(ctx, "a", 1) })
		}
		synctest.Wait()
		stop()
		all.Wait()
		g.leave("a", false)
		if err := g.enter(t.Context(), "a", 1); err != nil {
			t.Fatal(err)
		}
		if left := g.from["a"].left; left > 0.01 || len(g.from["a"].waiting) > 0 {
			t.Errorf("got %v tries and %d who wait, want none", left, len(g.from["a"].waiting))
		}
	})
}

func TestOrigin(t *testing.T) {
	for addr, want := range map[string]string{
		"192.0.2.7:1883":           "192.0.2.7",
		"[::ffff:192.0.2.7]:1883":  "192.0.2.7",
		"[2001:db8:1:2:aaaa::1]:1": "2001:db8:1:2::/64",
		"[2001:db8:1:2:bbbb::2]:2": "2001:db8:1:2::/64",
		"[2001:db8:1:3::1]:1":      "2001:db8:1:3::/64",
		"[fe80::1%eth0]:1":         "fe80::1%eth0",
		"[fe80::2%eth0]:1":         "fe80::2%eth0",
		"[::1]:1":                  "::1",
	} {
		tcp, err := net.ResolveTCPAddr("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		if got := lan.Origin(tcp); got != want {
			t.Errorf("%s: got %s, want %s", addr, got, want)
		}
	}
	for _, name := range []string{"", "@", "/run/x.sock"} {
		if got := lan.Origin(&net.UnixAddr{Name: name, Net: "unix"}); got != name {
			t.Errorf("unix %q: got %q", name, got)
		}
	}
}

// Over real connections: the second failure waits longer than CONNECT may take
// and is refused; a device whose password was right before comes in all the
// same, one with a generated password too.
func TestFailuresOfAnAddress(t *testing.T) {
	generated, fast := GeneratePassword()
	path := replaceFile(t, t.TempDir()+"/users.toml", []byte(entryOf("known", cheapHash("pw"), "a", "a")+
		entryOf("new", cheapHash("pw"), "a", "a")+entryOf("fast", fast, "a", "a")))
	b := startBroker(t, Options{}, func(c *Config) {
		c.Access.UsersFile = path
		c.Access.FailuresPerMinute = 1
		c.Limits.ConnectTimeout = conf.Duration(4 * time.Second)
	})
	connect(t, b, "k", user("known", "pw"))
	if got := dial(t, b).connect("x", user("new", "no")).ReasonCode; got != packets.ErrBadUsernameOrPassword.Code {
		t.Errorf("got %#x, want 0x86", got)
	}
	slowed := map[byte]*peer{5: dial(t, b), 4: dial(t, b)}
	for v, p := range slowed {
		p.v = v
		p.write(connectPacket("x", user("new", "no"), version(v)))
	}
	for v, want := range map[byte]byte{5: packets.ErrConnectionRateExceeded.Code, 4: 3} {
		if got := slowed[v].expect(packets.Connack).ReasonCode; got != want {
			t.Errorf("version %d: got %#x, want %#x", v, got, want)
		}
	}
	connect(t, b, "k2", user("known", "pw"))
	connect(t, b, "f", user("fast", generated))
}
