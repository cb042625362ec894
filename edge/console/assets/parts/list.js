// list keeps the children of an element in step with items: each has a key, and an
// element that was made for it stays as long as the key does, so that what somebody
// reads, selects or has the focus on does not vanish each second. make(item)
// returns {element, update(item)}.
export function list(parent, key, make) {
	const known = new Map();
	return (items) => {
		const seen = new Set();
		let before = null;
		for (const item of items) {
			const k = key(item);
			if (seen.has(k)) continue;
			seen.add(k);
			let one = known.get(k);
			if (!one) known.set(k, one = make(item));
			one.update(item);
			const next = before ? before.nextSibling : parent.firstChild;
			if (next !== one.element) parent.insertBefore(one.element, next);
			before = one.element;
		}
		for (const [k, one] of known) {
			if (seen.has(k)) continue;
			one.element.remove();
			known.delete(k);
		}
	};
}
