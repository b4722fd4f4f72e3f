"""What programs do with the official Python client, against the cluster of $KUBECONFIG. Any surprise ends it with an error."""

import base64
import json
import time

from kubernetes import client, config, dynamic, utils, watch
from kubernetes.client.rest import ApiException
from kubernetes.stream import portforward, stream

NAMESPACE = "python"


def reads_and_writes(core):
    data = client.V1ConfigMap(metadata=client.V1ObjectMeta(name="settings", labels={"tier": "a"}), data={"colour": "blue"})
    created = core.create_namespaced_config_map(NAMESPACE, data, field_manager="python")
    assert created.metadata.managed_fields[0].manager == "python", created.metadata.managed_fields
    created.data["colour"] = "green"
    replaced = core.replace_namespaced_config_map("settings", NAMESPACE, created)
    assert replaced.data == {"colour": "green"}
    try:
        core.replace_namespaced_config_map("settings", NAMESPACE, created)
        raise AssertionError("an old version was taken")
    except ApiException as refused:
        assert refused.status == 409 and "the object has been modified" in refused.body, refused.body
    patched = core.patch_namespaced_config_map("settings", NAMESPACE, {"data": {"shape": "round"}})
    assert patched.data == {"colour": "green", "shape": "round"}
    secret = core.create_namespaced_secret(NAMESPACE, client.V1Secret(metadata={"name": "key"}, string_data={"word": "friend"}))
    assert base64.b64decode(secret.data["word"]) == b"friend"
    try:
        core.create_namespaced_config_map(NAMESPACE, data)
        raise AssertionError("a name was taken twice")
    except ApiException as refused:
        assert refused.status == 409 and json.loads(refused.body)["message"] == 'configmaps "settings" already exists', refused.body


def lists_in_pages(core):
    for number in range(7):
        core.create_namespaced_config_map(NAMESPACE, {"metadata": {"name": f"page-{number}", "labels": {"page": "yes"}}})
    names, token = [], None
    while True:
        page = core.list_namespaced_config_map(NAMESPACE, label_selector="page=yes", limit=3, _continue=token)
        names += [item.metadata.name for item in page.items]
        token = page.metadata._continue
        if not token:
            break
        # Of a selection nobody counts the rest.
        assert page.metadata.remaining_item_count is None, page.metadata
    assert names == [f"page-{number}" for number in range(7)], names


def watches(core):
    before = core.list_namespaced_config_map(NAMESPACE).metadata.resource_version
    core.create_namespaced_config_map(NAMESPACE, {"metadata": {"name": "seen"}})
    core.delete_namespaced_config_map("seen", NAMESPACE)
    watcher, events = watch.Watch(), []
    for event in watcher.stream(core.list_namespaced_config_map, NAMESPACE, resource_version=before, timeout_seconds=20):
        events.append((event["type"], event["object"].metadata.name))
        if event["type"] == "DELETED":
            watcher.stop()
    assert events == [("ADDED", "seen"), ("DELETED", "seen")], events


def applies_what_it_has_no_types_for(api):
    resources = dynamic.DynamicClient(api)
    deployments = resources.resources.get(api_version="apps/v1", kind="Deployment")
    body = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web"},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "box", "image": "box:1", "command": ["sh", "-c", "mkdir -p /srv && echo motto > /srv/motto && echo served && exec httpd -f -p 8080 -h /srv"]}]},
            },
        },
    }
    applied = deployments.server_side_apply(body=body, name="web", namespace=NAMESPACE, field_manager="python-apply")
    assert applied.spec.replicas == 2
    scaled = resources.resources.get(api_version="apps/v1", kind="Deployment").scale.patch(
        name="web", namespace=NAMESPACE, body={"spec": {"replicas": 1}}, content_type="application/merge-patch+json"
    )
    assert scaled.spec.replicas == 1


def looks_into_pods(apps, core):
    deadline = time.monotonic() + 60
    while apps.read_namespaced_deployment_status("web", NAMESPACE).status.ready_replicas != 1:
        assert time.monotonic() < deadline, "the deployment does not become ready"
        time.sleep(0.1)
    pods = [pod for pod in core.list_namespaced_pod(NAMESPACE, label_selector="app=web").items if not pod.metadata.deletion_timestamp]
    name = pods[0].metadata.name
    assert core.read_namespaced_pod_log(name, NAMESPACE) == "served\n"
    said = stream(core.connect_get_namespaced_pod_exec, name, NAMESPACE, command=["sh", "-c", "echo out; echo err >&2"],
                  stderr=True, stdin=False, stdout=True, tty=False)
    assert sorted(said.split()) == ["err", "out"], said
    forwarded = portforward(core.connect_get_namespaced_pod_portforward, name, NAMESPACE, ports="8080")
    socket = forwarded.socket(8080)
    socket.sendall(b"GET /motto HTTP/1.0\r\n\r\n")
    answer = b""
    while chunk := socket.recv(4096):
        answer += chunk
    assert answer.endswith(b"motto\n"), answer


def asks_and_cleans_up(api, core):
    review = {"spec": {"resourceAttributes": {"verb": "create", "resource": "pods", "namespace": NAMESPACE}}}
    assert client.AuthorizationV1Api(api).create_self_subject_access_review(review).status.allowed
    assert client.VersionApi(api).get_code().major == "1"
    utils.create_from_dict(api, {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "once", "namespace": NAMESPACE},
                                 "spec": {"suspend": True, "template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "box:1"}]}}}})
    core.delete_collection_namespaced_config_map(NAMESPACE, label_selector="page=yes")
    left = core.list_namespaced_config_map(NAMESPACE, label_selector="page=yes").items
    assert left == [], left
    core.delete_namespace(NAMESPACE)


def main():
    config.load_kube_config()
    api = client.ApiClient()
    core, apps = client.CoreV1Api(api), client.AppsV1Api(api)
    core.create_namespace({"metadata": {"name": NAMESPACE}})
    reads_and_writes(core)
    lists_in_pages(core)
    watches(core)
    applies_what_it_has_no_types_for(api)
    looks_into_pods(apps, core)
    asks_and_cleans_up(api, core)
    print("the Python client is content")


main()
