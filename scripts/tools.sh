# Installs what the build and the tests need, where it is missing. Sourced by the other scripts.

# The command that a package is wanted for, where it is a program: one that is there already is used, whoever put it.
build_packages="g++:g++ cmake:cmake ninja-build:ninja python3:python3 python3-venv: libcli11-dev: libfmt-dev:
  libspdlog-dev: libsimdjson-dev: nlohmann-json3-dev: libtomlplusplus-dev: libutf8proc-dev: libgtest-dev: libgmock-dev:
  librapidcheck-dev: libbenchmark-dev: libsimde-dev:"
python_packages="python3-dev:"
check_packages="clang-19:clang++-19 clang-format-19:clang-format-19 libclang-rt-19-dev:"

fail() {
  echo "error: $*" >&2
  exit 1
}

installed() {
  local package=${1%%:*} command=${1#*:}
  [ -n "$command" ] && command -v "$command" >/dev/null && return 0
  [ "$(dpkg-query -W -f '${db:Status-Abbrev}' "$package" 2>/dev/null | cut -c1-2)" = ii ]
}

# need_packages "package:command ..."
need_packages() {
  local missing="" item
  command -v apt-get >/dev/null || {
    echo "note: no apt-get here; taking for granted that what scripts/tools.sh lists is installed" >&2
    return 0
  }
  for item in $1; do installed "$item" || missing="$missing ${item%%:*}"; done
  [ -n "$missing" ] || return 0
  local as_root=""
  if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || fail "these packages are missing; install them as root:$missing"
    as_root="sudo"
  fi
  echo "Installing:$missing" >&2
  $as_root apt-get update -qq >&2 || fail "apt-get update failed; is there a network?"
  # shellcheck disable=SC2086
  $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null ||
    fail "apt-get could not install:$missing"
}
