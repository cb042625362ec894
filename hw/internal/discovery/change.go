package discovery

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
)

// Changes returns what must be published, in order, so that Home Assistant
// knows the devices of is and no others. Was is what the broker has retained,
// or what was published last: payload by topic.
func Changes(was map[string][]byte, is []Message) []Message {
	var all []Message
	now := map[string]bool{}
	for _, m := range is {
		now[m.Topic] = true
		if before := was[m.Topic]; !bytes.Equal(before, m.Payload) {
			if parting := part(before, m.Payload); parting != nil {
				all = append(all, Message{m.Topic, parting})
			}
			all = append(all, m)
		}
	}
	for _, topic := range slices.Sorted(maps.Keys(was)) {
		if !now[topic] && len(was[topic]) > 0 {
			all = append(all, Message{Topic: topic})
		}
	}
	return all
}

// part returns is with no components but those that was has in vain, each named
// by its platform only, which takes it away. They come alone, because Home
// Assistant may leave out what follows a component that it is still busy with.
// It is nil when nothing is to be taken away; a payload that is none of ours has
// nothing.
func part(was, is []byte) []byte {
	var before, after config
	if json.Unmarshal(was, &before) != nil || json.Unmarshal(is, &after) != nil {
		return nil
	}
	gone := map[string]any{}
	for key, c := range before.Components {
		if p := platform(c); p != nil && p != platform(after.Components[key]) {
			gone[key] = map[string]any{"platform": p}
		}
	}
	if len(gone) == 0 {
		return nil
	}
	after.Components = gone
	return encode(after)
}

// platform is the one of a component that was read from JSON.
func platform(c any) any {
	m, _ := c.(map[string]any)
	return m["platform"]
}

// Keys are the components that a message announces; none when it is none of
// ours.
func Keys(payload []byte) map[string]bool {
	var c config
	keys := map[string]bool{}
	if json.Unmarshal(payload, &c) == nil {
		for key := range c.Components {
			keys[key] = true
		}
	}
	return keys
}
