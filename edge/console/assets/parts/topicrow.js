import { h, text } from "./dom.js";
import { plural } from "./format.js";
import { preview } from "./payload.js";

const calm = matchMedia("(prefers-reduced-motion: reduce)");

// comma parts what a screen reader reads in one.
const comma = () => h("span", { class: "visually-hidden comma" }, ", ");

// topicRow is a line of the tree.
export function topicRow(topic, name, depth) {
	const mark = h("span", { class: "twist", "aria-hidden": "true" });
	const count = h("span", { class: "muted count" }), value = h("span", { class: "last mono" });
	const retained = h("span", { class: "kept", title: "Retained: the gateway keeps it for whoever comes later" }, "retained");
	const title = name === "" ? h("em", { class: "muted" }, "no name") : name;
	const element = h("li", { role: "treeitem", tabindex: "-1", "aria-level": depth + 1, "aria-selected": "false", class: "twig", title: topic, style: { "--depth": depth } },
		mark, h("span", { class: "name" }, title), comma(), count, comma(), value, comma(), retained);
	const commas = [...element.querySelectorAll(".comma")];
	let shown = null, at = 0, of = 0;
	return {
		element, mark,
		// place says which of how many the row is on its level.
		place(i, n) {
			if (i !== at) element.setAttribute("aria-posinset", at = i);
			if (n !== of) element.setAttribute("aria-setsize", of = n);
		},
		// show brings the row up to date; a value that is new lights up.
		show(item, open) {
			const line = preview(item.value), time = item.value?.time ?? null;
			text(count, item.children ? plural(item.children, "topic") : "");
			text(value, line);
			value.classList.toggle("words", !item.value?.size || item.value.encoding !== "text");
			retained.hidden = !item.value?.retained;
			[count.textContent, line, !retained.hidden].forEach((has, i) => { commas[i].hidden = !has; });
			if (item.children) element.setAttribute("aria-expanded", String(open));
			else element.removeAttribute("aria-expanded");
			if (shown !== null && time !== shown && !calm.matches) value.animate?.([{ background: "var(--soft)" }, { background: "transparent" }], 1600);
			shown = time ?? "";
		},
	};
}

// moreRow stands for what is not shown of a level yet.
export function moreRow(depth) {
	const element = h("li", { role: "treeitem", tabindex: "-1", "aria-level": depth + 1, class: "twig more-topics", style: { "--depth": depth } });
	return { element, show: (left, step) => text(element, `Show ${left > step ? `${step} more of ${left}` : `the other ${left}`}`) };
}
