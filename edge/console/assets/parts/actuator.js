import { h, put, text } from "./dom.js";
import { sentence } from "./net.js";

const words = { ON: "On", OFF: "Off", TOGGLE: "Toggle", OPEN: "Open", CLOSE: "Close" };
const shows = { ON: "ON", OFF: "OFF", OPEN: "OPEN", CLOSE: "CLOSED" }; // the state that a command leads to
const good = { ON: "is on", OFF: "is off", OPEN: "is open", CLOSED: "is closed" };
const patience = 5000; // ms until it is said that the state is not what was asked for

// actuatorCard shows what an actuator does, as it says itself, and lets who may do so
// command it. Returns {element, update(actuator), end()}.
export function actuatorCard(app, first) {
	let asked = null, timer = 0, now = first;
	const state = h("span", { class: "state" }), note = h("p", { class: "muted", role: "status" });
	const buttons = first.commands.map((c) => h("button", { type: "button", "data-command": c, "aria-label": `${words[c] ?? c}: ${first.name}`, onclick: () => command(c) }, words[c] ?? c));
	const group = h("div", { class: "switches", role: "group", "aria-label": `Switch ${first.name}` }, buttons);
	const dimmer = first.kind === "dimmer" && h("input", { type: "range", min: 0, max: 100, step: 1, value: 50, "aria-label": `Brightness of ${first.name} in percent`, onchange: (e) => command(e.target.value) });
	const show = () => {
		const may = app.role === "admin" && now.available;
		state.className = `state ${now.available ? (now.state === "ON" || now.state === "OPEN" ? "well" : "") : "trouble"}`;
		text(state, now.available ? good[now.state] ?? (now.state || "not known") : "not there");
		for (const b of buttons) {
			b.disabled = !may;
			if (shows[b.dataset.command]) b.setAttribute("aria-pressed", String(now.available && shows[b.dataset.command] === now.state));
		}
		if (dimmer) dimmer.disabled = !may;
		text(note, why());
	};
	const why = () => {
		if (!now.available) return sentence(now.words);
		if (asked?.late) return `Asked for ${asked.word}, and it ${good[now.state] ?? "has not said what it does"} still: it may keep a least time between two switches.`;
		if (asked) return `Asked for ${asked.word}…`;
		return app.role === "admin" ? "" : "You may look only: who may change things can switch it.";
	};

	async function command(c) {
		clearTimeout(timer);
		const want = c === "TOGGLE" ? (now.state === "ON" ? "OFF" : now.state === "OFF" ? "ON" : "") : shows[c] ?? "";
		asked = { word: words[c] ?? `${c} %`, want, late: false };
		show();
		try {
			await app.api("POST", `/v1/actuators/${encodeURIComponent(first.name)}`, { command: String(c) });
			timer = setTimeout(() => { if (asked) { asked = asked.want && asked.want !== now.state ? { ...asked, late: true } : null; show(); } }, patience);
		} catch (e) {
			asked = null;
			show();
			app.fail(e);
		}
	}
	return {
		element: h("li", { class: "actuator" },
			h("div", { class: "row" }, h("h3", { class: "long" }, first.name), h("span", { class: "muted" }, first.kind), h("span", { class: "right" }, state)),
			group, dimmer, note, h("p", { class: "muted topic" }, "Topic ", h("code", { class: "long" }, first.command))),
		update(a) {
			now = a;
			if (asked?.want && asked.want === a.state) { asked = null; clearTimeout(timer); }
			show();
		},
		end: () => clearTimeout(timer),
	};
}
