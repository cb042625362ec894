package uplink

import (
	"math/rand/v2"
	"time"
)

const (
	backoffBase = 100 * time.Millisecond
	stableSpell = 10 * time.Second // a connection that lasted so long forgives its endpoint's failures
)

// delay is the pause before the next try of an endpoint that failed so many
// times in a row: full jitter, chance (0 to 1) times a limit that doubles from
// backoffBase to most.
func delay(failures int, most time.Duration, chance float64) time.Duration {
	if failures <= 0 {
		return 0
	}
	limit := most
	if shift := failures - 1; shift < 20 {
		limit = min(backoffBase<<shift, most)
	}
	return time.Duration(chance * float64(limit))
}

// longestPause is the most time between two tries of one of so many endpoints.
// Each has pauses of its own; without the factor a link would dial the more
// often the more endpoints there are, and a fleet with it.
func longestPause(most time.Duration, endpoints int) time.Duration {
	return most * time.Duration(max(endpoints, 3)) / 3
}

// declinedFactor is how much longer the pauses grow when the cloud is there and
// says no: a try costs it something, and the next one hardly does better.
const declinedFactor = 30

// pauseAfter is the most time between two tries after err.
func pauseAfter(err error, most time.Duration, endpoints int) time.Duration {
	most = longestPause(most, endpoints)
	switch faultOf(err) {
	case FaultBusy, FaultCredentials, FaultNotAuthorized, FaultBanned, FaultBadClientID, FaultVersion, FaultDeclined,
		FaultExpired, FaultUntrusted, FaultOwnCertificate, FaultHandshake:
		return declinedFactor * most
	}
	return most
}

// trouble is what a link remembers of one endpoint.
type trouble struct {
	failures int
	until    time.Time // not tried before
	avoid    time.Time // only tried before if there is no other: it has sent the link away
}

func (t *trouble) failed(now time.Time, most time.Duration) { t.fail(now, most, rand.Float64()) }

func (t *trouble) fail(now time.Time, most time.Duration, chance float64) {
	t.failures++
	t.until = now.Add(delay(t.failures, most, chance))
}

// lost notes the end of a connection that lasted so long. After a stable one
// the endpoint may be tried again at once: it may be a load balancer with
// other nodes behind it, and the only endpoint there is. A shorter one forgives
// a failure for each second, so that an endpoint that takes connections and
// drops them is left alone for longer and longer.
func (t *trouble) lost(now time.Time, lasted, most time.Duration) {
	if lasted >= stableSpell {
		t.failures, t.until = 0, time.Time{}
		return
	}
	t.failures = max(t.failures-int(lasted/time.Second), 0)
	t.failed(now, most)
}
