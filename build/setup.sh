#!/usr/bin/env bash
# Installs what the tests need and the machine lacks: packages of Debian, MQTT.js,
# Node-RED and axe-core, and Debian's arm64 kernel in the user's cache. Works as
# root or with sudo.
set -euo pipefail
cd "$(dirname "$0")/.."

needs=(mosquitto:mosquitto mosquitto_pub:mosquitto-clients paho_c_pub:paho.mqtt.c-examples fusermount3:fuse3 mmdebstrap:mmdebstrap node:nodejs npm:npm chromium:chromium ip:iproute2
	haproxy:haproxy nginx:nginx-light /usr/lib/nginx/modules/ngx_stream_module.so:libnginx-mod-stream
	qemu-system-aarch64:qemu-system-arm aarch64-linux-gnu-gcc:gcc-aarch64-linux-gnu dbus-daemon:dbus-daemon avahi-daemon:avahi-daemon avahi-browse:avahi-utils make:make xz:xz-utils zstd:zstd
	/usr/lib/u-boot/qemu_arm64/u-boot.bin:u-boot-qemu mkimage:u-boot-tools mcopy:mtools sfdisk:fdisk mke2fs:e2fsprogs rauc:rauc mksquashfs:squashfs-tools
	lintian:lintian man:man-db promtool:prometheus systemd-nspawn:systemd-container qemu-arm-static:qemu-user-static
	depmod:kmod dtc:device-tree-compiler fsck.fat:dosfstools ssh:openssh-client)
PATH=$PATH:/usr/sbin:/sbin
missing=()
for n in "${needs[@]}"; do
	command -v "${n%%:*}" >/dev/null || [[ -e ${n%%:*} ]] || missing+=("${n##*:}")
done

if ((${#missing[@]})); then
	root=()
	if ((EUID != 0)); then
		command -v sudo >/dev/null || {
			echo "setup: missing ${missing[*]}; install them as root: apt-get install ${missing[*]}" >&2
			exit 1
		}
		root=(sudo)
	fi
	# Packages start their services, which would hold ports. This file is how
	# Debian is told not to.
	policy=/usr/sbin/policy-rc.d
	if [[ ! -e $policy ]]; then
		printf '#!/bin/sh\nexit 101\n' | "${root[@]}" tee "$policy" >/dev/null
		"${root[@]}" chmod 755 "$policy"
		trap '"${root[@]}" rm -f "$policy"' EXIT
	fi
	"${root[@]}" apt-get update -qq
	"${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
fi

# The package of systemd-resolved would take this machine's /etc/resolv.conf: it is
# unpacked only.
resolved=${XDG_CACHE_HOME:-$HOME/.cache}/tidegate/systemd-resolved
if [[ ! -e /lib/systemd/systemd-resolved && ! -e $resolved/lib/systemd/systemd-resolved ]]; then
	new=$(mktemp -d)
	cd "$new"
	chmod 777 . # for apt's own user
	apt-get download -qq systemd-resolved || { # the list of packages is old, or none
		if ((EUID == 0)); then apt-get update -qq; else sudo apt-get update -qq; fi
		apt-get download -qq systemd-resolved
	}
	dpkg -x systemd-resolved_*.deb tree
	cd - >/dev/null
	mkdir -p "${resolved%/*}"
	rm -rf "$resolved"
	mv "$new/tree" "$resolved"
	rm -rf "$new"
fi

for js in edge/testdata/mqttjs build/browser/npm; do
	if [[ ! $js/node_modules/.package-lock.json -nt $js/package-lock.json ]]; then
		npm ci --no-audit --no-fund --silent --omit=optional --prefix "$js"
	fi
done

go mod download
for m in build/*/go.mod; do
	(cd "$(dirname "$m")" && go mod download)
done

go run ./build/kernel/fetch
# Others build an image through fakeroot, which fetches for itself.
if ((EUID == 0)); then go run ./build/image/make -fetch; fi
