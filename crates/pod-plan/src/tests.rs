//! Stories: a pod, a host that carries out every effect at once, and a script of what befalls them; the transcript is the golden answer.

use std::fmt::Write;

use expect_test::{Expect, expect};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{ContainerStatus, PodStatus};
use serde_json::{Value, json};

use crate::effect::{Effect, Failure, Note, Outcome};
use crate::memory::{Cause, Eviction, Memory};
use crate::plan::plan;
use crate::pod::BoundPod;
use crate::probe::{Kind, Verdict};
use crate::status::status;
use crate::view::{Exit, Instance, Sandbox, State, View};

mod resize;
mod restarts;

struct Host {
    pod: BoundPod,
    is_gone: bool,
    sandboxes: Vec<Sandbox>,
    instances: Vec<Instance>,
    memory: Memory,
    now: Timestamp,
    /// Effects that take until the script says `done`.
    slow: Vec<Effect>,
    is_slow: bool,
    failure: Option<Failure>,
    verdicts: Vec<(String, Kind, Verdict)>,
    n_made: usize,
    log: String,
}

/// Runs `script`, one step a line, and compares everything the host was asked to do and what was reported.
fn check(spec: Value, script: &str, expected: Expect) {
    let mut host = Host::new(spec);
    host.settle();
    for line in script.lines().map(str::trim).filter(|l| !l.is_empty()) {
        let _ = writeln!(host.log, "> {line}");
        host.step(line);
        host.settle();
    }
    expected.assert_eq(&host.log);
}

impl Host {
    fn new(spec: Value) -> Self {
        let object = json!({
            "metadata": {"name": "web", "namespace": "default", "uid": "u1", "generation": 1},
            "spec": spec,
        });
        Host {
            pod: BoundPod::read(&object).unwrap(),
            is_gone: false,
            sandboxes: Vec::new(),
            instances: Vec::new(),
            memory: Memory::default(),
            now: "2026-01-01T00:00:00Z".parse().unwrap(),
            slow: Vec::new(),
            is_slow: false,
            failure: None,
            verdicts: Vec::new(),
            n_made: 0,
            log: String::new(),
        }
    }

    fn view(&self) -> View<'_> {
        View {
            pod: &self.pod,
            is_gone: self.is_gone,
            sandboxes: &self.sandboxes,
            instances: &self.instances,
            memory: &self.memory,
            host_ips: &[],
        }
    }

    fn settle(&mut self) {
        for _ in 0..50 {
            let plan = plan(&self.view(), self.now);
            assert_eq!(plan, crate::plan::plan(&self.view(), self.now));
            self.memory.begin(&plan, &self.instances, self.now);
            self.tell(&plan.notes);
            let reported = status(&self.view(), self.now);
            if summary(&reported) != summary(&self.memory.reported) {
                let _ = writeln!(self.log, "  {}", summary(&reported));
            }
            self.memory.reported = reported.clone();
            self.pod.status = reported;
            if plan.effects.is_empty() {
                if plan.is_finished {
                    self.log.push_str("  finished\n");
                } else if let Some(at) = plan.wake_at {
                    let _ = writeln!(self.log, "  wakes in {}s", at.duration_since(self.now).as_secs());
                }
                return;
            }
            for effect in plan.effects {
                self.act(effect);
            }
        }
        panic!("does not settle:\n{}", self.log);
    }

    fn tell(&mut self, notes: &[Note]) {
        for note in notes {
            let kind = if note.is_warning { "Warning" } else { "Normal" };
            let _ = writeln!(self.log, "    {kind} {}: {}", note.reason, note.message);
        }
    }

    fn act(&mut self, effect: Effect) {
        let at = |kill_at: &Timestamp| kill_at.duration_since(self.now).as_secs();
        let line = match &effect {
            Effect::Start { name, attempt, .. } => format!("start {name} #{attempt}"),
            Effect::PreStop { id, kill_at, .. } => format!("preStop {id}, kill in {}s", at(kill_at)),
            Effect::Stop { id, kill_at, .. } => format!("stop {id}, kill in {}s", at(kill_at)),
            Effect::Probe { id, kind, .. } => format!("probe {id} {}", kind.title()),
            Effect::CreateSandbox { attempt } => format!("make sandbox #{attempt}"),
            Effect::StopSandbox { id } => format!("stop sandbox {id}"),
            Effect::RemoveSandbox { id } => format!("remove sandbox {id}"),
            Effect::Remove { id } => format!("remove {id}"),
            Effect::CancelStart { name } => format!("cancel start of {name}"),
            Effect::Mount => "mount".to_owned(),
            Effect::Unmount => "unmount".to_owned(),
            Effect::Resize(resize) => format!("resize{}", resize.steps.iter().map(resize::described).collect::<String>()),
            Effect::Delete => "delete".to_owned(),
        };
        let _ = writeln!(self.log, "  {line}");
        if self.is_slow && !matches!(effect, Effect::CancelStart { .. }) {
            return self.slow.push(effect);
        }
        self.carry_out(effect);
    }

    fn carry_out(&mut self, effect: Effect) {
        let outcome = match &effect {
            Effect::Start { name, attempt, sandbox_id, .. } => match self.failure.take() {
                Some(failure) => Outcome::Failed(failure),
                None => {
                    self.make(name, *attempt, sandbox_id);
                    Outcome::Done
                }
            },
            Effect::CreateSandbox { attempt } => {
                let id = format!("sandbox{attempt}");
                self.sandboxes
                    .insert(0, Sandbox { id, attempt: *attempt, is_ready: true, has_host_network: false, ips: vec!["10.0.0.9".into()] });
                Outcome::Done
            }
            Effect::StopSandbox { id } => {
                self.sandboxes.iter_mut().filter(|s| s.id == *id).for_each(|s| s.is_ready = false);
                Outcome::Done
            }
            Effect::RemoveSandbox { id } => {
                self.sandboxes.retain(|s| s.id != *id);
                Outcome::Done
            }
            Effect::Remove { id } => {
                self.instances.retain(|i| i.id != *id);
                Outcome::Done
            }
            Effect::Probe { name, kind, .. } => {
                let set = self.verdicts.iter().rev().find(|(n, k, _)| n == name && k == kind);
                Outcome::Probed(set.map_or(Verdict::Success, |(_, _, v)| *v))
            }
            Effect::Resize(_) => self.failure.take().map_or(Outcome::Done, Outcome::Failed),
            _ => Outcome::Done,
        };
        let notes = self.memory.finish(&self.pod, &effect, &outcome, self.now);
        self.tell(&notes);
    }

    fn make(&mut self, name: &str, attempt: u32, sandbox_id: &str) {
        let (_, container) = self.pod.container(name).unwrap();
        let image = container.image.clone().unwrap_or_default();
        self.n_made += 1;
        let instance = Instance {
            id: format!("{name}{}", self.n_made),
            sandbox_id: sandbox_id.to_owned(),
            name: name.to_owned(),
            attempt,
            spec_image: image.clone(),
            image,
            image_id: "sha256:1".to_owned(),
            created_at: self.now,
            state: State::Running { started_at: self.now },
            user: None,
            resources: crate::resize::effective(&self.pod, container.resources.as_ref()),
        };
        self.instances.insert(0, instance);
    }

    fn exit(&mut self, name: &str, code: i32) {
        let now = self.now;
        let instance = self.instances.iter_mut().find(|i| i.name == name && i.is_running()).unwrap();
        let State::Running { started_at } = instance.state else { unreachable!("found running") };
        let reason = if code == 0 { "Completed" } else { "Error" }.to_owned();
        instance.state =
            State::Exited(Exit { started_at: Some(started_at), finished_at: now, code, signal: None, reason, message: String::new() });
    }

    fn step(&mut self, line: &str) {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["exit", name, code] => self.exit(name, code.parse().unwrap()),
            ["tick", seconds] => self.now += SignedDuration::from_secs(seconds.parse().unwrap()),
            ["delete", grace] => {
                self.pod.meta.deletion_timestamp = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(self.now));
                self.pod.meta.deletion_grace_period_seconds = Some(grace.parse().unwrap());
            }
            ["gone"] => self.is_gone = true,
            ["fail", reason, rest @ ..] => self.failure = Some(Failure::new(leak(reason), rest.join(" "))),
            ["probe", name, kind, verdict] => {
                let kind = *Kind::ALL.iter().find(|k| k.title() == *kind).unwrap();
                let verdict = if *verdict == "fails" { Verdict::Failure } else { Verdict::Success };
                self.verdicts.push(((*name).to_owned(), kind, verdict));
            }
            ["slow"] => self.is_slow = true,
            ["done"] => {
                self.is_slow = false;
                for effect in std::mem::take(&mut self.slow) {
                    self.carry_out(effect);
                }
            }
            ["image", name, image] => {
                let container = self.pod.spec.containers.iter_mut().find(|c| c.name == *name).unwrap();
                container.image = Some((*image).to_owned());
            }
            // What the node granted: requests and limits of one container.
            ["grant", name, resources] => {
                let container = self.pod.spec.containers.iter_mut().find(|c| c.name == *name).unwrap();
                container.resources = serde_json::from_str(resources).unwrap();
                *self.pod.meta.generation.as_mut().unwrap() += 1;
            }
            ["lose", "sandbox"] => {
                let names: Vec<String> = self.instances.iter().filter(|i| i.is_running()).map(|i| i.name.clone()).collect();
                names.iter().for_each(|name| self.exit(name, 255));
                self.sandboxes[0].is_ready = false;
            }
            // As `down` or a crash of the host leaves it.
            ["lose", "records"] => {
                self.instances.clear();
                self.sandboxes.clear();
                self.memory = Memory { reported: self.memory.reported.clone(), ..Memory::default() };
            }
            ["refuse", message @ ..] => {
                self.memory.eviction =
                    Some(Eviction { reason: "OutOfcpu".into(), message: message.join(" "), grace_seconds: Some(0), cause: Cause::Refusal });
            }
            ["evict", message @ ..] => {
                self.memory.eviction = Some(Eviction {
                    reason: "Evicted".into(),
                    message: message.join(" "),
                    grace_seconds: Some(0),
                    cause: Cause::Disruption,
                });
            }
            // A new process over what runs: all memory is lost but what the API shows.
            ["restart"] => self.memory = Memory { reported: self.pod.status.clone(), ..Memory::default() },
            _ => panic!("no such step: {line}"),
        }
    }
}

fn leak(text: &str) -> &'static str {
    Box::leak(text.to_owned().into_boxed_str())
}

/// `Running ready=1/2 web=running web2=waiting:CrashLoopBackOff#3`
fn summary(status: &PodStatus) -> String {
    let all = status.init_container_statuses.iter().chain(&status.container_statuses).chain(&status.ephemeral_container_statuses).flatten();
    let containers: Vec<String> = all.map(container_summary).collect();
    let is_true = |name: &str| status.conditions.iter().flatten().any(|c| c.type_ == name && c.status == "True");
    let known = ["PodReadyToStartContainers", "Initialized", "ContainersReady", "Ready", "DisruptionTarget", "PodResizeInProgress"];
    let held: Vec<&str> = known.into_iter().filter(|n| is_true(n)).collect();
    let reason = status.reason.as_ref().map(|r| format!(" ({r})")).unwrap_or_default();
    format!("= {}{reason} {} [{}]", status.phase.as_deref().unwrap_or("?"), containers.join(" "), held.join(" "))
}

fn container_summary(status: &ContainerStatus) -> String {
    let state = status.state.as_ref().unwrap();
    let told = match (&state.waiting, &state.terminated) {
        (Some(waiting), _) => format!("waiting:{}", waiting.reason.as_deref().unwrap_or("")),
        (_, Some(end)) => format!("{}:{}", end.reason.as_deref().unwrap_or(""), end.exit_code),
        _ => "running".to_owned(),
    };
    let ready = if status.ready { "+" } else { "" };
    let last = status.last_state.as_ref().and_then(|s| s.terminated.as_ref()).map(|t| format!("<{}", t.exit_code)).unwrap_or_default();
    format!("{}={told}{ready}#{}{last}", status.name, status.restart_count)
}

fn one(more: Value) -> Value {
    let mut container = json!({"name": "web", "image": "img:1"});
    container.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({"containers": [container]})
}

#[test]
fn a_pod_runs_crashes_backs_off_and_recovers() {
    check(
        one(json!({})),
        "exit web 1
         exit web 1
         tick 10
         exit web 0
         tick 19
         tick 1
         tick 1300
         exit web 2",
        expect![[r#"
              = Pending web=waiting:ContainerCreating#0 [Initialized]
              mount
              make sandbox #0
              = Pending web=waiting:ContainerCreating#0 [PodReadyToStartContainers Initialized]
              start web #0
              = Running web=running+#0 [PodReadyToStartContainers Initialized ContainersReady Ready]
            > exit web 1
              = Running web=Error:1#0 [PodReadyToStartContainers Initialized]
              start web #1
              = Running web=running+#1<1 [PodReadyToStartContainers Initialized ContainersReady Ready]
            > exit web 1
                Warning BackOff: Back-off restarting failed container web in pod web_default(u1)
              = Running web=waiting:CrashLoopBackOff#1<1 [PodReadyToStartContainers Initialized]
              wakes in 10s
            > tick 10
              start web #2
              = Running web=running+#2<1 [PodReadyToStartContainers Initialized ContainersReady Ready]
              remove web1
            > exit web 0
                Warning BackOff: Back-off restarting failed container web in pod web_default(u1)
              = Running web=waiting:CrashLoopBackOff#2<0 [PodReadyToStartContainers Initialized]
              wakes in 20s
            > tick 19
              wakes in 1s
            > tick 1
              start web #3
              = Running web=running+#3<0 [PodReadyToStartContainers Initialized ContainersReady Ready]
              remove web2
            > tick 1300
            > exit web 2
              = Running web=Error:2#3<0 [PodReadyToStartContainers Initialized]
              start web #4
              = Running web=running+#4<2 [PodReadyToStartContainers Initialized ContainersReady Ready]
              remove web3
        "#]],
    );
}

#[test]
fn deletion_runs_hooks_then_stops_then_clears_away() {
    check(
        one(json!({"lifecycle": {"preStop": {"sleep": {"seconds": 1}}}})),
        "slow
         delete 30
         done
         exit web 143
         gone",
        expect![[r#"
              = Pending web=waiting:ContainerCreating#0 [Initialized]
              mount
              make sandbox #0
              = Pending web=waiting:ContainerCreating#0 [PodReadyToStartContainers Initialized]
              start web #0
              = Running web=running+#0 [PodReadyToStartContainers Initialized ContainersReady Ready]
            > slow
            > delete 30
                Normal Killing: Stopping container web
              preStop web1, kill in 30s
              wakes in 30s
            > done
              stop web1, kill in 30s
            > exit web 143
              = Running web=Error:143#0 [PodReadyToStartContainers Initialized]
              stop sandbox sandbox0
              = Failed web=Error:143#0 [Initialized]
              unmount
              delete
            > gone
              remove web1
              remove sandbox sandbox0
              finished
        "#]],
    );
}

#[test]
fn init_containers_run_in_order_and_sidecars_stay() {
    check(
        json!({
            "initContainers": [{"name": "a", "image": "i"}, {"name": "side", "image": "i", "restartPolicy": "Always"}, {"name": "b", "image": "i"}],
            "containers": [{"name": "web", "image": "i"}], "restartPolicy": "Never",
        }),
        "exit a 0
         exit side 1
         exit b 0
         exit web 0
         exit side 143",
        expect![[r#"
              = Pending a=waiting:PodInitializing#0 side=waiting:PodInitializing#0 b=waiting:PodInitializing#0 web=waiting:PodInitializing#0 []
              mount
              make sandbox #0
              = Pending a=waiting:PodInitializing#0 side=waiting:PodInitializing#0 b=waiting:PodInitializing#0 web=waiting:PodInitializing#0 [PodReadyToStartContainers]
              start a #0
              = Pending a=running#0 side=waiting:PodInitializing#0 b=waiting:PodInitializing#0 web=waiting:PodInitializing#0 [PodReadyToStartContainers]
            > exit a 0
              = Pending a=Completed:0+#0 side=waiting:PodInitializing#0 b=waiting:PodInitializing#0 web=waiting:PodInitializing#0 [PodReadyToStartContainers]
              start side #0
              = Pending a=Completed:0+#0 side=running+#0 b=waiting:PodInitializing#0 web=waiting:PodInitializing#0 [PodReadyToStartContainers]
              start b #0
              = Pending a=Completed:0+#0 side=running+#0 b=running#0 web=waiting:PodInitializing#0 [PodReadyToStartContainers]
            > exit side 1
              = Pending a=Completed:0+#0 side=Error:1#0 b=running#0 web=waiting:PodInitializing#0 [PodReadyToStartContainers]
              start side #1
              = Pending a=Completed:0+#0 side=running+#1<1 b=running#0 web=waiting:PodInitializing#0 [PodReadyToStartContainers]
            > exit b 0
              = Pending a=Completed:0+#0 side=running+#1<1 b=Completed:0+#0 web=waiting:PodInitializing#0 [PodReadyToStartContainers Initialized]
              start web #0
              = Running a=Completed:0+#0 side=running+#1<1 b=Completed:0+#0 web=running+#0 [PodReadyToStartContainers Initialized ContainersReady Ready]
            > exit web 0
                Normal Killing: Stopping container side
              = Running a=Completed:0+#0 side=running+#1<1 b=Completed:0+#0 web=Completed:0#0 [PodReadyToStartContainers Initialized]
              stop side4, kill in 30s
            > exit side 143
              = Succeeded a=Completed:0+#0 side=Error:143#1<1 b=Completed:0+#0 web=Completed:0#0 [PodReadyToStartContainers Initialized]
              stop sandbox sandbox0
              = Succeeded a=Completed:0+#0 side=Error:143#1<1 b=Completed:0+#0 web=Completed:0#0 [Initialized]
              unmount
        "#]],
    );
}

#[test]
fn a_failed_init_container_ends_a_pod_that_never_restarts() {
    check(
        json!({"initContainers": [{"name": "a", "image": "i"}], "containers": [{"name": "web", "image": "i"}], "restartPolicy": "Never"}),
        "exit a 3",
        expect![[r#"
              = Pending a=waiting:PodInitializing#0 web=waiting:PodInitializing#0 []
              mount
              make sandbox #0
              = Pending a=waiting:PodInitializing#0 web=waiting:PodInitializing#0 [PodReadyToStartContainers]
              start a #0
              = Pending a=running#0 web=waiting:PodInitializing#0 [PodReadyToStartContainers]
            > exit a 3
              = Failed a=Error:3#0 web=waiting:PodInitializing#0 [PodReadyToStartContainers]
              stop sandbox sandbox0
              = Failed a=Error:3#0 web=waiting:PodInitializing#0 []
              unmount
        "#]],
    );
}

#[test]
fn an_image_that_cannot_be_pulled_holds_only_its_container() {
    let mut host = Host::new(json!({"containers": [{"name": "web", "image": "img"}, {"name": "other", "image": "img2"}]}));
    host.failure = Some(Failure::new("ErrImagePull", "no such host"));
    host.settle();
    for seconds in [2, 8] {
        let _ = writeln!(host.log, "> tick {seconds}");
        host.now += SignedDuration::from_secs(seconds);
        if seconds == 8 {
            host.failure = Some(Failure::new("ErrImagePull", "still no such host"));
        }
        host.settle();
    }
    expect![[r#"
          = Pending other=waiting:ContainerCreating#0 web=waiting:ContainerCreating#0 [Initialized]
          mount
          make sandbox #0
          = Pending other=waiting:ContainerCreating#0 web=waiting:ContainerCreating#0 [PodReadyToStartContainers Initialized]
          start web #0
            Warning Failed: Error: ErrImagePull
          = Pending other=waiting:ContainerCreating#0 web=waiting:ErrImagePull#0 [PodReadyToStartContainers Initialized]
          start other #0
          = Pending other=running+#0 web=waiting:ErrImagePull#0 [PodReadyToStartContainers Initialized]
          wakes in 2s
        > tick 2
            Normal BackOff: Back-off pulling image "img"
            Warning Failed: Error: ImagePullBackOff
          = Pending other=running+#0 web=waiting:ImagePullBackOff#0 [PodReadyToStartContainers Initialized]
          wakes in 8s
        > tick 8
          start web #0
            Warning Failed: Error: ErrImagePull
          = Pending other=running+#0 web=waiting:ErrImagePull#0 [PodReadyToStartContainers Initialized]
          wakes in 2s
    "#]]
    .assert_eq(&host.log);
}

#[test]
fn probes_gate_kill_and_ready() {
    check(
        one(json!({
            "startupProbe": {"periodSeconds": 1, "failureThreshold": 3},
            "livenessProbe": {"periodSeconds": 5, "failureThreshold": 2, "terminationGracePeriodSeconds": 3},
            "readinessProbe": {"periodSeconds": 2, "initialDelaySeconds": 1},
        })),
        "probe web Readiness fails
         tick 1
         probe web Readiness holds
         tick 2
         probe web Liveness fails
         tick 5
         tick 5
         exit web 137",
        expect![[r#"
              = Pending web=waiting:ContainerCreating#0 [Initialized]
              mount
              make sandbox #0
              = Pending web=waiting:ContainerCreating#0 [PodReadyToStartContainers Initialized]
              start web #0
              = Running web=running#0 [PodReadyToStartContainers Initialized]
              probe web1 Startup
              probe web1 Liveness
              wakes in 1s
            > probe web Readiness fails
              wakes in 1s
            > tick 1
              probe web1 Readiness
              wakes in 2s
            > probe web Readiness holds
              wakes in 2s
            > tick 2
              probe web1 Readiness
              = Running web=running+#0 [PodReadyToStartContainers Initialized ContainersReady Ready]
              wakes in 2s
            > probe web Liveness fails
              wakes in 2s
            > tick 5
              probe web1 Liveness
              probe web1 Readiness
              wakes in 2s
            > tick 5
              probe web1 Liveness
              probe web1 Readiness
                Normal Killing: Container web failed liveness probe, will be restarted
              stop web1, kill in 3s
              wakes in 2s
            > exit web 137
              = Running web=Error:137#0 [PodReadyToStartContainers Initialized]
              start web #1
              = Running web=running#1<137 [PodReadyToStartContainers Initialized]
              probe web2 Startup
              probe web2 Liveness
              wakes in 1s
        "#]],
    );
}

#[test]
fn a_restarted_agent_adopts_a_ready_pod_unseen() {
    check(
        one(json!({"readinessProbe": {"periodSeconds": 10}, "startupProbe": {"periodSeconds": 10}})),
        "tick 3
         restart",
        expect![[r#"
              = Pending web=waiting:ContainerCreating#0 [Initialized]
              mount
              make sandbox #0
              = Pending web=waiting:ContainerCreating#0 [PodReadyToStartContainers Initialized]
              start web #0
              = Running web=running#0 [PodReadyToStartContainers Initialized]
              probe web1 Startup
              probe web1 Readiness
              = Running web=running+#0 [PodReadyToStartContainers Initialized ContainersReady Ready]
              wakes in 10s
            > tick 3
              wakes in 7s
            > restart
              mount
              probe web1 Readiness
              wakes in 10s
        "#]],
    );
}

#[test]
fn a_lost_sandbox_is_made_anew() {
    check(
        one(json!({})),
        "lose sandbox",
        expect![[r#"
          = Pending web=waiting:ContainerCreating#0 [Initialized]
          mount
          make sandbox #0
          = Pending web=waiting:ContainerCreating#0 [PodReadyToStartContainers Initialized]
          start web #0
          = Running web=running+#0 [PodReadyToStartContainers Initialized ContainersReady Ready]
        > lose sandbox
            Normal SandboxChanged: Pod sandbox changed, it will be killed and re-created.
          = Running web=Error:255#0 [Initialized]
          make sandbox #1
          = Running web=Error:255#0 [PodReadyToStartContainers Initialized]
          start web #1
          = Running web=running+#1<255 [PodReadyToStartContainers Initialized ContainersReady Ready]
    "#]],
    );
}

#[test]
fn a_changed_image_replaces_the_container() {
    check(
        one(json!({})),
        "image web img:2
         exit web 0",
        expect![[r#"
              = Pending web=waiting:ContainerCreating#0 [Initialized]
              mount
              make sandbox #0
              = Pending web=waiting:ContainerCreating#0 [PodReadyToStartContainers Initialized]
              start web #0
              = Running web=running+#0 [PodReadyToStartContainers Initialized ContainersReady Ready]
            > image web img:2
                Normal Killing: Container web definition changed, will be restarted
              stop web1, kill in 30s
            > exit web 0
              = Running web=Completed:0#0 [PodReadyToStartContainers Initialized]
              start web #1
              = Running web=running+#1<0 [PodReadyToStartContainers Initialized ContainersReady Ready]
        "#]],
    );
}

#[test]
fn a_deadline_ends_the_pod() {
    check(
        json!({"containers": [{"name": "web", "image": "i"}], "activeDeadlineSeconds": 60}),
        "tick 60
         exit web 143",
        expect![[r#"
              = Pending web=waiting:ContainerCreating#0 [Initialized]
              mount
              make sandbox #0
              = Pending web=waiting:ContainerCreating#0 [PodReadyToStartContainers Initialized]
              start web #0
              = Running web=running+#0 [PodReadyToStartContainers Initialized ContainersReady Ready]
              wakes in 60s
            > tick 60
                Normal Killing: Stopping container web
              stop web1, kill in 30s
            > exit web 143
              = Failed (DeadlineExceeded) web=Error:143#0 [PodReadyToStartContainers Initialized]
              stop sandbox sandbox0
              = Failed (DeadlineExceeded) web=Error:143#0 [Initialized]
              unmount
        "#]],
    );
}

#[test]
fn an_evicted_pod_says_so_once_nothing_runs() {
    check(
        one(json!({})),
        "evict The node was low on resource: memory.
         exit web 137",
        expect![[r#"
              = Pending web=waiting:ContainerCreating#0 [Initialized]
              mount
              make sandbox #0
              = Pending web=waiting:ContainerCreating#0 [PodReadyToStartContainers Initialized]
              start web #0
              = Running web=running+#0 [PodReadyToStartContainers Initialized ContainersReady Ready]
            > evict The node was low on resource: memory.
                Normal Killing: Stopping container web
              stop web1, kill in 2s
            > exit web 137
              = Failed (Evicted) web=Error:137#0 [PodReadyToStartContainers Initialized]
              stop sandbox sandbox0
              = Failed (Evicted) web=Error:137#0 [Initialized DisruptionTarget]
              unmount
        "#]],
    );
}

#[test]
fn a_start_under_way_is_cancelled_by_deletion() {
    check(
        one(json!({})),
        "slow
         exit web 1
         delete 5
         done
         exit web 143",
        expect![[r#"
              = Pending web=waiting:ContainerCreating#0 [Initialized]
              mount
              make sandbox #0
              = Pending web=waiting:ContainerCreating#0 [PodReadyToStartContainers Initialized]
              start web #0
              = Running web=running+#0 [PodReadyToStartContainers Initialized ContainersReady Ready]
            > slow
            > exit web 1
              = Running web=Error:1#0 [PodReadyToStartContainers Initialized]
              start web #1
            > delete 5
              cancel start of web
            > done
                Normal Killing: Stopping container web
              = Running web=running+#1<1 [PodReadyToStartContainers Initialized ContainersReady Ready]
              stop web2, kill in 5s
            > exit web 143
              = Running web=Error:143#1<1 [PodReadyToStartContainers Initialized]
              stop sandbox sandbox0
              = Failed web=Error:143#1<1 [Initialized]
              unmount
              delete
        "#]],
    );
}

#[test]
fn sidecars_stop_last_and_a_shorter_grace_hurries() {
    check(
        json!({
            "initContainers": [{"name": "s1", "image": "i", "restartPolicy": "Always"}, {"name": "s2", "image": "i", "restartPolicy": "Always"}],
            "containers": [{"name": "web", "image": "i"}],
        }),
        "delete 30
         tick 5
         delete 10
         exit web 143
         exit s2 143
         exit s1 143",
        expect![[r#"
              = Pending s1=waiting:PodInitializing#0 s2=waiting:PodInitializing#0 web=waiting:PodInitializing#0 []
              mount
              make sandbox #0
              = Pending s1=waiting:PodInitializing#0 s2=waiting:PodInitializing#0 web=waiting:PodInitializing#0 [PodReadyToStartContainers]
              start s1 #0
              = Pending s1=running+#0 s2=waiting:PodInitializing#0 web=waiting:PodInitializing#0 [PodReadyToStartContainers]
              start s2 #0
              = Pending s1=running+#0 s2=running+#0 web=waiting:PodInitializing#0 [PodReadyToStartContainers Initialized]
              start web #0
              = Running s1=running+#0 s2=running+#0 web=running+#0 [PodReadyToStartContainers Initialized ContainersReady Ready]
            > delete 30
                Normal Killing: Stopping container web
              stop web3, kill in 30s
              wakes in 30s
            > tick 5
              wakes in 25s
            > delete 10
              stop web3, kill in 10s
              wakes in 10s
            > exit web 143
                Normal Killing: Stopping container s2
              = Running s1=running+#0 s2=running+#0 web=Error:143#0 [PodReadyToStartContainers Initialized]
              stop s22, kill in 10s
              wakes in 10s
            > exit s2 143
                Normal Killing: Stopping container s1
              = Running s1=running+#0 s2=Error:143#0 web=Error:143#0 [PodReadyToStartContainers Initialized]
              stop s11, kill in 10s
            > exit s1 143
              = Running s1=Error:143#0 s2=Error:143#0 web=Error:143#0 [PodReadyToStartContainers Initialized]
              stop sandbox sandbox0
              = Failed s1=Error:143#0 s2=Error:143#0 web=Error:143#0 [Initialized]
              unmount
              delete
        "#]],
    );
}
