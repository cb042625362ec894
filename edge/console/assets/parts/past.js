// past joins the minutes that the gateway has kept with what was seen here since:
// a chart that ends a minute ago looks dead. Times are seconds by the gateway's
// clock.
export function past() {
	let times = [], columns = [], live = [];
	return {
		// minutes takes arrays of one number (or null) for each step from start on.
		minutes(start, step, series) {
			const from = Date.parse(start) / 1000;
			const n = Math.max(0, ...series.map((s) => s.length));
			times = Array.from({ length: n }, (_, i) => from + (i + 0.5) * step);
			columns = series;
			live = live.filter(([t]) => t > from + n * step);
		},
		// seen takes a number (or null) for each series.
		seen(t, values) {
			if (live.length && t < live.at(-1)[0]) live = []; // the clock was set back
			live.push([t, values]);
			if (live.length > 180) live.shift();
		},
		// data is [times, series...].
		data() {
			const width = Math.max(columns.length, live[0]?.[1].length ?? 0);
			const all = [[...times, ...live.map(([t]) => t)]];
			for (let i = 0; i < width; i++) {
				const column = columns[i] ?? [];
				all.push([...times.map((_, j) => column[j] ?? null), ...live.map(([, v]) => v[i] ?? null)]);
			}
			return all;
		},
	};
}
