// often calls an async function now and again ms after each end of it, while
// somebody looks at the page; never two at once. again() calls it soon, at the
// least `rest` ms after it began last. Returns {again(), end()}.
export function often(ms, f, rest = 1000) {
	let timer = 0, busy = false, wanted = false, ended = false, began = -rest;
	const plan = (wait) => { clearTimeout(timer); if (!ended && !document.hidden) timer = setTimeout(run, wait); };
	async function run() {
		if (busy) { wanted = true; return; }
		busy = true;
		wanted = false;
		began = performance.now();
		try { await f(); } finally { busy = false; }
		if (wanted) again(); else plan(ms);
	}
	const again = () => { if (busy) wanted = true; else plan(Math.max(0, began + rest - performance.now())); };
	const look = () => { if (document.hidden) clearTimeout(timer); else again(); };
	document.addEventListener("visibilitychange", look);
	run();
	return { again, end: () => { ended = true; clearTimeout(timer); document.removeEventListener("visibilitychange", look); } };
}
