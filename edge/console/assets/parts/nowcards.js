import { h, text } from "./dom.js";
import { list } from "./list.js";
import { ago, bytes, duration, number, plural, rate, reading } from "./format.js";
import { arrow, quantity } from "./words.js";

// homeCard shows who is connected, and what they send and get.
export function homeCard() {
	const devices = h("p", { class: "big" });
	const got = h("dd", {}), gave = h("dd", {}), sessions = h("dd", {}), refused = h("dd", {}), failed = h("dd", {}), doors = h("dd", {});
	const element = h("section", { class: "card" }, h("h2", {}, "Home"), devices,
		h("dl", { class: "facts" }, h("dt", {}, "From devices"), got, h("dt", {}, "To devices"), gave, h("dt", {}, "Sessions kept"), sessions, h("dt", {}, "Refused"), refused, h("dt", {}, "Failed log-ins"), failed, h("dt", {}, "Listens on"), doors),
		h("p", { class: "more" }, h("a", { href: "#/devices" }, "See the devices")));
	return {
		element,
		update({ home }) {
			text(devices, `${plural(home.devices, "device")} connected`);
			text(got, `${rate(home.in_per_s)} a second`);
			text(gave, `${rate(home.out_per_s)} a second`);
			text(sessions, number(home.sessions));
			text(refused, home.refused ? plural(home.refused, "message") : "none");
			text(failed, home.logins_failed ? number(home.logins_failed) : "none");
			text(doors, home.listeners.map((l) => `${portOf(l.address)} ${l.protocol}`).join(", ") || "nothing");
		},
	};
}

const portOf = (address) => String(address).match(/:(\d+)$/)?.[1] ?? address;

// sensorsCard shows the last value of each quantity and where it goes.
export function sensorsCard() {
	const rows = h("ul", { class: "sensors" });
	const none = h("p", { class: "muted" }, "Nothing is wired to this gateway, or it is not in the configuration. ", h("code", {}, "tidegate hw scan"), " finds what is there.");
	const update = list(rows, (s) => s.name, sensorRow);
	return {
		element: h("section", { class: "card" }, h("h2", {}, "Sensors"), rows, none),
		update(s) {
			update(s.sensors.map((one) => ({ ...one, now: s.time })));
			none.hidden = s.sensors.length > 0;
		},
	};
}

function sensorRow(first) {
	const values = h("span", { class: "values" }), note = h("span", { class: "muted" });
	const update = list(values, (v) => v.field, () => {
		const name = h("span", { class: "muted" }), value = h("span", { class: "value number" }), trend = h("span", { class: "trend", role: "img" });
		const element = h("span", { class: "quantity" }, name, " ", value, " ", trend);
		return {
			element,
			update(v) {
				text(value, v.text || reading(v.value, v.unit).join(" ").trim());
				text(name, v.alone ? "" : quantity(v.field));
				text(trend, arrow(v.trend));
				if (v.trend) trend.setAttribute("aria-label", v.trend);
				trend.hidden = !arrow(v.trend);
			},
		};
	});
	return {
		element: h("li", {}, h("span", { class: "name" }, first.name, note), values),
		update(s) {
			const known = s.available ? s.values.filter((v) => v.text || v.value !== null) : [];
			update(known.map((v) => ({ ...v, alone: known.length === 1 })));
			text(note, !s.available ? s.words || "does not answer" : s.time ? ago(s.time, s.now) : "");
			note.className = s.available ? "muted" : "problem";
		},
	};
}

// machineCard shows how the gateway itself is.
export function machineCard() {
	const up = h("dd", {}), memory = h("dd", {}), day = h("dd", {}), free = h("dd", {}), version = h("dd", {}), clock = h("dd", {});
	return {
		element: h("section", { class: "card" }, h("h2", {}, "Gateway"),
			h("dl", { class: "facts" }, h("dt", {}, "Runs for"), up, h("dt", {}, "Memory in use"), memory, h("dt", {}, "Written today"), day, h("dt", {}, "Free on the card"), free, h("dt", {}, "Clock"), clock, h("dt", {}, "Version"), version)),
		update(s) {
			text(up, duration(s.uptime));
			text(memory, bytes(s.memory.rss));
			text(day, `${bytes(s.card.today.bytes)}${s.card.last_day.seconds ? `, ${bytes(s.card.last_day.bytes)} the day before` : ""}`);
			text(free, s.card.size ? `${bytes(s.card.free)} of ${bytes(s.card.size)}` : "–");
			text(clock, s.clock_unset ? "not set yet" : "set");
			text(version, s.version);
		},
	};
}
