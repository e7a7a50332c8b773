# Sourced by run, test and bench: a virtual environment from a lock file, and the system's libraries. Bash 3.2 and newer.

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
VENV="${KEGBROWSER_VENV:-$ROOT/.venv}"

say() { printf 'kegbrowser: %s\n' "$*" >&2; }
die() { say "$1"; exit "${2:-2}"; }

on_debian() { command -v dpkg-query >/dev/null && command -v apt-get >/dev/null; }
on_linux() { [ "$(uname -s)" = Linux ]; }

# A stamp file that is named after what it depends on makes the second time fast.
stamp_of() { cat "$@" | cksum | tr -d ' '; }

# A Python of at least 3.11 that can make virtual environments.
find_python() {
    local candidate
    for candidate in "${KEGBROWSER_PYTHON:-python3}" python3.13 python3.12 python3.11 python3.14; do
        if "$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    return 1
}

# The packages that bring such a Python: Ubuntu 22.04 has a newer one beside its own 3.10.
python_packages() {
    local version
    for version in 3.13 3.12 3.11; do
        if [ "$(python3 -c 'import sys; print(sys.version_info < (3, 11))' 2>/dev/null)" = True ] &&
            apt-cache show "python$version-venv" >/dev/null 2>&1; then
            echo "python$version python$version-venv"
            return
        fi
    done
    echo "python3 python3-venv"
}

is_installed() { dpkg-query -W -f '${db:Status-Status}\n' "$1" 2>/dev/null | grep -qx installed; }

# need_packages WHY PACKAGE...: install Debian packages where this user may, else name the command and stop.
# A package that was renamed is given as NAME|NEWER-NAME.
need_packages() {
    local why="$1" package missing=()
    shift
    for package in "$@"; do
        is_installed "${package%%|*}" || is_installed "${package##*|}" || missing+=("$package")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    local become=""
    if [ "$(id -u)" != 0 ]; then
        if sudo -n true 2>/dev/null; then become=sudo; else
            die "$why needs system packages. Run: sudo apt-get install -y --no-install-recommends ${missing[*]%%|*}"
        fi
    fi
    say "installing ${missing[*]%%|*}"
    install_packages "$become" "${missing[@]}" >/dev/null 2>&1 && return 0
    $become apt-get update -qq >/dev/null 2>&1 || true
    install_packages "$become" "${missing[@]}" >/dev/null ||
        die "the system packages could not be installed. Run: sudo apt-get install -y --no-install-recommends ${missing[*]%%|*}"
}

install_packages() {
    local become="$1" package names=()
    shift
    for package in "$@"; do
        if apt-cache show "${package##*|}" >/dev/null 2>&1; then names+=("${package##*|}"); else names+=("${package%%|*}"); fi
    done
    $become env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${names[@]}"
}

# make_venv LOCK: the virtual environment with exactly what the lock file says.
make_venv() {
    local lock="$1" stamp python
    stamp="$VENV/.kegbrowser-$(basename "$lock" .lock)-$(stamp_of "$lock")"
    [ -e "$stamp" ] && [ -x "$VENV/bin/python" ] && return 0
    # What the tests have is more than enough to run the program.
    if [ "$(basename "$lock")" = requirements.lock ] && [ -x "$VENV/bin/python" ]; then
        [ -e "$VENV/.kegbrowser-requirements-dev-$(stamp_of "$ROOT/packaging/requirements-dev.lock")" ] && return 0
    fi
    if ! "$VENV/bin/python" -m pip --version >/dev/null 2>&1; then
        if ! python="$(find_python)"; then
            on_debian || die "Python 3.11 or newer, with its venv module, is needed."
            # shellcheck disable=SC2046  # one word a package
            need_packages "Kegbrowser" $(python_packages)
            python="$(find_python)" || die "Python 3.11 or newer is needed; this system has $(python3 --version 2>&1)."
        fi
        say "making a virtual environment with $("$python" --version)"
        rm -rf "$VENV"
        "$python" -m venv "$VENV" || die "the virtual environment $VENV could not be made"
    fi
    say "installing Python packages"
    "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check --no-input --require-hashes -r "$lock" ||
        die "the Python packages of packaging/$(basename "$lock") could not be installed"
    rm -f "$VENV/.kegbrowser-$(basename "$lock" .lock)-"*
    touch "$stamp"
}

# What Qt's own wheel leaves to the system.
QT_PACKAGES=(libegl1 libgl1 libdbus-1-3 libfontconfig1 'libglib2.0-0|libglib2.0-0t64' libxkbcommon0 libxkbcommon-x11-0
    libx11-xcb1 libxcb-cursor0 libxcb-icccm4 libxcb-image0 libxcb-keysyms1 libxcb-randr0 libxcb-render-util0
    libxcb-shape0 libxcb-sync1 libxcb-xfixes0 libxcb-xinerama0 libxcb-xkb1 fonts-dejavu-core)

# qt_libraries: all that Qt's window needs; the stamp spares asking each time.
qt_libraries() {
    on_linux || return 0
    local stamp="$VENV/.kegbrowser-qt-libraries-2" platforms missing
    [ -e "$stamp" ] && return 0
    if on_debian; then
        need_packages "Kegbrowser's window" "${QT_PACKAGES[@]}"
    else
        platforms="$("$VENV/bin/python" -c 'import PySide6; print(PySide6.__path__[0])')/Qt/plugins/platforms"
        missing="$(ldd "$platforms/libqxcb.so" | awk '/not found/ { print $1 }' | sort -u | tr '\n' ' ')"
        [ -z "$missing" ] || die "Qt needs these libraries; install them with your system's package manager: $missing"
    fi
    touch "$stamp"
}
