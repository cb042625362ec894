import { h, put, text } from "../parts/dom.js";
import { list } from "../parts/list.js";
import { copyText } from "../parts/secret.js";
import { exact, number, plural, time } from "../parts/format.js";

export const title = "Log";

const most = 1000; // lines that are kept, as many as the gateway keeps
const drawn = 300; // of them shown at a time
const pace = 200; // ms between two drawings

const levels = ["debug", "info", "warn", "error"];
const names = { debug: "detail", info: "info", warn: "warning", error: "error" };
const colours = { warn: "attention", error: "trouble" };

// mount shows the gateway's log as it is written, the newest line first.
export function mount(root, app) {
	let lines = [], waiting = [], shown = [], serial = 0, dropped = 0, paused = false, timer = 0, limit = drawn, fresh = true;
	const level = h("select", { id: "level", onchange: again }, ["Everything", "Info and worse", "Warnings and errors", "Errors"].map((words, i) => h("option", { value: levels[i] }, words)));
	const search = h("input", { type: "search", id: "search", placeholder: "Words, a link, a device", autocomplete: "off", autocapitalize: "none", spellcheck: "false", oninput: again });
	const hold = h("button", { type: "button", onclick: pause }, "Pause");
	const state = h("p", { class: "muted", role: "status" }), count = h("p", { class: "muted number" });
	const rows = h("tbody", {});
	const update = list(rows, (l) => l.key, (l) => ({ element: row(l), update() {} }));
	const table = h("table", { class: "table cards lines", hidden: true }, h("caption", { class: "visually-hidden" }, "Lines of the log, the newest first"),
		h("thead", {}, h("tr", {}, ["Time", "Level", "What happened"].map((n) => h("th", { scope: "col" }, n)))), rows);
	const none = h("p", { class: "empty", hidden: true });
	const more = h("button", { type: "button", onclick: () => { limit += drawn; draw(); } });
	put(root, h("section", { class: "card" },
		h("div", { class: "row picks" },
			h("div", {}, h("label", { for: "level" }, "Show"), level), h("div", { class: "wide" }, h("label", { for: "search" }, "With the words"), search),
			h("div", { class: "row" }, hold, h("button", { type: "button", onclick: () => copyText(app, written(), table) }, "Copy"), h("button", { type: "button", onclick: save }, "Download"))),
		h("div", { class: "row heard" }, count, state), table, none, h("p", { class: "row" }, more)));

	// Every connection begins with all lines that the gateway has.
	const close = app.stream("/v1/log?follow=1", {
		onOpen() { fresh = true; later(); },
		line(l) {
			if (fresh) { lines = []; waiting = []; fresh = false; }
			waiting.push({ ...l, key: ++serial, words: [l.message, l.level, ...Object.entries(l.fields).map(([k, v]) => `${k}=${v}`)].join(" ").toLowerCase() });
			later();
		},
		dropped(d) { dropped += d.count; later(); },
	});

	const later = () => { timer ||= setTimeout(draw, pace); };

	function again() {
		limit = drawn;
		draw();
	}

	const wants = () => {
		const least = levels.indexOf(level.value), words = search.value.trim().toLowerCase().split(/\s+/);
		return (l) => levels.indexOf(l.level) >= least && words.every((w) => l.words.includes(w));
	};

	function draw() {
		clearTimeout(timer);
		timer = 0;
		if (!paused && waiting.length) {
			lines = [...waiting.reverse(), ...lines].slice(0, most);
			waiting = [];
		}
		if (waiting.length > most) waiting = waiting.slice(-most);
		shown = lines.filter(wants());
		update(shown.slice(0, limit));
		table.hidden = shown.length === 0;
		none.hidden = shown.length > 0 || (fresh && !lines.length);
		text(none, lines.length ? "No line is like that." : "Nothing was written yet.");
		more.hidden = shown.length <= limit;
		text(more, `Show ${number(Math.min(drawn, shown.length - limit))} older lines`);
		text(count, fresh && !lines.length ? "" : [shown.length === lines.length ? plural(lines.length, "line") : `${number(shown.length)} of ${plural(lines.length, "line")}`,
			dropped > 0 && `${number(dropped)} were left out, too many for this page`].filter(Boolean).join("; "));
		text(state, paused ? "Paused." : "");
		text(hold, !paused ? "Pause" : waiting.length ? `Go on, ${number(waiting.length)} new` : "Go on");
	}

	function pause() {
		paused = !paused;
		draw();
	}

	// written is what is shown, the oldest line first, as in a file.
	const written = () => shown.toReversed().map((l) => `${[l.time ?? "-", l.level.toUpperCase().padEnd(5), l.message, ...fieldsOf(l).map(([k, v]) => `${k}=${/[\s"=]/.test(v) || !v ? JSON.stringify(v) : v}`)].join(" ")}\n`).join("");

	function save() {
		const at = URL.createObjectURL(new Blob([written()], { type: "text/plain" }));
		const day = String(app.status?.time ?? new Date().toISOString()).slice(0, 19).replaceAll(":", "");
		h("a", { href: at, download: `${app.gateway || "tidegate"}-${day}.log` }).click();
		setTimeout(() => URL.revokeObjectURL(at), 10_000);
	}
	draw();
	return () => { close(); clearTimeout(timer); };
}

const fieldsOf = (l) => Object.entries(l.fields).sort(([a], [b]) => (a < b ? -1 : 1));

function row(l) {
	const known = names[l.level] ?? l.level;
	return h("tr", { class: `line ${colours[l.level] ?? ""}` },
		h("td", { class: "number when", "data-name": "Time", title: exact(l.time) }, time(l.time)),
		h("td", { "data-name": "Level" }, colours[l.level] ? h("span", { class: `state ${colours[l.level]}` }, known) : h("span", { class: "muted" }, known)),
		h("td", { class: "said-what long" }, h("span", { class: "message" }, l.message), fieldsOf(l).map(([k, v]) => [" ", h("span", { class: "field mono" }, h("span", { class: "muted" }, `${k}=`), v)])));
}
