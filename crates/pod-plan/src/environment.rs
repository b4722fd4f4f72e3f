//! The variables of a container: services, `envFrom`, `env`, in upstream's order of precedence.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, EnvVar, Service};

use crate::expand::expand;
use crate::field_value::{self, Surroundings};
use crate::pod::BoundPod;
use crate::references::Objects;

/// In the order in which they were set first; names are unique. The text of a failure is upstream's.
pub fn environment(
    pod: &BoundPod,
    container: &Container,
    services: &[&Service],
    objects: &Objects,
    around: &Surroundings,
) -> Result<Vec<(String, String)>, String> {
    let mut own = Variables::default();
    for from in container.env_from.iter().flatten() {
        let prefix = from.prefix.as_deref().unwrap_or_default();
        if let Some(reference) = &from.config_map_ref {
            match objects.config_map(&reference.name) {
                Err(_) if reference.optional == Some(true) => {}
                map => map?.data.iter().flatten().for_each(|(key, value)| own.set(format!("{prefix}{key}"), value.clone())),
            }
        } else if let Some(reference) = &from.secret_ref {
            match objects.secret(&reference.name) {
                Err(_) if reference.optional == Some(true) => {}
                secret => secret?.data.iter().flatten().for_each(|(key, value)| own.set(format!("{prefix}{key}"), lossy(&value.0))),
            }
        }
    }
    let service_variables = service_variables(pod, services);
    for variable in container.env.iter().flatten() {
        let value = match variable.value.as_deref().filter(|v| !v.is_empty()) {
            Some(value) => Some(expand(value, &|name| own.get(name).or_else(|| service_variables.get(name)).cloned())),
            None => from_source(pod, container, variable, objects, around)?,
        };
        if let Some(value) = value {
            own.set(variable.name.clone(), value);
        }
    }
    let rest = service_variables.list.into_iter().filter(|(name, _)| own.get(name).is_none()).collect::<Vec<_>>();
    Ok(own.list.into_iter().chain(rest).collect())
}

/// `None` leaves an optional variable unset.
fn from_source(
    pod: &BoundPod,
    container: &Container,
    variable: &EnvVar,
    objects: &Objects,
    around: &Surroundings,
) -> Result<Option<String>, String> {
    let Some(source) = &variable.value_from else { return Ok(Some(String::new())) };
    if let Some(field) = &source.field_ref {
        return field_value::field(pod, &field.field_path, around).map(Some);
    }
    if let Some(selector) = &source.resource_field_ref {
        return field_value::resource(pod, Some(container), selector, around).map(Some);
    }
    if let Some(key) = &source.config_map_key_ref {
        let found = objects.config_map(&key.name).and_then(|map| {
            let value = map.data.as_ref().and_then(|d| d.get(&key.key));
            value.cloned().ok_or_else(|| format!("couldn't find key {} in ConfigMap {}/{}", key.key, pod.namespace, key.name))
        });
        return if key.optional == Some(true) { Ok(found.ok()) } else { found.map(Some) };
    }
    if let Some(key) = &source.secret_key_ref {
        let found = objects.secret(&key.name).and_then(|secret| {
            let value = secret.data.as_ref().and_then(|d| d.get(&key.key));
            let value = value.map(|bytes| lossy(&bytes.0));
            value.ok_or_else(|| format!("couldn't find key {} in Secret {}/{}", key.key, pod.namespace, key.name))
        });
        return if key.optional == Some(true) { Ok(found.ok()) } else { found.map(Some) };
    }
    if source.file_key_ref.is_some() {
        return Err(format!("variable {}: fileKeyRef is not supported by this node", variable.name));
    }
    Ok(Some(String::new()))
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Set in order, found by name.
#[derive(Default)]
struct Variables {
    list: Vec<(String, String)>,
    positions: BTreeMap<String, usize>,
}

impl Variables {
    fn set(&mut self, name: String, value: String) {
        match self.positions.get(&name) {
            Some(idx) => self.list[*idx].1 = value,
            None => {
                self.positions.insert(name.clone(), self.list.len());
                self.list.push((name, value));
            }
        }
    }
    fn get(&self, name: &str) -> Option<&String> {
        self.positions.get(name).map(|idx| &self.list[*idx].1)
    }
}

/// The API server's own service is told to everybody; the others to their namespace, unless it does without.
fn service_variables(pod: &BoundPod, services: &[&Service]) -> Variables {
    let wants_links = pod.spec.enable_service_links != Some(false);
    let is_own = |s: &Service| s.metadata.namespace.as_deref() == Some(pod.namespace.as_str()) && wants_links;
    let is_master = |s: &Service| s.metadata.namespace.as_deref() == Some("default") && s.metadata.name.as_deref() == Some("kubernetes");
    let mut chosen: BTreeMap<&str, &Service> = BTreeMap::new();
    for service in services.iter().filter(|s| is_own(s) || is_master(s)) {
        let name = service.metadata.name.as_deref().unwrap_or_default();
        if is_own(service) || !chosen.contains_key(name) {
            chosen.insert(name, service);
        }
    }
    let mut variables = Variables::default();
    for (name, service) in chosen {
        add_service(&mut variables, name, service);
    }
    variables
}

fn add_service(variables: &mut Variables, name: &str, service: &Service) {
    let Some(spec) = &service.spec else { return };
    let ip = spec.cluster_ip.as_deref().filter(|ip| !ip.is_empty() && *ip != "None");
    let (Some(ip), Some(ports)) = (ip, spec.ports.as_ref().filter(|p| !p.is_empty())) else { return };
    let prefix = variable_name(name);
    variables.set(format!("{prefix}_SERVICE_HOST"), ip.to_owned());
    variables.set(format!("{prefix}_SERVICE_PORT"), ports[0].port.to_string());
    for port in ports {
        if let Some(port_name) = port.name.as_deref().filter(|n| !n.is_empty()) {
            variables.set(format!("{prefix}_SERVICE_PORT_{}", variable_name(port_name)), port.port.to_string());
        }
    }
    for (idx, port) in ports.iter().enumerate() {
        let protocol = port.protocol.as_deref().unwrap_or("TCP");
        let address = if ip.contains(':') { format!("[{ip}]:{}", port.port) } else { format!("{ip}:{}", port.port) };
        let url = format!("{}://{address}", protocol.to_lowercase());
        if idx == 0 {
            variables.set(format!("{prefix}_PORT"), url.clone());
        }
        let port_prefix = format!("{prefix}_PORT_{}_{}", port.port, protocol.to_uppercase());
        variables.set(format!("{port_prefix}_PROTO"), protocol.to_lowercase());
        variables.set(format!("{port_prefix}_PORT"), port.port.to_string());
        variables.set(format!("{port_prefix}_ADDR"), ip.to_owned());
        variables.set(port_prefix, url);
    }
}

fn variable_name(name: &str) -> String {
    name.replace('-', "_").to_uppercase()
}
