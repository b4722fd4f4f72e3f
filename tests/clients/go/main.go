// What Go programs do with client-go, against the cluster of $KUBECONFIG. Any surprise ends it with an error.
package main

import (
	"context"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	appsapply "k8s.io/client-go/applyconfigurations/apps/v1"
	coreapply "k8s.io/client-go/applyconfigurations/core/v1"
	metaapply "k8s.io/client-go/applyconfigurations/meta/v1"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/client-go/util/retry"
)

const namespace = "golang"

// check ends the program: what follows would only be a consequence.
func check(err error) {
	if err != nil {
		panic(err)
	}
}

func demand(holds bool, format string, args ...any) {
	if !holds {
		panic(fmt.Sprintf(format, args...))
	}
}

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	loaded, err := clientcmd.NewDefaultClientConfigLoadingRules().Load()
	check(err)
	for _, contentType := range []string{"application/json", "application/vnd.kubernetes.protobuf"} {
		config, err := clientcmd.NewDefaultClientConfig(*loaded, nil).ClientConfig()
		check(err)
		config.ContentType = contentType
		config.AcceptContentTypes = contentType + ",application/json"
		config.QPS = -1
		everything(ctx, config)
		fmt.Println("client-go is content with", contentType)
	}
}

func everything(ctx context.Context, config *rest.Config) {
	typed, err := kubernetes.NewForConfig(config)
	check(err)
	anything, err := dynamic.NewForConfig(rest.CopyConfig(jsonOf(config)))
	check(err)
	_, err = typed.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}, metav1.CreateOptions{})
	check(err)
	reads(ctx, typed)
	observes(ctx, typed, anything)
	applies(ctx, typed)
	maps(ctx, typed, anything)
	elects(ctx, typed)
	check(typed.CoreV1().Namespaces().Delete(ctx, namespace, metav1.DeleteOptions{}))
	check(wait.PollUntilContextCancel(ctx, 100*time.Millisecond, true, func(ctx context.Context) (bool, error) {
		_, err := typed.CoreV1().Namespaces().Get(ctx, namespace, metav1.GetOptions{})
		return apierrors.IsNotFound(err), nil
	}))
}

// jsonOf: objects without a type have no protobuf form.
func jsonOf(config *rest.Config) *rest.Config {
	same := rest.CopyConfig(config)
	same.ContentType, same.AcceptContentTypes = "application/json", "application/json"
	return same
}

func reads(ctx context.Context, typed kubernetes.Interface) {
	maps := typed.CoreV1().ConfigMaps(namespace)
	made, err := maps.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{GenerateName: "made-"}, Data: map[string]string{"n": "0"}}, metav1.CreateOptions{})
	check(err)
	for range 3 {
		check(retry.RetryOnConflict(retry.DefaultRetry, func() error {
			current, err := maps.Get(ctx, made.Name, metav1.GetOptions{})
			check(err)
			current.Data["n"] += "1"
			_, err = maps.Update(ctx, current, metav1.UpdateOptions{})
			return err
		}))
	}
	_, err = maps.Update(ctx, made, metav1.UpdateOptions{})
	demand(apierrors.IsConflict(err), "an old version: %v", err)
	_, err = maps.Get(ctx, "nothing", metav1.GetOptions{})
	demand(apierrors.IsNotFound(err), "nothing: %v", err)
	_, err = maps.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "Not a name"}}, metav1.CreateOptions{})
	demand(apierrors.IsInvalid(err), "a bad name: %v", err)
	_, err = maps.Patch(ctx, made.Name, types.JSONPatchType, []byte(`[{"op":"test","path":"/data/n","value":"0111"}]`), metav1.PatchOptions{})
	check(err)
	uid := types.UID("another")
	err = maps.Delete(ctx, made.Name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid}})
	demand(apierrors.IsConflict(err), "a foreign uid: %v", err)
	check(maps.Delete(ctx, made.Name, metav1.DeleteOptions{}))
}

// observes: informers ask for their first list as a stream (watch-list), and see every change.
func observes(ctx context.Context, typed kubernetes.Interface, anything dynamic.Interface) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var nAdded, nGone atomic.Int64
	count := cache.ResourceEventHandlerFuncs{
		AddFunc: func(object any) {
			if accessor, err := meta.Accessor(object); err == nil && accessor.GetLabels()["observed"] == "yes" {
				nAdded.Add(1)
			}
		},
		DeleteFunc: func(any) { nGone.Add(1) },
	}
	shared := informers.NewSharedInformerFactoryWithOptions(typed, 0, informers.WithNamespace(namespace))
	_, err := shared.Core().V1().ConfigMaps().Informer().AddEventHandler(count)
	check(err)
	secrets := dynamicinformer.NewFilteredDynamicSharedInformerFactory(anything, 0, namespace, nil)
	_, err = secrets.ForResource(corev1.SchemeGroupVersion.WithResource("secrets")).Informer().AddEventHandler(count)
	check(err)
	shared.Start(ctx.Done())
	secrets.Start(ctx.Done())
	shared.WaitForCacheSync(ctx.Done())
	secrets.WaitForCacheSync(ctx.Done())
	labels := map[string]string{"observed": "yes"}
	for i := range 20 {
		name := metav1.ObjectMeta{Name: fmt.Sprint("observed-", i), Labels: labels}
		_, err := typed.CoreV1().ConfigMaps(namespace).Create(ctx, &corev1.ConfigMap{ObjectMeta: name}, metav1.CreateOptions{})
		check(err)
		_, err = typed.CoreV1().Secrets(namespace).Create(ctx, &corev1.Secret{ObjectMeta: name}, metav1.CreateOptions{})
		check(err)
	}
	some := metav1.ListOptions{LabelSelector: "observed=yes"}
	check(typed.CoreV1().ConfigMaps(namespace).DeleteCollection(ctx, metav1.DeleteOptions{}, some))
	check(typed.CoreV1().Secrets(namespace).DeleteCollection(ctx, metav1.DeleteOptions{}, some))
	err = wait.PollUntilContextTimeout(ctx, 20*time.Millisecond, 20*time.Second, true, func(context.Context) (bool, error) {
		return nAdded.Load() == 40 && nGone.Load() == 40, nil
	})
	demand(err == nil, "%d of 40 objects seen coming, %d going", nAdded.Load(), nGone.Load())
}

func applies(ctx context.Context, typed kubernetes.Interface) {
	labels := map[string]string{"app": "web"}
	container := coreapply.Container().WithName("box").WithImage("box:1").WithCommand("sleep", "1000")
	template := coreapply.PodTemplateSpec().WithLabels(labels).WithSpec(coreapply.PodSpec().WithContainers(container))
	spec := appsapply.DeploymentSpec().WithReplicas(2).WithSelector(metaapply.LabelSelector().WithMatchLabels(labels)).WithTemplate(template)
	deployments := typed.AppsV1().Deployments(namespace)
	_, err := deployments.Apply(ctx, appsapply.Deployment("web", namespace).WithSpec(spec), metav1.ApplyOptions{FieldManager: "one"})
	check(err)
	other := appsapply.Deployment("web", namespace).WithSpec(appsapply.DeploymentSpec().WithReplicas(1))
	_, err = deployments.Apply(ctx, other, metav1.ApplyOptions{FieldManager: "two"})
	demand(apierrors.IsConflict(err), "another's field: %v", err)
	applied, err := deployments.Apply(ctx, other, metav1.ApplyOptions{FieldManager: "two", Force: true})
	check(err)
	demand(*applied.Spec.Replicas == 1, "%d replicas", *applied.Spec.Replicas)
	extracted, err := appsapply.ExtractDeployment(applied, "one")
	check(err)
	demand(extracted.Spec.Replicas == nil && len(extracted.Spec.Template.Spec.Containers) == 1, "manager one owns %v", extracted.Spec)
	watch, err := deployments.Watch(ctx, metav1.ListOptions{FieldSelector: "metadata.name=web", ResourceVersion: applied.ResourceVersion})
	check(err)
	defer watch.Stop()
	for event := range watch.ResultChan() {
		if deployment, is := event.Object.(*appsv1.Deployment); is && deployment.Status.ReadyReplicas == 1 {
			return
		}
	}
	panic("the deployment did not become ready")
}

// maps: from kinds to resources by discovery, as controllers and kubectl do.
func maps(ctx context.Context, typed kubernetes.Interface, anything dynamic.Interface) {
	mapper := restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(typed.Discovery()))
	mapping, err := mapper.RESTMapping(schema.GroupKind{Group: "networking.k8s.io", Kind: "Ingress"}, "v1")
	check(err)
	demand(mapping.Resource.Resource == "ingresses" && mapping.Scope.Name() == meta.RESTScopeNameNamespace, "%v", mapping)
	ingress := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": map[string]any{"name": "front"},
		"spec": map[string]any{"defaultBackend": map[string]any{"service": map[string]any{"name": "web", "port": map[string]any{"number": int64(80)}}}},
	}}
	_, err = anything.Resource(mapping.Resource).Namespace(namespace).Create(ctx, ingress, metav1.CreateOptions{})
	check(err)
	pods, err := anything.Resource(corev1.SchemeGroupVersion.WithResource("pods")).Namespace(namespace).List(ctx, metav1.ListOptions{LabelSelector: "app=web"})
	check(err)
	demand(len(pods.Items) > 0, "no pods")
}

// elects: a leader gives way when it goes, and the next takes over at once.
func elects(ctx context.Context, typed kubernetes.Interface) {
	leading := make(chan string, 2)
	run := func(name string) context.CancelFunc {
		ctx, cancel := context.WithCancel(ctx)
		lock := &resourcelock.LeaseLock{
			LeaseMeta: metav1.ObjectMeta{Name: "leader", Namespace: namespace}, Client: typed.CoordinationV1(),
			LockConfig: resourcelock.ResourceLockConfig{Identity: name},
		}
		go leaderelection.RunOrDie(ctx, leaderelection.LeaderElectionConfig{
			Lock: lock, ReleaseOnCancel: true, LeaseDuration: 4 * time.Second, RenewDeadline: 3 * time.Second, RetryPeriod: 200 * time.Millisecond,
			Callbacks: leaderelection.LeaderCallbacks{OnStartedLeading: func(context.Context) { leading <- name }, OnStoppedLeading: func() {}},
		})
		return cancel
	}
	stopFirst := run("first")
	demand(<-leading == "first", "the first does not lead")
	defer run("second")()
	stopFirst()
	select {
	case name := <-leading:
		demand(name == "second", "%s leads", name)
	case <-time.After(20 * time.Second):
		fmt.Fprintln(os.Stderr, "the second never leads")
		os.Exit(1)
	}
}
