import { h } from "./dom.js";

const hour = 3600; // s
const spans = [[hour / 4, "15 min"], [hour, "1 h"], [6 * hour, "6 h"], [24 * hour, "24 h"]];

let chosen = 0; // s; until the page is loaded anew

const least = 60; // s

// ranges lets somebody choose how much of the past is shown. changed() is called when
// they do; of(uptime) is the choice, in seconds, but not more than the gateway has
// lived: nothing is known of before.
export function ranges(changed) {
	const buttons = spans.map(([s, words]) => h("button", { type: "button", onclick: () => { chosen = s; changed(); } }, words));
	return {
		element: h("div", { class: "ranges", role: "group", "aria-label": "How much of the past" }, buttons),
		of(uptime) {
			const now = chosen || (spans.find(([s]) => uptime <= s) ?? spans.at(-1))[0];
			spans.forEach(([s], i) => {
				const is = String(s === now);
				if (buttons[i].getAttribute("aria-pressed") !== is) buttons[i].setAttribute("aria-pressed", is);
			});
			return Math.min(now, Math.max(uptime, least));
		},
	};
}
