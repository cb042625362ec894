// What the page asks of the gateway: requests, and streams that come back.

// Refused is an error that the gateway has put in words: message, hint, status.
export class Refused extends Error {
	constructor(status, what, hint) {
		super(what);
		this.status = status;
		this.hint = hint ?? "";
	}
}

const timeLimit = 30_000;

// request sends JSON and returns JSON. token is the session's; a text body goes as
// text. It throws Refused, also when the gateway does not answer (status 0).
export async function request(method, path, body, token) {
	const headers = { Accept: "application/json" };
	if (method !== "GET") headers["X-CSRF-Token"] = token ?? "";
	if (body !== undefined) headers["Content-Type"] = typeof body === "string" ? "text/plain; charset=utf-8" : "application/json";
	const late = new AbortController();
	const timer = setTimeout(() => late.abort(), timeLimit);
	let response, text;
	try {
		response = await fetch(path, {
			method, headers, signal: late.signal, cache: "no-store", credentials: "same-origin",
			body: body === undefined || typeof body === "string" ? body : JSON.stringify(body),
		});
		text = await response.text();
	} catch {
		throw new Refused(0, "The gateway does not answer.", "Is it on, and in the same network as this device?");
	} finally {
		clearTimeout(timer);
	}
	const answer = parse(text);
	if (response.ok) return answer ?? {};
	throw new Refused(response.status, sentence(answer?.error ?? `The gateway answered ${response.status}.`), sentence(answer?.hint ?? ""));
}

function parse(text) {
	try {
		return JSON.parse(text);
	} catch {
		return null;
	}
}

// sentence makes one of what the gateway says.
export function sentence(s) {
	const t = String(s).trim();
	if (!t) return "";
	return t[0].toUpperCase() + t.slice(1) + (/[.!?:]$/.test(t) ? "" : ".");
}

const pauses = [500, 1000, 2000, 4000, 8000];

// openStream listens to server-sent events at path, and comes back whenever it
// ends. handlers are by the name of the event and get its JSON; handlers.onOpen and
// handlers.onLost are told of the connection. A page that nobody looks at listens
// to nothing, unless handlers.always: browsers have six connections to a host for
// all their tabs together. lost is asked what to do: true to try again. Returns
// close().
export function openStream(path, handlers, lost) {
	let source = null, timer = 0, tries = 0, closed = false;
	const close = () => { source?.close(); source = null; clearTimeout(timer); };
	const open = () => {
		close();
		if (closed || (document.hidden && !handlers.always)) return;
		source = new EventSource(path);
		source.onopen = () => { tries = 0; handlers.onOpen?.(); };
		source.onerror = fail;
		for (const name of Object.keys(handlers)) {
			if (name.startsWith("on") || name === "always") continue;
			source.addEventListener(name, (e) => { const data = parse(e.data); if (data !== null && !closed) handlers[name](data); });
		}
	};
	const fail = async () => {
		close();
		handlers.onLost?.();
		if (!(await lost()) || closed) return;
		clearTimeout(timer);
		timer = setTimeout(open, pauses[Math.min(tries++, pauses.length - 1)]);
	};
	const look = () => { if (document.hidden && !handlers.always) close(); else if (!source) { tries = 0; open(); } };
	document.addEventListener("visibilitychange", look);
	addEventListener("online", look);
	open();
	return () => {
		closed = true;
		close();
		document.removeEventListener("visibilitychange", look);
		removeEventListener("online", look);
	};
}
