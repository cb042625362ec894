import { h, put } from "./dom.js";

// showLogin asks for a name and a password; at the first visit, for the password
// that the administrator is to have. It resolves to the session.
export function showLogin(main, session, send, why) {
	return new Promise((resolve) => {
		const form = session.setup ? setupForm(send, resolve) : loginForm(send, resolve, why);
		put(main, h("section", { class: "login card" }, form));
		form.querySelector("input:not([readonly])").focus();
	});
}

function loginForm(send, done, why) {
	const user = h("input", { id: "user-name", name: "username", autocomplete: "username", autocapitalize: "none", spellcheck: "false", required: true, value: "admin" });
	const password = h("input", { id: "password", name: "password", type: "password", autocomplete: "current-password", required: true });
	const problem = problemLine();
	const button = h("button", { class: "main" }, "Log in");
	const form = h("form", {
		onsubmit: (e) => submit(e, button, problem, () => send("POST", "/api/login", { user: user.value, password: password.value }).then(done)),
	},
	h("h1", {}, "Log in"), why && h("p", { class: "muted" }, why),
	h("label", { for: "user-name" }, "Name"), user,
	h("label", { for: "password" }, "Password"), password, reveal(password), problem, button,
	h("details", {}, h("summary", {}, "Where is my password?"),
		h("p", {}, "On an SD-card image it stands in the file tidegate-report.txt on the boot partition of the card, which every computer can read. To set another one, put a file admin-password.txt there and start the gateway."),
		h("p", {}, "Elsewhere it was chosen at the first visit to this page. On the gateway, root can set another one: ", h("code", {}, "tidegate device passwd admin"))));
	return form;
}

function setupForm(send, done) {
	const user = h("input", { class: "visually-hidden", name: "username", autocomplete: "username", value: "admin", readonly: true, tabindex: "-1", "aria-hidden": "true" });
	const field = (id) => h("input", { id, name: id, type: "password", autocomplete: "new-password", minlength: "10", maxlength: "128", required: true, "aria-describedby": "password-rule" });
	const password = field("password"), again = field("again");
	const problem = problemLine();
	const button = h("button", { class: "main" }, "Set the password");
	return h("form", {
		onsubmit: (e) => submit(e, button, problem, async () => {
			if (password.value !== again.value) throw new Error("The two passwords are not the same.");
			done(await send("POST", "/api/setup", { password: password.value }));
		}),
	},
	h("h1", {}, "Welcome"),
	h("p", {}, "Nobody has logged in to this gateway yet. Choose the password of its administrator, ", h("strong", {}, "admin"), "."), user,
	h("label", { for: "password" }, "Password"), password,
	h("label", { for: "again" }, "The same again"), again, reveal(password, again),
	h("p", { class: "muted", id: "password-rule" }, "At least 10 characters. Nobody can read it anywhere later: write it down or let the browser keep it."),
	problem, button);
}

const problemLine = () => h("p", { class: "problem", role: "alert" });

function reveal(...fields) {
	const box = h("input", { type: "checkbox", onchange: () => fields.forEach((f) => { f.type = box.checked ? "text" : "password"; }) });
	return h("label", { class: "check" }, box, " Show what I type");
}

async function submit(event, button, problem, send) {
	event.preventDefault();
	button.disabled = true;
	put(problem);
	try {
		await send();
	} catch (e) {
		put(problem, e.message, e.hint && ` ${e.hint}`);
		event.target.querySelector("input[type=password]")?.focus();
	} finally {
		button.disabled = false;
	}
}
