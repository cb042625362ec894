package uplink

import (
	"testing"

	"github.com/eclipse/paho.golang/packets"
)

// A link that is just connecting while the configuration changes connects again
// with the new one.
func TestReloadWhileConnecting(t *testing.T) {
	c := newCloud(t)
	asked, reloaded := make(chan struct{}, 10), make(chan struct{})
	c.connack = func(int, *packets.Connect) *packets.Connack {
		asked <- struct{}{}
		<-reloaded
		return &packets.Connack{Properties: &packets.Properties{}}
	}
	c.start()
	cfg := calm(quick(c.url()))
	cfg.User = "old"
	u, _ := begin(t, cfg, Options{})
	<-asked
	cfg.User = "new"
	if err := u.Reload(cfg); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the links were asked to connect anew", func() bool { return len(u.rolls) == 0 && len(u.turn) == 0 })
	close(reloaded)
	eventually(t, "the link is up as the new user", func() bool {
		c.mu.Lock()
		user := c.connects[len(c.connects)-1].Username
		c.mu.Unlock()
		return user == "new" && state(u, 0).State == Connected
	})
}
