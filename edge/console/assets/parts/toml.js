// TOML, as far as it must be known to show a configuration in pieces.

const header = /^\s*(\[\[?)\s*([^[\]#]+?)\s*\]\]?\s*(?:#.*)?$/;
const fence = /"""|'''/g;

// sectionsOf cuts a configuration at the headers of its tables. A section is
// {header, called, lines: [{at, text}]}: the comments right above a header belong
// to it, called is the value of its key name, or of another that tells it apart, and what stands before the
// first header has none. Together they have every line once, in order.
export function sectionsOf(configuration) {
	const all = String(configuration).replace(/\n$/, "").split("\n");
	const sections = [{ header: "", called: "", lines: [] }];
	let inside = false; // a text of several lines
	all.forEach((text, i) => {
		const is = !inside && text.match(header);
		if (is) {
			const above = commentsAtEnd(sections.at(-1).lines);
			sections.push({ header: is[1] + is[2] + (is[1] === "[[" ? "]]" : "]"), called: "", lines: above });
		}
		if (!isComment(text)) for (const _ of text.matchAll(fence)) inside = !inside;
		const section = sections.at(-1);
		section.lines.push({ at: i + 1, text });
		const [, key, value] = text.match(/^\s*(name|kind|filter|bind)\s*=\s*["']([^"']+)["']/) ?? [];
		if (key && (!section.called || key === "name")) section.called = value;
	});
	return sections.filter((s) => s.lines.some((l) => l.text.trim()));
}

export const isComment = (text) => /^\s*#/.test(text);

// commentsAtEnd takes off what speaks of the header that follows.
function commentsAtEnd(lines) {
	let from = lines.length;
	while (from > 0 && isComment(lines[from - 1].text)) from--;
	return lines.splice(from);
}

// settings counts the lines of a section that set something.
export const settings = (section) => section.lines.filter((l) => /^\s*[\w"'.-]+\s*=/.test(l.text)).length;
