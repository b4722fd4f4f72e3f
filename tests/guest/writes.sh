# Clients write until the power goes. kubectl prints a line once a write is acknowledged.
coracle up
coracle build -t box:1 /box
kubectl apply -f /stories/limits.yaml
kubectl rollout status deployment/web --timeout=180s
for writer in 1 2 3; do
  number=0
  while [ $number -lt 3000 ]; do
    number=$((number + 1))
    printf -- '---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: w%d-%d}\ndata: {value: "%d"}\n' $writer $number $number
  done > /tmp/writer-$writer.yaml
done
echo "== writing"
for writer in 1 2 3; do kubectl create -f /tmp/writer-$writer.yaml & done
wait
