import { h } from "./dom.js";
import { publish, removeRetained } from "./topiccard.js";

// publishForm sends a message to whoever in the home listens.
export function publishForm(app) {
	if (app.role !== "admin") {
		const element = h("section", { class: "card" }, h("h2", {}, "Publish"), h("p", { class: "muted" }, "You may look only. Who publishes from here needs a log-in that may change everything."));
		return { element, write() {} };
	}
	const topic = h("input", { id: "to", required: true, maxlength: "1024", placeholder: "home/kitchen/light/set", autocomplete: "off", autocapitalize: "none", spellcheck: "false" });
	const payload = h("textarea", { id: "payload", class: "mono", rows: "3", spellcheck: "false", autocapitalize: "none" });
	const qos = h("select", { id: "qos" }, ["0, at most once", "1, at least once", "2, exactly once"].map((words, i) => h("option", { value: i }, words)));
	const retain = h("input", { type: "checkbox", "aria-describedby": "retain-words" });
	const button = h("button", { class: "main" }, "Publish");
	const element = h("form", { class: "card", onsubmit: submit }, h("h2", {}, "Publish"),
		h("label", { for: "to" }, "Topic"), topic,
		h("label", { for: "payload" }, "Message"), payload,
		h("div", { class: "row sending" },
			h("div", {}, h("label", { for: "qos" }, "QoS"), qos),
			h("label", { class: "check" }, retain, " Retain"), h("span", { class: "right" }, button)),
		h("p", { class: "muted", id: "retain-words" }, "A retained message is kept for those who come later. An empty one removes it."));

	async function submit(event) {
		event.preventDefault();
		const message = { topic: topic.value.trim(), payload: payload.value, encoding: "text", qos: Number(qos.value), retain: retain.checked };
		if (message.retain && !message.payload && !(await removeRetained(message.topic))) return;
		button.disabled = true;
		await publish(app, message);
		button.disabled = false;
	}
	return {
		element,
		write(to) {
			topic.value = to;
			element.scrollIntoView({ block: "nearest" });
			payload.focus();
		},
	};
}
