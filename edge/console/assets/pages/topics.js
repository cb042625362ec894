import { h, put, text } from "../parts/dom.js";
import { exact, number, plural, time } from "../parts/format.js";
import { publishForm } from "../parts/publish.js";
import { tailCard } from "../parts/tail.js";
import { topicCard } from "../parts/topiccard.js";
import { topicTree } from "../parts/topictree.js";

export const title = "Topics";

// mount shows the tree of topics with their last values, messages as they come, and
// a form to publish.
export function mount(root, app) {
	const search = h("input", { type: "search", id: "search", placeholder: "Part of a topic", autocomplete: "off", autocapitalize: "none", spellcheck: "false" });
	const found = h("p", { class: "muted", role: "status" }), note = h("p", { class: "muted" }), empty = h("p", { class: "empty", hidden: true });
	const tail = tailCard(app), form = publishForm(app);
	const chosen = topicCard(app, { listen: tail.listen, write: form.write });
	const tree = topicTree(app, { chosen: show, level, problem: (e) => text(note, [e.message, e.hint].join(" ")) });
	put(root, h("div", { class: "two" },
		h("section", { class: "card", "aria-labelledby": "tree" }, h("h2", { id: "tree" }, "All topics"),
			h("label", { for: "search", class: "visually-hidden" }, "Search topics"), search, found, empty, tree.element, note),
		h("div", {}, chosen.element, tail.element, form.element)));

	function show(item, byHand) {
		chosen.show(item);
		if (byHand) chosen.element.scrollIntoView({ block: "nearest" });
	}

	function level({ total, known, most, since }) {
		const words = search.value.trim();
		text(found, words ? `${plural(total, "topic")} found` : "");
		tree.element.hidden = total === 0;
		empty.hidden = total > 0;
		text(empty, words ? `No topic has “${words}”.` : "Nothing is retained, and nothing was published since this page was opened. What devices say stands here at once.");
		text(note, known === 0 ? "" : `${plural(known, "topic")}: what is retained, and what came since ${time(since)}. ${known >= most ? `The gateway remembers ${number(most)} at most, or less when they are long; those that were silent longest are left out.` : ""}`);
		note.title = exact(since);
	}

	let typing = 0;
	search.addEventListener("input", () => { clearTimeout(typing); typing = setTimeout(() => tree.search(search.value.trim()), 250); });
	return () => { clearTimeout(typing); tree.close(); tail.close(); };
}
