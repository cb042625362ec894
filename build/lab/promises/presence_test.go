package promises

import (
	"time"

	"tidegate/build/bench/load"
	"tidegate/build/lab/presence"
)

// presence listens to the gateway's status topic, through the loss of nodes.
func (w *world) presence() *presence.Ear {
	w.t.Helper()
	groups := [][]string{w.cloud.Addrs()}
	if !w.cloud.Cluster {
		groups = nil
		for _, addr := range w.cloud.Addrs() {
			groups = append(groups, []string{addr})
		}
	}
	ear, err := presence.Listen(w.soon(time.Minute), load.Client{ID: "presence", KeepAlive: 5 * time.Second}, "lab", groups...)
	w.must(err)
	w.t.Cleanup(func() {
		if err := ear.Close(); err != nil {
			w.t.Error(err)
		}
	})
	return ear
}
