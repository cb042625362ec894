import { h, put } from "./dom.js";
import { recipes } from "./recipes.js";
import { secret } from "./secret.js";

// What a device may do, in plain words; name is the device's.
const choices = [
	{ id: "own", words: "Its own topics only", more: (name) => `It publishes and hears what begins with home/${name}/. The safe choice for one thing.`, rules: (name) => ({ publish: [`home/${name}/#`], subscribe: [`home/${name}/#`] }) },
	{ id: "ecosystem", words: "A hub such as Zigbee2MQTT, ESPHome or Tasmota, with Home Assistant discovery", more: (name) => `Everything that begins with ${name}/, and the topics by which Home Assistant finds things.`,
		rules: (name) => ({ publish: [`${name}/#`, `+/${name}/#`, "homeassistant/#", "tasmota/discovery/#"], subscribe: [`${name}/#`, `+/${name}/#`, "homeassistant/status", "cmnd/#"] }) },
	{ id: "listen", words: "Listen to everything, say nothing", more: () => "For a display, a logger, a dashboard.", rules: () => ({ publish: [], subscribe: ["#"] }) },
	{ id: "all", words: "Everything", more: () => "For Home Assistant, Node-RED, or one you trust with the whole home.", rules: () => ({ publish: ["#"], subscribe: ["#"] }) },
	{ id: "custom", words: "What I write here", more: () => "", rules: null },
];

const nameRule = /^[A-Za-z0-9._-]{1,32}$/;

// addDevice asks for a name and what it may do, and shows the password and what to
// write into the device.
export function addDevice(root, app) {
	const name = h("input", { id: "name", required: true, maxlength: "32", pattern: "[A-Za-z0-9._\\-]{1,32}", autocomplete: "off", autocapitalize: "none", spellcheck: "false", "aria-describedby": "name-rule", oninput: explain });
	const publish = h("textarea", { id: "publish", rows: "2", spellcheck: "false" }), subscribe = h("textarea", { id: "subscribe", rows: "2", spellcheck: "false" });
	const custom = h("div", { hidden: true }, h("label", { for: "publish" }, "May publish to (one topic filter a line)"), publish, h("label", { for: "subscribe" }, "May subscribe to"), subscribe);
	const more = new Map();
	const options = choices.map((c, i) => {
		const words = h("span", { class: "muted", id: `more-${c.id}` });
		more.set(c, words);
		return h("label", { class: "choice" }, h("input", { type: "radio", name: "may", value: c.id, checked: i === 0, onchange: explain, "aria-describedby": `more-${c.id}` }), h("span", {}, c.words, words));
	});
	const problem = h("p", { class: "problem", role: "alert" });
	const button = h("button", { class: "main" }, "Add the device");
	const form = h("form", { class: "card", onsubmit: submit },
		h("h2", {}, "Add a device"),
		h("label", { for: "name" }, "Name"), name, h("p", { class: "muted", id: "name-rule" }, "Letters, digits, dots, - and _, such as hall-lamp. The device logs in by this name."),
		h("fieldset", {}, h("legend", {}, "What it may do"), options), custom, problem,
		h("div", { class: "row" }, button, h("a", { class: "button", href: "#/devices" }, "Cancel")));
	put(root, h("p", {}, h("a", { href: "#/devices" }, "All devices")), form);
	explain();
	name.focus();

	function chosen() {
		return choices.find((c) => c.id === form.elements.may.value);
	}

	function explain() {
		const called = nameRule.test(name.value) ? name.value : "NAME";
		for (const [c, words] of more) put(words, c.more(called));
		custom.hidden = chosen().id !== "custom";
	}

	async function submit(event) {
		event.preventDefault();
		put(problem);
		const lines = (area) => area.value.split("\n").map((s) => s.trim()).filter(Boolean);
		const rules = chosen().rules?.(name.value) ?? { publish: lines(publish), subscribe: lines(subscribe) };
		button.disabled = true;
		try {
			const made = await app.api("POST", "/v1/users", { name: name.value, ...rules, console: "" });
			done(root, app, made, rules);
		} catch (e) {
			put(problem, [e.message, e.hint].join(" "));
		} finally {
			button.disabled = false;
		}
	}
	return () => {};
}

function done(root, app, made, rules) {
	const heading = h("h2", { tabindex: "-1" }, `${made.name} may connect now`);
	put(root,
		h("section", { class: "card" }, heading, secret(app, made.password), made.note && h("p", { class: "muted" }, made.note)),
		h("section", { class: "card" }, h("h2", {}, "What to write into it"), recipes(app, made, rules)),
		h("p", { class: "row" }, h("a", { class: "button main", href: "#/devices" }, "Done, I have the password")));
	heading.focus();
}
