package main

import (
	"reflect"

	admission "k8s.io/api/admission/v1"
	apidiscovery "k8s.io/api/apidiscovery/v2"
	imagepolicy "k8s.io/api/imagepolicy/v1alpha1"
	apiextensions "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/scheme"
	apiregistration "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	metrics "k8s.io/metrics/pkg/apis/metrics/v1beta1"
)

// allKinds is every kind that may be a body of a request or an answer.
func allKinds() *runtime.Scheme {
	s := runtime.NewScheme()
	meta.AddToGroupVersion(s, meta.Unversioned)
	for _, add := range []func(*runtime.Scheme) error{
		scheme.AddToScheme, admission.AddToScheme, apidiscovery.AddToScheme, imagepolicy.AddToScheme,
		apiextensions.AddToScheme, apiregistration.AddToScheme, metrics.AddToScheme, meta.AddMetaToScheme,
	} {
		if err := add(s); err != nil {
			fail("%v", err)
		}
	}
	return s
}

const (
	major = 1
	minor = 37
)

// isRemoved tells whether no server of this version can be made to serve the type (`apps/v1beta1`).
func isRemoved(t reflect.Type) bool {
	lifecycle, ok := reflect.New(t).Interface().(interface{ APILifecycleRemoved() (int, int) })
	if !ok {
		return false
	}
	removedMajor, removedMinor := lifecycle.APILifecycleRemoved()
	return removedMajor < major || removedMajor == major && removedMinor <= minor
}
