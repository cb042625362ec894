#!/usr/bin/env bash
# Makes a Debian 13 root with RabbitMQ 4 and prints its path. Debian 12 has
# only RabbitMQ 3.10, which does not speak MQTT 5. The root lies outside the
# checkout and is made once: its name is a hash of what goes into it. Takes
# about a minute and 300 MB; needs root and Debian's package archive.
set -euo pipefail

suite=trixie
packages=rabbitmq-server
variant=apt

cache=${XDG_CACHE_HOME:-$HOME/.cache}/tidegate-lab
key=$(printf '%s\n' "$suite" "$packages" "$variant" "$(dpkg --print-architecture)" | sha256sum | cut -c1-12)
root=$cache/rabbitmq-$key

mkdir -p "$cache"
exec 9>"$cache/rabbitmq.lock" # two test packages may ask at once
flock 9
if [ -e "$root/made" ]; then
	echo "$root"
	exit
fi

# The machine's own mirror, whatever it is; known only after an update.
mirror() {
	apt-get indextargets --format '$(LABEL) $(REPO_URI)' 'Created-By: Packages' |
		sed -n 's/^Debian //p' | head -n 1
}
{
	if [ -z "$(mirror)" ] || ! command -v mmdebstrap >/dev/null; then
		apt-get update -q
		DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends mmdebstrap debian-archive-keyring
	fi
	rm -rf "$root" "$root.new"
	mmdebstrap --quiet --variant="$variant" --include="$packages" \
		--keyring=/usr/share/keyrings/debian-archive-keyring.gpg \
		"$suite" "$root.new" "deb $(mirror) $suite main"
	touch "$root.new/made"
	mv "$root.new" "$root"
} >&2
echo "$root"
