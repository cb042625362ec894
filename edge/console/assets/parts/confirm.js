import { h } from "./dom.js";

// confirm asks before something is done that cannot be taken back. It resolves to
// whether the answer was yes. The focus goes back to where it was.
export function confirm(question, { detail = "", yes = "Yes", danger = true } = {}) {
	return new Promise((resolve) => {
		const dialog = h("dialog", { "aria-labelledby": "question" },
			h("h2", { id: "question" }, question), detail && h("p", {}, detail),
			h("form", { method: "dialog", class: "row" },
				h("button", { value: "no", autofocus: true }, "Cancel"), h("button", { value: "yes", class: danger ? "danger" : "main" }, yes)));
		dialog.addEventListener("close", () => { resolve(dialog.returnValue === "yes"); dialog.remove(); });
		document.body.append(dialog);
		dialog.showModal();
	});
}
