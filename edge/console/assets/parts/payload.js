import { bytes } from "./format.js";

// What a message carries, as the API gives it: {payload, encoding, size, truncated}.
// Text that has no letters for a person (control characters) is shown as binary.

const control = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f]/;

const isText = (p) => p.encoding === "text" && !control.test(p.payload);

// preview is a payload in one line.
export function preview(p) {
	if (!p) return "";
	if (!p.size) return "empty";
	if (!isText(p)) return `binary, ${bytes(p.size)}`;
	const line = p.payload.slice(0, 300).replace(/\s+/g, " ").trim();
	return line || "white space";
}

// readable returns what kind of payload it is, in words, and its text over several
// lines: JSON is indented, and what is no text is written in hexadecimal.
export function readable(p) {
	if (!p?.size) return { kind: "Empty", text: "" };
	const part = p.truncated ? `, of which the beginning is shown` : "";
	if (!isText(p)) return { kind: `Binary, ${bytes(p.size)}${part}`, text: hex(octets(p)) };
	const json = !p.truncated && /^\s*[[{]/.test(p.payload) && parses(p.payload);
	return { kind: `${json ? "JSON" : "Text"}, ${bytes(p.size)}${part}`, text: json ? indent(p.payload) : p.payload };
}

function parses(s) {
	try {
		JSON.parse(s);
		return true;
	} catch {
		return false;
	}
}

// indent sets valid JSON in lines. Each number and each string stays as it was
// written: to read and write it again would round large numbers.
function indent(json) {
	let out = "", depth = 0;
	const tokens = json.match(/"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s{}[\],:"]+/g) ?? [];
	const line = () => `\n${"  ".repeat(depth)}`;
	tokens.forEach((t, i) => {
		const empty = "{[".includes(t) && "}]".includes(tokens[i + 1] ?? "");
		if (t === "{" || t === "[") {
			out += t;
			depth++;
			if (!empty) out += line();
		} else if (t === "}" || t === "]") {
			depth--;
			out += "{[".includes(tokens[i - 1]) ? t : line() + t;
		} else if (t === ",") out += t + line();
		else out += t === ":" ? ": " : t;
	});
	return out;
}

function octets(p) {
	if (p.encoding === "text") return new TextEncoder().encode(p.payload);
	return Uint8Array.from(atob(p.payload), (c) => c.charCodeAt(0));
}

// hex writes eight bytes a line, which a telephone has room for: 00  48 65 6c  Hel
function hex(data) {
	const lines = [];
	for (let i = 0; i < data.length; i += 8) {
		const part = [...data.subarray(i, i + 8)];
		const digits = part.map((b) => b.toString(16).padStart(2, "0")).join(" ");
		const letters = part.map((b) => (b > 31 && b < 127 ? String.fromCharCode(b) : "·")).join("");
		lines.push(`${i.toString(16).padStart(4, "0")}  ${digits.padEnd(23)}  ${letters}`);
	}
	return lines.join("\n");
}
