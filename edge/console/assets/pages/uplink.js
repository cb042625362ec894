import { h, put, text } from "../parts/dom.js";
import { list } from "../parts/list.js";
import { deadLetters, drops } from "../parts/dead.js";
import { events } from "../parts/events.js";
import { often } from "../parts/often.js";
import { ranges } from "../parts/ranges.js";
import { timeline } from "../parts/timeline.js";
import { flowCards, latencyCard } from "../parts/uplinkcharts.js";
import { sentence } from "../parts/net.js";
import { level, nameOf } from "../parts/words.js";

export const title = "Uplink";

// mount shows the day of one uplink: #/uplink/NAME, or the first.
export function mount(root, app) {
	let end = null, shown = null;
	const stop = app.onStatus((s) => {
		const name = s.uplinks.some((u) => u.name === app.rest) ? app.rest : s.uplinks[0]?.name ?? "";
		const next = JSON.stringify([name, s.uplinks.map((u) => u.name)]);
		if (next === shown) return;
		shown = next;
		end?.();
		end = name ? showUplink(root, app, name, s.uplinks.map((u) => u.name)) : showNone(root);
	});
	return () => { stop(); end?.(); };
}

function showNone(root) {
	put(root, h("section", { class: "card" }, h("p", {}, "No cloud is configured: messages stay at home. A section [[uplink]] in the configuration connects one; the command ", h("code", {}, "tidegate init"), " asks what it needs.")));
	return null;
}

function showUplink(root, app, name, names) {
	let history = { events: [], latency: { endpoints: {} }, flow: {} }, mark = "", frame = 0;
	const state = h("span", {}), words = h("p", { class: "lead", role: "status" });
	const paused = h("ul", { class: "findings" });
	const updatePaused = list(paused, (r) => `${r.down} ${r.filter}`, pausedRoute);
	const problem = h("p", { class: "problem", role: "alert" });
	const choice = ranges(() => tick(true));
	const line = timeline(), happened = events(), latency = latencyCard(), flow = flowCards(), lost = drops(), dead = deadLetters(app, name);
	put(root,
		names.length > 1 && h("div", { class: "row chooser" }, h("label", { for: "uplink" }, "Cloud"),
			h("select", { id: "uplink", onchange: (e) => { location.hash = `#/uplink/${encodeURIComponent(e.target.value)}`; } }, names.map((n) => h("option", { value: n, selected: n === name }, n)))),
		h("section", { class: "card" },
			h("div", { class: "row" }, h("h2", {}, name === "cloud" ? "Links to the cloud" : `Links to ${name}`), state, h("span", { class: "right" }, choice.element)),
			words, paused, problem, line.element),
		h("div", { class: "grid wide" }, latency.element, flow.elements),
		lost.element, dead.element, happened.element);

	const reader = often(60_000, async () => {
		try {
			history = await app.api("GET", `/v1/history?${new URLSearchParams({ uplink: name })}`);
			put(problem);
			happened.update(history.events);
			latency.update(history);
			flow.update(history);
			tick(true);
		} catch (e) {
			if (e.status !== 0 && e.status !== 401) put(problem, [e.message, e.hint].join(" "));
		}
	}, 2000);

	// tick shows what is known now; the drawings every two seconds at most.
	function tick(all) {
		const s = app.status, u = s?.uplinks.find((x) => x.name === name);
		if (!u || (!all && frame++ % 2)) return;
		const now = Date.parse(s.time) / 1000, began = now - s.uptime, range = choice.of(s.uptime);
		const places = [...new Set([...u.links.map((l) => l.endpoint), ...history.events.map((e) => e.endpoint), ...Object.keys(history.latency.endpoints)])].filter(Boolean).sort();
		line.update({ links: u.links, events: history.events, from: now - range, began, now });
		latency.tick(u, now, range, places);
		flow.tick(s, u, now, range);
	}
	const stop = app.onStatus((s) => {
		const u = s.uplinks.find((x) => x.name === name);
		if (!u) return;
		state.className = `state ${level(u.state)}`;
		text(state, nameOf(u.state));
		text(words, sentence(u.words));
		updatePaused(u.routes.filter((r) => r.paused));
		lost.update(u);
		dead.update(u);
		const next = JSON.stringify([u.links.map((l) => [l.id, l.state, l.endpoint, l.reconnects, l.failovers]), u.routes.map((r) => r.paused)]);
		if (mark && next !== mark) reader.again();
		mark = next;
		tick(false);
	});
	return () => { stop(); reader.end(); dead.end(); latency.end(); flow.end(); };
}

function pausedRoute(r) {
	return { element: h("li", { class: "attention" }, h("strong", {}, "The cloud refuses the messages of ", h("code", { class: "long" }, r.filter), "; they are kept here."), r.words && ` ${sentence(r.words)}`), update() {} };
}
