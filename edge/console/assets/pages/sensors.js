import { h, put } from "../parts/dom.js";
import { list } from "../parts/list.js";
import { actuatorCard } from "../parts/actuator.js";
import { often } from "../parts/often.js";
import { ranges } from "../parts/ranges.js";
import { sensorCard } from "../parts/sensorcard.js";

export const title = "Sensors";

// mount shows what is wired to the gateway: the day of each sensor, and switches.
export function mount(root, app) {
	const cards = new Map(), switches = new Map();
	let reader = null;
	const waiting = h("p", { class: "empty" }, "Asking the gateway…");
	const none = h("section", { class: "card" }, h("p", {}, "Nothing is wired to this gateway, or it is not in the configuration. ", h("code", {}, "tidegate hw scan"), " finds what is there and writes the lines for it."));
	const choice = ranges(() => tick());
	const sensors = h("div", { class: "grid wide" }), actuators = h("ul", { class: "actuators" });
	const problem = h("p", { class: "problem", role: "alert" });
	const past = h("div", { class: "row" }, h("h2", {}, "The last day"), h("span", { class: "right" }, choice.element));
	const wired = h("section", { class: "card" }, h("h2", {}, "Actuators"), actuators);
	const updateSensors = list(sensors, (x) => x.sensor.name, (x) => keep(cards, x.sensor.name, sensorCard(x.sensor)));
	const updateActuators = list(actuators, (a) => a.name, (a) => keep(switches, a.name, actuatorCard(app, a)));
	put(root, waiting);

	// One after the other: the day of a hundred quantities is two megabytes.
	const read = () => often(60_000, async () => {
		for (const name of [...cards.keys()]) {
			try {
				const got = await app.api("GET", `/v1/sensors/history?${new URLSearchParams({ name })}`);
				put(problem);
				cards.get(name)?.history(got);
			} catch (e) {
				if (e.status === 401 || e.status === 0) return;
				if (e.status !== 404) put(problem, [e.message, e.hint].join(" "));
			}
		}
	}, 2000);

	function keep(known, name, card) {
		known.get(name)?.end();
		known.set(name, card);
		return card;
	}

	// forget ends those that are not there any more.
	function forget(known, names) {
		for (const [name, card] of known) if (!names.includes(name)) { card.end(); known.delete(name); }
	}

	function tick() {
		const s = app.status;
		if (!s) return;
		if (waiting.isConnected) put(root, wired, past, problem, sensors, none);
		const range = choice.of(s.uptime), before = cards.size;
		updateSensors(s.sensors.map((sensor) => ({ sensor, now: s.time, range })));
		updateActuators(s.actuators);
		forget(cards, s.sensors.map((x) => x.name));
		forget(switches, s.actuators.map((x) => x.name));
		wired.hidden = s.actuators.length === 0;
		past.hidden = s.sensors.length === 0;
		none.hidden = s.sensors.length + s.actuators.length > 0;
		if (!reader && cards.size) reader = read();
		else if (cards.size > before) reader.again();
	}
	const stop = app.onStatus(tick);
	return () => { stop(); reader?.end(); forget(cards, []); forget(switches, []); };
}
