import { h, text } from "./dom.js";
import { list } from "./list.js";
import { exact, number, time } from "./format.js";
import { sentence } from "./net.js";
import { nodeOf, shortLink } from "./words.js";

const kinds = {
	up: ["connected", "well"], return: ["returned", "well"], recover: ["in time again", "well"], resume: ["taken again", "well"],
	failover: ["moved", "attention"], slow: ["slow", "attention"], pause: ["refused", "attention"],
	down: ["lost", "trouble"], fault: ["no connection", "trouble"], move: ["moves", ""], stop: ["stopped", ""],
};

const some = 12;

// events lists what became of the links in words, the newest first.
// Returns {element, update(events)}.
export function events() {
	let all = [], most = some;
	const rows = h("ol", { class: "events" });
	const none = h("p", { class: "muted" }, "Nothing has happened since the gateway started.");
	const more = h("button", { type: "button", onclick: () => { most += 50; show(); } }, "Show earlier events");
	const update = list(rows, (e) => e.key, row);
	const show = () => {
		update(all.slice(0, most));
		none.hidden = all.length > 0;
		more.hidden = all.length <= most;
		text(more, `Show earlier events (${number(all.length - most)} more)`);
	};
	return {
		element: h("section", { class: "card" }, h("h2", {}, "What has happened"), none, rows, h("p", { class: "more" }, more)),
		update(events) {
			const seen = new Map();
			all = events.map((e) => {
				const name = `${e.time} ${e.link} ${e.kind} ${e.route}`, n = seen.get(name) ?? 0;
				seen.set(name, n + 1);
				return { ...e, key: `${name} ${n}` };
			}).reverse();
			show();
		},
	};
}

function row(e) {
	const [name, is] = kinds[e.kind] ?? [e.kind, ""];
	const way = e.kind === "failover" || e.kind === "return" ? [nodeOf(e.from), nodeOf(e.to)].filter(Boolean).join(" → ") : nodeOf(e.endpoint);
	const element = h("li", {},
		h("time", { class: "muted number", datetime: e.time, title: exact(e.time) }, time(e.time)),
		h("span", { class: "what" }, h("span", { class: `state ${is}` }, name)),
		h("span", { class: "told" }, h("strong", {}, shortLink(e.link)), " ", sentence(e.words), e.hint && h("span", { class: "muted" }, ` ${sentence(e.hint)}`),
			h("span", { class: "muted place", title: e.cause }, way)));
	return { element, update() {} };
}
