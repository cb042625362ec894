import { put } from "../parts/dom.js";
import { runningConfig } from "../parts/runningconfig.js";
import { checkConfig } from "../parts/checkconfig.js";
import { account } from "../parts/account.js";

export const title = "Settings";

// mount shows what the gateway runs with, lets a changed configuration be checked,
// and shows who is logged in.
export function mount(root, app) {
	const check = checkConfig(app);
	const running = runningConfig(app, check.take);
	put(root, running.element, check.element, account(app));
	running.load();
	return () => running.end();
}
