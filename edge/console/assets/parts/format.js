// How numbers, bytes, times and spans are written for people.

const whole = new Intl.NumberFormat(undefined, { maximumFractionDigits: 0 });
const fine = new Intl.NumberFormat(undefined, { maximumSignificantDigits: 3 });
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const day = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const full = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium", hourCycle: "h23" });

const none = "–";
const has = (n) => n !== null && n !== undefined && Number.isFinite(Number(n));

// number: 12345 -> 12,345; 0.1234 -> 0.123
export function number(n) {
	if (!has(n)) return none;
	return Math.abs(n) >= 100 || Number.isInteger(n) ? whole.format(n) : fine.format(n);
}

// rate: messages a second; below ten with a digit after the point.
export function rate(n) {
	if (!has(n)) return none;
	if (n === 0) return "0";
	if (n < 0.1) return "< 0.1";
	return n < 10 ? String(Math.round(n * 10) / 10) : whole.format(n);
}

// bytes: 1234567 -> 1.18 MiB
export function bytes(n) {
	if (!has(n)) return none;
	const units = ["B", "KiB", "MiB", "GiB", "TiB"];
	let i = 0;
	for (n = Number(n); Math.abs(n) >= 1024 && i < units.length - 1; i++) n /= 1024;
	return `${i === 0 ? whole.format(n) : fine.format(n)} ${units[i]}`;
}

// duration: seconds in the two largest units: 93784 -> 1 d 2 h
export function duration(seconds) {
	if (!has(seconds)) return none;
	let s = Math.max(0, Number(seconds));
	if (s < 0.001) return "0 s";
	if (s < 1) return `${Math.max(1, Math.round(s * 1000))} ms`;
	if (s < 10) return `${Math.round(s * 10) / 10} s`;
	if (s < 59.5) return `${Math.round(s)} s`;
	s = Math.max(60, s);
	const steps = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];
	const at = steps.findIndex(([, size]) => s >= size);
	const [unit, size] = steps[at];
	const [small, smallSize] = steps[at + 1];
	const big = Math.floor(s / size);
	const rest = Math.floor((s - big * size) / smallSize);
	return rest && big < 10 ? `${big} ${unit} ${rest} ${small}` : `${big} ${unit}`;
}

// milliseconds: a round trip, given in seconds.
export function milliseconds(seconds) {
	if (!has(seconds)) return none;
	const ms = Number(seconds) * 1000;
	return `${ms < 10 ? Math.round(ms * 10) / 10 : whole.format(ms)} ms`;
}

const date = (t) => { const d = new Date(t); return t && !Number.isNaN(d.getTime()) && d.getTime() > 0 ? d : null; };

// time: of today the clock alone, else with the day.
export function time(t) {
	const d = date(t);
	if (!d) return none;
	return d.toDateString() === new Date().toDateString() ? clock.format(d) : day.format(d);
}

// exact: day and time, for a title.
export function exact(t) {
	const d = date(t);
	return d ? full.format(d) : none;
}

// since: how long ago, measured by the clock of the gateway (now), not by this
// computer's, which may go wrong.
export function since(t, now) {
	const d = date(t);
	const n = date(now) ?? new Date();
	return d ? duration(Math.max(0, (n - d) / 1000)) : none;
}

// ago: of what is younger than two seconds the number says nothing.
export function ago(t, now) {
	if (!date(t)) return none;
	return date(now) - date(t) < 2000 ? "just now" : `${since(t, now)} ago`;
}

// reading: what a sensor says with its unit; long times as such: 7384 s -> 2 h 3 min
export function reading(n, unit) {
	return unit === "s" && n >= 120 ? [duration(n), ""] : [number(n), unit];
}

// plural: plural(1, "device") -> 1 device
export function plural(n, one, many = `${one}s`) {
	return `${number(n)} ${Number(n) === 1 ? one : many}`;
}
