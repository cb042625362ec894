import { h, put } from "./dom.js";
import { confirm } from "./confirm.js";
import { rights } from "./rights.js";
import { secret } from "./secret.js";
import { plural } from "./format.js";

const roles = { admin: "may log in here and change everything", read: "may log in here and look", "": "" };

// people lists the users: those kept here can be given another password, or removed.
export function people(app) {
	const rows = h("ul", { class: "users" });
	const fault = h("p", { class: "problem" }), open = h("p", { class: "muted" });
	const body = h("div", {}, fault, rows, open);
	const element = h("section", { class: "card" }, h("details", { ontoggle: (e) => { if (e.target.open) load(); } },
		h("summary", {}, "Users and what they may do"), body));

	async function load() {
		try {
			const { users, ...all } = await app.api("GET", "/v1/users");
			put(fault, all.fault && `The users that were added here cannot log in, because their file is damaged: ${all.fault}`);
			put(open, all.open && users.length > 0 && "Devices without a password may come in as well: a listener says anonymous = true.");
			put(rows, users.map(one));
			if (!users.length && !all.fault) put(rows, h("li", { class: "muted" }, "There are no users: who comes in, and what they may do, is for each listener to say."));
		} catch (e) {
			put(rows, h("li", { class: "problem" }, [e.message, e.hint].join(" ")));
		}
	}

	function one(u) {
		const buttons = app.role === "admin" && u.kept === "here" && h("span", { class: "row right" },
			u.name !== app.user && h("button", { type: "button", onclick: () => permit(u) }, "What it may do"),
			h("button", { type: "button", onclick: () => renew(u.name) }, "New password"),
			u.name !== app.user && h("button", { type: "button", class: "danger", onclick: () => remove(u) }, "Remove"));
		const may = (what, list) => h("span", {}, what, " ", list?.length ? list.map((f, i) => [i > 0 && ", ", h("code", { class: "long" }, f)]) : "nothing", ". ");
		return h("li", {}, h("div", { class: "row" }, h("strong", { class: "long" }, u.name), roles[u.console] && h("span", { class: "state" }, roles[u.console]),
			h("span", { class: "muted" }, u.connected ? plural(u.connected, "connection") : "not connected"), buttons),
		h("p", { class: "muted" }, may("Publishes", u.publish), may("Subscribes to", u.subscribe), u.certificate && ["Logs in with the certificate ", h("code", { class: "long" }, u.certificate), ". "], u.kept === "file" && "It stands in the users file of the configuration, and is changed there."));
	}

	async function renew(name) {
		if (!(await confirm(`A new password for ${name}?`, { detail: "The old one ends, and so do this user's connections and log-ins.", yes: "Make a new password" }))) return;
		try {
			const { password } = await app.api("POST", `/v1/users/${encodeURIComponent(name)}/password`, {});
			const dialog = h("dialog", { "aria-labelledby": "new-password" }, h("h2", { id: "new-password" }, `The new password of ${name}`), secret(app, password),
				h("form", { method: "dialog", class: "row" }, h("button", { class: "main" }, "I have it")));
			dialog.addEventListener("close", () => dialog.remove());
			document.body.append(dialog);
			dialog.showModal();
		} catch (e) {
			app.fail(e);
		}
	}

	// permit asks what a user may do from now on. What is wrong is said in the dialog,
	// and nothing that was typed is lost.
	function permit(u) {
		const may = rights(() => u.name, u), problem = h("p", { class: "problem", role: "alert" });
		const dialog = h("dialog", { "aria-labelledby": "permit" }, h("h2", { id: "permit" }, `Change what ${u.name} may do`),
			h("form", { onsubmit: change }, may.element, problem, h("div", { class: "row" },
				h("button", { type: "button", onclick: () => dialog.close() }, "Cancel"), h("button", { class: "main" }, "Change it"))));
		dialog.addEventListener("close", () => dialog.remove());
		document.body.append(dialog);
		dialog.showModal();

		async function change(event) {
			event.preventDefault();
			put(problem);
			try {
				await app.api("PUT", `/v1/users/${encodeURIComponent(u.name)}`, may.rules());
				dialog.close();
				app.say(`${u.name} may do something else now.`);
				load();
			} catch (e) {
				put(problem, [e.message, e.hint].join(" "));
			}
		}
	}

	async function remove(u) {
		if (!(await confirm(`Remove ${u.name}?`, { detail: "Its devices are disconnected and cannot come back.", yes: "Remove" }))) return;
		try {
			const { note } = await app.api("DELETE", `/v1/users/${encodeURIComponent(u.name)}`);
			app.say([`${u.name} was removed.`, note].filter(Boolean).join(" "));
			load();
		} catch (e) {
			app.fail(e);
		}
	}
	return element;
}
