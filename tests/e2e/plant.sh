# Things of others on a machine: reset must leave every one of them as it is.
set -e
docker run -d --network none --name foreign cubernetes/busybox:1 sleep 100000 > /dev/null
docker volume create foreign > /dev/null
iptables -t nat -N FOREIGN
iptables -t nat -A FOREIGN -p tcp --dport 7777 -j DNAT --to-destination 127.0.0.1:1
iptables -t nat -A PREROUTING -p tcp --dport 7777 -j FOREIGN
iptables -t nat -A POSTROUTING -s 10.99.0.0/16 -j MASQUERADE
iptables -A INPUT -p tcp --dport 7778 -m comment --comment "jumps to CUBE-SERVICES" -j DROP
iptables -A FORWARD -s 10.244.0.0/16 -j ACCEPT
iptables -t mangle -N CUBEFOREIGN
iptables-legacy -t nat -N FOREIGN-LEGACY
iptables-legacy -t nat -A PREROUTING -j FOREIGN-LEGACY
ip link add foreign0 type veth peer name foreign1
ip link set foreign0 up
ip link set foreign1 up
ip address add 10.99.0.1/24 dev foreign0
ip route add 10.98.0.0/16 via 10.99.0.2
ip route add unreachable 10.97.0.0/16
ip route add 10.96.0.0/12 dev foreign0 table 77
ip rule add from 10.95.0.0/16 lookup 77
ip neigh add 10.99.0.2 lladdr 02:00:00:00:00:01 dev foreign0 nud permanent
bridge fdb add 02:00:00:00:00:02 dev foreign0 self permanent 2> /dev/null || true
mkdir -p /etc/cubernetes /opt/cubernetes /etc/supervisor /srv/kept /sys/fs/cgroup/cpu/foreign
echo theirs > /etc/cubernetes/theirs.txt
chmod 640 /etc/cubernetes/theirs.txt
echo theirs > /opt/cubernetes/theirs
echo theirs > /etc/supervisor/theirs.conf
echo theirs > /srv/kept/data
mkdir -p /mnt/foreign /run/mount
mount -t tmpfs tmpfs /mnt/foreign
setsid sleep 99999 > /dev/null 2>&1 < /dev/null &
# A new IPv6 address is on trial for a second: what is compared later must stand still by now.
tries=0
while ip -6 address show tentative | grep -q .; do
    sleep 0.1
    tries=$((tries + 1))
    [ $tries -lt 300 ] || { echo "an address stays tentative" >&2; exit 1; }
done
