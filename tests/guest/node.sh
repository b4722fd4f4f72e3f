# A node on a stock kernel with cgroup v2: limits, a container that runs out of memory, a Service, and nothing left after the end.
say() { echo "== $*"; }
say up
coracle up
coracle build -t box:1 /box

say limits
kubectl apply -f /stories/limits.yaml
kubectl wait --for=condition=Ready pod/limited --timeout=120s
kubectl exec limited -- cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/cpu.max /sys/fs/cgroup/pids.max
kubectl wait --for=jsonpath='{.status.containerStatuses[0].state.terminated.reason}'=OOMKilled pod/hungry --timeout=120s

say service
kubectl rollout status deployment/web --timeout=180s
address=$(kubectl get service web -o 'jsonpath={.spec.clusterIP}')
for try in 1 2 3 4 5 6 7 8 9 10; do wget -q -O /tmp/answer "http://$address/motto" && break; sleep 1; done
echo "answered: $(cat /tmp/answer)"
kubectl exec limited -- wget -q -O - http://web.default.svc.cluster.local/motto

say down
coracle down
echo "shims after down: $(ps | grep -c '[c]oracle' || true)"
coracle up
kubectl rollout status deployment/web --timeout=180s
coracle reset || { grep coracle /proc/mounts; exit 1; }
echo "mounts after reset: $(grep -c coracle /proc/mounts || true)"
echo "links after reset: $(ip -o link | grep -c 'cor' || true)"
find /sys/fs/cgroup -type d | grep coracle || true
echo "groups after reset: $(find /sys/fs/cgroup -type d | grep -c coracle || true)"
