// Package console is the web page of the gateway: its server, its log-in, and
// the page itself (assets), embedded.
//
//	browser --HTTP or HTTPS, one port--> listener (networks, bounds) -> guard (host, origin, headers)
//	  /                 the shell, which names the assets by their hash
//	  /a/HASH/...       assets: compressed, for ever in the browser's cache
//	  /api/session      who am I; login, logout, setup, qr: package-own
//	  /api/v1/...       Options.API, after log-in, with the role in the context
//	  /metrics          Options.Metrics: open, or with a name and password in each request
//	  Options.Open      /healthz, /readyz: without log-in
//
// # Promises
//
// Nobody sees or changes anything without a user's name and password, but for the
// numbers of /metrics, unless these are closed too, and for Options.Open; one whose
// role is to read changes nothing. There is no default password: who visits first
// sets the administrator's, and only while nobody has a role.
//
// A page of a stranger that somebody in the home looks at can do nothing: its
// requests carry no cookie (SameSite=Strict), are refused by their origin, lack
// the session's token, and a name of the stranger's that points to the gateway (DNS
// rebinding) is none that the console answers to.
//
// What a session is known by is in the browser alone; here is its hash, in RAM.
// It ends at log-out, when it was not used for a time (a page that is open uses
// it), after a time in any case,
// when the user's password changes or the role is taken away, and at a restart of
// the gateway.
//
// Passwords are tried a few times a minute from one address. Connections, headers,
// bodies, sessions and the time for each are bounded.
//
// The page loads nothing from elsewhere, and its policy (Content-Security-Policy)
// lets it load nothing from elsewhere.
//
// A console that cannot be served takes nothing down: the gateway works without.
//
// # What the page is made of
//
// Modules as browsers have them, one for each page and part, without a framework
// and without a build: what is in assets is what the browser gets, so that who
// reads an error's line finds it here, and the firmware needs no npm to be built.
// Every word is put in as text, never as HTML, which leaves nothing for a device's
// name or payload to break out of.
//
// What is live comes as server-sent events of the API, not over MQTT in the
// browser: they need the session's cookie and the role and no user of the broker,
// they tell rates, links and what waits, which are no messages, a page that falls
// behind misses frames and holds up nobody, and MQTT.js alone would weigh more
// than the page.
//
// uPlot draws the charts: it is small, and draws a day of minutes without effort on
// a telephone. It is fetched only by a page that has a chart; without it the
// numbers are there still.
//
// # HTTPS
//
// With a certificate the port speaks HTTPS, and redirects who comes with plain HTTP
// to it, by the first byte. Strict-Transport-Security is not sent: a browser holds
// it against the name, for every port, and would lock people out of their own
// gateway when its certificate is replaced by one that it does not know, or taken
// away; over HTTP, which is what an image starts with, it means nothing.
//
// Without a certificate whoever can listen in the home's network can read
// passwords and cookies.
//
// # Memory
//
// Assets are compressed when they are first asked for, and kept: some 100 KB. A
// connection takes some 20 KB.
//
// # Caveats
//
// Cookies know no ports: another program on the same host name can see the
// session's cookie, and so has to be trusted. Sessions are not kept over a restart.
// Behind a reverse proxy, all have the proxy's address to the rate limit, and its
// public name must be in hosts.
package console
