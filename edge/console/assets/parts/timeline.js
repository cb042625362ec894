// What became of the links, drawn: a row for each, with the endpoint it was at.
import { h, put, text } from "./dom.js";
import { list } from "./list.js";
import { duration, plural } from "./format.js";
import { clockOf } from "./plot.js";
import { nodeOf, shortLink } from "./words.js";

const seconds = (t) => Date.parse(t) / 1000;

// spansOf makes of the events of a link what it was, from began to now: [{from, to,
// is: "up"|"slow"|"down"|"", endpoint}]; "" is what nobody knows.
export function spansOf(events, began, now) {
	const all = [];
	let from = began, is = "", endpoint = "";
	const close = (to) => { if (to > from || is === "down") all.push({ from, to, is, endpoint }); from = Math.max(from, to); };
	for (const e of events) {
		const next = becomes[e.kind];
		if (next === undefined) continue;
		close(Math.min(now, Math.max(began, seconds(e.time) || began))); // the clock may have jumped
		is = next;
		endpoint = next === "down" ? "" : e.endpoint;
	}
	close(now);
	return all;
}

const becomes = { up: "up", failover: "up", return: "up", recover: "up", slow: "slow", down: "down", fault: "down", move: "down", stop: "down" };

// pausesOf are the times in which the cloud refused the messages of a route.
export function pausesOf(events, began, now) {
	const all = [], open = new Map();
	for (const e of events) {
		const t = Math.min(now, Math.max(began, seconds(e.time) || began));
		if (e.kind === "pause" && !open.has(e.route)) open.set(e.route, { from: t, to: now, route: e.route, is: "paused" });
		else if (e.kind === "resume" && open.has(e.route)) { all.push({ ...open.get(e.route), to: t }); open.delete(e.route); }
	}
	return [...all, ...open.values()];
}

// timeline returns {element, update({links, events, from, began, now})}.
export function timeline() {
	const rows = h("div", { class: "rows" }), axis = h("div", { class: "axis number", "aria-hidden": "true" }), legend = h("ul", { class: "legend" });
	const update = list(rows, (r) => r.id, row);
	return {
		element: h("div", { class: "timeline" }, rows, axis, legend),
		update({ links, events, from, began, now }) {
			const known = new Map();
			for (const l of links) known.set(l.id, l);
			for (const e of events) if (e.link && !known.has(e.link)) known.set(e.link, { id: e.link, former: true });
			const all = [...known.values()].map((l) => {
				const mine = events.filter((e) => e.link === l.id);
				const spans = mine.length ? spansOf(mine, began, now) : [{ from: began, to: now, is: isOf(l), endpoint: l.endpoint }];
				return { ...l, from, now, spans, pauses: pausesOf(mine, began, now) };
			});
			const places = [...new Set([...links.map((l) => l.endpoint), ...events.flatMap((e) => [e.endpoint])].filter(Boolean))].sort();
			update(all.map((r) => ({ ...r, places })));
			drawAxis(axis, from, now);
			drawLegend(legend, places, all);
		},
	};
}

const isOf = (l) => (l.flowing ? "up" : l.state === "slow" ? "slow" : "down");

// lineOf is the colour of an endpoint, the same in all drawings.
export const lineOf = (places, endpoint) => Math.max(0, places.indexOf(endpoint)) % 6;

function row(first) {
	const title = h("span", { class: "link", title: first.id }, h("strong", {}, shortLink(first.id)), h("span", { class: "muted" }, first.down ? " down" : first.former ? " former" : " up"));
	const track = h("div", { class: "track", role: "img" });
	const words = h("span", { class: "muted share number" });
	let shown = "";
	return {
		element: h("div", { class: "row" }, title, track, words),
		update(r) {
			const told = tell(r);
			text(words, told.short);
			track.setAttribute("aria-label", `${shortLink(r.id)}: ${told.long}`);
			const bars = [...visible(r.spans, r), ...visible(r.pauses, r)];
			const next = JSON.stringify(bars.map((b) => [b.is, b.endpoint, b.left.toFixed(2), b.width.toFixed(2)]));
			if (next === shown) return;
			shown = next;
			put(track, bars.map((b) => h("span", {
				class: `bar ${b.is}${b.width < 2 ? " thin" : ""}${b.endpoint ? ` line-${lineOf(r.places, b.endpoint)}` : ""}`,
				style: { left: `${b.left}%`, width: `${b.width}%` },
				title: `${clockOf(b.from)} to ${b.to >= r.now ? "now" : clockOf(b.to)}: ${nameOf(b)}, ${duration(b.to - b.from)}`,
			}, b.width > 14 && b.is !== "paused" && h("span", {}, b.endpoint ? nodeOf(b.endpoint) : ""))));
		},
	};
}

const nameOf = (b) => ({ up: `connected to ${nodeOf(b.endpoint)}`, slow: `slow: ${nodeOf(b.endpoint)}`, down: "no connection", paused: `the cloud refuses ${b.route}` })[b.is] ?? "not known";

// visible gives what is in the time shown its place in percent; what is short can be seen too.
function visible(spans, { from, now }) {
	const all = now - from;
	return spans.filter((s) => s.to > from && s.is).map((s) => {
		const left = (Math.max(s.from, from) - from) / all * 100;
		return { ...s, left, width: Math.max((Math.min(s.to, now) - from) / all * 100 - left, 0.12) };
	});
}

// tell says in words what a row shows.
function tell({ spans, pauses, from, now }) {
	const inside = spans.filter((s) => s.to > from && s.is).map((s) => ({ ...s, from: Math.max(s.from, from) }));
	const sum = (is) => inside.filter((s) => s.is === is).reduce((n, s) => n + s.to - s.from, 0);
	const good = sum("up") + sum("slow"), bad = sum("down"), breaks = inside.filter((s, i) => s.is === "down" && inside[i - 1]?.is !== "down" && i > 0).length;
	if (!inside.length) return { short: "", long: "nothing is known of this time" };
	const share = good + bad > 0 ? good / (good + bad) : 0;
	const short = bad === 0 ? "100 %" : `${Math.min(99.9, Math.floor(share * 1000) / 10)} %`;
	const last = inside.at(-1);
	const parts = [`${nameOf(last)} since ${clockOf(last.from)}`, `connected ${duration(good)} of ${duration(now - inside[0].from)}`];
	if (breaks) parts.push(plural(breaks, "interruption"));
	if (sum("slow")) parts.push(`slow for ${duration(sum("slow"))}`);
	for (const p of pauses.filter((p) => p.to > from)) parts.push(`the cloud refused the messages of ${p.route} from ${clockOf(p.from)} to ${p.to >= now ? "now" : clockOf(p.to)}`);
	return { short, long: parts.join(", ") };
}

// drawAxis puts clock times below the rows.
function drawAxis(axis, from, now) {
	const steps = 6, width = now - from; // every other one is left out where it is narrow
	put(axis, Array.from({ length: steps + 1 }, (_, i) => h("span", { style: { left: `${(i / steps) * 100}%` } }, i === steps ? "now" : clockOf(from + (width * i) / steps, width))));
}

function drawLegend(legend, places, rows) {
	const any = (is) => rows.some((r) => r.spans.some((s) => s.is === is && s.to > r.from)) || (is === "paused" && rows.some((r) => r.pauses.some((p) => p.to > r.from)));
	const entries = [...places.map((p) => [`up line-${lineOf(places, p)}`, nodeOf(p), p]),
		...[["slow", "slow"], ["down", "no connection"], ["paused", "messages refused"]].filter(([is]) => any(is)).map(([is, words]) => [is, words, words])];
	const next = JSON.stringify(entries);
	if (legend.dataset.shown === next) return;
	legend.dataset.shown = next;
	put(legend, entries.map(([is, words, more]) => h("li", { title: more }, h("span", { class: `swatch bar ${is}`, "aria-hidden": "true" }), words)));
}
