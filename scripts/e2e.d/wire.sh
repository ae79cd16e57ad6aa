# Sourced by scripts/e2e: what is compared on the wire, without an SDK between.

GIT='mcp-server-git==2026.10.19'
FILESYSTEM='@modelcontextprotocol/server-filesystem@2026.8.31'
MEMORY='@modelcontextprotocol/server-memory@2026.8.31'
wire_pins="$(printf '%s\n' "$PWD" "$GIT" "$FILESYSTEM" "$MEMORY")"

install_wire() {
  command -v git >/dev/null || die 'git is missing (Debian: apt-get install git)'
  if [ -f "$home/wire-stamp" ] && [ "$(cat "$home/wire-stamp")" = "$wire_pins" ]; then return; fi
  printf 'e2e: installing what the wire is compared with into .e2e/\n' >&2
  rm -f "$home/wire-stamp"
  python_with git "$GIT"
  rm -rf "$home/wire"
  mkdir -p "$home/wire"
  printf '{"private":true}\n' >"$home/wire/package.json"
  npm install --prefix "$home/wire" --no-audit --no-fund --loglevel=error "$FILESYSTEM" "$MEMORY" >/dev/null
  printf '%s\n' "$wire_pins" >"$home/wire-stamp"
}

# run_wire: every server itself next to the bridge in front of it; and whether that test could fail at all.
run_wire() {
  install_wire
  export E2E_HOME="$home"
  local test=(env "PYTHONPATH=scripts/e2e.d" python3 scripts/e2e.d/wire/transparency.py)
  drive transparent "$rooms/wire-stderr" "${test[@]}" "$rooms/self-test" --self-test
  drive transparent "$rooms/wire-stderr" "${test[@]}" "$rooms/wire" $direct
}
