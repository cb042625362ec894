package uplink

import (
	"strings"

	"tidegate/uplink/spool"
)

// origin names the up route, by its filter, that a message with this topic in
// the cloud has come by; "" when the configuration has none any more. A
// message on disk does not say it, and drops are rare.
func (r *routes) origin(name string, c spool.Class) string {
	other := ""
	for _, u := range r.up {
		rest, ok := strings.CutPrefix(name, u.add)
		if !ok || r.search(u.strip+rest).route != u {
			continue
		}
		if u.class == c {
			return u.filter
		}
		if other == "" {
			other = u.filter // of another class before a reload
		}
	}
	return other
}

// dropsOf picks those of one route.
func dropsOf(filter string, all []spool.DropStats) (out []spool.DropStats) {
	for _, d := range all {
		if d.Route == filter {
			out = append(out, d)
		}
	}
	return out
}
