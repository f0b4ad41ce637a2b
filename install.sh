#!/bin/sh
# Builds and installs agentctl and agentd: binaries, completions, man pages, systemd units (not enabled), an example.
# Run it again to upgrade. It never writes or removes an agentd.toml, a database or a log.
set -eu

usage() {
	cat <<'TXT'
Usage: ./install.sh [--prefix DIR] [--destdir DIR] [--uninstall]

  --prefix DIR    where to install [default: /usr/local for root, else ~/.local]
  --destdir DIR   put everything below DIR, for packagers; PREFIX stays what the files will say
  --uninstall     remove what an earlier run installed under the same prefix
  --no-build      install what target/release already holds
TXT
}

fail() {
	printf 'error: %s\n' "$1" >&2
	[ -z "${2-}" ] || printf ' hint: %s\n' "$2" >&2
	exit 2
}

prefix=
destdir=
uninstall=no
build=yes
while [ $# -gt 0 ]; do
	case $1 in
	--prefix | --destdir)
		[ $# -ge 2 ] || fail "$1 needs a directory"
		if [ "$1" = --prefix ]; then prefix=$2; else destdir=$2; fi
		shift
		;;
	--prefix=*) prefix=${1#*=} ;;
	--destdir=*) destdir=${1#*=} ;;
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

# Every file we install, as SOURCE MODE TARGET-UNDER-PREFIX; uninstalling reads the same list.
files() {
	echo "target/release/agentctl 755 bin/agentctl"
	echo "target/release/agentd 755 bin/agentd"
	echo "completions/agentctl.bash 644 share/bash-completion/completions/agentctl"
	echo "completions/_agentctl 644 share/zsh/site-functions/_agentctl"
	echo "completions/agentctl.fish 644 share/fish/vendor_completions.d/agentctl.fish"
	for page in man/*.[1-8]; do
		echo "$page 644 share/man/man${page##*.}/${page##*/}"
	done
	for text in README.md CHANGELOG.md LICENSE-MIT LICENSE-APACHE dist/agentd.example.toml dist/agentd.schema.json; do
		[ ! -e "$text" ] || echo "$text 644 share/doc/agentctl/${text##*/}"
	done
	echo "dist/systemd/agentd.service 644 lib/systemd/system/agentd.service"
	echo "dist/systemd/agentd.user.service 644 share/systemd/user/agentd.service"
}

if [ "$uninstall" = yes ]; then
	removed=0
	list=$(files)
	# Pages of commands that this version no longer has go too.
	for page in "$destdir$prefix"/share/man/man1/agentctl*.1; do
		[ ! -e "$page" ] || list="$list
- - share/man/man1/${page##*/}"
	done
	while read -r _ _ target; do
		if [ -e "$destdir$prefix/$target" ]; then
			rm -f "$destdir$prefix/$target"
			removed=$((removed + 1))
		fi
	done <<LIST
$list
LIST
	rmdir "$destdir$prefix/share/doc/agentctl" 2>/dev/null || :
	echo "removed $removed files from $destdir$prefix"
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
[ -x target/release/agentctl ] && [ -x target/release/agentd ] ||
	fail "target/release holds no agentctl and agentd" "cargo build --release, or leave --no-build away"

top=$destdir$prefix
mkdir -p "$top" 2>/dev/null || fail "cannot write to $top" "choose a --prefix of your own, or run it as root"
files | while read -r source mode target; do
	to=$top/$target
	mkdir -p "$(dirname "$to")"
	# A new file beside the old one, then a rename: a running agentd keeps its own, and no reader sees half of one.
	new=$to.new.$$
	case $target in
	*/systemd/*) sed "s|/usr/local/bin/|$prefix/bin/|g" "$source" >"$new" ;;
	*) cp "$source" "$new" ;;
	esac
	chmod "$mode" "$new"
	mv -f "$new" "$to"
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
