// The way of the messages, drawn: home, gateway, cloud, and a line for each link.
// Dots run along what flows, faster where more flows; nothing moves where nothing
// does, nor for somebody who has asked for less motion.
import { svg, put, text } from "./dom.js";
import { hostOf, level, nameOf, shortLink } from "./words.js";
import { number, rate } from "./format.js";

const house = "M-15 2 0-12 15 2M-10-2V13H10V-2M-3 13V4H3V13";
const gate = "M-11 4V-5A11 8 0 0 1 11-5V4M0-13V4M-11-4H11M-15 9C-10 9-10 6-5 6S0 9 5 9 10 6 15 6M-15 14C-10 14-10 11-5 11S0 14 5 14 10 11 15 11";
const cloud = "M-10 10A8 8 0 0 1-11-6 11 11 0 0 1 10-7 8.500 8.500 0 0 1 10 10Z";

// drawPath returns {element, update(status), end()}.
export function drawPath() {
	const element = svg("svg", { class: "path", role: "img" });
	let status = null, shape = "", flows = null, before = new Map(), moved = new Set();
	const layout = () => {
		if (!status) return;
		const width = Math.max(260, Math.floor((element.parentNode?.clientWidth ?? 0) - 16));
		const next = JSON.stringify([width, status.uplinks.map((u) => [u.name, u.links.map((l) => [l.id, l.down])])]);
		if (next === shape) return;
		shape = next;
		flows = build(element, width, status);
	};
	// count finds out which links have carried something since the last time.
	const count = () => {
		const seen = new Map(status.uplinks.flatMap((u) => u.links).map((l) => [l.id, l.down ? l.received : l.acked]));
		moved = new Set([...seen.keys()].filter((id) => before.has(id) && seen.get(id) > before.get(id)));
		before = seen;
	};
	const eyes = new ResizeObserver(() => { layout(); if (flows) paint(); });
	const paint = () => {
		flows.home(status.home);
		flows.gateway(status);
		status.uplinks.forEach((u, i) => flows.uplinks[i](u, (l) => moved.has(l.id)));
		const words = describe(status);
		if (element.getAttribute("aria-label") !== words) element.setAttribute("aria-label", words);
	};
	return {
		element,
		update(s) {
			status = s;
			count();
			if (!eyes.watched && element.parentNode) { eyes.observe(element.parentNode); eyes.watched = true; }
			layout();
			if (flows) paint();
		},
		end: () => eyes.disconnect(),
	};
}

function describe(s) {
	const clouds = s.uplinks.map((u) => `${u.name}: ${u.words}, ${u.links.filter((l) => level(l.state) === "well").length} of ${u.links.length} links connected`);
	return `The way of the messages. Home: ${number(s.home.devices)} devices connected. ${clouds.join(". ") || "No cloud is configured"}.`;
}

function build(element, width, s) {
	const narrow = width < 620;
	const r = narrow ? 27 : 40;
	const rows = Math.max(1, s.uplinks.length);
	const lines = Math.max(1, ...s.uplinks.map((u) => u.links.length));
	const rowHeight = narrow ? Math.max(126, lines * 9 + 60) : Math.max(164, lines * 26 + 80);
	const height = rows * rowHeight;
	const middle = height / 2 - (narrow ? 16 : 20);
	const edge = r + (narrow ? 12 : 44);
	const x = [edge, width / 2, width - edge];
	element.setAttribute("viewBox", `0 0 ${width} ${height}`);
	element.setAttribute("width", width);
	element.setAttribute("height", height);
	put(element);
	const home = node(element, x[0], middle, r, house);
	const inward = flow(element, line(x[0] + r + 6, middle - 7, x[1] - r - 6, middle - 7));
	const outward = flow(element, line(x[1] - r - 6, middle + 7, x[0] + r + 6, middle + 7));
	const inRate = label(element, (x[0] + x[1]) / 2, middle - 16);
	const outRate = label(element, (x[0] + x[1]) / 2, middle + 26);
	const center = node(element, x[1], middle, r, gate);
	const uplinks = s.uplinks.map((u, i) => {
		const y = i * rowHeight + rowHeight / 2 - (narrow ? 16 : 20);
		return drawUplink(element, u, { from: [x[1] + r + 6, middle], to: [x[2] - r - 6, y], r, narrow });
	});
	if (!uplinks.length) {
		flow(element, line(x[1] + r + 6, middle, x[2] - r - 6, middle)).set("none", 0);
		node(element, x[2], middle, r, cloud).set("none", narrow ? "No cloud" : "No cloud yet", "");
	}
	return {
		home(h) {
			home.set("well", "Home", narrow ? `${number(h.devices)} conn.` : `${number(h.devices)} connected`);
			inward.set("well", h.in_per_s);
			outward.set("well", h.out_per_s);
			text(inRate, `${rate(h.in_per_s)}/s`);
			text(outRate, `${rate(h.out_per_s)}/s`);
		},
		gateway(now) {
			const waits = now.uplinks.reduce((n, u) => n + u.spool.ram_messages + u.spool.disk_messages, 0);
			center.set(level(now.verdict), narrow ? "Gateway" : now.gateway, waits > 0 ? `${number(waits)} wait` : "nothing waits");
		},
		uplinks,
	};
}

// drawUplink returns a function that shows the state of an uplink.
function drawUplink(element, u, { from, to, r, narrow }) {
	const gap = narrow ? 9 : 26;
	const lines = u.links.map((l, i) => {
		const d = (i - (u.links.length - 1) / 2) * gap;
		const path = l.down ? line(to[0], to[1] + d, from[0], from[1] + d) : line(from[0], from[1] + d, to[0], to[1] + d);
		const one = flow(element, path);
		const mid = [(from[0] + to[0]) / 2, (from[1] + to[1]) / 2 + d];
		return { ...one, tag: narrow ? null : label(element, mid[0], mid[1] - 6, "tag"), cross: svg("path", { class: "cross", d: `M${mid[0] - 4} ${mid[1] - 4}l8 8m0-8l-8 8` }) };
	});
	lines.forEach((l) => element.append(l.cross));
	const top = Math.min(from[1], to[1]) - ((u.links.length - 1) / 2) * gap;
	const amount = label(element, (from[0] + to[0]) / 2, top - (narrow ? 9 : 20));
	const end = node(element, to[0] + 6 + r, to[1], r, cloud);
	return (now, moved) => {
		const worst = level(now.state);
		end.set(worst, "Cloud", nameOf(now.state));
		text(amount, `${rate(now.acked_per_s)}/s`);
		now.links.forEach((l, i) => {
			const is = level(l.state);
			const alive = is === "well" || l.state === "slow";
			lines[i].set(is, moved(l) && alive ? Math.max(1, l.down ? 1 : now.acked_per_s) : 0);
			lines[i].cross.toggleAttribute("hidden", alive);
			lines[i].cross.style.display = alive ? "none" : "";
			if (lines[i].tag) text(lines[i].tag, alive ? `${shortLink(l.id)} ${clip(hostOf(l.endpoint))}` : "");
		});
	};
}

const clip = (s) => (s.length > 26 ? `${s.slice(0, 25)}…` : s);
const line = (x1, y1, x2, y2) => `M${x1} ${y1}L${x2} ${y2}`;

function label(element, x, y, more = "") {
	const t = svg("text", { class: `amount ${more}`, x, y, "text-anchor": "middle" });
	element.append(t);
	return t;
}

// flow is a line; set(level, rate) colours it and lets dots run along it.
function flow(element, d) {
	const track = svg("path", { class: "track", d }), dots = svg("path", { class: "dots", d });
	element.append(track, dots);
	return {
		set(is, perSecond) {
			track.setAttribute("class", `track ${is}`);
			const speed = !(perSecond > 0) ? "" : perSecond > 100 ? "fast" : perSecond > 5 ? "middling" : "gentle";
			const next = `dots ${is} ${speed}`.trim();
			if (dots.getAttribute("class") !== next) dots.setAttribute("class", next);
		},
	};
}

function node(element, x, y, r, icon) {
	const ring = svg("circle", { class: "ring", r });
	const title = svg("text", { class: "name", y: r + 18, "text-anchor": "middle" });
	const words = svg("text", { class: "amount", y: r + 34, "text-anchor": "middle" });
	element.append(svg("g", { transform: `translate(${x} ${y})` }, ring, svg("path", { class: "icon", d: icon, transform: r > 30 ? "scale(1.35)" : "" }), title, words));
	return {
		set(is, name, more) {
			ring.setAttribute("class", `ring ${is}`);
			text(title, name);
			text(words, more);
		},
	};
}
