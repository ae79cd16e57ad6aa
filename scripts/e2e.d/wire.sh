# Sourced by scripts/e2e: what is compared on the wire, without an SDK between.

GIT='mcp-server-git==2026.10.19'
FILESYSTEM='@modelcontextprotocol/server-filesystem@2026.8.31'
MEMORY='@modelcontextprotocol/server-memory@2026.8.31'
# No dist-tag names this version; the suite needs Node 22, which the package `node` brings.
CONFORMANCE='@modelcontextprotocol/conformance@0.2.0-alpha.12'
CONFORMANCE_NODE='node@22.23.3'
wire_pins="$(printf '%s\n' "$PWD" "$GIT" "$FILESYSTEM" "$MEMORY" "$CONFORMANCE" "$CONFORMANCE_NODE")"

# npm_with FOLDER PACKAGE…
npm_with() {
  local folder="$home/$1"
  shift
  rm -rf "$folder"
  mkdir -p "$folder"
  printf '{"private":true}\n' >"$folder/package.json"
  npm install --prefix "$folder" --no-audit --no-fund --loglevel=error "$@" >/dev/null
}

install_wire() {
  command -v git >/dev/null || die 'git is missing (Debian: apt-get install git)'
  if [ -f "$home/wire-stamp" ] && [ "$(cat "$home/wire-stamp")" = "$wire_pins" ]; then return; fi
  printf 'e2e: installing what the wire is compared with into .e2e/\n' >&2
  rm -f "$home/wire-stamp"
  python_with git "$GIT"
  npm_with wire "$FILESYSTEM" "$MEMORY"
  npm_with conformance "$CONFORMANCE" "$CONFORMANCE_NODE"
  printf '%s\n' "$wire_pins" >"$home/wire-stamp"
}

# run_wire: every server itself next to the bridge in front of it, and whether that test could fail at all; then the official
# conformance suite before both.
run_wire() {
  install_wire
  export E2E_HOME="$home"
  local test=(env "PYTHONPATH=scripts/e2e.d" python3 scripts/e2e.d/wire/transparency.py)
  drive transparent "$rooms/wire-stderr" "${test[@]}" "$rooms/self-test" --self-test
  drive transparent "$rooms/wire-stderr" "${test[@]}" "$rooms/wire" $direct
  test=(env "PYTHONPATH=scripts/e2e.d" python3 scripts/e2e.d/conformance/conformance.py)
  drive conformance "$rooms/wire-stderr" "${test[@]}" "$rooms/conformance" $direct
}
