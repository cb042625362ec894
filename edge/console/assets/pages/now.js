import { h, put, text } from "../parts/dom.js";
import { list } from "../parts/list.js";
import { drawPath } from "../parts/path.js";
import { cloudCard } from "../parts/cloud.js";
import { homeCard, sensorsCard, machineCard } from "../parts/nowcards.js";
import { since } from "../parts/format.js";
import { sentence } from "../parts/net.js";

export const title = "Now";

// mount shows all of /v1/status that somebody wants to know at one look.
export function mount(root, app) {
	const verdict = verdictCard();
	const drawing = drawPath();
	const clouds = h("div", { class: "clouds" });
	const home = homeCard(), sensors = sensorsCard(app), machine = machineCard();
	const waiting = h("p", { class: "empty" }, "Asking the gateway…");
	put(root, waiting);
	const updateClouds = list(clouds, (u) => u.name, (u) => cloudCard(u));
	const noCloud = h("section", { class: "card", hidden: true },
		h("h2", {}, "Cloud"), h("p", {}, "No cloud is configured: messages stay at home. A section [[uplink]] in the configuration connects one; the command ", h("code", {}, "tidegate init"), " asks what it needs."));
	const show = () => {
		put(root, verdict.element, h("section", { class: "card drawing", "aria-label": "The way of the messages" }, drawing.element),
			clouds, noCloud, h("div", { class: "grid" }, home.element, sensors.element, machine.element));
	};
	const stop = app.onStatus((s) => {
		if (waiting.isConnected) show();
		for (const part of [verdict, drawing, home, sensors, machine]) part.update(s);
		updateClouds(s.uplinks);
		noCloud.hidden = s.uplinks.length > 0;
	});
	return () => { stop(); drawing.end(); };
}

const signs = { well: "✓", attention: "!", trouble: "✕" };

function verdictCard() {
	const sign = h("span", { class: "sign", "aria-hidden": "true" });
	const headline = h("p", { class: "headline", role: "status" });
	const found = h("ul", { class: "findings" });
	const element = h("section", { class: "card verdict", "aria-label": "How it is" }, sign, h("div", {}, headline, found));
	const update = list(found, (f) => `${f.about} ${f.what}`, finding);
	return {
		element,
		update(s) {
			element.className = `card verdict ${s.verdict}`;
			text(sign, signs[s.verdict] ?? "?");
			text(headline, sentence(s.headline));
			update(s.findings.map((f) => ({ ...f, now: s.time })));
			found.hidden = s.findings.length === 0;
		},
	};
}

function finding(f) {
	const when = h("span", { class: "muted" });
	const element = h("li", { class: f.level }, h("strong", {}, sentence(f.what)), " ", f.hint && h("span", {}, `${sentence(f.hint)} `), when);
	return { element, update: (now) => text(when, now.since ? `For ${since(now.since, now.now)}.` : "") };
}
