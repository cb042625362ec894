import { h, put } from "./dom.js";
import { recipes } from "./recipes.js";
import { rights } from "./rights.js";
import { secret } from "./secret.js";

// The gateway's own rule for names, as an attribute and for what is typed.
const nameRule = "[A-Za-z0-9][A-Za-z0-9._\\-]{0,31}";
const isName = new RegExp(`^${nameRule}$`);

// addDevice asks for a name and what it may do, and shows the password and what to
// write into the device.
export function addDevice(root, app) {
	const name = h("input", { id: "name", required: true, maxlength: "32", pattern: nameRule, autocomplete: "off", autocapitalize: "none", spellcheck: "false", "aria-describedby": "name-rule", oninput: () => may.explain() });
	const may = rights(() => (isName.test(name.value) ? name.value : ""));
	const problem = h("p", { class: "problem", role: "alert" });
	const button = h("button", { class: "main" }, "Add the device");
	const form = h("form", { class: "card", onsubmit: submit },
		h("h2", {}, "Add a device"),
		h("label", { for: "name" }, "Name"), name, h("p", { class: "muted", id: "name-rule" }, "Letters, digits, dots, - and _, the first a letter or a digit, such as hall-lamp. The device logs in by this name."),
		may.element, problem,
		h("div", { class: "row" }, button, h("a", { class: "button", href: "#/devices" }, "Cancel")));
	put(root, h("p", {}, h("a", { href: "#/devices" }, "All devices")), form);
	name.focus();

	async function submit(event) {
		event.preventDefault();
		put(problem);
		const rules = may.rules();
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
