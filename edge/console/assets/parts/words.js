// What the states of the API are called and how bad they are.

const levels = {
	flowing: "well", up: "well", connected: "well", well: "well", online: "well",
	partly: "attention", slow: "attention", connecting: "attention", attention: "attention", paused: "attention", returning: "attention", idle: "well", starting: "attention",
	storing: "trouble", stopped: "trouble", down: "trouble", trouble: "trouble",
};

// level is "well", "attention", "trouble" or "" for a state.
export const level = (state) => levels[state] ?? "";

const names = {
	flowing: "flowing", partly: "partly", storing: "storing", stopped: "stopped", up: "connected", down: "down", slow: "slow", connecting: "connecting", idle: "idle",
};

export const nameOf = (state) => names[state] ?? String(state ?? "");

// hostOf takes scheme and port off an endpoint.
export function hostOf(endpoint) {
	return String(endpoint ?? "").replace(/^[a-z]+:\/\//, "").replace(/:\d+(\/.*)?$/, "").replace(/^\[(.*)\]$/, "$1");
}

// shortLink is what a link is called beside its gateway: house-17-u0 -> u0.
export const shortLink = (id) => String(id ?? "").split("-").pop();

// valuesOf returns the quantities of a sensor: [{field, value, unit, trend}].
export function valuesOf(sensor) {
	if (Array.isArray(sensor.values)) return sensor.values;
	if (sensor.value !== undefined && sensor.value !== null) return [{ field: "", value: sensor.value, unit: sensor.unit, trend: sensor.trend }];
	return [];
}

const arrows = { rising: "↗", falling: "↘", steady: "→", up: "↗", down: "↘" };

export const arrow = (trend) => arrows[trend] ?? "";
