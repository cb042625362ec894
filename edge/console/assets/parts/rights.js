import { h, put } from "./dom.js";

// What a device may do, in plain words; name is the device's.
const choices = [
	{ id: "own", words: "Its own topics only", more: (name) => `It publishes and hears what begins with home/${name}/. The safe choice for one thing.`, rules: (name) => ({ publish: [`home/${name}/#`], subscribe: [`home/${name}/#`] }) },
	{ id: "ecosystem", words: "A hub such as Zigbee2MQTT, ESPHome or Tasmota, with Home Assistant discovery", more: (name) => `Everything that begins with ${name}/, and the topics by which Home Assistant finds things.`,
		rules: (name) => ({ publish: [`${name}/#`, `+/${name}/#`, "homeassistant/#", "tasmota/discovery/#"], subscribe: [`${name}/#`, `+/${name}/#`, "homeassistant/status", "cmnd/#"] }) },
	{ id: "listen", words: "Listen to everything, say nothing", more: () => "For a display, a logger, a dashboard.", rules: () => ({ publish: [], subscribe: ["#"] }) },
	{ id: "all", words: "Everything", more: () => "For Home Assistant, Node-RED, or one you trust with the whole home.", rules: () => ({ publish: ["#"], subscribe: ["#"] }) },
	{ id: "custom", words: "What I write here", more: () => "", rules: null },
];

// rights asks what a device may do: what name() may, or the first choice. rules()
// are the topic filters that were chosen; explain() is to be called when the name
// has changed.
export function rights(name, may) {
	const same = (a, b) => a.length === b.length && a.every((f, i) => f === b[i]);
	const now = may ? choices.find((c) => c.rules && same(c.rules(name()).publish, may.publish) && same(c.rules(name()).subscribe, may.subscribe)) ?? choices.at(-1) : choices[0];
	const area = (id, filters = []) => h("textarea", { id, rows: "2", spellcheck: "false", value: filters.join("\n") });
	const publish = area("publish", may?.publish), subscribe = area("subscribe", may?.subscribe);
	const custom = h("div", {}, h("label", { for: "publish" }, "May publish to (one topic filter a line)"), publish, h("label", { for: "subscribe" }, "May subscribe to"), subscribe);
	const more = new Map(), radios = new Map();
	const options = choices.map((c) => {
		const words = h("span", { class: "muted", id: `more-${c.id}` });
		const radio = h("input", { type: "radio", name: "may", value: c.id, checked: c === now, onchange: explain, "aria-describedby": `more-${c.id}` });
		more.set(c, words);
		radios.set(c, radio);
		return h("label", { class: "choice" }, radio, h("span", {}, c.words, words));
	});
	const chosen = () => choices.find((c) => radios.get(c).checked);

	function explain() {
		for (const [c, words] of more) put(words, c.more(name() || "NAME"));
		custom.hidden = chosen().id !== "custom";
	}
	function rules() {
		const lines = (area) => area.value.split("\n").map((s) => s.trim()).filter(Boolean);
		return chosen().rules?.(name()) ?? { publish: lines(publish), subscribe: lines(subscribe) };
	}
	explain();
	return { element: [h("fieldset", {}, h("legend", {}, "What it may do"), options), custom], rules, explain };
}
