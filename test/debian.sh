#!/bin/sh
# Installs the Debian packages that the tests' real peers come from, where they are missing; starts no service and
# leaves none enabled. Where it cannot (not root, not Debian, no package source) it says what is missing and goes on:
# the tests that need it fail under CI=true and are skipped aloud otherwise.
set -u
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

# program:package
wanted='docker-registry:docker-registry containerd:containerd ctr:containerd runc:runc skopeo:skopeo nginx:nginx
  htpasswd:apache2-utils openssl:openssl ip:iproute2 ss:iproute2 buildah:buildah podman:podman unshare:util-linux nsenter:util-linux mount:mount
  etcd:etcd-server iptables:iptables conntrack:conntrack socat:socat umoci:umoci promtool:prometheus mmdebstrap:mmdebstrap
  qemu-aarch64-static:qemu-user-static'
packages=
for pair in $wanted; do
  command -v "${pair%%:*}" >/dev/null || packages="$packages ${pair#*:}"
done
# Not just any busybox: an image that holds nothing else has no libraries to load.
[ -x /bin/busybox ] && ! ldd /bin/busybox >/dev/null 2>&1 || packages="$packages busybox-static"
# The CNI plugins of the cluster's nodes; they are in no PATH.
[ -x /usr/lib/cni/bridge ] || packages="$packages containernetworking-plugins"
# The trust store that a test lays its own over.
[ -f /etc/ssl/certs/ca-certificates.crt ] || packages="$packages ca-certificates"
packages=$(printf '%s\n' $packages | sort -u | tr '\n' ' ')
[ -n "${packages% }" ] || exit 0

if ! command -v apt-get >/dev/null || [ "$(id -u)" != 0 ]; then
  echo "test: missing Debian packages (not installed: needs root and apt-get): $packages" >&2
  exit 0
fi
echo "test: installing $packages" >&2

# invoke-rc.d asks this file whether a package may start its service.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  trap 'rm -f "$policy"' EXIT
  trap 'exit 1' HUP INT TERM
  printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod 755 "$policy"
fi
log=$(mktemp)
if ! { apt-get update -q &&
  DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $packages; } >"$log" 2>&1; then
  tail -20 "$log" >&2
  echo "test: could not install $packages" >&2
elif command -v systemctl >/dev/null; then
  # Nor after the next boot: these came for the tests alone.
  for service in docker-registry containerd nginx etcd prometheus prometheus-node-exporter; do
    case " $packages " in *" $service "*) systemctl disable "$service.service" >/dev/null 2>&1 ;; esac
  done
fi
rm -f "$log"
exit 0
