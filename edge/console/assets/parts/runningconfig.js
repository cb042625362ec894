import { h, put, text } from "./dom.js";
import { copyText } from "./secret.js";
import { plural } from "./format.js";
import { isComment, sectionsOf, settings } from "./toml.js";

// runningConfig shows the configuration that is in force, in sections that can be
// opened and searched. take(text) is given it for the box where one is checked.
export function runningConfig(app, take) {
	let config = { file: "", text: "" }, sections = [], typing = 0, ended = false;
	const file = h("p", { class: "muted long" }, "Asking the gateway…");
	const search = h("input", { type: "search", id: "find", placeholder: "Key or value", autocomplete: "off", spellcheck: "false", oninput: () => { clearTimeout(typing); typing = setTimeout(show, 200); } });
	const found = h("p", { class: "muted", role: "status" });
	const list = h("div", { class: "sections" });
	const fold = h("button", { type: "button", onclick: foldAll }, "Open all");
	const copy = h("button", { type: "button", onclick: copyAll }, "Copy");
	const edit = h("button", { type: "button", onclick: () => take(config.text) }, "Change and check");
	const tools = h("div", { class: "row" }, h("label", { for: "find", class: "visually-hidden" }, "Search the configuration"), search, fold, copy, app.role === "admin" && edit);
	const element = h("section", { class: "card" }, h("h2", {}, "Running configuration"), file, tools, found, list);
	tools.hidden = true;

	async function load() {
		try {
			config = await app.api("GET", "/v1/config");
		} catch (e) {
			if (!ended && e.status !== 401) text(file, [e.message, e.hint].join(" "));
			return;
		}
		if (ended) return;
		tools.hidden = !config.text.trim();
		put(file, tools.hidden
			? "The gateway cannot read its configuration any more."
			: ["From ", h("code", {}, config.file), ". Passwords and keys are not shown."]);
		sections = sectionsOf(config.text).map(one);
		put(list, sections.map((s) => s.element));
		show();
	}

	// show opens what has the words searched for, and hides the rest.
	function show() {
		const words = search.value.trim().toLowerCase();
		let lines = 0, places = 0;
		for (const s of sections) {
			const hits = s.find(words);
			lines += hits;
			places += hits > 0;
		}
		text(found, !words ? "" : lines ? `${plural(lines, "line")} in ${plural(places, "section")}` : `Nothing in the configuration has “${search.value.trim()}”.`);
		name();
	}

	function name() {
		text(fold, sections.some((s) => !s.element.hidden && !s.element.open) ? "Open all" : "Close all");
	}

	function foldAll() {
		const open = sections.some((s) => !s.element.hidden && !s.element.open);
		for (const s of sections) s.element.open = open;
		name();
	}

	// Without HTTPS a browser copies only what can be selected.
	function copyAll() {
		const whole = h("pre", { class: "visually-hidden" }, config.text);
		element.append(whole);
		copyText(app, config.text, whole).finally(() => { whole.remove(); copy.focus(); });
	}

	function one(section) {
		const n = settings(section);
		const body = h("div", { class: "code-lines", role: "group", tabindex: "0", "aria-label": `Lines of ${section.header || "the beginning"}` });
		const element = h("details", { ontoggle: () => { draw(); name(); } },
			h("summary", {}, h("code", {}, section.header || "The beginning"), section.called && section.header.startsWith("[[") && [" ", h("span", { class: "called" }, section.called)],
				h("span", { class: "muted" }, ` ${n ? plural(n, "setting") : "comments only"}`)), body);
		let drawn = null, words = "";
		// draw makes the lines when they are first seen: a configuration may be long.
		function draw() {
			if (!element.open || drawn === words) return;
			drawn = words;
			put(body, seen(section.lines).map((l) => h("div", { class: isComment(l.text) ? "line comment" : "line", "data-line": l.at }, marked(l.text, words))));
		}
		return {
			element,
			find(wanted) {
				const hits = wanted ? section.lines.filter((l) => l.text.toLowerCase().includes(wanted)).length : 0;
				const was = words;
				words = wanted;
				element.hidden = wanted !== "" && hits === 0;
				if (wanted) element.open = hits > 0;
				else if (was) element.open = false;
				draw();
				return hits;
			},
		};
	}
	return { element, load, end: () => { ended = true; clearTimeout(typing); } };
}

// seen leaves out the empty lines at the end.
const seen = (lines) => lines.slice(0, lines.findLastIndex((l) => l.text.trim()) + 1);

// marked is a line with what was searched for set off.
function marked(line, words) {
	if (!words) return line || "\u00a0";
	const parts = [], small = line.toLowerCase();
	let from = 0;
	for (let at = small.indexOf(words); at >= 0; at = small.indexOf(words, from)) {
		parts.push(line.slice(from, at), h("mark", {}, line.slice(at, at + words.length)));
		from = at + words.length;
	}
	parts.push(line.slice(from));
	return line ? parts : "\u00a0";
}
