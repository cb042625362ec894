import { h, put, text } from "./dom.js";
import { list } from "./list.js";
import { confirm } from "./confirm.js";
import { bytes, duration, exact, number, plural, since } from "./format.js";

const refresh = 2000; // ms

// showDevice shows all of one device.
export function showDevice(root, app, id) {
	let timer = 0, ended = false;
	const facts = h("dl", { class: "facts long" });
	const filters = h("ul", { class: "filters" });
	const updateFacts = list(facts, (f) => f[0], fact), updateFilters = list(filters, (s) => s.filter, filter);
	const noFilters = h("p", { class: "muted" }, "It listens to nothing.");
	const problem = h("p", { class: "problem", role: "alert" });
	const state = h("span", { class: "state" });
	const cut = h("button", { type: "button", class: "danger", onclick: disconnect }, "Disconnect");
	put(root,
		h("p", {}, h("a", { href: "#/devices" }, "All devices")),
		h("section", { class: "card" }, h("div", { class: "row" }, h("h2", { class: "long" }, id), state, app.role === "admin" && h("span", { class: "right" }, cut)), problem, facts),
		h("section", { class: "card" }, h("h2", {}, "Listens to"), filters, noFilters));

	async function load() {
		clearTimeout(timer);
		try {
			const d = await app.api("GET", `/v1/devices/${encodeURIComponent(id)}`);
			if (ended) return;
			put(problem);
			show(d);
		} catch (e) {
			if (ended) return;
			if (e.status === 404) {
				put(problem, "This device is not connected, and nothing is kept for it.");
				cut.hidden = true;
				state.hidden = true;
			} else if (e.status !== 0 && e.status !== 401) put(problem, [e.message, e.hint].join(" "));
		}
		if (!ended) timer = setTimeout(load, refresh);
	}

	function show(d) {
		const on = d.connected !== false;
		state.hidden = false;
		state.className = `state ${on ? "well" : ""}`;
		text(state, on ? "connected" : "away");
		cut.hidden = !on;
		updateFacts(factsOf(d, app.status?.time));
		const subs = Array.isArray(d.subscriptions) ? d.subscriptions : [];
		updateFilters(subs);
		noFilters.hidden = subs.length > 0;
	}

	async function disconnect() {
		if (!(await confirm(`Disconnect ${id}?`, { detail: "It may come back at once, as most devices do. To keep it out, remove its user or change its password.", yes: "Disconnect" }))) return;
		try {
			await app.api("POST", `/v1/devices/${encodeURIComponent(id)}/disconnect`, {});
			app.say(`${id} was disconnected.`);
			load();
		} catch (e) {
			app.fail(e);
		}
	}
	load();
	return () => { ended = true; clearTimeout(timer); };
}

function factsOf(d, now) {
	const all = [
		["User", d.user || "none"], ["Address", d.address || "–"], ["Listener", d.listener || "–"],
		["Protocol", [d.protocol, d.transport].filter(Boolean).join(", ")],
		[d.connected === false ? "Away for" : "Connected for", since(d.since, now), exact(d.since)],
		["Messages from it", number(d.received)], ["Messages to it", number(d.sent)],
		["Waiting for it", d.queued ? `${plural(d.queued, "message")}, ${bytes(d.queued_bytes)}` : "nothing"],
		["Sent, not acknowledged", number(d.in_flight)], ["Dropped for it", d.dropped ? plural(d.dropped, "message") : "none"],
		["Keep alive", d.keep_alive ? duration(d.keep_alive) : "none"], ["Session is kept for", d.expiry ? duration(d.expiry) : "as long as it is connected"],
		["Last will", d.will ? `${d.will.topic}, QoS ${d.will.qos}${d.will.retain ? ", retained" : ""}, ${bytes(d.will.payload_size)}` : "none"],
	];
	return all;
}

function fact([name]) {
	const value = h("dd", {});
	const element = h("div", { class: "fact" }, h("dt", {}, name), value);
	return { element, update: ([, v, more]) => { text(value, v); if (more) value.title = more; } };
}

function filter(s) {
	const qos = h("span", { class: "muted" });
	return { element: h("li", {}, h("code", { class: "long" }, s.filter), " ", qos), update: (now) => text(qos, `QoS ${now.qos}`) };
}
