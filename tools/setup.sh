# Read by tools/boot and tools/test: makes the Python environment in .venv.
# Nothing is installed on the machine unless something is missing; then sudo asks once.

say() { printf '%s\n' "$*" >&2; }

# A Python that xemu can use, or nothing.
find_python() {
    for name in python3 python3.14 python3.13 python3.12 python3.11; do
        if command -v "$name" >/dev/null && "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
            printf '%s\n' "$name"
            return
        fi
    done
}

# install_missing PACKAGE...: those that are not there yet, all at once.
install_missing() {
    missing=
    for package in "$@"; do
        status=$(dpkg-query -W -f '${Status}' "$package" 2>/dev/null || true)
        [ "$status" = "install ok installed" ] || missing="$missing $package"
    done
    [ -n "$missing" ] || return 0
    if ! command -v apt-get >/dev/null; then
        say "xemu: this machine has no apt-get; install what corresponds to:$missing"
        exit 1
    fi
    say "xemu: installing$missing"
    as_root=
    [ "$(id -u)" = 0 ] || as_root=sudo
    # shellcheck disable=SC2086  # the list is meant to be split
    $as_root sh -c 'export DEBIAN_FRONTEND=noninteractive
        apt-get update -q && apt-get install -q -y --no-install-recommends "$@"' install $missing >&2
}

# The package that lets this Python make environments, if it can't yet.
venv_package() {
    python=$(find_python)
    if [ -z "$python" ]; then
        echo python3.11 python3.11-venv
    elif ! "$python" -c 'import ensurepip' 2>/dev/null; then
        "$python" -c 'import sys; print("python3.%d-venv" % sys.version_info[1])'
    fi
}

# make_environment WHAT: .venv with xemu installed from here, WHAT being "." or ".[test]".
make_environment() {
    # A cut-off installation leaves no mark and is made anew. What has the test extra has everything.
    mark=.venv/made-for-$(printf '%s' "$1" | tr -dc 'a-z.')
    if ! is_made "$mark" && ! is_made .venv/made-for-.test; then
        say "xemu: making the Python environment in .venv"
        "$(find_python)" -m venv .venv
        .venv/bin/python -m pip install -q --disable-pip-version-check -e "$1"
        : >"$mark"
    fi
    # Compiled once, also where Python is told not to write what it compiles at every start.
    .venv/bin/python -m compileall -q jit targets xemu || :
}

is_made() {
    [ -n "$(find "$1" -newer pyproject.toml 2>/dev/null)" ] && .venv/bin/python -c ''
}
