import { h, put, text } from "./dom.js";
import { list } from "./list.js";
import { confirm } from "./confirm.js";
import { often } from "./often.js";
import { bytes, exact, plural, time } from "./format.js";
import { sentence } from "./net.js";

const pageSize = 20;

// deadLetters shows what the cloud of an uplink refused for good; who may change
// things can send them again or throw them away.
// Returns {element, update(uplink), end()}.
export function deadLetters(app, uplink) {
	let offset = 0, mark = "", total = 0;
	const admin = app.role === "admin";
	const words = h("p", {}), problem = h("p", { class: "problem", role: "alert" });
	const rows = h("ul", { class: "letters" });
	const update = list(rows, (l) => l.id, row);
	const all = admin && h("span", { class: "row right" },
		h("button", { type: "button", onclick: () => decide("retry", { all: true }, total) }, "Retry all"),
		h("button", { type: "button", class: "danger", onclick: () => decide("drop", { all: true }, total) }, "Drop all"));
	const back = h("button", { type: "button", onclick: () => turn(-1) }, "Newer"), forth = h("button", { type: "button", onclick: () => turn(1) }, "Older");
	const pager = h("div", { class: "row pager", hidden: true }, back, forth);
	const element = h("section", { class: "card" }, h("div", { class: "row" }, h("h2", {}, "Refused by the cloud for good"), all), words, problem, rows, pager);

	const reader = often(30_000, async () => {
		try {
			const got = await app.api("GET", `/v1/dead?${new URLSearchParams({ uplink, offset, limit: pageSize })}`);
			put(problem);
			show(got);
		} catch (e) {
			if (e.status !== 0 && e.status !== 401) put(problem, [e.message, e.hint].join(" "));
		}
	});

	function show(got) {
		total = got.total;
		if (offset > 0 && offset >= total) { offset = 0; reader.again(); return; }
		update(got.messages);
		text(words, total ? `${plural(total, "message")} ${total === 1 ? "lies" : "lie"} here, kept on the card. When the cloud's permissions are mended, send them again.` : "None. What the cloud refuses for good would be kept here.");
		words.className = total ? "" : "muted";
		if (all) all.hidden = total === 0;
		pager.hidden = total <= pageSize;
		back.disabled = offset === 0;
		forth.disabled = offset + got.messages.length >= total;
	}

	function turn(by) {
		offset = Math.max(0, offset + by * pageSize);
		reader.again();
	}

	async function decide(what, which, n) {
		const these = plural(n, "message");
		if (what === "drop" && !(await confirm(`Drop ${these}?`, { detail: "The cloud will never get what is dropped, and it cannot be brought back.", yes: `Drop ${these}` }))) return;
		try {
			const { count } = await app.api("POST", `/v1/dead/${what}`, { uplink, ids: [], all: false, ...which });
			app.say(what === "drop" ? `${plural(count, "message")} dropped.` : `${plural(count, "message")} on the way to the cloud again.`);
		} catch (e) {
			app.fail(e);
		}
		reader.again();
	}

	function row(first) {
		const reason = h("span", {}), when = h("span", { class: "muted" });
		const buttons = admin && h("span", { class: "row" },
			h("button", { type: "button", "aria-label": `Retry ${first.topic}`, onclick: () => decide("retry", { ids: [first.id] }, 1) }, "Retry"),
			h("button", { type: "button", class: "danger", "aria-label": `Drop ${first.topic}`, onclick: () => decide("drop", { ids: [first.id] }, 1) }, "Drop"));
		const preview = first.encoding === "base64" ? "no text" : first.payload_preview + (first.size > first.payload_preview.length ? " …" : "");
		return {
			element: h("li", {}, h("div", { class: "letter" }, h("code", { class: "long" }, first.topic), h("span", { class: "words" }, reason, " ", when),
				h("code", { class: "long muted" }, preview)), buttons),
			update(l) {
				text(reason, l.again ? "On its way back." : sentence(l.words));
				text(when, [bytes(l.size), l.time && time(l.time)].filter(Boolean).join(", "));
				when.title = [l.reason, exact(l.time)].join(", ");
				if (buttons) for (const b of buttons.children) b.disabled = Boolean(l.again);
			},
		};
	}
	return {
		element,
		update(u) {
			const next = JSON.stringify([u.dead, u.routes.map((r) => r.refused)]);
			if (mark && next !== mark) reader.again();
			mark = next;
		},
		end: reader.end,
	};
}

// drops says why messages will never reach the cloud. Returns {element, update(uplink)}.
export function drops() {
	const rows = h("ul", { class: "drops" }), none = h("p", { class: "muted" }, "Nothing was dropped since the gateway started.");
	const update = list(rows, (d) => `${d.route} ${d.cause}`, (d) => {
		const count = h("strong", { class: "number" });
		return { element: h("li", {}, count, " of ", h("code", { class: "long" }, d.route || "no route"), `: ${d.words || d.cause}.`), update: (now) => text(count, plural(now.count, "message")) };
	});
	return {
		element: h("section", { class: "card" }, h("h2", {}, "Dropped"), none, rows),
		update(u) {
			update(u.dropped);
			none.hidden = u.dropped.length > 0;
		},
	};
}
