import { h, put, text } from "./dom.js";
import { list } from "./list.js";
import { past } from "./past.js";
import { chart, clockOf, extent } from "./plot.js";
import { exact, number, reading, since } from "./format.js";
import { sentence } from "./net.js";
import { arrow, quantity } from "./words.js";

// sensorCard shows one sensor or input: what it says now, and the day of each of its
// quantities. Returns {element, update({sensor, now, range}), history(answer), end()}.
export function sensorCard(first) {
	const state = h("span", {}), why = h("p", { class: "problem" }), note = h("p", { class: "muted" }), silent = h("p", { class: "muted" }), body = h("div", { class: "quantities" });
	const known = new Map();
	const update = list(body, (v) => v.field, (v) => {
		const one = dayOf(first.name, v);
		known.set(v.field, one);
		return one;
	});
	let kept = null;
	return {
		element: h("section", { class: "card sensor" },
			h("div", { class: "row" }, h("h2", { class: "long" }, first.name), h("span", { class: "muted" }, first.kind), h("span", { class: "right" }, state)), why, note, body, silent,
			h("p", { class: "muted topic" }, "Topic ", h("code", { class: "long" }, first.topic))),
		update({ sensor: s, now, range }) {
			state.className = `state ${s.available ? "well" : "trouble"}`;
			text(state, s.available ? "works" : "not there");
			text(why, s.available ? "" : sentence(s.words));
			text(note, !s.time ? "It has said nothing yet." : Date.parse(now) - Date.parse(s.time) < 5000 ? "Heard just now." : `Heard ${since(s.time, now)} ago.`);
			note.title = exact(s.time);
			const says = s.values.filter((v) => known.has(v.field) || v.text || has(v));
			update(says.map((v) => ({ ...v, at: Date.parse(now) / 1000, range, available: s.available })));
			const rest = s.values.filter((v) => !says.includes(v)).map((v) => quantity(v.field));
			text(silent, rest.length && s.available ? `Nothing is known of: ${rest.join(", ")}.` : "");
			if (kept) { for (const [field, one] of known) one.history(kept, field); kept = null; }
		},
		history(answer) {
			kept = null;
			if (known.size) for (const [field, one] of known) one.history(answer, field);
			else kept = answer;
		},
		end() { for (const one of known.values()) one.end(); },
	};
}

const has = (v) => v.value !== null && v.value !== undefined;

const plain = (n) => number(n);
const withUnit = (v, unit) => reading(v, unit).join(" ").trim();

function dayOf(name, first) {
	const value = h("span", { class: "big" }), unit = h("span", { class: "muted" }), trend = h("span", { class: "muted trending" });
	const summary = h("p", { class: "muted summary" });
	const memory = past();
	const label = `${quantity(first.field)} of ${name}`;
	const place = h("div", {});
	let drawing = null, last = { at: 0, range: 0 };
	const draw = () => {
		if (!drawing) return;
		const data = memory.data(), from = last.at - last.range;
		const is = extent(data, 2, from, 3, 1);
		const words = is ? `Least ${withUnit(is.least, first.unit)} at ${clockOf(is.leastAt)}, most ${withUnit(is.most, first.unit)} at ${clockOf(is.mostAt)}, mean ${withUnit(is.mean, first.unit)}.` : "";
		text(summary, words);
		drawing.update(from, last.at, data, words || "Nothing was measured in this time.");
	};
	return {
		element: h("div", { class: "quantity-day" },
			h("p", { class: "reading" }, h("span", { class: "muted field" }, quantity(first.field)), value, " ", unit, " ", trend), place, summary),
		update(v) {
			const numeric = has(v);
			const [said, inUnit] = numeric ? reading(v.value, v.unit) : [v.text || "–", ""];
			text(value, said);
			text(unit, inUnit);
			text(trend, v.available && v.trend ? `${arrow(v.trend)} ${v.trend}` : "");
			trend.className = `trending ${v.available ? "" : "muted"}`;
			if (numeric && !drawing) {
				drawing = chart({
					label, height: 150, format: plain, band: [1, 3],
					series: [{ label: "most", color: "--line-0", faint: true }, { label: "mean", color: "--line-0" }, { label: "least", color: "--line-0", faint: true }],
				});
				put(place, drawing.element);
			}
			const before = last;
			last = { at: v.at, range: v.range };
			if (v.at > before.at) memory.seen(v.at, [null, v.available && numeric ? v.value : null, null]); // least and most are of minutes
			if (before.range !== v.range || Math.floor(v.at / 2) !== Math.floor(before.at / 2)) draw();
		},
		history({ start, step, series }, field) {
			const mine = series.find((s) => s.field === field);
			if (!mine) return;
			memory.minutes(start, step, [mine.max, mine.mean, mine.min]);
			draw();
		},
		end: () => drawing?.end(),
	};
}
