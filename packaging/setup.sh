# Sourced by run, test and bench: a virtual environment from a lock file, and the system's libraries. Bash.

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
VENV="${KEGBROWSER_VENV:-$ROOT/.venv}"

say() { printf 'kegbrowser: %s\n' "$*" >&2; }
die() { say "$1"; exit "${2:-2}"; }

# A Python of at least 3.11 that can make virtual environments.
find_python() {
    local candidate
    for candidate in python3 python3.14 python3.13 python3.12 python3.11; do
        if "$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    return 1
}

# need_packages WHY PACKAGE...: install Debian packages where this user may, else name the command and stop.
need_packages() {
    local why="$1" package missing=()
    shift
    for package in "$@"; do
        dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || missing+=("$package")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    local command=(apt-get install -y --no-install-recommends "${missing[@]}") become=()
    if [ "$(id -u)" != 0 ]; then
        if sudo -n true 2>/dev/null; then become=(sudo); else die "$why needs system packages. Run: sudo ${command[*]}"; fi
    fi
    say "installing ${missing[*]}"
    "${become[@]}" env DEBIAN_FRONTEND=noninteractive "${command[@]}" >/dev/null 2>&1 && return 0
    "${become[@]}" apt-get update -qq >/dev/null 2>&1 || true
    "${become[@]}" env DEBIAN_FRONTEND=noninteractive "${command[@]}" >/dev/null ||
        die "the system packages could not be installed. Run: sudo ${command[*]}"
}

on_debian() { command -v dpkg-query >/dev/null && command -v apt-get >/dev/null; }

# A stamp file that is named after what it depends on makes the second time fast.
stamp_of() { cat "$@" | sha256sum | cut -c1-24; }

# make_venv LOCK: the virtual environment with exactly what the lock file says.
make_venv() {
    local lock="$1" stamp
    stamp="$VENV/.kegbrowser-$(basename "$lock" .lock)-$(stamp_of "$lock")"
    [ -e "$stamp" ] && return 0
    # What the tests have is more than enough to run the program.
    if [ "$(basename "$lock")" = requirements.lock ]; then
        local all="$ROOT/packaging/requirements-dev.lock"
        [ -e "$VENV/.kegbrowser-requirements-dev-$(stamp_of "$all")" ] && return 0
    fi
    local python
    if ! python="$(find_python)"; then
        on_debian || die "Python 3.11 or newer with venv is needed."
        need_packages "Kegbrowser" python3 python3-venv
        python="$(find_python)" || die "Python 3.11 or newer is needed; this system has $(python3 --version 2>&1)."
    fi
    [ -x "$VENV/bin/python" ] || { say "making a virtual environment"; "$python" -m venv "$VENV" || die "no virtual environment could be made"; }
    say "installing Python packages"
    "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check --no-input --require-hashes -r "$lock" ||
        die "the Python packages could not be installed"
    touch "$stamp"
}

# What Qt's own wheel leaves to the system.
QT_PACKAGES=(libegl1 libgl1 libdbus-1-3 libfontconfig1 libglib2.0-0 libxkbcommon0 libxkbcommon-x11-0 libxcb-cursor0
    libxcb-icccm4 libxcb-image0 libxcb-keysyms1 libxcb-randr0 libxcb-render-util0 libxcb-shape0 libxcb-xinerama0
    libxcb-xkb1 fonts-dejavu-core)

# qt_libraries: all that Qt's window needs; the stamp spares asking dpkg each time.
qt_libraries() {
    local stamp="$VENV/.kegbrowser-qt-libraries-1"
    [ -e "$stamp" ] && return 0
    if on_debian; then
        need_packages "Kegbrowser's window" "${QT_PACKAGES[@]/libglib2.0-0/$(glib_package)}"
    fi
    touch "$stamp"
}

glib_package() { if apt-cache show libglib2.0-0t64 >/dev/null 2>&1; then echo libglib2.0-0t64; else echo libglib2.0-0; fi; }
