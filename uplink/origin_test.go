package uplink

import (
	"testing"

	"tidegate/uplink/spool"
)

// TestOrigin finds the route of a message by its topic in the cloud.
func TestOrigin(t *testing.T) {
	cfg := DefaultConfig()
	cfg.Up = []Up{
		{Filter: "home/+/alarm", Strip: "home/", Add: "cloud/", Class: "urgent"},
		{Filter: "home/#", Strip: "home/", Add: "cloud/"},
		{Filter: "garden/#", Add: "cloud/", Class: "bulk"},
		{Filter: "shed/#", Strip: "shed/", Add: "cloud/garden/"},
	}
	r := newRoutes(cfg, nil)
	for _, c := range []struct {
		topic string
		class spool.Class
		want  string
	}{
		{"cloud/hall/alarm", spool.Urgent, "home/+/alarm"},
		{"cloud/hall/alarm", spool.Bulk, "home/+/alarm"}, // it had another class before a reload
		{"cloud/hall/light", spool.Normal, "home/#"},
		{"cloud/garden/frost", spool.Bulk, "garden/#"},
		{"cloud/garden/frost", spool.Normal, "home/#"}, // or shed's: both can be
		{"elsewhere", spool.Normal, ""},
	} {
		if got := r.origin(c.topic, c.class); got != c.want {
			t.Errorf("%s, %s: got %q, want %q", c.topic, c.class, got, c.want)
		}
	}
}
