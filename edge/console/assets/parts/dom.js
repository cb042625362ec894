// h builds an element: h("a", {href: "#/now", class: "plain", onclick: f}, "text", child).
// Text is always text: nothing here parses HTML. Attributes that are null,
// undefined or false are left out; children may be nested lists, null or false.
// Pixels and the like go through the style object: {style: {width: "3px"}}.
export const h = (tag, attributes, ...children) => fill(document.createElement(tag), attributes, children);

// svg is h for drawings.
export const svg = (tag, attributes, ...children) => fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);

function fill(element, attributes, children) {
	for (const [name, value] of Object.entries(attributes ?? {})) {
		if (value === null || value === undefined || value === false) continue;
		if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
		else if (name === "style") for (const [property, v] of Object.entries(value)) element.style.setProperty(property, v);
		else if (name === "value") element.value = value;
		else element.setAttribute(name, value === true ? "" : value);
	}
	append(element, children);
	return element;
}

// append adds children as h does.
export function append(element, children) {
	for (const child of [children].flat(Infinity)) {
		if (child === null || child === undefined || child === false) continue;
		element.append(child instanceof Node ? child : String(child));
	}
	return element;
}

// put replaces what is in an element.
export function put(element, ...children) {
	element.replaceChildren();
	return append(element, children);
}

// text sets the text of an element if it is another one: screen readers and
// selections are left alone by what stays.
export function text(element, value) {
	const s = String(value ?? "");
	if (element.textContent !== s) element.textContent = s;
}
