import { h } from "./dom.js";

const roles = { admin: "may change everything", read: "may look at everything and change nothing" };

// account shows who is logged in.
export function account(app) {
	return h("section", { class: "card" }, h("h2", {}, "Your log-in"),
		h("p", {}, "You are ", h("strong", { class: "long" }, app.user), ", who ", roles[app.role] ?? "has no rights here", "."),
		h("p", {}, h("button", { type: "button", onclick: () => document.getElementById("leave").click() }, "Log out of this browser")));
}
