import { h, put, text } from "./dom.js";
import { list } from "./list.js";
import { past } from "./past.js";
import { chart, clockOf, extent } from "./plot.js";
import { lineOf } from "./timeline.js";
import { milliseconds, number, rate } from "./format.js";
import { nodeOf } from "./words.js";

const trip = (s) => milliseconds(s);

// latencyCard draws the round trip to each endpoint. Its table says the same.
// Returns {element, update(history), tick(uplink, now, range, places), end()}.
export function latencyCard() {
	let drawing = null, names = [], kept = {}, memory = past(), live = [];
	const place = h("div", {}), rows = h("tbody", {});
	const update = list(rows, (r) => r.name, row);
	const table = h("table", { class: "table summary" }, h("caption", { class: "visually-hidden" }, "Round trip to each endpoint"),
		h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Endpoint"), ["Now", "Least", "Mean", "Most"].map((n) => h("th", { scope: "col", class: "right" }, n)))), rows);
	const element = h("section", { class: "card latency" }, h("h2", {}, "Round trip"), h("p", { class: "muted lead" }, "From a message to its acknowledgement."), place, table);

	// rebuild makes the drawing for other endpoints.
	const rebuild = (next, places) => {
		names = next;
		drawing?.end();
		memory = past();
		drawing = chart({ label: "Round trip to each endpoint", zero: true, format: trip, series: names.map((n) => ({ label: nodeOf(n), color: `--line-${lineOf(places, n)}` })) });
		put(place, drawing.element);
		for (const [t, at] of live) memory.seen(t, names.map((n) => at[n] ?? null));
		if (kept.start) memory.minutes(kept.start, kept.step, names.map((n) => kept.endpoints[n] ?? []));
	};
	return {
		element,
		update({ latency }) {
			kept = latency;
			memory.minutes(latency.start, latency.step, names.map((n) => latency.endpoints[n] ?? []));
		},
		tick(u, now, range, places) {
			const next = [...new Set([...names, ...Object.keys(kept.endpoints ?? {}), ...u.links.map((l) => l.endpoint)])].filter(Boolean).sort();
			if (next.join() !== names.join() || !drawing) rebuild(next, places);
			const trips = tripsOf(u.links);
			live = [...live.slice(-120), [now, trips]];
			memory.seen(now, names.map((n) => trips[n] ?? null));
			const data = memory.data(), from = now - range;
			const told = names.map((n, i) => ({ name: n, line: lineOf(places, n), is: extent(data, i + 1, from), now: data[i + 1]?.at(-1) ?? null }));
			update(told);
			drawing.update(from, now, data, told.map((r) => `${nodeOf(r.name)}: ${r.is ? `${trip(r.is.least)} to ${trip(r.is.most)}` : "nothing was sent there"}`).join("; "));
		},
		end: () => drawing?.end(),
	};
}

// tripsOf is the round trip to each endpoint now, of the links that send.
function tripsOf(links) {
	const all = {};
	for (const l of links) if ((!l.down || links.length === 1) && l.flowing && l.rtt > 0) (all[l.endpoint] ??= []).push(l.rtt);
	return Object.fromEntries(Object.entries(all).map(([name, v]) => [name, v.reduce((sum, x) => sum + x, 0) / v.length]));
}

function row(first) {
	const swatch = h("span", { class: "swatch", "aria-hidden": "true" });
	const cells = ["Now", "Least", "Mean", "Most"].map((name) => h("td", { class: "right number", "data-name": name }));
	return {
		element: h("tr", {}, h("th", { scope: "row", class: "long", title: first.name }, swatch, nodeOf(first.name)), cells),
		update(r) {
			swatch.className = `swatch line-${r.line}`;
			[r.now, r.is?.least, r.is?.mean, r.is?.most].forEach((v, i) => text(cells[i], v === null || v === undefined ? "–" : trip(v)));
		},
	};
}

// flowCards draw what came from the home, what went to the cloud, and what waited.
// Returns {elements, update(history), tick(status, uplink, now, range), end()}.
export function flowCards() {
	const flow = chart({ label: "Messages a second", zero: true, format: rate, series: [{ label: "from the home", color: "--line-1" }, { label: "to the cloud", color: "--line-0", fill: true }] });
	const waits = chart({ label: "Messages that wait for the cloud", zero: true, format: short, series: [{ label: "waiting", color: "--line-2", fill: true }] });
	const flowWords = h("p", { class: "muted summary" }), waitWords = h("p", { class: "muted summary" });
	const memory = past();
	const swatch = (n, words) => h("li", {}, h("span", { class: `swatch line-${n}`, "aria-hidden": "true" }), words);
	return {
		elements: [
			h("section", { class: "card" }, h("h2", {}, "Messages a second"), flow.element, h("ul", { class: "legend" }, swatch(1, "from the home"), swatch(0, "acknowledged by the cloud")), flowWords),
			h("section", { class: "card" }, h("h2", {}, "Waiting for the cloud"), waits.element, waitWords),
		],
		update: ({ flow: f }) => memory.minutes(f.start, f.step, [f.home_in, f.up_acked, f.spool_messages]),
		tick(s, u, now, range) {
			memory.seen(now, [s.home.in_per_s, u.acked_per_s, u.spool.ram_messages + u.spool.disk_messages]);
			const data = memory.data(), from = now - range;
			const [home, cloud, waiting] = [1, 2, 3].map((i) => extent(data, i, from));
			const said = home && cloud ? `From the home ${rate(home.last)} a second now, ${rate(home.most)} at most; to the cloud ${rate(cloud.last)} now, ${rate(cloud.most)} at most.` : "";
			const wait = waiting ? (waiting.most > 0 ? `${number(waiting.last)} now; ${number(waiting.most)} at most, at ${clockOf(waiting.mostAt)}.` : "Nothing had to wait in this time.") : "";
			text(flowWords, said);
			text(waitWords, wait);
			flow.update(from, now, data.slice(0, 3), said);
			waits.update(from, now, [data[0], data[3]], wait);
		},
		end() { flow.end(); waits.end(); },
	};
}

// short writes a count beside a scale: 12000 -> 12k
function short(n) {
	for (const [size, unit] of [[1e6, "M"], [1e3, "k"]]) if (Math.abs(n) >= 10 * size || (Math.abs(n) >= size && n % (size / 10) === 0)) return `${Math.round(n / size * 10) / 10}${unit}`;
	return Number.isInteger(n) ? String(n) : "";
}
