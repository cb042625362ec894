package metrics

import (
	"time"

	"tidegate/uplink"
)

var linkStates = []string{uplink.Connecting, uplink.Backoff, uplink.Connected, uplink.Slow, uplink.Draining, uplink.Stopped}

func (w *writer) uplink(u Uplink) {
	name := []string{"uplink", u.Name}
	flag(w, "uplink_flowing", "1 while the cloud acknowledges: all links that send are connected and no answer is late.", u.Flowing(), name...)
	counter(w, "uplink_unrouted_messages_total", "Messages that match no up route and stay at home.", u.NoRoute, name...)
	counter(w, "uplink_looped_messages_total", "Messages with the gateway's own id that were not carried on.", u.Looped, name...)

	counter(w, "uplink_status_statements_total", "Statements on the status topic in the cloud.", u.Status.Sent, name...)
	counter(w, "uplink_status_corrections_total", "Statements among them that correct what another client wrote there.", u.Status.Corrected, name...)
	flag(w, "uplink_status_muted", "1 while the cloud does not let the gateway tell its status.", u.Status.Fault != "", name...)

	counter(w, "uplink_canaries_sent_total", "Canaries sent up one link, to come down another.", u.Canary.Sent, name...)
	counter(w, "uplink_canaries_returned_total", "Canaries that came back.", u.Canary.Back, name...)
	counter(w, "uplink_canaries_missing_total", "Canaries missing between nodes that passed them on before.", u.Canary.Missing, name...)
	counter(w, "uplink_nodes_blamed_total", "Nodes left because canaries were missing.", u.Canary.Blamed, name...)
	flag(w, "uplink_canary_unsure", "1 while one is missing and nothing tells which node is to blame.", u.Canary.Unsure, name...)

	for _, l := range u.Links {
		w.link(l, "uplink", u.Name, "link", l.ID)
	}
	w.routes(u)
	w.spool(u)
}

func (w *writer) link(l uplink.LinkStats, labels ...string) {
	direction := "up"
	if l.Down {
		direction = "down"
	}
	info(w, "link_info", "Where a link is connected or tries to. Empty: nowhere.", append(labels[:4:4], "direction", direction, "endpoint", l.Endpoint)...)
	flag(w, "link_up", "1 while a link is connected and no acknowledgement is late.", l.Flows(), labels...)
	oneOf(w, "link_state", "1 for the state that a link is in.", "state", l.State, linkStates, labels...)
	if l.Fault != "" {
		info(w, "link_fault", "Why a link is not up, while it is not.", append(labels[:4:4], "fault", string(l.Fault))...)
	}
	gauge(w, "link_state_seconds", "How long a link has been in its state.", time.Since(l.Since).Seconds(), labels...)
	gauge(w, "link_round_trip_seconds", "Smoothed time from a message to its acknowledgement; 0 when there was none in the last minute.", l.RTT.Seconds(), labels...)
	gauge(w, "link_in_flight_messages", "Messages sent and not acknowledged; of a down link commands that are not settled.", l.InFlight, labels...)
	gauge(w, "link_commands", "Commands received and not settled.", l.Commands, labels...)

	counter(w, "link_sent_messages_total", "Messages sent to the cloud, repetitions too.", l.Sent, labels...)
	counter(w, "link_acknowledged_messages_total", "Messages that the cloud acknowledged; of a down link those acknowledged to it.", l.Acked, labels...)
	counter(w, "link_resent_messages_total", "Messages put back to be sent again.", l.Resent, labels...)
	counter(w, "link_retried_messages_total", "Messages that the cloud refused for now.", l.Retried, labels...)
	counter(w, "link_refused_messages_total", "Messages that the cloud refused for good, or that are too large for it.", l.Refused, labels...)
	counter(w, "link_unknown_acknowledgements_total", "Acknowledgements for nothing in flight.", l.Unknown, labels...)
	counter(w, "link_received_messages_total", "Messages from the cloud.", l.Received, labels...)
	counter(w, "link_unrouted_messages_total", "Messages from the cloud that match no down route.", l.Unrouted, labels...)
	counter(w, "link_excess_messages_total", "Messages from the cloud beyond what it may send at once.", l.Excess, labels...)
	counter(w, "link_commands_acknowledged_total", "Commands acknowledged to the cloud.", l.Taken, labels...)
	counter(w, "link_sessions_resumed_total", "Times that the cloud had kept the session of the down link.", l.Resumed, labels...)
	counter(w, "link_sessions_missed_total", "Times that it had not: commands sent meanwhile are lost.", l.Missed, labels...)
	w.moves(l, labels...)
}

func (w *writer) moves(l uplink.LinkStats, labels ...string) {
	counter(w, "link_reconnects_total", "Connections after the first.", l.Reconnects, labels...)
	counter(w, "link_failovers_total", "Connections to another endpoint because the one before was lost.", l.Failovers, labels...)
	counter(w, "link_returns_total", "Returns to the endpoint where a link belongs.", l.Returns, labels...)
	counter(w, "link_returns_failed_total", "Tries of a return that came to nothing.", l.ReturnsFailed, labels...)
	counter(w, "link_redirects_total", "Redirections to another server that were followed.", l.Redirects, labels...)
	counter(w, "link_redirects_refused_total", "Redirections to another server that were not.", l.Astray, labels...)
	for fault, n := range l.Faults {
		counter(w, "link_faults_total", "Failed tries, lost connections and spells of slowness, by what was wrong. A fault appears when it is met.", n, append(labels[:4:4], "fault", string(fault))...)
	}
}

// routes tells each filter once: of two routes with the same one, the first
// carries everything.
func (w *writer) routes(u Uplink) {
	told := map[[2]string]bool{}
	for _, r := range u.Routes {
		direction := "up"
		if r.Down {
			direction = "down"
		}
		if key := [2]string{direction, r.Filter}; !told[key] {
			told[key] = true
			w.route(r, "uplink", u.Name, "direction", direction, "route", r.Filter)
		}
	}
	for _, d := range u.Spool.Drops {
		counter(w, "uplink_dropped_messages_total", "Messages that will not reach the cloud. A cause appears when it is met; refused ones are among the dead letters.",
			d.Messages, "uplink", u.Name, "route", d.Route, "class", d.Class.String(), "cause", string(d.Cause))
	}
}

func (w *writer) route(r uplink.RouteStats, labels ...string) {
	counter(w, "route_messages_total", "Messages that a route carried.", r.Messages, labels...)
	counter(w, "route_refusals_total", "Refusals by the cloud, for good or for now.", r.Refusals, labels...)
	gauge(w, "route_refusals_in_row", "Refusals without an acknowledgement in between.", r.Row, labels...)
	flag(w, "route_paused", "1 while a route is paused because the cloud refuses its messages; they are kept.", r.Paused, labels...)
	paused := 0.0
	if r.Paused {
		paused = time.Since(r.Since).Seconds()
	}
	gauge(w, "route_paused_seconds", "How long a route has been paused.", paused, labels...)
	gauge(w, "route_held_topics", "Topics whose messages are kept because the cloud refuses them for now.", r.Held, labels...)
}
