import { h, put, text } from "../parts/dom.js";
import { list } from "../parts/list.js";
import { addDevice } from "../parts/adddevice.js";
import { showDevice } from "../parts/device.js";
import { people } from "../parts/people.js";
import { exact, number, plural, since } from "../parts/format.js";

export const title = "Devices";

const pageSize = 50;
const refresh = 3000; // ms

// mount shows who is connected; #/devices/ID one of them, #/devices/+add how to add
// one. Client ids may have any letter but that cannot begin with a plus and "add".
export function mount(root, app) {
	if (app.rest === "+add" && app.role === "admin") return addDevice(root, app);
	if (app.rest) return showDevice(root, app, app.rest);
	return showAll(root, app);
}

function showAll(root, app) {
	let offset = 0, timer = 0, ended = false, round = 0;
	const search = h("input", { type: "search", id: "search", placeholder: "Name, address, user", autocomplete: "off", spellcheck: "false" });
	const rows = h("tbody", {});
	const update = list(rows, (d) => d.client_id, row);
	const count = h("p", { class: "muted", role: "status" });
	const table = h("table", { class: "table cards devices" }, h("caption", { class: "visually-hidden" }, "Devices"),
		h("thead", {}, h("tr", {}, ["Device", "Address", "Protocol", "Since"].map((n) => h("th", { scope: "col" }, n)),
			["Subscriptions", "From it", "To it", "Waiting"].map((n) => h("th", { scope: "col", class: "right" }, n)))), rows);
	const none = h("p", { class: "empty", hidden: true });
	const back = h("button", { type: "button", onclick: () => turn(-1) }, "Previous");
	const forth = h("button", { type: "button", onclick: () => turn(1) }, "Next");
	const pager = h("div", { class: "row pager", hidden: true }, back, forth);
	put(root,
		h("div", { class: "row" }, h("label", { for: "search", class: "visually-hidden" }, "Search"), search,
			app.role === "admin" && h("a", { class: "button main", href: "#/devices/+add" }, "Add a device")),
		h("section", { class: "card" }, count, table, none, pager),
		people(app));

	async function load() {
		clearTimeout(timer);
		const mine = ++round;
		try {
			const query = new URLSearchParams({ search: search.value.trim(), offset, limit: pageSize });
			const got = await app.api("GET", `/v1/devices?${query}`);
			if (ended || mine !== round) return;
			show(got);
		} catch (e) {
			if (ended || mine !== round) return;
			if (e.status !== 0 && e.status !== 401) text(count, [e.message, e.hint].join(" "));
		}
		if (!ended && mine === round) timer = setTimeout(tick, refresh);
	}
	const tick = () => (document.hidden ? (timer = setTimeout(tick, refresh)) : load());

	function show({ total, devices }) {
		if (offset > 0 && offset >= total) { offset = 0; load(); return; }
		update(devices.map((d) => ({ ...d, now: app.status?.time })));
		const here = `${offset + 1} to ${offset + devices.length} of `;
		text(count, total ? `${total > devices.length ? here : ""}${plural(total, "device")}${search.value.trim() ? " found" : ""}` : "");
		none.hidden = total > 0;
		table.hidden = total === 0;
		text(none, search.value.trim() ? `Nothing is called like “${search.value.trim()}”.` : "No device is connected yet. Add one to get a name, a password, and what to write into it.");
		pager.hidden = total <= pageSize;
		back.disabled = offset === 0;
		forth.disabled = offset + devices.length >= total;
	}

	function turn(by) {
		offset = Math.max(0, offset + by * pageSize);
		load();
	}
	let typing = 0;
	search.addEventListener("input", () => { clearTimeout(typing); typing = setTimeout(() => { offset = 0; load(); }, 250); });
	load();
	return () => { ended = true; clearTimeout(timer); clearTimeout(typing); };
}

function row(first) {
	const cell = (name, right) => h("td", { "data-name": name, class: right ? "right number" : "" });
	const user = h("span", { class: "muted sub" }), away = h("span", { class: "state" }, "away");
	const address = cell("Address"), protocol = cell("Protocol"), when = cell("Since");
	const subscriptions = cell("Subscriptions", true), received = cell("From it", true), sent = cell("To it", true), queued = cell("Waiting", true);
	const element = h("tr", {},
		h("td", { class: "title long" }, h("a", { href: `#/devices/${encodeURIComponent(first.client_id)}` }, first.client_id), " ", away, user),
		address, protocol, when, subscriptions, received, sent, queued);
	return {
		element,
		update(d) {
			text(user, d.user ? `as ${d.user}` : "without a user name");
			away.hidden = d.connected !== false;
			text(address, d.address || "–");
			text(protocol, [d.protocol, d.transport && d.transport !== "tcp" ? d.transport : ""].filter(Boolean).join(", "));
			text(when, since(d.since, d.now));
			when.title = exact(d.since);
			text(subscriptions, number(Array.isArray(d.subscriptions) ? d.subscriptions.length : d.subscriptions));
			text(received, number(d.received));
			text(sent, number(d.sent));
			text(queued, number(d.queued));
		},
	};
}
