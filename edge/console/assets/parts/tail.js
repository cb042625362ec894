import { h, put, text } from "./dom.js";
import { list } from "./list.js";
import { exact, number, plural, time } from "./format.js";
import { preview, readable } from "./payload.js";

const most = 200; // messages that are shown
const pace = 250; // ms between two drawings

// tailCard shows messages as they come, the newest first. It listens when somebody
// asks it to; what comes while it is paused is counted, not kept.
export function tailCard(app) {
	let close = null, open = false, heard = [], waiting = [], serial = 0, count = 0, dropped = 0, passed = 0, paused = false, timer = 0, filter = "";
	const field = h("input", { id: "filter", value: "#", required: true, autocomplete: "off", autocapitalize: "none", spellcheck: "false", "aria-describedby": "filter-words" });
	const begin = h("button", { class: "main" }, "Listen"), hold = h("button", { type: "button", onclick: pause }, "Pause");
	const end = h("button", { type: "button", onclick: stop }, "Stop"), clear = h("button", { type: "button", onclick: empty }, "Clear");
	const state = h("p", { class: "muted", role: "status" }), counts = h("p", { class: "muted number" }), problem = h("p", { class: "problem", role: "alert" });
	const rows = h("ol", { class: "tail", tabindex: "0", "aria-label": "Messages, the newest first" });
	const update = list(rows, (m) => m.key, (m) => ({ element: row(m), update() {} }));
	const bar = h("div", { class: "row heard" }, state, h("span", { class: "row right" }, hold, clear, end));
	const element = h("section", { class: "card", "aria-labelledby": "live" }, h("h2", { id: "live" }, "Live messages"),
		h("form", { onsubmit: (e) => { e.preventDefault(); listen(field.value.trim()); } },
			h("label", { for: "filter" }, "Topics"), h("div", { class: "row" }, field, begin),
			h("p", { class: "muted", id: "filter-words" }, "+ stands for one level, # for all that follow: home/+/temperature, home/#")),
		problem, bar, counts, rows);
	show();

	async function listen(wanted) {
		stop();
		put(problem);
		field.value = filter = wanted;
		if (!fits(wanted)) {
			put(problem, "This is no filter: # comes last, and + and # stand alone between slashes.");
			field.focus();
			return;
		}
		empty();
		paused = false;
		close = app.stream(`/v1/tail?${new URLSearchParams({ filter: wanted })}`, {
			message, dropped: (d) => { dropped += d.count; later(); },
			onOpen: () => { open = true; show(); }, onLost: () => { open = false; show(); },
		});
		show();
	}

	function message(m) {
		count++;
		if (paused) passed++;
		else {
			waiting.push({ ...m, key: ++serial });
			if (waiting.length > most) waiting.shift();
		}
		later();
	}

	const later = () => { timer ||= setTimeout(draw, pace); };

	function draw() {
		timer = 0;
		if (waiting.length) {
			heard = [...waiting.reverse(), ...heard].slice(0, most);
			waiting = [];
			update(heard);
		}
		text(counts, !count && !dropped ? "" : [
			`${plural(count, "message")} came`, count > most && `the last ${most} are kept`,
			paused && passed > 0 && `${number(passed)} while paused, not shown`,
			dropped > 0 && `${number(dropped)} more were left out, too many for this page`,
		].filter(Boolean).join("; "));
	}

	function pause() {
		paused = !paused;
		passed = 0;
		show();
		draw();
	}

	function stop() {
		const mine = document.activeElement === end || document.activeElement === hold;
		close?.();
		close = null;
		open = false;
		show();
		if (mine) begin.focus();
	}

	function empty() {
		heard = [];
		waiting = [];
		count = dropped = passed = 0;
		update(heard);
		draw();
		show();
	}

	function show() {
		hold.hidden = end.hidden = !close;
		bar.hidden = !close && !heard.length;
		text(hold, paused ? "Go on" : "Pause");
		text(state, !close ? "" : !open ? "Waiting for the gateway" : paused ? `Paused: ${filter}` : `Listening to ${filter}`);
	}
	return {
		element,
		listen(wanted) {
			element.scrollIntoView({ block: "nearest" });
			listen(wanted);
		},
		close() { close?.(); clearTimeout(timer); },
	};
}

// fits says whether a filter of topics is one, as MQTT 5 section 4.7.1 has it.
function fits(filter) {
	const levels = filter.split("/");
	return filter !== "" && levels.every((l, i) => (l === "#" ? i === levels.length - 1 : l === "+" || !/[+#]/.test(l)));
}

function row(m) {
	const { kind, text: whole } = readable(m), line = preview(m);
	const long = whole && (whole !== line || line.length > 80);
	const first = [h("span", { class: `last mono ${m.encoding === "text" && m.size ? "" : "words"}` }, line)];
	return h("li", {},
		h("div", { class: "row" }, h("span", { class: "muted number", title: exact(m.time) }, time(m.time)), h("span", { class: "long mono to" }, m.topic),
			m.retain && h("span", { class: "kept" }, "retained"), h("span", { class: "muted right" }, `${m.from || "the gateway"}, QoS ${m.qos}`)),
		long ? h("details", {}, h("summary", {}, first), h("pre", { class: "payload", tabindex: "0", "aria-label": `Message to ${m.topic}` }, whole), h("p", { class: "muted" }, kind)) : first);
}
