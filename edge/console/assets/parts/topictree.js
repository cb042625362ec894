import { h } from "./dom.js";
import { list } from "./list.js";
import { moreRow, topicRow } from "./topicrow.js";

const step = 100; // topics that are asked for at a time
const refresh = 2000; // ms

// topicTree shows topics level by level. Each level is asked for when it is opened,
// 100 names at a time, and only what is in sight is asked for again. on.chosen(item)
// is told of the chosen topic and what becomes of it; on.level(first) of each answer
// for the first level. search(words) lists all topics with these words instead.
export function topicTree(app, on) {
	const element = h("ul", { role: "tree", class: "tree", "aria-label": "Topics", onclick: click, onkeydown: key });
	const update = list(element, (row) => row, (row) => ({ element: row.element, update() {} }));
	const nodeOf = new WeakMap(); // by the element of its row
	let root = levelOf(null), chosen = null, focused = null, rows = [], timer = 0, ended = false, round = 0;

	function levelOf(node, words = "") {
		const depth = node ? node.level.depth + 1 : 0;
		const level = { node, depth, words, nodes: [], known: new Map(), total: 0 };
		level.more = { level, row: moreRow(depth) };
		nodeOf.set(level.more.row.element, level.more);
		return level;
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
				node = { level, item, open: false, below: null, row: topicRow(item.topic, item.name, level.depth) };
				nodeOf.set(node.row.element, node);
				level.known.set(item.topic, node);
				level.nodes.push(node);
			}
			node.item = item;
			if (!item.children) node.open = false;
			node.row.show(item, node.open);
			if (node === chosen) on.chosen(item);
		}
		level.nodes.sort((a, b) => (a.item.topic < b.item.topic ? -1 : 1));
	}

	function draw() {
		const had = element.contains(document.activeElement) ? rows.findIndex((r) => r.element === document.activeElement) : -1;
		rows = [];
		lay(root);
		update(rows);
		if (!rows.includes(focused?.row)) focused = nodeOf.get((rows[Math.max(0, had)] ?? rows.at(-1))?.element);
		aim(focused, had >= 0 && !element.contains(document.activeElement));
	}

	function lay(level) {
		level.nodes.forEach((n, i) => {
			n.row.element.setAttribute("aria-posinset", i + 1);
			n.row.element.setAttribute("aria-setsize", level.total);
			rows.push(n.row);
			if (n.open && n.below) lay(n.below);
		});
		const left = level.total - level.nodes.length;
		if (left <= 0) return;
		level.more.row.show(left, step);
		rows.push(level.more.row);
	}

	// aim makes a row the one that Tab comes to.
	function aim(node, focus) {
		if (focused && focused !== node) focused.row.element.tabIndex = -1;
		focused = node;
		if (!node) return;
		node.row.element.tabIndex = 0;
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
		node.row.show(node.item, open);
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
		if (focused === level.more || !rows.includes(level.more.row)) aim(level.nodes[before] ?? focused, true);
	}

	function choose(node) {
		chosen?.row.element.setAttribute("aria-selected", "false");
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
		const at = rows.indexOf(focused?.row);
		if (at < 0 || event.altKey || event.ctrlKey || event.metaKey) return;
		const go = (i) => aim(nodeOf.get(rows[Math.min(rows.length - 1, Math.max(0, i))].element), true);
		const keys = {
			ArrowDown: () => go(at + 1), ArrowUp: () => go(at - 1), Home: () => go(0), End: () => go(rows.length - 1),
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

	// inSight lists the parts of open levels that are seen, and the one with the
	// chosen topic.
	function* inSight(level) {
		const box = element.getBoundingClientRect();
		const top = Math.max(0, box.top), bottom = Math.min(innerHeight, box.bottom);
		for (let i = 0; i < Math.max(1, level.nodes.length); i += step) {
			const part = level.nodes.slice(i, i + step);
			const first = part[0]?.row.element.getBoundingClientRect().top, last = part.at(-1)?.row.element.getBoundingClientRect().bottom;
			if (!part.length || (i === 0 && level === root) || (first < bottom && last > top) || part.includes(chosen)) yield [level, i];
		}
		for (const n of level.nodes) if (n.open && n.below) yield* inSight(n.below);
	}

	async function again() {
		clearTimeout(timer);
		const mine = ++round;
		if (!document.hidden) {
			for (const [level, offset] of [...inSight(root)]) {
				await load(level, offset).catch((e) => { if (e.status > 0 && e.status !== 401) on.problem(e); });
				if (ended || mine !== round) return;
			}
		}
		timer = setTimeout(again, refresh);
	}
	again();
	return {
		element, again,
		search(words) {
			if (words === root.words) return;
			root = levelOf(null, words);
			again();
		},
		close() { ended = true; clearTimeout(timer); },
	};
}
