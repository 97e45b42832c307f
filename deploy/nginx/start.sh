#!/bin/sh
# Start of the reverse proxy's container: nginx does not read the resolver of the container's network by itself.
set -eu
awk '/^nameserver/ && $2 !~ /:/ { print "resolver " $2 " valid=2s ipv6=off;"; exit }' /etc/resolv.conf > /tmp/resolver.conf
exec nginx -c /etc/rapport/nginx.conf -g "daemon off;"
