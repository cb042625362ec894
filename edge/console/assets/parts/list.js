// list keeps the children of an element in step with items: each has a key, and an
// element that was made for it stays as long as the key does, so that what somebody
// reads, selects or has the focus on does not vanish each second. make(item)
// returns {element, update(item)}. What goes, goes first: an element that stays in
// its place must not be moved, which would take the focus from it.
export function list(parent, key, make) {
	const known = new Map();
	return (items) => {
		const wanted = new Map();
		for (const item of items) {
			const k = key(item);
			if (!wanted.has(k)) wanted.set(k, item);
		}
		for (const [k, one] of known) {
			if (wanted.has(k)) continue;
			one.element.remove();
			known.delete(k);
		}
		let next = parent.firstChild;
		for (const [k, item] of wanted) {
			let one = known.get(k);
			if (!one) known.set(k, one = make(item));
			one.update(item);
			if (next === one.element) next = next.nextSibling;
			else parent.insertBefore(one.element, next);
		}
	};
}
