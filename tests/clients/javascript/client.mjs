// What programs do with the official JavaScript client, against the cluster of $KUBECONFIG. Any surprise ends it with an error.

import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { PassThrough } from 'node:stream';

const k8s = createRequire(`${process.env.CLIENT_MODULES}/`)('@kubernetes/client-node');
const namespace = 'javascript';
const config = new k8s.KubeConfig();
config.loadFromDefault();
const core = config.makeApiClient(k8s.CoreV1Api);
const apps = config.makeApiClient(k8s.AppsV1Api);

const refusal = async (call) => call.then(() => assert.fail('it was taken'), (error) => error);

async function readsAndWrites() {
  const made = await core.createNamespacedConfigMap({ namespace, body: { metadata: { name: 'settings' }, data: { colour: 'blue' } } });
  assert.equal(made.data.colour, 'blue');
  assert.ok(made.metadata.creationTimestamp instanceof Date);
  made.data.colour = 'green';
  await core.replaceNamespacedConfigMap({ name: 'settings', namespace, body: made });
  assert.equal((await refusal(core.replaceNamespacedConfigMap({ name: 'settings', namespace, body: made }))).code, 409);
  assert.equal((await refusal(core.readNamespacedConfigMap({ name: 'nothing', namespace }))).code, 404);
  const patch = [{ op: 'add', path: '/data/shape', value: 'round' }];
  const options = k8s.setHeaderOptions('Content-Type', k8s.PatchStrategy.JsonPatch);
  const patched = await core.patchNamespacedConfigMap({ name: 'settings', namespace, body: patch }, options);
  assert.deepEqual(patched.data, { colour: 'green', shape: 'round' });
}

async function appliesAnything() {
  const objects = k8s.KubernetesObjectApi.makeApiClient(config);
  const deployment = {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: 'web', namespace },
    spec: {
      replicas: 1,
      selector: { matchLabels: { app: 'web' } },
      template: {
        metadata: { labels: { app: 'web' } },
        spec: { containers: [{ name: 'box', image: 'box:1', command: ['sh', '-c', 'echo started; exec sleep 1000'] }] },
      },
    },
  };
  const applied = await objects.patch(deployment, undefined, undefined, 'javascript', true, k8s.PatchStrategy.ServerSideApply);
  assert.equal(applied.metadata.managedFields[0].operation, 'Apply');
}

// The informer lists, watches, and reconnects by itself.
async function observes() {
  const list = () => core.listNamespacedPod({ namespace });
  const informer = k8s.makeInformer(config, `/api/v1/namespaces/${namespace}/pods`, list);
  const ready = (pod) => pod.status?.conditions?.some((c) => c.type === 'Ready' && c.status === 'True');
  const pod = await new Promise((resolve, reject) => {
    const look = (pod) => ready(pod) && resolve(pod);
    informer.on('add', look);
    informer.on('update', look);
    informer.on('error', reject);
    informer.start();
    setTimeout(() => reject(new Error('no pod became ready')), 60000).unref();
  });
  await informer.stop();
  return pod.metadata.name;
}

async function looksInto(pod) {
  assert.equal(await core.readNamespacedPodLog({ name: pod, namespace }), 'started\n');
  const out = new PassThrough();
  let said = '';
  out.on('data', (chunk) => (said += chunk));
  const status = await new Promise((resolve, reject) =>
    new k8s.Exec(config).exec(namespace, pod, 'box', ['sh', '-c', 'echo inside; exit 3'], out, null, null, false, resolve).catch(reject),
  );
  assert.equal(said, 'inside\n');
  assert.equal(status.status, 'Failure');
  assert.equal(status.details.causes[0].message, '3');
}

await core.createNamespace({ body: { metadata: { name: namespace } } });
await readsAndWrites();
await appliesAnything();
await looksInto(await observes());
await apps.deleteNamespacedDeployment({ name: 'web', namespace, body: { propagationPolicy: 'Foreground' } });
await core.deleteNamespace({ name: namespace });
console.log('the JavaScript client is content');
process.exit(0);
