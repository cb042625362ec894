import { h, svg, put } from "./dom.js";

// secret shows a password that nobody can read again: as text, to copy, and as a QR
// code for a telephone.
export function secret(app, password) {
	const code = h("div", { class: "code" });
	const field = h("code", { class: "password", tabindex: "0" }, password);
	const copy = h("button", { type: "button", onclick: () => copyText(app, password, field) }, "Copy");
	app.api("POST", "/qr", { text: password }).then(({ size, path }) => {
		put(code, svg("svg", { viewBox: `0 0 ${size} ${size}`, role: "img", "aria-label": "The password as a QR code", "shape-rendering": "crispEdges" },
			svg("rect", { width: size, height: size, fill: "#fff" }), svg("path", { d: path, fill: "#000" })));
	}).catch(() => put(code, h("p", { class: "muted" }, "No QR code could be made.")));
	return h("div", { class: "secret" }, code,
		h("div", {}, h("p", {}, h("strong", {}, "This password is shown once."), " Nobody can read it anywhere later; a new one can be made at any time."),
			h("p", {}, field), h("p", {}, copy), h("p", { class: "muted" }, "The code has the password alone: a telephone that scans it can paste it into a device's page.")));
}

// copyText copies; browsers give the clipboard to pages over HTTPS only, so
// otherwise the element with the text is selected and copied the old way.
export async function copyText(app, what, field) {
	try {
		await navigator.clipboard.writeText(what);
		app.say("Copied.");
	} catch {
		if (field) getSelection().selectAllChildren(field);
		app.say(document.execCommand?.("copy") ? "Copied." : "Copy it with Ctrl+C.");
	}
}
