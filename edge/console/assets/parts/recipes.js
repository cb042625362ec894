import { h, put } from "./dom.js";
import { copyText } from "./secret.js";

// recipes shows what to write into devices of the usual kinds, with this gateway's
// address and ports.
export function recipes(app, { name, password }, rules) {
	const place = placeOf(app.status?.home.listeners ?? [], name, password, rules);
	const kinds = Object.entries(texts);
	const out = h("div", {}), note = h("p", { class: "muted" });
	const select = h("select", { id: "kind", onchange: show }, kinds.map(([kind]) => h("option", { value: kind }, kind)));
	const tls = h("input", { type: "checkbox", checked: !place.plain, disabled: !place.tls || !place.plain, onchange: show });
	function show() {
		const [text, words] = texts[select.value](place, tls.checked && place.tls);
		const area = h("pre", { tabindex: "0", "aria-label": `Lines for ${select.value}` }, text);
		put(out, area, h("p", { class: "row" }, h("button", { type: "button", onclick: () => copyText(app, text, area) }, "Copy these lines")));
		put(note, words);
	}
	show();
	return h("div", {}, !place.plain && !place.tls && h("p", { class: "problem" }, "No listener for MQTT is reachable from the home. Add one to the configuration."),
		h("label", { for: "kind" }, "Kind of device"), select, place.tls && h("label", { class: "check" }, tls, " With encryption (TLS)"), out, note);
}

// placeOf finds where devices connect: by the name or address that this page was
// called by, which works from here.
function placeOf(listeners, name, password, rules) {
	const host = location.hostname.replace(/^\[|\]$/g, "");
	const port = (wanted) => {
		const own = listeners.filter((l) => wanted.includes(String(l.protocol).toLowerCase()));
		const open = own.find((l) => !/^(127\.|\[?::1|localhost)/.test(l.address)) ?? own[0];
		return open ? Number(String(open.address).match(/:(\d+)$/)?.[1]) || null : null;
	};
	const first = (rules.publish ?? []).find((f) => f !== "#") ?? "home/#";
	return { host, name, password, plain: port(["mqtt", "tcp"]), tls: port(["mqtts", "tls", "ssl"]), topic: first.replace(/\/?[#+].*$/, "") || "home" };
}

const quoted = (s) => JSON.stringify(s);
const shell = (s) => `'${s.replaceAll("'", "'\\''")}'`;
const authority = "The file tidegate-ca.pem, from the boot partition of an SD-card image, makes it believe the gateway's certificate; a certificate of your own needs its authority there.";

const texts = {
	ESPHome: (p, tls) => [
		`mqtt:
  broker: ${p.host}
  port: ${tls ? p.tls : p.plain}
  username: ${quoted(p.name)}
  password: ${quoted(p.password)}
  topic_prefix: ${p.topic}${tls ? `
  certificate_authority: !secret tidegate_ca  # the text of tidegate-ca.pem` : ""}`,
		tls ? `${authority} On ESP8266 it is a fingerprint instead (ssl_fingerprints).` : "For the device's YAML. A .local name needs mDNS in its network; the gateway's IP address works everywhere.",
	],
	Tasmota: (p, tls) => [
		`Backlog MqttHost ${p.host}; MqttPort ${tls ? p.tls : p.plain}; MqttUser ${p.name}; MqttPassword ${p.password}; Topic ${p.name}; FullTopic ${p.topic}/%prefix%/${tls ? "; SetOption103 1; SetOption132 1" : ""}`,
		`For the console of the device's page. ${tls ? "It needs a build with TLS (tasmota32, or one with USE_MQTT_TLS); SetOption132 checks the certificate by its fingerprint." : "Its names end in .local only with a build that has mDNS: take the IP address otherwise."}`,
	],
	Shelly: (p, tls) => [
		`curl -X POST http://SHELLY/rpc/Mqtt.SetConfig -d ${shell(JSON.stringify({ config: { enable: true, server: `${p.host}:${tls ? p.tls : p.plain}`, client_id: p.name, user: p.name, pass: p.password, topic_prefix: `${p.topic}`, ...(tls ? { ssl_ca: "user_ca.pem" } : {}) } }))}
curl http://SHELLY/rpc/Shelly.Reboot`,
		`For devices of the second generation and later; SHELLY is the device's address. The same stands in its page under Settings, MQTT. ${tls ? "Upload tidegate-ca.pem there first, as the user's TLS CA." : ""}`,
	],
	Zigbee2MQTT: (p, tls) => [
		`mqtt:
  base_topic: ${p.topic}
  server: ${tls ? "mqtts" : "mqtt"}://${p.host}:${tls ? p.tls : p.plain}
  user: ${quoted(p.name)}
  password: ${quoted(p.password)}
  client_id: ${p.name}
  version: 5${tls ? `
  ca: /path/to/tidegate-ca.pem` : ""}`,
		`For configuration.yaml. ${tls ? authority : "Start it again afterwards."}`,
	],
	mosquitto_pub: (p, tls) => [
		`mosquitto_pub -V 5 -h ${p.host} -p ${tls ? p.tls : p.plain} -u ${shell(p.name)} -P ${shell(p.password)} -q 1 -t ${shell(`${p.topic}/test`)} -m hello${tls ? " --cafile tidegate-ca.pem" : ""}`,
		tls ? authority : "To try it from a computer; mosquitto_sub takes the same.",
	],
};
