// What the states of the API are called and how bad they are.

const levels = {
	flowing: "well", up: "well", well: "well",
	partly: "attention", slow: "attention", starting: "attention", connecting: "attention", draining: "attention", attention: "attention",
	storing: "trouble", stopped: "trouble", backoff: "trouble", down: "trouble", trouble: "trouble",
};

// level is "well", "attention", "trouble" or "" for a state.
export const level = (state) => levels[state] ?? "";

const names = { up: "connected", backoff: "down", draining: "moving" };

export const nameOf = (state) => names[state] ?? String(state ?? "");

// hostOf takes scheme and port off an endpoint.
export function hostOf(endpoint) {
	return String(endpoint ?? "").replace(/^[a-z]+:\/\//, "").replace(/:\d+(\/.*)?$/, "").replace(/^\[(.*)\]$/, "$1");
}

// shortLink is what a link is called beside its gateway: house-17-u0 -> u0.
export const shortLink = (id) => String(id ?? "").split("-").pop();

const arrows = { rising: "↗", falling: "↘", steady: "→" };

export const arrow = (trend) => arrows[trend] ?? "";

// nodeOf is an endpoint as people tell it from others: with its port where it has one.
export function nodeOf(endpoint) {
	return String(endpoint ?? "").replace(/^[a-z]+:\/\//, "").replace(/\/.*$/, "");
}

// quantity is what a sensor measures, as people write it.
export const quantity = (field) => String(field ?? "").replaceAll("_", " ");
