import { h, text } from "./dom.js";
import { list } from "./list.js";
import { bytes, duration, exact, milliseconds, number, plural, rate } from "./format.js";
import { sentence } from "./net.js";
import { hostOf, level, nameOf, shortLink } from "./words.js";

// cloudCard shows one uplink: each link in words, and what waits for it.
export function cloudCard(first) {
	const state = h("span", {});
	const words = h("p", { class: "lead" });
	const rows = h("tbody", {});
	const sent = h("dd", {}), dropped = h("dd", {}), dead = h("dd", {});
	const updateLinks = list(rows, (l) => l.id, linkRow);
	const spool = spoolCard();
	const element = h("div", { class: "uplink" },
		h("section", { class: "card" },
			h("div", { class: "row" }, h("h2", {}, first.name && first.name !== "cloud" ? `Cloud: ${first.name}` : "Cloud"), h("span", { class: "right" }, state)), words,
			h("table", { class: "table cards links" },
				h("caption", { class: "visually-hidden" }, `Links of ${first.name}`),
				h("thead", {}, h("tr", {}, ["Link", "Endpoint", "State"].map((n) => h("th", { scope: "col" }, n)), ["Round trip", "In flight"].map((n) => h("th", { scope: "col", class: "right" }, n)))), rows),
			h("dl", { class: "facts wide" }, h("dt", {}, "Acknowledged"), sent, h("dt", {}, "Dropped"), dropped, h("dt", {}, "Refused for good"), dead)),
		spool.element);
	return {
		element,
		update(u) {
			badge(state, u.state);
			text(words, sentence(u.words));
			updateLinks(u.links);
			text(sent, `${rate(u.acked_per_s)} a second`);
			const n = (u.dropped ?? []).reduce((sum, d) => sum + d.count, 0);
			text(dropped, n ? plural(n, "message") : "none");
			text(dead, u.dead?.count ? plural(u.dead.count, "message") : "none");
			spool.update(u);
		},
	};
}

function badge(element, state, name) {
	element.className = `state ${level(state)}`;
	text(element, name ?? nameOf(state));
}

function linkRow(first) {
	const endpoint = h("span", {}), words = h("span", { class: "muted words" }), state = h("span", {});
	const trip = h("td", { class: "right number", "data-name": "Round trip" }), flight = h("td", { class: "right number", "data-name": "In flight" });
	const element = h("tr", {},
		h("td", { class: "title", title: first.id }, shortLink(first.id), h("span", { class: "muted" }, first.down ? " down" : " up")),
		h("td", { class: "where", "data-name": "Endpoint" }, endpoint, words), h("td", { class: "is", "data-name": "State" }, state), trip, flight);
	return {
		element,
		update(l) {
			text(endpoint, hostOf(l.endpoint) || "–");
			endpoint.title = l.endpoint ?? "";
			badge(state, l.state);
			state.title = `since ${exact(l.since)}`;
			text(words, `${sentence(l.words)} For ${duration(l.lasting)}.${l.hint ? ` ${sentence(l.hint)}` : ""}`.trim());
			text(trip, l.rtt ? milliseconds(l.rtt) : "–");
			text(flight, number(l.in_flight));
		},
	};
}

// spoolCard shows what waits, how long it takes, and how much room is left.
function spoolCard() {
	const words = h("p", { class: "big" }), more = h("p", { class: "muted" });
	const gauge = h("div", { class: "gauge", role: "meter", "aria-label": "How full the disk's share is", "aria-valuemin": "0", "aria-valuemax": "100" }, h("div", { class: "level" }));
	const ram = h("dd", {}), disk = h("dd", {}), oldest = h("dd", {}), ends = h("dd", {}), endName = h("dt", {}, "Time until full");
	const element = h("section", { class: "card spool" }, h("h2", {}, "Waiting for the cloud"), words, more, gauge,
		h("dl", { class: "facts" }, h("dt", {}, "In RAM"), ram, h("dt", {}, "On disk"), disk, h("dt", {}, "Oldest message"), oldest, endName, ends));
	return {
		element,
		update(u) {
			const s = u.spool, n = s.ram_messages + s.disk_messages;
			text(words, n ? plural(n, "message") : "Nothing");
			text(more, sentence([s.words, s.fault].filter(Boolean).join(". ")));
			const used = s.disk_limit ? Math.min(100, (100 * s.disk_bytes) / s.disk_limit) : 0;
			gauge.setAttribute("aria-valuenow", used.toFixed(0));
			gauge.setAttribute("aria-valuetext", `${bytes(s.disk_bytes)} of ${bytes(s.disk_limit)}`);
			gauge.className = `gauge ${used > 90 ? "trouble" : used > 60 ? "attention" : ""}`;
			gauge.firstChild.style.setProperty("width", `${used}%`);
			text(ram, `${number(s.ram_messages)} (${bytes(s.ram_bytes)})`);
			text(disk, `${number(s.disk_messages)} (${bytes(s.disk_bytes)} of ${bytes(s.disk_limit)})`);
			text(oldest, n ? `${duration(s.oldest_age)} old` : "–");
			const drains = s.drain_seconds !== null && s.drain_seconds !== undefined;
			text(endName, drains ? "Sent in" : "Full in");
			text(ends, drains ? duration(s.drain_seconds) : s.full_seconds === null || s.full_seconds === undefined ? "not at this rate" : duration(s.full_seconds));
		},
	};
}
