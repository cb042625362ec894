// Package balancer runs the load balancers that the field puts in front of an
// MQTT cluster, as Debian ships them, from configurations meant to be read and
// adapted: haproxy.cfg.tmpl and nginx.conf.tmpl. README.md says how, and shows
// a cluster for production.
//
//	kind      a client comes back to   finds a dead node by    PROXY protocol
//	haproxy   the node it was on       a CONNECT each second   version 2
//	nginx     any                      clients it refuses      version 1
//
// Both end TLS. Neither needs a privilege: as root they are started as nobody.
package balancer
