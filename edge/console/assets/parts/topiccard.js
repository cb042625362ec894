import { h, text } from "./dom.js";
import { confirm } from "./confirm.js";
import { copyText } from "./secret.js";
import { exact, since } from "./format.js";
import { readable } from "./payload.js";

// topicCard shows the chosen topic: its last value so that it can be read, and what
// can be done with it. listen(filter) and write(topic) do it elsewhere on the page.
export function topicCard(app, { listen, write }) {
	let item = null;
	const name = h("h2", { class: "long mono", id: "chosen" }), kept = h("span", { class: "kept" }, "retained");
	const when = h("p", { class: "muted" }), kind = h("p", { class: "muted" });
	const area = h("pre", { class: "payload", tabindex: "0", "aria-label": "The last value" });
	const remove = h("button", { type: "button", class: "danger", onclick: clear }, "Remove what is retained");
	const copy = h("button", { type: "button", onclick: () => copyText(app, item.topic, name) }, "Copy the topic");
	const hear = h("button", { type: "button", onclick: () => listen(item.children ? `${item.topic}/#` : item.topic) }, "Listen to it");
	const say = app.role === "admin" && h("button", { type: "button", onclick: () => write(item.topic) }, "Publish to it");
	const element = h("section", { class: "card", "aria-labelledby": "chosen", hidden: true },
		h("div", { class: "row" }, name, kept), when, area, kind, h("div", { class: "row" }, hear, say, copy, app.role === "admin" && remove));

	async function clear() {
		const topic = item.topic;
		if (await removeRetained(topic)) publish(app, { topic, payload: "", encoding: "text", qos: 1, retain: true }, "What was retained is removed.");
	}
	return {
		element,
		show(next) {
			item = next;
			element.hidden = false;
			const v = item.value, own = v && readable(v);
			text(name, item.topic || "no name");
			kept.hidden = remove.hidden = !v?.retained;
			area.hidden = !own?.text;
			if (own) text(area, own.text);
			text(kind, own ? `${own.kind}, QoS ${v.qos}` : "");
			text(when, !v ? "Nothing was published here itself, only below." : ago(v.time, app.status?.time));
			when.title = v ? exact(v.time) : "";
		},
	};
}

const ago = (t, now) => (!t ? "" : Date.parse(now) - Date.parse(t) < 1500 ? "Just now" : `${since(t, now)} ago`);

export const removeRetained = (topic) => confirm("Remove the retained message?", {
	detail: `Who subscribes to ${topic} from now on gets nothing until the next message. Those who listen now get an empty one.`, yes: "Remove",
});

// publish sends, says so, and returns whether it was done.
export async function publish(app, message, done = `Published to ${message.topic}.`) {
	try {
		await app.api("POST", "/v1/publish", message);
		app.say(done);
		return true;
	} catch (e) {
		app.fail(e);
		return false;
	}
}
