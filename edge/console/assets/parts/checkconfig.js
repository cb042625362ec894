import { h, put } from "./dom.js";
import { numbered } from "./numbered.js";
import { plural } from "./format.js";
import { sentence } from "./net.js";

const mostBytes = 1 << 20; // of a configuration, to the API

// checkConfig is a box into which a configuration is pasted, and what is wrong with
// it. take(text) puts one into it.
export function checkConfig(app) {
	const heading = h("h2", { id: "check", tabindex: "-1" }, "Check a configuration");
	const area = numbered({ id: "pasted", "aria-labelledby": "check", rows: "14", placeholder: "Paste it here", oninput: stale });
	const answer = h("div", { class: "answer", "aria-live": "polite" });
	const button = h("button", { class: "main" }, "Check it");
	const file = h("input", { type: "file", class: "visually-hidden", accept: ".toml,.txt,text/plain", onchange: open });
	const form = h("form", { onsubmit: check }, h("p", { class: "muted" }, "Nothing is changed by checking it."), area.element,
		h("div", { class: "row" }, button, h("label", { class: "button" }, file, "Open a file"),
			h("button", { type: "button", onclick: () => { area.set(""); put(answer); area.field.focus(); } }, "Empty")));
	if (app.role !== "admin") {
		return {
			take() {},
			element: h("section", { class: "card" }, heading, h("p", {}, "You may look only, and checking is for who may change something. On the gateway ", h("code", {}, "tidegate check FILE"), " does the same.")),
		};
	}

	function take(text) {
		area.set(text);
		put(answer, text.includes("(not shown)") && h("p", { class: "muted" }, "Where it says (not shown) the gateway has kept a value to itself. Write it again before you use this text."));
		heading.scrollIntoView({ block: "start" });
		area.field.focus({ preventScroll: true });
	}

	async function open() {
		const [chosen] = file.files;
		file.value = "";
		if (!chosen) return;
		if (chosen.size > mostBytes) return app.say(`${chosen.name} is larger than a configuration can be: 1 MiB.`, "bad");
		take(await chosen.text());
	}

	// stale says that an answer is about a text that has changed since.
	function stale() {
		answer.classList.toggle("stale", answer.childElementCount > 0);
		area.mark([]);
	}

	async function check(event) {
		event.preventDefault();
		const text = area.field.value;
		if (!text.trim()) return area.field.focus();
		button.disabled = true;
		answer.classList.remove("stale");
		try {
			const { good, problems } = await app.api("POST", "/v1/config/check", text);
			area.mark(problems.map((p) => p.line));
			put(answer, good ? fine() : wrong(problems, text.split("\n")));
		} catch (e) {
			put(answer, h("p", { class: "problem" }, [e.message, e.hint].join(" ")));
		} finally {
			button.disabled = false;
		}
	}

	const fine = () => [
		h("p", {}, h("span", { class: "state well" }, "good"), " The gateway can run with this."),
		h("p", { class: "muted" }, "To use it, put it in the place of the file above, on the gateway, and run ", h("code", {}, "sudo systemctl reload tidegate"), ". On an SD card it is tidegate.toml on the boot partition."),
	];

	const wrong = (problems, lines) => [
		h("p", {}, h("span", { class: "state trouble" }, plural(problems.length, "problem")), " The gateway does not take this."),
		h("ol", { class: "problems" }, problems.map((p) => h("li", {},
			p.line > 0 && h("button", { type: "button", class: "plain jump", onclick: () => area.jump(p.line) }, `Line ${p.line}`),
			h("div", { class: "long" },
				h("p", {}, h("code", {}, p.key), p.value && [" is ", h("code", {}, p.value)], `. It must be ${p.rule}.`),
				p.hint && h("p", { class: "muted" }, sentence(p.hint)),
				p.line > 0 && lines[p.line - 1]?.trim() && h("pre", { tabindex: "0", "aria-label": `Line ${p.line}` }, lines[p.line - 1].trim()))))),
	];
	return { take, element: h("section", { class: "card" }, heading, form, answer) };
}
