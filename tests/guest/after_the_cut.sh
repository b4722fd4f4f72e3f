# The same disk after the power cut: what was acknowledged is there, and pods run again.
coracle up
kubectl get configmaps -o 'jsonpath={range .items[*]}{"kept: "}{.metadata.name}{"="}{.data.value}{"\n"}{end}'
kubectl rollout status deployment/web --timeout=180s
kubectl get pods
