// The shell: who is logged in, which page is shown, whether the gateway answers.
//
// A page is a module pages/NAME.js with `export const title` and
// `export function mount(root, app)`, which returns a function that ends its timers
// and streams. app has:
//   api(method, path, body)   path as in the API: "/v1/devices"; throws with message and hint
//   stream(path, handlers)    server-sent events by name; returns close()
//   onStatus(fn)              fn(status) now and each second; returns a function that stops it
//   status, role, user, gateway, rest (what follows the page's name in the address)
//   h, svg, put, text         elements (parts/dom.js)
//   say(text, level)          tells everybody, also those who do not see; level "bad" stays longer
//   fail(error)               says what a caught error says
//   format                    numbers, bytes, times (parts/format.js)
import { h, svg, put, text } from "./parts/dom.js";
import * as format from "./parts/format.js";
import { openStream, request } from "./parts/net.js";
import { showLogin } from "./parts/login.js";

const pages = [
	["now", "Now"], ["devices", "Devices"], ["topics", "Topics"], ["uplink", "Uplink"],
	["sensors", "Sensors"], ["settings", "Settings"], ["log", "Log"],
].filter(([name]) => meta("pages").split(" ").includes(name));

const at = (id) => document.getElementById(id);
const listeners = new Set();
let session = {}, unmount = null, shown = null, closeLive = null, asking = null, last = 0;

const app = {
	h, svg, put, text, format, say,
	status: null,
	rest: "",
	get role() { return session.role ?? ""; },
	get user() { return session.user ?? ""; },
	get gateway() { return session.gateway ?? ""; },
	async api(method, path, body) {
		try {
			return await request(method, `/api${path}`, body, session.csrf);
		} catch (e) {
			if (e.status === 401) ask("Your log-in has ended.");
			throw e;
		}
	},
	stream: (path, handlers) => openStream(`/api${path}`, handlers, stillIn),
	onStatus(fn) {
		listeners.add(fn);
		if (app.status) fn(app.status);
		return () => listeners.delete(fn);
	},
	fail: (e) => say([e.message, e.hint].filter(Boolean).join(" "), "bad"),
};

function meta(name) {
	return document.querySelector(`meta[name=${name}]`)?.content ?? "";
}

// ---- who ----

// stillIn says whether a stream that broke may try again: not when the log-in has
// ended. When the gateway has new software, the page is loaded anew.
async function stillIn() {
	try {
		const now = await request("GET", "/api/session");
		if (`/a/${now.assets}` !== meta("assets")) return location.reload();
		if (now.role) {
			session = now;
			return true;
		}
		ask("The log-in has ended, or the gateway was started anew.", now);
		return false;
	} catch {
		return true;
	}
}

// ask shows the log-in, once, and goes on where one was.
async function ask(why, known) {
	if (asking) return asking;
	asking = (async () => {
		leave();
		showSession({});
		for (;;) {
			try {
				known ??= await request("GET", "/api/session");
				break;
			} catch {
				lost(true);
				await new Promise((r) => { setTimeout(r, 2000); });
			}
		}
		lost(false);
		if (!known.role) {
			document.title = "Log in – Tidegate";
			text(at("gateway"), known.gateway);
			const done = new AbortController();
			known = await Promise.race([showLogin(at("main"), known, request, why), elsewhere(done.signal)]);
			done.abort();
		}
		asking = null;
		showSession(known);
		begin();
	})();
	return asking;
}

// elsewhere waits until somebody has logged in in another tab of this browser and
// looks at this one.
function elsewhere(signal) {
	return new Promise((resolve) => {
		document.addEventListener("visibilitychange", async () => {
			if (document.hidden) return;
			const now = await request("GET", "/api/session").catch(() => ({}));
			if (now.role) resolve(now);
		}, { signal });
	});
}

function showSession(next) {
	session = next;
	if (next.gateway) text(at("gateway"), next.gateway);
	text(at("user"), next.user ? `${next.user}${next.role === "read" ? ", may look only" : ""}` : "");
	for (const id of ["leave", "nav", "menu"]) at(id).hidden = !next.role;
	document.documentElement.dataset.role = next.role ?? "";
}

function begin() {
	listen();
	route();
}

function leave() {
	closeLive?.();
	closeLive = null;
	unmount?.();
	unmount = shown = null;
	app.status = null;
}

// ---- whether the gateway answers ----

const stale = 8000; // ms without a word after which a connection is taken for dead

function listen() {
	closeLive?.();
	let opened = false;
	const close = app.stream("/v1/live", {
		// In the meantime another tab may have logged in: its token is another.
		onOpen: () => { if (opened) stillIn(); opened = true; },
		status: (s) => {
			last = Date.now();
			lost(false);
			app.status = s;
			for (const fn of [...listeners]) fn(s);
		},
		onLost: () => lost(true),
	});
	last = Date.now();
	const timer = setInterval(() => {
		if (document.hidden) last = Date.now();
		else if (Date.now() - last > stale) {
			lost(true);
			stillIn().then((yes) => { if (yes && closeLive) listen(); });
		}
	}, 2000);
	closeLive = () => { close(); clearInterval(timer); };
}

function lost(is) {
	const line = at("lost");
	if (line.hidden === !is) return;
	line.hidden = !is;
	text(line, is ? "The gateway does not answer, trying again. What is shown here is from before." : "");
	document.documentElement.toggleAttribute("data-lost", is);
	if (!is && session.role) say("The gateway answers again.");
}

// ---- pages ----

async function route() {
	const [, name = "", rest = ""] = location.hash.match(/^#\/([a-z]*)\/?(.*)$/) ?? [];
	const page = pages.find(([n]) => n === name) ?? pages[0];
	if (!session.role || !page) return;
	const first = shown === null;
	unmount?.();
	unmount = null;
	const mine = shown = {};
	app.rest = decode(rest);
	closeMenu();
	for (const a of at("nav").querySelectorAll("a")) {
		if (a.dataset.page === page[0]) a.setAttribute("aria-current", "page");
		else a.removeAttribute("aria-current");
	}
	const heading = h("h1", { tabindex: "-1" }, page[1]);
	const root = h("div", { class: `page ${page[0]}` });
	try {
		const module = await import(`./pages/${page[0]}.js`);
		if (shown !== mine) return;
		text(heading, module.title);
		document.title = `${module.title} – ${app.gateway || "Tidegate"}`;
		put(at("main"), heading, root);
		if (!first) { heading.focus({ preventScroll: true }); scrollTo(0, 0); }
		unmount = module.mount(root, app);
	} catch (e) {
		if (shown !== mine) return;
		put(at("main"), heading, h("p", { class: "problem", role: "alert" }, "This page could not be shown. ", h("a", { href: location.href, onclick: () => location.reload() }, "Load it again")));
		console.warn(e);
		stillIn();
	}
}

function decode(s) {
	try {
		return decodeURIComponent(s);
	} catch {
		return s;
	}
}

// ---- what everybody is told ----

function say(words, level = "") {
	const one = h("p", { class: level }, words);
	at("said").append(one);
	while (at("said").children.length > 3) at("said").firstChild.remove();
	setTimeout(() => one.remove(), level === "bad" ? 12_000 : 5000);
}

// ---- the frame ----

function closeMenu() {
	at("menu").setAttribute("aria-expanded", "false");
	at("nav").classList.remove("open");
}

function frame() {
	put(at("nav"), h("ul", {}, pages.map(([name, words]) => h("li", {}, h("a", { href: `#/${name}`, "data-page": name }, words)))));
	at("menu").addEventListener("click", () => {
		const open = at("nav").classList.toggle("open");
		at("menu").setAttribute("aria-expanded", String(open));
	});
	addEventListener("keydown", (e) => { if (e.key === "Escape" && at("nav").classList.contains("open")) { closeMenu(); at("menu").focus(); } });
	at("skip").addEventListener("click", (e) => { e.preventDefault(); at("main").focus(); });
	at("leave").addEventListener("click", async () => {
		await request("POST", "/api/logout", undefined, session.csrf).catch(() => {});
		ask("You have logged out.");
	});
	const dark = () => (document.documentElement.dataset.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
	const name = () => at("theme").setAttribute("aria-label", dark() ? "Make it light" : "Make it dark");
	at("theme").addEventListener("click", () => {
		const next = dark() ? "light" : "dark";
		document.documentElement.dataset.theme = next;
		try { localStorage.setItem("theme", next); } catch { /* it holds until the page is closed */ }
		name();
	});
	matchMedia("(prefers-color-scheme: dark)").addEventListener("change", name);
	name();
	addEventListener("hashchange", route);
}

frame();
ask();
