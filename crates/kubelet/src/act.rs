//! Carrying out the effects of a plan. Nothing is decided here.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use client::Api;
use jiff::Timestamp;
use k8s_openapi::api::node::v1::RuntimeClass;
use object::key::ObjectKey;
use oci_runtime::runtime::Error;
use oci_runtime::spec::{ContainerId, SandboxId};
use oci_runtime::status::SandboxState;
use pod_plan::container_status;
use pod_plan::effect::Resize;
use pod_plan::effect::{Effect, Failure, Note, Outcome};
use pod_plan::pod::BoundPod;
use pod_plan::probe::{self, Verdict};
use tokio::sync::watch;

use crate::error_text::told;
use crate::hooks;
use crate::lock::locked;
use crate::node::Node;
use crate::observe::Known;
use crate::recipe;
use crate::seams::{ProbeAnswer, ProbeRequest};
use crate::start::{self, Start};

/// What an action needs beside the effect itself.
pub(crate) struct Action {
    pub(crate) node: Arc<Node>,
    pub(crate) pod: Arc<BoundPod>,
    pub(crate) known: Arc<Mutex<Known>>,
    pub(crate) is_cancelled: watch::Receiver<bool>,
}

impl Action {
    pub(crate) async fn carry_out(self, effect: &Effect) -> Outcome {
        let node = Arc::clone(&self.node);
        let outcome = match effect {
            // Carried out by the task itself, which also keeps their content up to date.
            Effect::Mount => Ok(()),
            Effect::Unmount => self.unmount().await,
            Effect::CreateSandbox { attempt } => self.create_sandbox(*attempt).await,
            Effect::StopSandbox { id } => self.stop_sandbox(&SandboxId(id.clone())).await,
            Effect::RemoveSandbox { id } => done(node.runtime.remove_pod_sandbox(&SandboxId(id.clone())).await),
            Effect::Start { name, role, attempt, sandbox_id } => {
                let start = Start {
                    pod: self.pod,
                    name: name.clone(),
                    role: *role,
                    attempt: *attempt,
                    sandbox: SandboxId(sandbox_id.clone()),
                    known: self.known,
                    is_cancelled: self.is_cancelled,
                };
                start::start(&node, start).await
            }
            Effect::PreStop { id, name, kill_at } => self.pre_stop(&ContainerId(id.clone()), name, *kill_at).await,
            Effect::Stop { id, kill_at, .. } => {
                let id = ContainerId(id.clone());
                let signal = hooks::stop_signal(&node, &id);
                done(node.runtime.stop_container(&id, signal, until(&node, *kill_at)).await)
            }
            Effect::Resize(resize) => self.resize(resize).await,
            Effect::Remove { id } => self.remove(&ContainerId(id.clone())).await,
            Effect::Probe { id, name, kind } => return Outcome::Probed(self.probe(&ContainerId(id.clone()), name, *kind).await),
            // Carried out by the task itself.
            Effect::CancelStart { .. } | Effect::Delete => Ok(()),
        };
        outcome.map_or_else(Outcome::Failed, |()| Outcome::Done)
    }

    async fn create_sandbox(&self, attempt: u32) -> Result<(), Failure> {
        let (node, pod) = (&self.node, &self.pod);
        self.check_runtime_class().await.map_err(|text| Failure::new("", text))?;
        let resolv_conf = crate::resolver::resolv_conf(&node.config, pod);
        let config = recipe::sandbox(&node.config, pod, attempt, resolv_conf);
        let id = node.runtime.run_pod_sandbox(config).await.map_err(|e| Failure::new("", told(&e)))?;
        let attached = if pod.is_host_network() { Ok(()) } else { self.attach(&id).await };
        if let Err(text) = attached {
            if let Err(e) = node.runtime.remove_pod_sandbox(&id).await {
                tracing::warn!(namespace = pod.namespace, name = pod.name, error = %e, "cannot remove a sandbox without network");
                locked(&self.known).sandboxes.push(id);
            }
            return Err(Failure::new("", format!("plugin type=\"coracle\" failed (add): {text}")));
        }
        locked(&self.known).sandboxes.push(id);
        Ok(())
    }

    /// A class names the handler that is to run the pod; this node has one.
    async fn check_runtime_class(&self) -> Result<(), String> {
        const HANDLERS: [&str; 3] = ["", "runc", container_status::RUNTIME];
        let Some(name) = self.pod.spec.runtime_class_name.as_deref().filter(|name| !name.is_empty()) else { return Ok(()) };
        let found = Api::<RuntimeClass>::new(&self.node.client).find(&ObjectKey::cluster(name)).await;
        let class = found.map_err(|e| e.to_string())?.ok_or_else(|| format!("RuntimeClass {name:?} not found"))?;
        if HANDLERS.contains(&class.handler.as_str()) {
            return Ok(());
        }
        Err(format!("failed to get sandbox runtime: no runtime for {:?} is configured", class.handler))
    }

    async fn attach(&self, id: &SandboxId) -> Result<(), String> {
        let status = self.node.runtime.pod_sandbox_status(id).map_err(|e| told(&e))?;
        let SandboxState::Ready { netns, .. } = status.state else { return Err("the sandbox is gone already".to_owned()) };
        self.node.network.attach(&self.pod.uid, netns).await.map(drop)
    }

    async fn stop_sandbox(&self, id: &SandboxId) -> Result<(), Failure> {
        done(self.node.runtime.stop_pod_sandbox(id).await)?;
        self.node.network.detach(&self.pod.uid).await.map_err(|text| Failure::new("", text))
    }

    async fn unmount(&self) -> Result<(), Failure> {
        // A sandbox that was lost was never stopped.
        self.node.network.detach(&self.pod.uid).await.map_err(|text| Failure::new("", text))?;
        let outcome = self.node.disk.unmount(Arc::clone(&self.pod)).await;
        outcome.map_err(|text| {
            tracing::warn!(namespace = self.pod.namespace, name = self.pod.name, error = text, "cannot unmount");
            Failure::new("", text)
        })
    }

    async fn pre_stop(&self, id: &ContainerId, name: &str, kill_at: Timestamp) -> Result<(), Failure> {
        let hook = self.pod.container(name).and_then(|(_, c)| Some((c, c.lifecycle.as_ref()?.pre_stop.as_ref()?)));
        let Some((container, hook)) = hook else { return Ok(()) };
        let run = hooks::run(&self.node, &self.pod, container, id, hook);
        match tokio::time::timeout(until(&self.node, kill_at), run).await {
            Ok(Err(text)) => Err(Failure::new("", text)),
            // Out of time: the signal follows.
            Ok(Ok(())) | Err(_) => Ok(()),
        }
    }

    async fn resize(&self, resize: &Resize) -> Result<(), Failure> {
        self.check_usage(resize)?;
        let (runtime, sandbox) = (&self.node.runtime, SandboxId(resize.sandbox_id.clone()));
        for step in &resize.steps {
            let resources = recipe::cgroup(&step.cgroup);
            done(match &step.id {
                Some(id) => runtime.update_container_resources(&ContainerId(id.clone()), resources).await,
                None => runtime.update_sandbox_resources(&sandbox, resources).await,
            })?;
        }
        Ok(())
    }

    /// A limit below what is in use would have the kernel kill somebody.
    fn check_usage(&self, resize: &Resize) -> Result<(), Failure> {
        let runtime = &self.node.runtime;
        let mut faults = Vec::new();
        for lowered in &resize.lowered {
            let (what, stats) = match &lowered.container {
                Some((id, name)) => (format!("container {name:?}"), runtime.container_stats(&ContainerId(id.clone()))),
                None => ("pod".to_owned(), runtime.sandbox_stats(&SandboxId(resize.sandbox_id.clone()))),
            };
            let limit = lowered.limit;
            match stats.map(|stats| stats.memory_usage_bytes) {
                Ok(usage) if usage < limit => {}
                Ok(usage) => faults.push(format!("attempting to set {what} memory limit ({limit}) below current usage ({usage})")),
                Err(_) => faults.push(format!("missing {what} memory usage")),
            }
        }
        match faults.as_slice() {
            [] => Ok(()),
            [fault] => Err(Failure::new("", format!("cannot decrease memory limits: {fault}"))),
            all => Err(Failure::new("", format!("cannot decrease memory limits: [{}]", all.join(", ")))),
        }
    }

    async fn remove(&self, id: &ContainerId) -> Result<(), Failure> {
        let log = self.node.runtime.container_status(id).map(|s| s.log_path);
        done(self.node.runtime.remove_container(id).await)?;
        if let Ok(log) = log {
            crate::logs::remove(&log);
        }
        Ok(())
    }

    async fn probe(&self, id: &ContainerId, name: &str, kind: probe::Kind) -> Verdict {
        let Some((role, container)) = self.pod.container(name) else { return Verdict::Unknown };
        let Some(probe) = kind.of(container) else { return Verdict::Unknown };
        let pod_ip = self.node.pod_ips(&self.pod).first().copied();
        let request = ProbeRequest { container_id: id.clone(), container: container.clone(), probe: probe.clone(), pod_ip };
        let title = kind.title();
        let tell = |reason, text: String| self.node.tell(&self.pod, &Note::warning(reason, text).about(role, name));
        match self.node.prober.probe(request).await {
            ProbeAnswer::Success => Verdict::Success,
            ProbeAnswer::Warning(text) => {
                tell("ProbeWarning", format!("{title} probe warning: {text}"));
                Verdict::Success
            }
            ProbeAnswer::Failure(text) => {
                tell("Unhealthy", format!("{title} probe failed: {text}"));
                Verdict::Failure
            }
            ProbeAnswer::Error(text) => {
                tell("Unhealthy", format!("{title} probe errored and resulted in unknown state: {text}"));
                Verdict::Unknown
            }
        }
    }
}

fn done(outcome: Result<(), Error>) -> Result<(), Failure> {
    match outcome {
        Err(Error::NotFound { .. }) | Ok(()) => Ok(()),
        Err(e) => Err(Failure::new("", told(&e))),
    }
}

fn until(node: &Node, at: Timestamp) -> Duration {
    Duration::try_from(at.duration_since(node.now())).unwrap_or(Duration::ZERO)
}
