#!/bin/bash
# What an operator does with the units, under the systemd that boot.sh has started. Says how it went in /try/result.
set -uo pipefail
exec > /try/log 2>&1
export HOME=/try/home
mkdir -p "$HOME"

fail() {
  echo "FAILED: $1"
  systemctl --no-pager --full status everwarm.service everwarm.socket
  echo failed > /try/result
  exit 1
}
step() { echo "== $1"; shift; "$@" || fail "$*"; }
answers() {
  local got
  got=$(curl -sS -o /dev/null -w '%{http_code}' -H 'host: shop.apps.example.com' http://127.0.0.1/)
  [ "$got" = "$1" ] || { echo "answered $got, not $1"; return 1; }
}
main_pid() { systemctl show -p MainPID --value everwarm.service; }
is_bounded() {
  local status=/proc/$(main_pid)/status
  grep -q '^NoNewPrivs:.*1$' "$status" && grep -q '^Seccomp:.*2$' "$status" && ! grep -q '^Uid:.*\b0\b' "$status"
}
is_another_process() { [ "$(main_pid)" != "$1" ] && [ "$(main_pid)" != 0 ]; }
# Within 20 seconds.
soon() { local try; for try in $(seq 100); do "$@" && return; sleep 0.2; done; return 1; }

step "the socket is open before the node runs" systemctl start everwarm.socket
step "a connection starts the node" answers 404
step "it says that it is ready" systemctl is-active everwarm.service
step "it runs as nobody, with what the unit leaves it" is_bounded
step "the first token logs in" everwarm login http://127.0.0.1:3001 \
  --token-file /var/lib/private/everwarm/admin.token
mkdir -p "$HOME/shop" && cp /try/component.wasm "$HOME/shop/f.wasm"
printf 'name = "shop"\n[[function]]\nname = "f"\ncomponent = "f.wasm"\nroutes = ["/*"]\n' > "$HOME/shop/everwarm.toml"
step "a deploy compiles" everwarm deploy "$HOME/shop"
step "the function answers" answers 200

echo "== restarts refuse no request"
touch "$HOME/asking"
(while [ -e "$HOME/asking" ]; do if answers 200; then echo; else touch "$HOME/refused"; fi >> "$HOME/answered"; done) &
for _ in 1 2 3 4 5 6 7 8; do step "a restart" systemctl restart everwarm.service; done
rm "$HOME/asking"
wait
[ ! -e "$HOME/refused" ] || fail "a request was refused while the node started again"
# At least one a restart: with fewer, nobody asked while it was away.
[ "$(wc -l < "$HOME/answered")" -ge 8 ] || fail "only $(wc -l < "$HOME/answered") requests were answered meanwhile"

before=$(main_pid)
kill -9 "$before"
step "a node that was killed is started again" soon is_another_process "$before"
step "it serves as before" answers 200
step "it stops" systemctl stop everwarm.service everwarm.socket
[ "$(systemctl show -p Result --value everwarm.service)" = success ] || fail "it didn't end well"
echo passed > /try/result
