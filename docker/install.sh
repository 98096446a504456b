#!/usr/bin/env bash
# The one list of Debian packages. `make test`, CI and the Dockerfile all call this file.
#
#   docker/install.sh runtime   what the program needs beside Python
#   docker/install.sh peers     the SIP peers that the interop tests talk to
#   docker/install.sh tools     what `make test` needs before it can start (in an image)
#   docker/install.sh missing SET   print what of a set is not installed, install nothing
#
# Installs as root, else through sudo where sudo asks no password. Without either it names what is missing;
# that is a failure on CI (CI=true) and a notice elsewhere, where the tests that need the peer are skipped.
set -euo pipefail

runtime=(ca-certificates)
peers=(
  baresip-core
  chromium
  coturn
  dnsmasq-base
  gcc # for the load of the bench
  kamailio
  kamailio-tls-modules
  kamailio-websocket-modules
  libasound2-plugins # sound devices without a sound card
  libc6-dev
  libfaketime
  libportaudio2
  linphone-cli
  postgresql
  pulseaudio
  rtpengine-daemon
  sip-tester
  sngrep
  tmux
  tshark
)
tools=(git make nodejs npm python3-venv)

usage() {
  sed -n '4,7s/^# *//p' "$0" >&2
  exit 64
}

missing() {
  local package
  for package in "$@"; do
    [[ "$(dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null)" == installed ]] ||
      echo "$package"
  done
}

packages_of() {
  case "${1:-}" in
    runtime) printf '%s\n' "${runtime[@]}" ;;
    peers) printf '%s\n' "${peers[@]}" ;;
    tools) printf '%s\n' "${tools[@]}" ;;
    *) usage ;;
  esac
}

report_only=false
if [[ "${1:-}" == missing ]]; then
  report_only=true
  shift
fi
# usage() exits only the substitution; && keeps `set -e` watching.
wanted_text="$(packages_of "${1:-}")" || exit $?
mapfile -t wanted <<<"$wanted_text"
mapfile -t absent < <(missing "${wanted[@]}")

if $report_only; then
  ((${#absent[@]} == 0)) || printf '%s\n' "${absent[@]}"
  exit 0
fi
((${#absent[@]} > 0)) || exit 0

if ((EUID == 0)); then
  as_root=()
elif sudo -n true 2>/dev/null; then
  as_root=(sudo)
else
  echo "docker/install.sh: not root, and no sudo without a password. Not installed: ${absent[*]}" >&2
  echo "  sudo apt-get install --no-install-recommends ${absent[*]}" >&2
  [[ "${CI:-}" != true ]] || exit 1
  exit 0
fi
command -v apt-get >/dev/null || {
  echo "docker/install.sh: no apt-get here. Install by hand: ${absent[*]}" >&2
  [[ "${CI:-}" != true ]] || exit 1
  exit 0
}

apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=900)
"${apt[@]}" update --quiet=2
"${apt[@]}" install --yes --quiet=2 --no-install-recommends "${absent[@]}"
