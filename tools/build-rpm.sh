#!/bin/sh
# An RPM package of a built agent, by rpmbuild (Debian's package rpm has it).
# usage: tools/build-rpm.sh BINARY DIRECTORY; prints the package's path
#
# The same binary and sources make the same package, byte by byte. RPM_VERSION, RPM_RELEASE and RPM_PAYLOAD (as
# _binary_payload has it) stand above the defaults.
set -eu
binary=$(realpath "$1")
mkdir -p "$2"
target=$(realpath "$2")
cd "$(dirname "$0")/.."
. tools/package-values.sh
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

architecture=$(architecture_of "$binary")
tools/stage-files.sh "$binary" "$work/tree"
# The dates of files are part of the package, and so are the names of the folders in which it was built.
find "$work/tree" -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +
rpmbuild --quiet -bb --target "$architecture-linux" \
    --define "_topdir $work/rpm" --define "_rpmdir $work/packages" --define "_rpmfilename %{NAME}-%{VERSION}-%{RELEASE}.%{ARCH}.rpm" \
    --define "agent_tree $work/tree" --define "agent_version ${RPM_VERSION:-$("$binary" --version)}" \
    --define "agent_release ${RPM_RELEASE:-1}" --define "agent_summary $(described summary)" \
    --define "agent_description $(described description)" \
    --define "_buildhost reproducible" --define "use_source_date_epoch_as_buildtime 1" \
    --define "clamp_mtime_to_source_date_epoch 1" --define "_build_id_links none" --define "debug_package %{nil}" \
    --define "_binary_payload ${RPM_PAYLOAD:-w6.xzdio}" --define "__os_install_post %{nil}" --define "dist %{nil}" \
    deploy/rpm/vault-token-agent.spec >&2
package=$(cd "$work/packages" && ls ./*.rpm)
mv "$work/packages/$package" "$target/"
echo "$target/${package#./}"
