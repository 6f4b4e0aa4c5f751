#!/bin/bash
# deps: installs the Debian packages that a set of deps.txt names: `tests/deps.sh quickstart|check|dist|fuzz|soak|bench`.
#
# Called by `make deps`, `make check` and `make quickstart`. Quick and silent when all is there (one dpkg-query).
# Needs root or sudo for anything else. No service is ever started: while packages are installed, policy-rc.d
# forbids it; redis's own unit is disabled afterwards where this run installed it. A set can have artifacts of Maven
# Central, wheels of PyPI and packages of npm too, pinned by version and checksum: they land in BUILD/artifacts, the latter
# two unpacked.
set -u
export LC_ALL=C
here=$(cd "$(dirname "$0")" && pwd)
set_name=${1:-check}

wanted() {
	case $set_name in
	quickstart) awk '$1 == "quickstart" { print $2 }' "$here/deps.txt" ;;
	fuzz) awk '$1 == "quickstart" || $1 == "fuzz" { print $2 }' "$here/deps.txt" ;;
	soak)
		awk '$1 == "quickstart" || $1 == "dist" || $1 == "check" || $1 == "soak" { print $2 }' "$here/deps.txt"
		awk '/^[^#]/ { print $2 }' "$here/soak/programs.txt"
		;;
	bench) awk '$1 == "quickstart" || $1 == "dist" || $1 == "check" || $1 == "bench" { print $2 }' "$here/deps.txt" ;;
	dist) awk '$1 == "quickstart" || $1 == "dist" { print $2 }' "$here/deps.txt" ;;
	check) awk '$1 == "quickstart" || $1 == "dist" || $1 == "check" { print $2 }' "$here/deps.txt" ;;
	*) echo "deps: no such set: $set_name (quickstart, check, dist, fuzz, soak, bench)" >&2; exit 2 ;;
	esac
}

missing() {
	local package
	while read -r package; do
		grep -qxF "$package" <<<"$installed" || echo "$package"
	done < <(wanted)
}

list_installed() {
	# shellcheck disable=SC2046
	dpkg-query -W -f '${db:Status-Abbrev} ${Package}\n' $(wanted) 2>/dev/null | awk '$1 ~ /^.i/ { print $2 }'
}

as_root() {
	if [ "$(id -u)" = 0 ]; then
		"$@"
	else
		sudo "$@"
	fi
}

forbid_services() {
	[ -e /usr/sbin/policy-rc.d ] && return
	printf '#!/bin/sh\nexit 101\n' | as_root tee /usr/sbin/policy-rc.d >/dev/null
	as_root chmod 755 /usr/sbin/policy-rc.d
	policy_is_ours=1
}

allow_services() {
	[ "$policy_is_ours" = 1 ] && as_root rm -f /usr/sbin/policy-rc.d
}

disable_redis() {
	[ -d /run/systemd/system ] || return 0
	as_root systemctl disable --now redis-server.service >/dev/null 2>&1 || true
}

# artifacts KIND: what this set has of it, with its checksum.
artifacts() {
	awk -v name="$set_name-$1" '$1 == name { print $2, $3 }' "$here/deps.txt"
}

is_file_with() {
	[ -f "$1" ] && [ "$(sha256sum "$1" | cut -d' ' -f1)" = "$2" ]
}

# What cannot be fetched is said, and no reason to stop: whoever needs it says that it is not there.
fetch_artifacts() {
	local coordinate sum name
	while read -r coordinate sum; do
		name=$(cut -d: -f2,3,5 <<<"$coordinate" | tr : -).jar
		is_file_with "$into/$name" "$sum" && continue
		echo "deps: fetching $coordinate"
		mkdir -p "$into"
		timeout 300 mvn -q -B org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy -Dartifact="$coordinate" \
			-DoutputDirectory="$into" >"$into/log" 2>&1 </dev/null
		is_file_with "$into/$name" "$sum" && continue
		rm -f "$into/$name"
		echo "deps: $coordinate could not be fetched, or is not what it was: $(tail -1 "$into/log" | cut -c1-300)" >&2
	done < <(artifacts artifact)
}

# A wheel is an archive: NAME==VERSION is unpacked in NAME-VERSION, and its programs may be run.
fetch_wheels() {
	local wheel sum file to
	while read -r wheel sum; do
		to=$into/${wheel/==/-}
		[ -e "$to/.is-$sum" ] && continue
		echo "deps: fetching $wheel"
		rm -rf "$to" "$into/wheel" && mkdir -p "$into"
		timeout 300 python3 -m pip download -q --no-deps --only-binary :all: -d "$into/wheel" "$wheel" >"$into/log" 2>&1 </dev/null
		file=$(find "$into/wheel" -name '*.whl' 2>/dev/null)
		if [ -n "$file" ] && is_file_with "$file" "$sum" && python3 -m zipfile -e "$file" "$to" >"$into/log" 2>&1; then
			find "$to" -path '*/bin/*' -o -name jspawnhelper | xargs -r chmod a+x
			touch "$to/.is-$sum"
		else
			echo "deps: $wheel could not be fetched, or is not what it was: $(tail -1 "$into/log" | cut -c1-300)" >&2
		fi
		rm -rf "$into/wheel"
	done < <(artifacts wheel)
}

# A package is an archive: @SCOPE/NAME@VERSION is unpacked in NAME-VERSION, and nothing of it is run.
fetch_packages() {
	local package sum file to
	while read -r package sum; do
		to=${package##*/}
		to=$into/${to/@/-}
		[ -e "$to/.is-$sum" ] && continue
		echo "deps: fetching $package"
		rm -rf "$to" "$into/package" && mkdir -p "$to" "$into/package"
		timeout 300 npm pack --silent --pack-destination "$into/package" "$package" >"$into/log" 2>&1 </dev/null
		file=$(find "$into/package" -name '*.tgz' 2>/dev/null)
		if [ -n "$file" ] && is_file_with "$file" "$sum" && tar -xzf "$file" -C "$to" --strip-components=1 2>"$into/log"; then
			touch "$to/.is-$sum"
		else
			rm -rf "$to"
			echo "deps: $package could not be fetched, or is not what it was: $(tail -1 "$into/log" | cut -c1-300)" >&2
		fi
		rm -rf "$into/package"
	done < <(artifacts npm)
}

fetch() {
	into=$(cd "$here/.." && realpath -m "${BUILD:-build}")/artifacts
	fetch_artifacts
	fetch_wheels
	fetch_packages
}

wanted >/dev/null
if ! command -v dpkg-query >/dev/null; then
	echo "deps: this is not Debian; install the packages named in tests/deps.txt by other means" >&2
	exit 2
fi
installed=$(list_installed)
mapfile -t todo < <(missing)
if [ ${#todo[@]} = 0 ]; then
	fetch
	exit 0
fi
if [ "$(id -u)" != 0 ] && ! command -v sudo >/dev/null; then
	echo "deps: these packages are missing and only root can install them: ${todo[*]}" >&2
	exit 2
fi

echo "deps: installing ${todo[*]}"
policy_is_ours=0
trap allow_services EXIT
forbid_services
log=$(mktemp)
install_them() {
	as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${todo[@]}" >"$log" 2>&1 </dev/null
}
# A fresh container has no package lists, an old one has stale ones: ask for them when the first try fails.
if ! install_them; then
	as_root apt-get update >"$log" 2>&1 </dev/null && install_them
fi
status=$?
if [ $status != 0 ]; then
	tail -20 "$log" >&2
	echo "deps: apt-get install failed; run it by hand: apt-get update && apt-get install ${todo[*]}" >&2
	rm -f "$log"
	exit 2
fi
rm -f "$log"
case " ${todo[*]} " in *" redis-server "*) disable_redis ;; esac
fetch
exit 0
