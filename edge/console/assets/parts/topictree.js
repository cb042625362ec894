import { h } from "./dom.js";
import { list } from "./list.js";
import { moreRow, topicRow } from "./topicrow.js";

const step = 100; // topics that are asked for at a time
const refresh = 2000; // ms
const few = 300; // rows that all stand in the document; of more, those in sight
const around = 15; // rows beyond those in sight, above and below

// topicTree shows topics level by level. Each level is asked for when it is opened,
// 100 names at a time, and only what is in sight is asked for again. on.chosen(item)
// is told of the chosen topic and what becomes of it; on.level(first) of each answer
// for the first level. search(words) lists all topics with these words instead.
//
// Thousands of rows may be open. Of these only some stand in the document, all of one
// height, with room above and below for the others.
export function topicTree(app, on) {
	const element = h("ul", { role: "tree", class: "tree", "aria-label": "Topics", onclick: click, onkeydown: key });
	const update = list(element, (node) => node, (node) => { rowOf(node); return { element: node.row.element, update() {} }; });
	const nodeOf = new WeakMap(); // by the element of its row
	// lines are the nodes of all rows from top to bottom; of those from `first` on up to
	// `end` the rows stand in the document.
	let root = levelOf(null), chosen = null, focused = null, lines = [], first = 0, end = 0, height = 36, timer = 0, ended = false, round = 0;

	function levelOf(node, words = "") {
		const depth = node ? node.level.depth + 1 : 0;
		const level = { node, depth, words, nodes: [], known: new Map(), total: 0 };
		level.more = { level, row: moreRow(depth) };
		nodeOf.set(level.more.row.element, level.more);
		return level;
	}

	// rowOf makes the row of a node when it is wanted first.
	function rowOf(node) {
		if (!node.row) {
			node.row = topicRow(node.item.topic, node.item.name, node.level.depth);
			nodeOf.set(node.row.element, node);
			node.row.show(node.item, node.open);
			if (node === chosen) node.row.element.setAttribute("aria-selected", "true");
		}
		node.row.place?.(node.at + 1, node.level.total);
		return node.row;
	}

	// load asks for a part of a level and works it in.
	async function load(level, offset) {
		const query = new URLSearchParams({ offset, limit: step });
		if (level.node) query.set("under", level.node.item.topic);
		if (level.words) query.set("search", level.words);
		const got = await app.api("GET", `/v1/topics?${query}`);
		if (ended || topOf(level) !== root) return;
		merge(level, offset, got.topics);
		level.total = got.total;
		draw();
		if (level === root) on.level(got);
	}

	// merge replaces what is known from the first to the last of the topics that came:
	// in between, names may have come and gone.
	function merge(level, offset, topics) {
		const came = new Set(topics.map((t) => t.topic));
		const whole = topics.length < step;
		const from = offset === 0 ? "" : topics[0]?.topic ?? "", to = topics.at(-1)?.topic ?? "";
		level.nodes = level.nodes.filter((n, i) => {
			const t = n.item.topic;
			const there = came.has(t) || (topics.length ? t < from || (t > to && !whole) : i < offset);
			if (!there) level.known.delete(t);
			return there;
		});
		for (const item of topics) {
			let node = level.known.get(item.topic);
			if (!node) {
				node = { level, item, open: false, below: null, row: null, at: 0 };
				level.known.set(item.topic, node);
				level.nodes.push(node);
			}
			node.item = item;
			if (!item.children) node.open = false;
			node.row?.show(item, node.open);
			if (node === chosen) on.chosen(item);
		}
		level.nodes.sort((a, b) => (a.item.topic < b.item.topic ? -1 : 1));
	}

	function draw() {
		const had = element.contains(document.activeElement) ? lines.indexOf(focused) : -1;
		lines = [];
		lay(root);
		if (!lines.includes(focused)) focused = lines[Math.max(0, had)] ?? lines.at(-1) ?? null;
		fill();
		aim(focused, had >= 0 && !element.contains(document.activeElement));
	}

	function lay(level) {
		level.nodes.forEach((n, i) => {
			n.at = i;
			lines.push(n);
			if (n.open && n.below) lay(n.below);
		});
		const left = level.total - level.nodes.length;
		if (left <= 0) return;
		level.more.row.show(left, step);
		lines.push(level.more);
	}

	// fill puts the rows into the document that are to stand there. The one that Tab
	// comes to always does, or the focus would be lost with it.
	function fill() {
		[first, end] = [0, lines.length];
		if (lines.length > few) {
			height = element.firstElementChild?.offsetHeight || height;
			const [top, bottom] = inView();
			[first, end] = [Math.max(0, top - around), Math.min(lines.length, bottom + around)];
		}
		const shown = lines.slice(first, end), at = lines.indexOf(focused);
		if (at >= 0 && at < first) shown.unshift(focused);
		else if (at >= end) shown.push(focused);
		for (const n of shown) rowOf(n);
		room("--above", first - (at >= 0 && at < first));
		room("--below", lines.length - end - (at >= end));
		update(shown);
	}

	const room = (side, rows) => element.style.setProperty(side, `${rows * height}px`);

	// inView is the first and the one after the last row that are seen.
	function inView() {
		const box = element.getBoundingClientRect();
		const row = (y) => Math.min(lines.length, Math.max(0, (y - box.top + element.scrollTop) / height));
		return [Math.floor(row(Math.max(0, box.top))), Math.ceil(row(Math.min(innerHeight, box.bottom)))];
	}

	function scrolled() {
		if (lines.length <= few) return;
		const [top, bottom] = inView();
		if (top < first || bottom > end) fill();
	}

	// aim makes a row the one that Tab comes to.
	function aim(node, focus) {
		if (focused && focused !== node && focused.row) focused.row.element.tabIndex = -1;
		focused = node;
		if (!node) return;
		const at = lines.indexOf(node);
		if (focus && lines.length > few && (at < first || at >= end)) {
			element.scrollTop = at * height - element.clientHeight / 2;
			fill();
		}
		rowOf(node).element.tabIndex = 0;
		if (focus) node.row.element.focus();
	}

	async function guarded(doing) {
		try {
			await doing;
		} catch (e) {
			if (e.status !== 401) app.fail(e);
		}
	}

	// turn opens or closes; where there is one way only, it goes on.
	async function turn(node, open) {
		if (!node.item.children || node.open === open) return;
		node.open = open;
		node.row?.show(node.item, open);
		if (open) {
			node.below ??= levelOf(node);
			await guarded(load(node.below, 0));
			if (node.below.total === 1 && node.below.nodes[0]) await turn(node.below.nodes[0], true);
		}
		draw();
	}

	async function more(level) {
		const before = level.nodes.length;
		await guarded(load(level, before));
		if (focused === level.more || !lines.includes(level.more)) aim(level.nodes[before] ?? focused, true);
	}

	function choose(node) {
		chosen?.row?.element.setAttribute("aria-selected", "false");
		chosen = node;
		node.row.element.setAttribute("aria-selected", "true");
		on.chosen(node.item, true);
	}

	function click(event) {
		const node = nodeOf.get(event.target.closest("[role=treeitem]"));
		if (!node) return;
		aim(node, true);
		act(node, node.row.mark?.contains(event.target));
	}

	function act(node, twistOnly) {
		if (!node.item) return more(node.level);
		if (!twistOnly) choose(node);
		return turn(node, !node.open);
	}

	// The keys are those of the ARIA Authoring Practices for a tree.
	function key(event) {
		const at = lines.indexOf(focused);
		if (at < 0 || event.altKey || event.ctrlKey || event.metaKey) return;
		const go = (i) => aim(lines[Math.min(lines.length - 1, Math.max(0, i))], true);
		const keys = {
			ArrowDown: () => go(at + 1), ArrowUp: () => go(at - 1), Home: () => go(0), End: () => go(lines.length - 1),
			PageDown: () => go(at + 10), PageUp: () => go(at - 10),
			ArrowRight: () => (focused.open ? go(at + 1) : focused.item && turn(focused, true)),
			ArrowLeft: () => (focused.open ? turn(focused, false) : focused.level.node && aim(focused.level.node, true)),
			Enter: () => act(focused), " ": () => act(focused),
		};
		if (!keys[event.key]) return;
		event.preventDefault();
		keys[event.key]();
	}

	const topOf = (level) => (level.node ? topOf(level.node.level) : level);

	// inSight lists the parts of open levels that are seen: [level, offset]. The first
	// of all is always there, and the one with the chosen topic.
	function inSight() {
		const parts = new Map();
		const add = (level, i) => {
			const offset = i - i % step;
			parts.set(`${level.node?.item.topic ?? ""}\n${offset}`, [level, offset]);
		};
		add(root, 0);
		for (const n of lines.slice(...inView())) {
			if (topOf(n.level) !== root) break; // another search was begun
			if (n.item) add(n.level, n.at);
			if (n.open && n.below && !n.below.nodes.length) add(n.below, 0);
		}
		if (chosen?.level.known.get(chosen.item.topic) === chosen && topOf(chosen.level) === root) add(chosen.level, chosen.at);
		return parts.values();
	}

	async function again() {
		clearTimeout(timer);
		const mine = ++round;
		if (!document.hidden) {
			for (const [level, offset] of inSight()) {
				await load(level, offset).catch((e) => { if (e.status > 0 && e.status !== 401) on.problem(e); });
				if (ended || mine !== round) return;
			}
		}
		timer = setTimeout(again, refresh);
	}
	element.addEventListener("scroll", scrolled, { passive: true });
	addEventListener("scroll", scrolled, { passive: true });
	again();
	return {
		element, again,
		search(words) {
			if (words === root.words) return;
			root = levelOf(null, words);
			again();
		},
		close() {
			ended = true;
			clearTimeout(timer);
			removeEventListener("scroll", scrolled);
		},
	};
}
