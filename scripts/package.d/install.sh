#!/bin/sh
# Puts bridge where you can use it, and takes it away again.
#
#   ./install.sh                      from the unpacked archive that this file came in
#   sh install.sh --from PLACE        from a folder, or an https:// address, with the archives and SHA256SUMS
#   … --prefix DIR                    into DIR/bin, DIR/share; ~/.local otherwise
#   … --uninstall                     removes what it put there, and nothing else; "bridge install --undo" comes before
#
# Nothing is asked, nothing needs root, no file of another program is touched: `bridge install` does that, and asks.
set -eu

die() { printf 'install.sh: %s\n' "$*" >&2; exit 1; }

prefix='' from='' uninstall=''
while [ $# -gt 0 ]; do
  case "$1" in
    --prefix) [ $# -ge 2 ] || die '--prefix needs a folder'; prefix="$2"; shift 2 ;;
    --from) [ $# -ge 2 ] || die '--from needs a folder or an address'; from="$2"; shift 2 ;;
    --uninstall) uninstall=yes; shift ;;
    -h | --help) sed -n '2,/^set/s/^# \{0,1\}//p' "$0" | sed '$d'; exit 0 ;;
    *) die "no option $1; --help shows all" ;;
  esac
done
if [ -z "$prefix" ]; then
  [ -n "${HOME:-}" ] || die 'HOME is not set; say --prefix DIR'
  prefix="$HOME/.local"
fi

pages="$prefix/share/man/man1"
bash_folder="$prefix/share/bash-completion/completions"
zsh_folder="$prefix/share/zsh/site-functions"
fish_folder="$prefix/share/fish/vendor_completions.d"

# What was put where, so that nothing else is ever removed.
list="$prefix/share/bridge/installed"

if [ -n "$uninstall" ]; then
  [ -f "$list" ] || die "nothing of bridge was put into $prefix by this"
  while IFS= read -r file; do rm -f "$file"; done <"$list"
  rm -f "$list"
  rmdir "$prefix/share/bridge" 2>/dev/null || :
  echo "bridge is gone from $prefix; its record and its configuration are where they were."
  exit 0
fi

work=''
trap '[ -z "$work" ] || rm -rf "$work"' EXIT

# The name that archives have for this machine.
target() {
  case "$(uname -s)" in
    Linux)
      if ldd --version 2>&1 | grep -qi musl; then die 'there is no archive for musl; build it: cargo install --path .'; fi
      system=unknown-linux-gnu ;;
    Darwin) system=apple-darwin ;;
    *) die "there is no archive for $(uname -s)" ;;
  esac
  case "$(uname -m)" in
    x86_64 | amd64) echo "x86_64-$system" ;;
    arm64 | aarch64) echo "aarch64-$system" ;;
    *) die "there is no archive for $(uname -m)" ;;
  esac
}

fetch() {
  case "$from" in
    https://* | http://127.0.0.1:* | http://localhost:*)
      if command -v curl >/dev/null; then curl -fsSL "$from/$1" -o "$work/$1"
      elif command -v wget >/dev/null; then wget -q "$from/$1" -O "$work/$1"
      else die 'neither curl nor wget is here'; fi ;;
    *://*) die "only https:// is taken: $from" ;;
    *) cp "$from/$1" "$work/$1" ;;
  esac || die "cannot get $1 from $from"
}

sum() {
  if command -v sha256sum >/dev/null; then sha256sum "$1"; else shasum -a 256 "$1"; fi | cut -d' ' -f1
}

if [ -n "$from" ]; then
  work="$(mktemp -d)"
  fetch SHA256SUMS
  wanted="$(target)"
  archive="$(sed -n "s/^[0-9a-f]\{64\}  \(bridge-[^ /]*-$wanted\.tar\.gz\)\$/\1/p" "$work/SHA256SUMS" | head -n 1)"
  [ -n "$archive" ] || die "$from has no archive for $wanted"
  fetch "$archive"
  is="$(sum "$work/$archive")"
  must="$(sed -n "s/^\([0-9a-f]\{64\}\)  $archive\$/\1/p" "$work/SHA256SUMS" | head -n 1)"
  [ "$is" = "$must" ] || die "$archive is not what SHA256SUMS says: nothing was installed"
  tar -xzf "$work/$archive" -C "$work" || die "$archive cannot be unpacked: nothing was installed"
  here="$work/${archive%.tar.gz}"
else
  here="$(cd "$(dirname "$0")" && pwd)"
fi
[ -f "$here/bridge" ] || die "there is no bridge beside $0; say --from PLACE"
"$here/bridge" --version >/dev/null 2>&1 || die 'this bridge does not run here (another system, or an older glibc?): nothing was installed'

# In one step each: a program that runs is not written to, and a bridge that serves goes on.
put() {
  mkdir -p "$(dirname "$2")" && cp "$1" "$2.new.$$" && chmod "$3" "$2.new.$$" && mv -f "$2.new.$$" "$2" || {
    rm -f "$2.new.$$"
    die "cannot write $2"
  }
  grep -qxF "$2" "$list" 2>/dev/null || printf '%s\n' "$2" >>"$list"
}
mkdir -p "$prefix/share/bridge" || die "cannot write into $prefix"
put "$here/bridge" "$prefix/bin/bridge" 755
for page in "$here"/man/*.1; do put "$page" "$pages/${page##*/}" 644; done
put "$here/completions/bridge.bash" "$bash_folder/bridge" 644
put "$here/completions/bridge.zsh" "$zsh_folder/_bridge" 644
put "$here/completions/bridge.fish" "$fish_folder/bridge.fish" 644

echo "$("$prefix/bin/bridge" --version) is in $prefix/bin"
case ":${PATH:-}:" in
  *":$prefix/bin:"*) program=bridge ;;
  *)
    program="$prefix/bin/bridge"
    echo "$prefix/bin is not in your PATH; add it, or write the whole path." ;;
esac
echo
echo "Next:  $program demo                      see it survive a crash"
echo "       $program install --move-servers    put it in front of your clients' servers"
