import { h } from "./dom.js";

// numbered is a field for a long text with the number of each line beside it:
// {element, field, set(text), mark(lines), jump(line)}.
export function numbered(attributes) {
	let bad = new Set();
	const field = h("textarea", { wrap: "off", spellcheck: "false", autocapitalize: "none", autocomplete: "off", ...attributes });
	const gutter = h("div", { class: "gutter", "aria-hidden": "true" });
	let shown = 0;
	field.addEventListener("input", count);
	field.addEventListener("scroll", () => { gutter.scrollTop = field.scrollTop; });

	function count() {
		const lines = field.value.split("\n").length;
		while (shown > lines) { gutter.lastChild.remove(); shown--; }
		while (shown < lines) gutter.append(h("span", {}, String(++shown)));
		gutter.scrollTop = field.scrollTop;
	}

	function mark(lines) {
		for (const line of bad) gutter.children[line - 1]?.classList.remove("bad");
		bad = new Set(lines.filter((l) => l > 0));
		for (const line of bad) gutter.children[line - 1]?.classList.add("bad");
	}

	function set(text) {
		field.value = text;
		field.scrollTop = field.scrollLeft = 0;
		mark([]);
		count();
	}

	// jump selects a line and brings it into view: browsers do not scroll to what a
	// script selects.
	function jump(line) {
		const lines = field.value.split("\n");
		const start = lines.slice(0, line - 1).reduce((n, l) => n + l.length + 1, 0);
		field.focus({ preventScroll: true });
		field.setSelectionRange(start, start + (lines[line - 1]?.length ?? 0));
		const height = field.scrollHeight / Math.max(1, lines.length);
		field.scrollTop = Math.max(0, (line - 1) * height - field.clientHeight / 2);
		field.scrollLeft = 0;
		field.scrollIntoView({ block: "nearest" });
	}
	count();
	return { element: h("div", { class: "numbered" }, gutter, field), field, set, mark, jump };
}
