# Read by the scripts that build packages, from the top of the sources: values that all packages share.
# shellcheck shell=sh
# The time that everything in a package has: that of the last commit, so that the same sources make the same bytes.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || stat -c %Y CHANGELOG.md)}
export SOURCE_DATE_EPOCH
export LC_ALL=C TZ=UTC
umask 022
described() { sed -n "s/^$1=//p" deploy/packages/description; }
# The architecture that a binary is for, as the kernel names it: x86_64, aarch64.
architecture_of() {
    case $(od -An -tu2 -j18 -N2 "$1" | tr -d ' ') in
    62) echo x86_64 ;;
    183) echo aarch64 ;;
    *) echo "$1 is for neither x86_64 nor aarch64" >&2; return 1 ;;
    esac
}
