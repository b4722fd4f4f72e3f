use super::*;

fn ty(name: &str) -> &'static Type {
    let id = builtin().type_named(name).unwrap_or_else(|| panic!("no type {name}"));
    builtin().get(id)
}

#[test]
fn a_default_server_has_its_72_resources() {
    let catalog = builtin();
    assert_eq!(catalog.resources.len(), 72);
    assert_eq!(catalog.groups.len(), 22);
    assert_eq!(catalog.groups[0].name, "");
    assert!(catalog.types.len() > 900, "{}", catalog.types.len());
}

#[test]
fn every_resource_its_list_and_its_subresources_have_types() {
    for resource in &builtin().resources {
        let ty = builtin().get(resource.type_id);
        assert!(ty.group_version_kinds.contains(&resource.gvk()), "{}", resource.plural);
        if resource.has_verb("list") {
            let list = GroupVersionKind::new(&resource.group, &resource.version, &resource.list_kind);
            assert!(builtin().type_of(&list).is_some(), "{list}");
        }
        for subresource in &resource.subresources {
            assert!(builtin().type_of(&subresource.kind).is_some(), "{}", subresource.kind);
        }
    }
}

#[test]
fn look_ups_tell_groups_apart() {
    let catalog = builtin();
    for (group, version, plural, kind, storage_group, storage_version) in [
        ("", "v1", "pods", "Pod", "", "v1"),
        ("", "v1", "events", "Event", "", "v1"),
        ("events.k8s.io", "v1", "events", "Event", "", "v1"),
        ("autoscaling", "v1", "horizontalpodautoscalers", "HorizontalPodAutoscaler", "autoscaling", "v2"),
        ("autoscaling", "v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler", "autoscaling", "v2"),
    ] {
        let resource = catalog.resource(group, version, plural).expect(plural);
        assert_eq!((resource.kind.as_str(), resource.storage_group.as_str()), (kind, storage_group));
        assert_eq!(resource.storage_version, storage_version);
        assert!(Arc::ptr_eq(catalog.by_kind(&resource.gvk()).expect(kind), resource));
    }
    assert!(catalog.resource("apps", "v1", "pods").is_none());
    let deployments = catalog.resource("apps", "v1", "deployments").unwrap();
    assert_eq!(deployments.subresource("scale").unwrap().kind, GroupVersionKind::new("autoscaling", "v1", "Scale"));
    assert_eq!((deployments.short_names.as_slice(), deployments.namespaced), (["deploy".to_owned()].as_slice(), true));
}

#[test]
fn bodies_that_are_no_resources_have_types() {
    for (api_version, kind) in [
        ("v1", "Status"),
        ("v1", "DeleteOptions"),
        ("apps/v1", "DeleteOptions"),
        ("example.com/v3", "DeleteOptions"),
        ("v1", "WatchEvent"),
        ("meta.k8s.io/v1", "Table"),
        ("meta.k8s.io/v1", "PartialObjectMetadata"),
        ("meta.k8s.io/v1", "PartialObjectMetadataList"),
        ("autoscaling/v1", "Scale"),
        ("policy/v1", "Eviction"),
        ("policy/v1beta1", "Eviction"),
        ("authentication.k8s.io/v1", "TokenRequest"),
        ("authorization.k8s.io/v1", "SubjectAccessReview"),
        ("admission.k8s.io/v1", "AdmissionReview"),
        ("apiextensions.k8s.io/v1", "ConversionReview"),
        ("apidiscovery.k8s.io/v2", "APIGroupDiscoveryList"),
        ("metrics.k8s.io/v1beta1", "PodMetricsList"),
        ("v1", "List"),
    ] {
        assert!(builtin().type_of(&GroupVersionKind::from_api_version(api_version, kind)).is_some(), "{api_version} {kind}");
    }
    assert!(builtin().type_of(&GroupVersionKind::new("apps", "v1", "Pod")).is_none());
}

#[test]
fn fields_carry_their_facts() {
    let spec = ty("io.k8s.api.apps.v1.DeploymentSpec");
    let names: Vec<&str> = spec.fields.iter().map(|f| f.name.as_str()).collect();
    assert_eq!(
        names,
        ["replicas", "selector", "template", "strategy", "minReadySeconds", "revisionHistoryLimit", "paused", "progressDeadlineSeconds"]
    );
    let replicas = spec.field("replicas").unwrap();
    assert_eq!((&replicas.shape, replicas.tag, replicas.pointer, replicas.omit_empty), (&Shape::Int32, 1, true, true));
    assert!(spec.field("selector").unwrap().required);
    assert!(spec.field("strategy").unwrap().patch.as_ref().unwrap().retain_keys);
    assert!(spec.field("Replicas").is_none());

    let ports = ty("io.k8s.api.core.v1.Container").field("ports").unwrap();
    assert_eq!(ports.merge, Merge::Map(vec!["containerPort".to_owned(), "protocol".to_owned()]));
    assert_eq!(ports.patch.as_ref().unwrap().merge_key.as_deref(), Some("containerPort"));
    let protocol = ty("io.k8s.api.core.v1.ContainerPort").field("protocol").unwrap();
    assert_eq!(protocol.default, Some(Value::from("TCP")));
    assert_eq!(protocol.allowed, ["SCTP", "TCP", "UDP"]);
    assert_eq!(ty("io.k8s.apimachinery.pkg.apis.meta.v1.LabelSelector").merge, Merge::Atomic);
}

#[test]
fn inline_structs_are_messages_on_the_wire() {
    let volume = ty("io.k8s.api.core.v1.Volume");
    let [Wire::Field { tag: 1, field: 0 }, Wire::Inline { tag: 2, parts }] = volume.wire.as_slice() else { panic!("{:?}", volume.wire) };
    assert!(parts.len() > 25);
    assert!(parts.windows(2).all(|pair| pair[0].tag() < pair[1].tag()));
}

#[test]
fn fields_are_found_in_any_order() {
    for ty in &crate::builtin().types {
        let mut names: Vec<&str> = ty.fields.iter().map(|f| f.name.as_str()).collect();
        let check = |names: &[&str]| {
            let mut place = crate::Place::default();
            for name in names {
                let found = ty.position(name.as_bytes(), &mut place).map(|at| ty.fields[at].name.as_str());
                assert_eq!(found, Some(*name), "{}", ty.name);
                assert_eq!(ty.position(format!("{name}?").as_bytes(), &mut place), None, "{}", ty.name);
            }
        };
        check(&names);
        names.sort_unstable();
        check(&names);
        names.reverse();
        check(&names);
    }
}
