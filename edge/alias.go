package edge

// outboundAliases bounds the topic aliases of one connection, in entries,
// whatever its client would take.
const outboundAliases = 64

// mostHits bounds how long a topic that was used a lot keeps its alias.
const mostHits = 15

// longAlias is the longest topic that gets an alias, in bytes: the connection
// holds on to it.
const longAlias = 1 << 10

// aliasCost is by how many bytes a PUBLISH that introduces an alias is longer:
// the property, and one more for each of two lengths.
const aliasCost = 3 + 2

// aliases gives the topics that a client gets most often a number each
// [MQTT 5, 3.3.2.3.4]. A topic without one takes a hit from another in turn, and
// the place of one that has none left: what comes often stays, and a sweep over
// many topics does not change much.
type aliases struct {
	most  int // places; the client's Topic Alias Maximum, bounded
	at    map[string]int
	slots []aliasSlot // alias less one
	hand  int
}

type aliasSlot struct {
	topic string
	hits  uint8
}

// newAliases returns nil for a client that takes none.
func newAliases(most uint16) *aliases {
	if most == 0 {
		return nil
	}
	return &aliases{most: min(int(most), outboundAliases), at: map[string]int{}}
}

// pick returns the alias of a topic, 0 for none; known says that the client has
// it already, so that the topic need not be sent. What pick says must be sent.
func (a *aliases) pick(topic string) (alias uint16, known bool) {
	if i, ok := a.at[topic]; ok {
		a.slots[i].hits = min(a.slots[i].hits+1, mostHits)
		return uint16(i + 1), true
	}
	if len(a.slots) < a.most {
		a.slots = append(a.slots, aliasSlot{topic: topic})
		a.at[topic] = len(a.slots) - 1
		return uint16(len(a.slots)), false
	}
	i := a.hand
	a.hand = (a.hand + 1) % a.most
	if slot := &a.slots[i]; slot.hits > 0 {
		slot.hits--
		return 0, false
	}
	delete(a.at, a.slots[i].topic)
	a.slots[i] = aliasSlot{topic: topic}
	a.at[topic] = i
	return uint16(i + 1), false
}
