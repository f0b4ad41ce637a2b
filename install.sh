#!/bin/sh
# Builds and installs agentctl and agentd: binaries, completions, man pages, systemd units (not enabled), an example.
# Run it again to upgrade. It never writes or removes an agentd.toml, a database or a log.
set -eu

usage() {
	cat <<'TXT'
Usage: ./install.sh [--prefix DIR] [--destdir DIR] [--binaries DIR | --no-build] [--uninstall]

  --prefix DIR    where to install [default: /usr/local for root, else ~/.local]
  --destdir DIR   put everything below DIR, for packagers; PREFIX stays what the files will say [env: DESTDIR]
  --binaries DIR  build nothing; install the agentctl and agentd that DIR holds
  --no-build      the same with target/release
  --uninstall     remove what an earlier run installed under the same prefix
TXT
}

fail() {
	printf 'error: %s\n' "$1" >&2
	[ -z "${2-}" ] || printf ' hint: %s\n' "$2" >&2
	exit 2
}

prefix=
destdir=${DESTDIR-}
uninstall=no
build=yes
binaries=${CARGO_TARGET_DIR:-target}/release
while [ $# -gt 0 ]; do
	case $1 in
	--prefix | --destdir | --binaries)
		[ $# -ge 2 ] || fail "$1 needs a directory"
		option=$1 value=$2
		shift 2
		set -- "$option=$value" "$@"
		continue
		;;
	--prefix=*) prefix=${1#*=} ;;
	--destdir=*) destdir=${1#*=} ;;
	--binaries=*)
		binaries=${1#*=}
		case $binaries in /*) ;; *) binaries=$PWD/$binaries ;; esac
		build=no
		;;
	--uninstall) uninstall=yes ;;
	--no-build) build=no ;;
	-h | --help)
		usage
		exit 0
		;;
	*)
		usage >&2
		fail "cannot understand $1"
		;;
	esac
	shift
done
cd "$(dirname "$0")"

if [ -z "$prefix" ]; then
	if [ "$(id -u)" = 0 ]; then
		prefix=/usr/local
	else
		prefix=${HOME:?}/.local
	fi
fi
case $prefix in
/*) ;;
*) fail "the prefix must be an absolute path, not $prefix" ;;
esac
prefix=${prefix%/}

# Every file we install, as MODE TARGET-UNDER-PREFIX SOURCE; uninstalling reads the same list.
files() {
	echo "755 bin/agentctl $binaries/agentctl"
	echo "755 bin/agentd $binaries/agentd"
	echo "644 share/bash-completion/completions/agentctl completions/agentctl.bash"
	echo "644 share/zsh/site-functions/_agentctl completions/_agentctl"
	echo "644 share/fish/vendor_completions.d/agentctl.fish completions/agentctl.fish"
	for page in man/*.[1-8]; do
		echo "644 share/man/man${page##*.}/${page##*/} $page"
	done
	for text in README.md CHANGELOG.md LICENSE-MIT LICENSE-APACHE dist/agentd.example.toml dist/agentd.schema.json dist/report.schema.json; do
		echo "644 share/doc/agentctl/${text##*/} $text"
	done
	echo "644 lib/systemd/system/agentd.service dist/systemd/agentd.service"
	echo "644 share/systemd/user/agentd.service dist/systemd/agentd.user.service"
}

if [ "$uninstall" = yes ]; then
	top=$destdir$prefix
	removed=0
	list=$(files)
	# Pages of commands that this version no longer has go too.
	for page in "$top"/share/man/man1/agentctl*.1; do
		[ ! -e "$page" ] || list="$list
644 share/man/man1/${page##*/} -"
	done
	while read -r _ target _; do
		[ -e "$top/$target" ] || continue
		rm -f "$top/$target"
		removed=$((removed + 1))
		# The directories that this leaves empty, except those that every system has.
		case $prefix in
		/usr | /usr/local) rmdir "$top/share/doc/agentctl" 2>/dev/null || : ;;
		*) (cd "$top" && rmdir -p "$(dirname "$target")" 2>/dev/null) || : ;;
		esac
	done <<LIST
$list
LIST
	echo "removed $removed files from $top"
	echo "left alone: every agentd.toml, and what agentd stored (/var/lib/agentd or ~/.local/state/agentd)"
	exit 0
fi

if [ "$build" = yes ]; then
	missing=
	command -v cargo >/dev/null 2>&1 || missing="$missing cargo"
	command -v cc >/dev/null 2>&1 || missing="$missing cc"
	if [ -n "$missing" ]; then
		fail "cannot build without:$missing" \
			"cargo: https://rustup.rs (Rust 1.95 or newer); cc: apt-get install gcc libc6-dev"
	fi
	cargo build --release --locked
fi
[ -x "$binaries/agentctl" ] && [ -x "$binaries/agentd" ] ||
	fail "$binaries holds no agentctl and agentd" "cargo build --release makes both; or leave --binaries and --no-build away"

top=$destdir$prefix
mkdir -p "$top" 2>/dev/null || fail "cannot write to $top" "choose a --prefix of your own, or run it as root"
files | while read -r mode target source; do
	# Each step says `exit`, since the `||` below switches `set -e` off in here.
	to=$top/$target
	mkdir -p "$(dirname "$to")" || exit 1
	# A new file beside the old one, then a rename: a running agentd keeps its own, and no reader sees half of one.
	new=$to.new.$$
	case $target in
	*/systemd/*) sed "s|/usr/local/bin/|$prefix/bin/|g" "$source" >"$new" ;;
	*) cp "$source" "$new" ;;
	esac && chmod "$mode" "$new" && mv -f "$new" "$to" || {
		rm -f "$new"
		exit 1
	}
done || fail "cannot write everything under $top" "choose a --prefix of your own, or run it as root"

echo "installed agentctl and agentd under $top"
case :$PATH: in
*":$prefix/bin:"*) ;;
*) echo "note: $prefix/bin is not in PATH" ;;
esac
if [ -d /run/systemd/system ] && [ -z "$destdir" ]; then
	if [ "$(id -u)" = 0 ]; then
		echo "next: systemctl daemon-reload && systemctl enable --now agentd (needs /etc/agentd/agentd.toml)"
	else
		echo "next: systemctl --user daemon-reload && systemctl --user enable --now agentd"
	fi
else
	echo "next: agentctl init --template minimal . && agentctl daemon start"
fi
