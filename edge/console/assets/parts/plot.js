// Charts over time, drawn by uPlot (vendor/), which the first of them loads.
import { h, text } from "./dom.js";

let loading = null;

// load resolves to uPlot.
function load() {
	loading ??= new Promise((resolve, reject) => {
		const at = (name) => new URL(`../vendor/${name}`, import.meta.url).href;
		const style = h("link", { rel: "stylesheet", href: at("uPlot.min.css") });
		const script = h("script", { src: at("uPlot.iife.min.js"), onload: () => resolve(globalThis.uPlot) });
		script.addEventListener("error", () => { loading = null; script.remove(); style.remove(); reject(new Error("uPlot did not come")); });
		document.head.append(style, script);
	});
	return loading;
}

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const fine = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });

// clockOf is a time of the day; of a short span with its second.
export const clockOf = (seconds, span = Infinity) => (span < 600 ? fine : clock).format(new Date(seconds * 1000));

// colour reads one of app.css: "--line-0".
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const pale = (name) => `color-mix(in srgb, ${colour(name)} 18%, transparent)`;

// chart is a drawing of series [{label, color, fill, faint, dash}] with the numbers
// in words: format(v) writes one. band [upper, lower] fills between two series, from
// 1. zero lets the scale begin there. It is drawn when it is seen, again when its
// width or the colours change, and not at all while nobody looks.
// Returns {element, update(from, to, data, words), end()}; data is [times, values...],
// words tell those who do not see what it shows.
export function chart({ label, series, band, format, zero = false, height = 170 }) {
	const readout = h("span", { class: "readout number", "aria-hidden": "true" });
	const place = h("div", { class: "plot", role: "img", "aria-label": label });
	place.style.setProperty("height", `${height}px`);
	const empty = h("p", { class: "muted none", hidden: true }, "Nothing was measured in this time.");
	const element = h("div", { class: "chart" }, readout, place, empty);
	let plot = null, starting = false, ended = false, seen = false, range = [0, 1], data = null;

	const draw = () => {
		if (!data || ended || !seen || document.hidden) return;
		if (plot) plot.setData(data);
		else start();
	};
	async function start() {
		if (starting) return;
		starting = true;
		const uPlot = await load().catch(() => null);
		starting = false;
		if (!uPlot || ended) { text(empty, "The drawing could not be loaded; the numbers are below."); empty.hidden = Boolean(uPlot); return; }
		plot = new uPlot({ ...looks(), width: Math.max(120, place.clientWidth), height }, data, place);
		element.dataset.drawn = "";
	}
	const looks = () => ({
		legend: { show: false },
		cursor: { drag: { x: false, y: false }, points: { size: 7 }, y: false },
		padding: [10, 18, 0, 0],
		scales: { x: { range: () => range }, y: { range: (_, low, high) => roomy(low, high, zero) } },
		axes: [axis({ values: (_, at) => at.map((t) => clockOf(t, range[1] - range[0])), space: 72, size: 26 }), axis({ values: (_, at) => at.map(format), size: (_, words) => 14 + 7 * Math.max(2, ...(words ?? []).map((w) => w.length)), space: 36 })],
		series: [{}, ...series.map((s) => ({
			label: s.label, stroke: () => (s.faint ? "transparent" : colour(s.color)), width: 1.75, dash: s.dash,
			fill: s.fill ? () => pale(s.color) : undefined, points: { show: false },
		}))],
		bands: band ? [{ series: band, fill: () => pale(series[band[0] - 1].color) }] : [],
		hooks: { setCursor: [(u) => text(readout, read(u))] },
	});
	const read = (u) => {
		const i = u.cursor.idx;
		if (i === null || i === undefined || u.cursor.left < 0) return "";
		const numbers = series.map((s, k) => [s.label, u.data[k + 1][i]]).filter(([, v]) => v !== null && v !== undefined);
		return numbers.length ? `${clockOf(u.data[0][i], range[1] - range[0])}  ${numbers.map(([name, v]) => `${series.length > 1 ? `${name} ` : ""}${format(v)}`).join(", ")}` : "";
	};
	const redraw = () => { if (plot && !document.hidden) plot.redraw(false); };
	const width = new ResizeObserver(() => { const w = place.clientWidth; if (plot && w > 0 && w !== plot.width) plot.setSize({ width: w, height }); });
	const eyes = new IntersectionObserver((all) => { seen = all.at(-1).isIntersecting; draw(); }, { rootMargin: "1200px" });
	const theme = new MutationObserver(redraw), scheme = matchMedia("(prefers-color-scheme: dark)");
	width.observe(place);
	eyes.observe(element);
	theme.observe(document.documentElement, { attributeFilter: ["data-theme"] });
	scheme.addEventListener("change", redraw);
	document.addEventListener("visibilitychange", draw);
	return {
		element,
		update(from, to, now, words) {
			range = [from, to];
			data = clipped(from, to, now);
			empty.hidden = data.slice(1).some((c) => c.some((v) => v !== null && v !== undefined));
			if (place.getAttribute("aria-label") !== `${label}. ${words}`) place.setAttribute("aria-label", `${label}. ${words}`);
			draw();
		},
		end() {
			ended = true;
			for (const o of [width, eyes, theme]) o.disconnect();
			scheme.removeEventListener("change", redraw);
			document.removeEventListener("visibilitychange", draw);
			plot?.destroy();
		},
	};
}

const axis = (more) => ({
	stroke: () => colour("--muted"), font: "12px system-ui, sans-serif", gap: 4,
	grid: { stroke: () => colour("--edge"), width: 1 }, ticks: { show: false }, ...more,
});

// roomy is a scale around low and high with some room, not empty when they are the same.
function roomy(low, high, zero) {
	if (low === null || low === undefined) return [0, 1];
	const room = (high - low) * 0.1 || Math.max(Math.abs(high) * 0.02, zero ? 1 : 0.5);
	return zero ? [Math.min(0, low), high + room] : [low - room, high + room];
}

// clipped leaves out what is not shown: the scale is made for what is.
function clipped(from, to, data) {
	const first = data[0].findIndex((t) => t >= from);
	return data.map((c) => (first < 0 ? [] : c.slice(first)));
}

// extent is what a series was in a time: {least, most, mean, last}, null when it was nothing.
export function extent(data, column, from, lows = column, highs = column) {
	let least = Infinity, most = -Infinity, sum = 0, n = 0, last = null, leastAt = 0, mostAt = 0;
	data[0].forEach((t, i) => {
		const v = data[column]?.[i];
		if (t < from || v === null || v === undefined) return;
		const low = data[lows][i] ?? v, high = data[highs][i] ?? v;
		if (low < least) [least, leastAt] = [low, t];
		if (high > most) [most, mostAt] = [high, t];
		sum += v;
		n++;
		last = v;
	});
	return n ? { least, leastAt, most, mostAt, mean: sum / n, last } : null;
}
