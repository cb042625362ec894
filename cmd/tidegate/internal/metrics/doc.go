// Package metrics tells the numbers of the gateway to Prometheus, and whether
// it is healthy and ready to whoever asks.
//
// The numbers are the Stats of the parts. They are read when somebody scrapes
// and at no other time: a gateway that nobody scrapes spends nothing on them.
//
//	GET /metrics -> Collect -> read() -> Stats of edge, uplinks, hw, card
//	GET /healthz -> alive(): a message through the broker and back
//	GET /readyz  -> listeners, and for each uplink whether acknowledgements flow
//
// Names follow Prometheus' conventions: base units, _total for what only grows
// while the process lives. What outlives the process (the account of the card)
// is a gauge: after a power cut it may have gone back a little, which a counter
// would show as starting again from zero.
//
// Labels have few values, all from the configuration or the code: uplink, link,
// endpoint, route, class, cause, fault, state, sensor, line. There are no client
// ids and no topics of devices in them.
package metrics
